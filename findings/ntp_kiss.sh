#!/usr/bin/env bash
# An NTP server that wants fewer requests sends a "kiss-o'-death": an answer with stratum 0, the alarm and the code RATE
# (RFC 4330, 8; RFC 5905, 7.4). It carries no time, and its timestamps are those that the client sent. A client ignores
# the timestamps and asks less often.
#
# Guessed: beevik/ntp 1.6.0 (Go) and Debian 12's rdate 1.11 refuse it; npm's ntp-client 0.5.3, sntp 3.0.2 and
# ntp-time-sync 0.5.0, Python's ntplib 0.3.3, Ruby's net-ntp 2.1.3 and Perl's Net::NTP 1.5 take it for the time. Seen:
# ntp-time-sync refuses it too, but asks twice more at once. sntp, ntplib and Net::NTP report that the client's clock is
# right, however wrong it is. net-ntp reports that it is 70 years ahead, and ntp-client that it is 1900.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
Go, beevik/ntp: error, asked once
Debian, rdate: error, asked once
npm, ntp-client: it is 1900, asked once
npm, sntp: valid, the clock is right, asked once
npm, ntp-time-sync: error, asked 3 times within a second
Python, ntplib: the clock is right, asked once
Ruby, net-ntp: 70 years ahead, asked once
Perl, Net::NTP: the clock is right, asked once
END
npm install --silent --no-fund --no-audit --prefix . ntp-client@0.5.3 sntp@3.0.2 ntp-time-sync@0.5.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  rdate python3-ntplib ruby ruby-net-ntp libnet-ntp-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin:$dir/root/usr/sbin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5" RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/share/rubygems-integration/all/gems/net-ntp-2.1.3/lib:$dir/root/usr/lib/ruby/vendor_ruby"
cat >go.mod <<'END'
module finding

go 1.26

require github.com/beevik/ntp v1.6.0
END
# Each prints by how many seconds its clock is behind.
cat >main.go <<'END'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/beevik/ntp"
)

func main() {
	now, err := ntp.Time(os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(time.Until(now).Seconds())
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.py <<'END'
import sys
import ntplib
print(ntplib.NTPClient().request('127.0.0.1', port=int(sys.argv[1])).offset)
END
cat >main.rb <<'END'
require 'net/ntp'
puts Net::NTP.get('127.0.0.1', ARGV[0].to_i).offset
END
cat >main.pl <<'END'
use Net::NTP;
my %answer = get_ntp_response('127.0.0.1', $ARGV[0]);
print $answer{Offset};
END
cat >main.mjs <<'END'
import dgram from 'node:dgram'
import { execFile } from 'node:child_process'
import ntpClient from 'ntp-client'
import sntp from 'sntp'
import { NtpTimeSync } from 'ntp-time-sync'

let asked
const server = dgram.createSocket('udp4').on('message', (request, from) => {
  asked++
  const answer = Buffer.alloc(48)
  answer[0] = 3 << 6 | (request[0] & 0x38) | 4
  answer[2] = request[2]
  answer[3] = 0xec
  answer.write('RATE', 12)
  for (const timestamp of [24, 32, 40]) request.copy(answer, timestamp, 40, 48)
  server.send(answer, from.port, from.address)
})
await new Promise((ready) => server.bind(0, '127.0.0.1', ready))
const { port } = server.address()

const told = (behind) => {
  if (Math.abs(behind) < 2) return 'the clock is right'
  return `${Math.round(Math.abs(behind) / 31556952)} years ${behind < 0 ? 'ahead' : 'behind'}`
}
const command = (...args) => () => new Promise((done, failed) => {
  execFile(args[0], args.slice(1), { timeout: 20000 }, (error, stdout) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    error ? failed(error) : done(told(Number(stdout)))
  })
})
const clients = {
  'Go, beevik/ntp': command('./main', `127.0.0.1:${port}`),
  'Debian, rdate': command('rdate', '-n', '-p', '-t', '3000', '-o', port, '127.0.0.1'),
  'npm, ntp-client': () => new Promise((done, failed) => {
    ntpClient.getNetworkTime('127.0.0.1', port, (err, date) => err ? failed(err) : done(`it is ${date.getUTCFullYear()}`))
  }),
  'npm, sntp': async () => {
    const answer = await sntp.time({ host: '127.0.0.1', port })
    return `${answer.isValid ? 'valid' : 'not valid'}, ${told(answer.t / 1000)}`
  },
  'npm, ntp-time-sync': async () => {
    const answer = await new NtpTimeSync({ servers: [`127.0.0.1:${port}`], sampleCount: 1 }).getTime(true)
    return told(answer.offset / 1000)
  },
  'Python, ntplib': command('/usr/bin/python3', 'main.py', port),
  'Ruby, net-ntp': command('ruby3.1', 'main.rb', port),
  'Perl, Net::NTP': command('perl', 'main.pl', port),
}
for (const [name, ask] of Object.entries(clients)) {
  asked = 0
  const began = Date.now()
  const got = await ask().catch(() => 'error')
  const within = Date.now() - began < 1000 ? ' within a second' : ''
  console.log(`${name}: ${got}, asked ${asked === 1 ? 'once' : `${asked} times${within}`}`)
}
process.exit()
END
timeout 90 node --no-warnings main.mjs >have
diff want have
cat have
