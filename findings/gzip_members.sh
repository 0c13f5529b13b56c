#!/usr/bin/env bash
# HTTP's gzip coding is the format of RFC 1952 (RFC 9110, 8.4.1.3): one or more members in a row (2.2), as joining files
# produces. Each member ends with a checksum and a length (2.3.1). They show that it is complete, even where the message
# has no length and ends with the connection.
#
# Guessed: Node's fetch, axios 1.21.1, got 14.6.6, Go, Python's requests 2.28.1 and httpx 0.23.3 decode two members;
# curl 7.88.1, Wget 1.21.3, Ruby 3.1's Net::HTTP and Perl's LWP 6.68 (Debian 12) return only the first. A member without
# its end is an error for all but requests and LWP. Seen: httpx and aiohttp 3.8.4 also return only the first of two
# members, without an error, and curl reports an error about the disk. Only Go, got and Ruby report that the end is
# missing. Node's fetch, axios, curl, Wget, httpx and aiohttp return half and no error.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: of two members all, of a half a part
node, axios: of two members all, of a half a part
node, got: of two members all, of a half an error
go, net/http: of two members all, of a half an error
curl: of two members an error, of a half a part
wget: of two members the first, of a half a part
ruby, Net::HTTP: of two members the first, of a half an error
perl, LWP: of two members the first, of a half a part
python, requests: of two members all, of a half a part
python, httpx: of two members the first, of a half a part
python, aiohttp: of two members the first, of a half a part
END
npm install --silent --no-fund --no-audit --prefix . axios@1.21.1 got@14.6.6 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl wget python3-requests python3-httpx python3-aiohttp ruby libwww-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PERL5LIB="$dir/root/usr/share/perl5"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
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
)

func main() {
	res, err := http.Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(string(body))
}
END
go build -o main . >log 2>&1 || { cat log; exit 1; }
cat >aio.py <<'END'
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(sys.argv[1]) as answer:
            print(await answer.text())
asyncio.run(main())
END
cat >lwp.pl <<'END'
use LWP::UserAgent;
my $text = LWP::UserAgent->new->get($ARGV[0])->decoded_content;
die unless defined $text;
print $text;
END
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import axios from 'axios'
import got from 'got'

const first = Array.from({ length: 2000 }, (_, i) => `line ${i * 7919 % 2003}`).join('\n')
const second = '\nthe end'
const [one, other, both] = [first, second, first + second].map((text) => gzipSync(text))
const bodies = { '/one': both, '/two': Buffer.concat([one, other]), '/half': both.subarray(0, both.length / 2) }
const server = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', (data) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n')
    socket.end(bodies[String(data).split(' ')[1]])
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const command = (name, ...args) => (url) => new Promise((told, failed) => {
  execFile(name, args.map((arg) => arg.replace('URL', url)), { timeout: 20000 }, (error, stdout) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    if (error) failed(error)
    else told(stdout)
  })
})
const clients = {
  'node, fetch': async (url) => (await fetch(url)).text(),
  'node, axios': async (url) => (await axios.get(url)).data,
  'node, got': (url) => got(url, { retry: { limit: 0 } }).text(),
  'go, net/http': command('./main', 'URL'),
  curl: command('curl', '-sS', '--compressed', 'URL'),
  wget: command('wget', '-q', '--tries=1', '--compression=gzip', '-O-', 'URL'),
  'ruby, Net::HTTP': command('ruby3.1', '-rnet/http', '-e', 'puts Net::HTTP.get(URI("URL"))'),
  'perl, LWP': command('perl', 'lwp.pl', 'URL'),
  'python, requests': command('/usr/bin/python3', '-c', 'import requests; print(requests.get("URL").text)'),
  'python, httpx': command('/usr/bin/python3', '-c', 'import httpx; print(httpx.get("URL").text)'),
  'python, aiohttp': command('/usr/bin/python3', 'aio.py', 'URL'),
}
for (const [name, get] of Object.entries(clients)) {
  const told = {}
  for (const path of Object.keys(bodies)) {
    const text = await get(`http://127.0.0.1:${server.address().port}${path}`).then((text) => text.trim(), () => undefined)
    told[path] = text === undefined ? 'an error' : text === first + second ? 'all' : text === first ? 'the first' : text === '' ? 'nothing' : 'a part'
  }
  if (told['/one'] !== 'all') throw new Error(`${name} gets ${told['/one']} of one member`)
  console.log(`${name}: of two members ${told['/two']}, of a half ${told['/half']}`)
}
process.exit()
END
timeout 90 node --no-warnings main.mjs >have
diff want have
cat have
