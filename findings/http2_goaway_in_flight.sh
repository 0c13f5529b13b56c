#!/usr/bin/env bash
# An HTTP/2 server that shuts down sends GOAWAY with NO_ERROR and the last stream that it accepts. It still answers the
# streams up to that one. It has not looked at those after it, and a client can repeat them on another connection,
# whatever they ask (RFC 9113, 6.8 and 8.7).
#
# Guessed: undici 7.30.2 (allowH2) breaks off the answer that is arriving, and repeats the requests after it. Seen: it
# breaks off that answer and gives up the other requests too, all of them GETs. net/http of Go 1.26 gets the whole
# answer and repeats the others; node:http2 of Node 20 leaves this to the program and reports which ones it may repeat.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
undici: UND_ERR_SOCKET, UND_ERR_SOCKET, UND_ERR_SOCKET
node:http2: half and half, NGHTTP2_REFUSED_STREAM, NGHTTP2_REFUSED_STREAM
net/http: half and half, at the second connection, at the second connection
END
cat >go.mod <<'END'
module finding

go 1.26
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	seen := make([]string, 3)
	var calls sync.WaitGroup
	for i := range seen {
		calls.Go(func() {
			time.Sleep(time.Duration(i) * 200 * time.Millisecond)
			res, err := client.Get(os.Args[1])
			if err != nil {
				seen[i] = err.Error()
				return
			}
			text, err := io.ReadAll(res.Body)
			if seen[i] = string(text); err != nil {
				seen[i] += err.Error()
			}
		})
	}
	calls.Wait()
	fmt.Println(strings.Join(seen, ", "))
}
END
cat >main.mjs <<'END'
import http2 from 'node:http2'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Client } from 'undici'

const pause = (ms) => new Promise((later) => setTimeout(later, ms))
// A server whose first connection has an answer that takes 2 s, and ends with three requests: GOAWAY, and the first is the last one taken.
async function serve() {
  let first
  const server = http2.createServer()
  server.on('session', (session) => { first ??= session; session.on('error', () => {}) })
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    if (stream.session !== first) {
      stream.respond({ ':status': 200 })
      stream.end('at the second connection')
    } else if (stream.id === 1) {
      stream.respond({ ':status': 200 })
      stream.write('half ')
      setTimeout(() => stream.end('and half'), 2000)
    } else if (stream.id === 5) {
      first.goaway(http2.constants.NGHTTP2_NO_ERROR, 1)
    }
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  return `http://127.0.0.1:${server.address().port}`
}
const three = async (call) => (await Promise.all([0, 1, 2].map(async (nth) => { await pause(200 * nth); return call() }))).join(', ')

const clients = {
  undici: (url) => {
    const client = new Client(url, { allowH2: true, useH2c: true, pipelining: 3 })
    return three(async () => {
      try {
        return await (await client.request({ path: '/', method: 'GET' })).body.text()
      } catch (err) {
        return err.code
      }
    })
  },
  'node:http2': (url) => {
    const session = http2.connect(url)
    session.on('error', () => {})
    return three(() => new Promise((done) => {
      const stream = session.request({ ':path': '/' })
      let text = ''
      stream.on('data', (data) => { text += data })
      stream.on('end', () => done(text))
      stream.on('error', (err) => done(/NGHTTP2\w+/.exec(err.message)?.[0] ?? err.message))
    }))
  },
  'net/http': async (url) => (await promisify(execFile)('./main', [url])).stdout.trim(),
}
for (const [name, run] of Object.entries(clients)) console.log(`${name}: ${await run(await serve())}`)
process.exit()
END
go build -o main . >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
