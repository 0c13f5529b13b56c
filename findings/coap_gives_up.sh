#!/usr/bin/env bash
# A CoAP sender that gets no reply to a confirmable message sends it again after 2 to 3 seconds, then doubles the wait
# each time, four times in all. When the last wait is over too, it tells the application (RFC 7252, 4.2). With the
# default parameters this happens after 62 to 93 seconds, MAX_TRANSMIT_WAIT (4.8.2).
#
# Guessed: npm's coap 1.5.0 and libcoap 4.3.1 do so, and go-coap 3.8.0 waits for the same time before each repetition.
# Seen: go-coap waits for 4, 8, 12 and 20 or 24 seconds, because it checks every 4 seconds whether a message is due. It
# never reports the failure: a call ends only with its context. npm's coap sends as it should, but does not report the
# failure after 93 seconds either. It does so after 247 (EXCHANGE_LIFETIME, which is meant for duplicates). Takes 100
# seconds.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
libcoap: sent 5 times, as it should be; tells that there is no answer
npm, coap: sent 5 times, as it should be; tells nothing
go-coap: sent 5 times, again after 4, 8, 12 s; tells nothing
END
npm install --silent --no-fund --no-audit --prefix . coap@1.5.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  libcoap3-bin ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
export LD_LIBRARY_PATH="$dir/root/usr/lib/$(uname -m)-linux-gnu" PATH="$PATH:$dir/root/usr/bin"
cat >go.mod <<'END'
module finding

go 1.26

require github.com/plgd-dev/go-coap/v3 v3.8.0
END
cat >main.go <<'END'
package main

import (
	"context"
	"os"
	"time"

	"github.com/plgd-dev/go-coap/v3/udp"
)

func main() {
	conn, err := udp.Dial("127.0.0.1:" + os.Args[1])
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	_, _ = conn.Get(ctx, "/x")
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import dgram from 'node:dgram'
import { spawn } from 'node:child_process'
import coap from 'coap'

const command = (...args) => (port) => new Promise((told) => spawn(args[0], args.slice(1).map((arg) => arg.replace('PORT', port)), { stdio: 'ignore' }).on('exit', told))
const clients = {
  'libcoap': command('coap-client-notls', '-B', '600', 'coap://127.0.0.1:PORT/x'),
  'npm, coap': (port) => new Promise((told) => coap.request({ host: '127.0.0.1', port, pathname: '/x' }).on('error', told).end()),
  'go-coap': command('./main', 'PORT'),
}
const lines = Object.entries(clients).map(async ([name, get]) => {
  const came = []
  const server = dgram.createSocket('udp4').on('message', () => came.push(Date.now()))
  await new Promise((ready) => server.bind(0, '127.0.0.1', ready))
  let ends
  get(server.address().port).then(() => { ends = Date.now() })
  await new Promise((later) => setTimeout(later, 100_000))
  const waits = came.slice(1).map((time, i) => (time - came[i]) / 1000)
  const well = waits[0] > 1.9 && waits[0] < 3.4 && waits.every((wait, i) => Math.abs(wait / waits[0] / 2 ** i - 1) < 0.15)
  return `${name}: sent ${came.length} times, ${well ? 'as it should be' : `again after ${waits.slice(0, 3).map(Math.round).join(', ')} s`}; ${ends ? 'tells that there is no answer' : 'tells nothing'}`
})
for (const line of lines) console.log(await line)
process.exit()
END
timeout 150 node --no-warnings main.mjs >have
diff want have
cat have
