#!/usr/bin/env bash
# NTP counts seconds from 1900 in 32 bits, which overflow on 7 February 2036. From then on seconds begin with a 0 bit
# and count from that day. A client must take seconds whose first bit is 0 for times after 2036 (RFC 4330, 3), because
# no server runs in 1936. Devices that are sold today will still be in use.
#
# Guessed: beevik/ntp 1.6.0 (Go) knows this; npm's ntp-client 0.5.3, sntp 3.0.2 and ntp-time-sync 0.5.0, Python's ntplib
# 0.3.3, Ruby's net-ntp 2.1.3 and Perl's Net::NTP 1.5 return 1901. Seen: as guessed. facebook/time, which is meant for
# time servers, returns 1901 too.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
Go, beevik/ntp: 2035 as 2035, 2037 as 2037
Go, facebook/time: 2035 as 2035, 2037 as 1901
npm, ntp-client: 2035 as 2035, 2037 as 1901
npm, sntp: 2035 as 2035, 2037 as 1901
npm, ntp-time-sync: 2035 as 2035, 2037 as 1901
Python, ntplib: 2035 as 2035, 2037 as 1901
Ruby, net-ntp: 2035 as 2035, 2037 as 1901
Perl, Net::NTP: 2035 as 2035, 2037 as 1901
END
npm install --silent --no-fund --no-audit --prefix . ntp-client@0.5.3 sntp@3.0.2 ntp-time-sync@0.5.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3-ntplib ruby ruby-net-ntp libnet-ntp-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5" RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/share/rubygems-integration/all/gems/net-ntp-2.1.3/lib:$dir/root/usr/lib/ruby/vendor_ruby"
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/beevik/ntp v1.6.0
	github.com/facebook/time v0.0.0-20260822211804-f81aedc1c1e3
)
END
cat >main.go <<'END'
package main

import (
	"encoding/hex"
	"fmt"
	"os"

	"github.com/beevik/ntp"
	"github.com/facebook/time/ntp/protocol"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// main asks the server that is named, or reads the packet of an answer.
func main() {
	if os.Args[1] == "beevik" {
		answer, err := ntp.QueryWithOptions(os.Args[2], ntp.QueryOptions{})
		check(err)
		fmt.Println(answer.Time.UTC().Year())
		return
	}
	packet, err := hex.DecodeString(os.Args[2])
	check(err)
	answer, err := protocol.BytesToPacket(packet)
	check(err)
	fmt.Println(protocol.Unix(answer.TxTimeSec, answer.TxTimeFrac).UTC().Year())
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.py <<'END'
import sys
import ntplib
import time
answer = ntplib.NTPClient().request('127.0.0.1', port=int(sys.argv[1]))
print(time.gmtime(answer.tx_time).tm_year)
END
cat >main.rb <<'END'
require 'net/ntp'
puts Net::NTP.get('127.0.0.1', ARGV[0].to_i).time.utc.year
END
cat >main.pl <<'END'
use Net::NTP;
my %answer = get_ntp_response('127.0.0.1', $ARGV[0]);
print 1900 + (gmtime $answer{'Transmit Timestamp'})[5];
END
cat >main.mjs <<'END'
import dgram from 'node:dgram'
import { execFile } from 'node:child_process'
import ntpClient from 'ntp-client'
import sntp from 'sntp'
import { NtpTimeSync } from 'ntp-time-sync'

// A server whose clock is right in each year.
let year
const answer = (originate) => {
  const seconds = (Date.UTC(year, 5) / 1000 + 2208988800) % 2 ** 32
  const packet = Buffer.from([4 << 3 | 4, 1, 6, 0xec, ...Array(44).fill(0)])
  packet.write('GPS', 12)
  packet.writeUInt32BE(seconds - 10, 16)
  originate.copy(packet, 24)
  packet.writeUInt32BE(seconds, 32)
  packet.writeUInt32BE(seconds, 40)
  return packet
}
const server = dgram.createSocket('udp4').on('message', (asked, from) => server.send(answer(asked.subarray(40, 48)), from.port, from.address))
await new Promise((ready) => server.bind(0, '127.0.0.1', ready))
const { port } = server.address()
const command = (...args) => () => new Promise((told) => {
  execFile(args[0], args.slice(1), { timeout: 20000 }, (error, stdout) => told(error ? 'an error' : stdout.trim()))
})
const clients = {
  'Go, beevik/ntp': command('./main', 'beevik', `127.0.0.1:${port}`),
  'Go, facebook/time': () => command('./main', 'facebook', answer(Buffer.alloc(8)).toString('hex'))(),
  'npm, ntp-client': () => new Promise((told) => ntpClient.getNetworkTime('127.0.0.1', port, (err, date) => told(err ?? date.getUTCFullYear()))),
  'npm, sntp': () => sntp.time({ host: '127.0.0.1', port }).then((answer) => new Date(answer.transmitTimestamp).getUTCFullYear(), (err) => err.message),
  'npm, ntp-time-sync': () => new NtpTimeSync({ servers: [`127.0.0.1:${port}`], sampleCount: 1 }).getTime(true).then((answer) => answer.now.getUTCFullYear(), (err) => err.message),
  'Python, ntplib': command('/usr/bin/python3', 'main.py', port),
  'Ruby, net-ntp': command('ruby3.1', 'main.rb', port),
  'Perl, Net::NTP': command('perl', 'main.pl', port),
}
for (const [name, ask] of Object.entries(clients)) {
  const told = []
  for (year of [2035, 2037]) told.push(`${year} as ${await ask()}`)
  console.log(`${name}: ${told.join(', ')}`)
}
process.exit()
END
timeout 90 node --no-warnings main.mjs >have
diff want have
cat have
