#!/usr/bin/env bash
# Extensions may follow the size of a chunk, with spaces before the semicolon, and "a recipient MUST ignore unrecognized
# chunk extensions" (RFC 9112, 7.1.1). Trailers may follow the last chunk; a client may discard them (7.1.2; RFC 9110,
# 6.5.1).
#
# Guessed: all of fourteen clients in five languages get the body, and the next answer on the same connection. Seen:
# Python's Tornado 6.2.0 fails at every extension and every trailer, and Perl's Furl 3.14 at every trailer. Ruby's
# httpclient 2.8.3 reads the trailer as the beginning of the next answer, which fails. Node 20's fetch, Go 1.26,
# fasthttp 1.78.0, httpx 0.23.3, Furl, Twisted (treq 22.2.0) and Tornado fail at a space before the semicolon.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: a space before it: error
curl: all well
go, net/http: a space before it: error
go, fasthttp: a space before it: error
python, requests: all well
python, aiohttp: all well
python, httpx: a space before it: error
python, treq: a space before it: error
python, tornado: an extension: error, a space before it: error, a trailer: error
perl, LWP: all well
perl, Mojo: all well
perl, Furl: a space before it: error, a trailer: error
ruby, Net::HTTP: all well
ruby, httpclient: after a trailer: error
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl python3-tornado python3-requests python3-aiohttp python3-httpx python3-treq ruby ruby-httpclient libwww-perl libfurl-perl libmojolicious-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/lib/ruby/vendor_ruby:$dir/root/usr/share/rubygems-integration/all/gems/httpclient-2.8.3/lib"

# Each client asks for its URLs one after the other, with the connection kept, and prints a line for each: the body, or an error.
cat >main.py <<'END'
import asyncio, sys

name, *urls = sys.argv[1:]

def each(get):
    for url in urls:
        try:
            print(get(url).strip())
        except Exception:
            print('error')

async def each_async(get):
    for url in urls:
        try:
            print((await get(url)).strip())
        except Exception:
            print('error')

if name == 'tornado':
    from tornado.httpclient import AsyncHTTPClient
    async def main():
        client = AsyncHTTPClient()
        async def get(url):
            return (await client.fetch(url, request_timeout=3)).body.decode()
        await each_async(get)
    asyncio.run(main())
elif name == 'aiohttp':
    import aiohttp
    async def main():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as client:
            async def get(url):
                async with client.get(url) as answer:
                    return await answer.text()
            await each_async(get)
    asyncio.run(main())
elif name == 'treq':
    import treq
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import react
    async def get(url):
        return (await (await treq.get(url, timeout=3)).content()).decode()
    react(lambda _: ensureDeferred(each_async(get)))
elif name == 'httpx':
    import httpx
    client = httpx.Client(timeout=3)
    each(lambda url: client.get(url).text)
elif name == 'requests':
    import requests
    client = requests.Session()
    each(lambda url: client.get(url, timeout=3).text)
END
cat >main.rb <<'END'
name, *urls = ARGV
if name == 'httpclient'
  require 'httpclient'
  client = HTTPClient.new
  client.receive_timeout = 3
  get = ->(url) { client.get(url).body }
else
  require 'net/http'
  client = Net::HTTP.start(URI(urls[0]).host, URI(urls[0]).port, read_timeout: 3)
  get = ->(url) { client.get(URI(url).path).body }
end
urls.each { |url| puts(begin get.(url).strip rescue 'error' end) }
END
cat >main.pl <<'END'
my ($name, @urls) = @ARGV;
my $client = $name eq 'Furl' ? do { require Furl; Furl->new(timeout => 3) }
  : $name eq 'Mojo' ? do { require Mojo::UserAgent; Mojo::UserAgent->new(inactivity_timeout => 3) }
  : do { require LWP::UserAgent; LWP::UserAgent->new(keep_alive => 1, timeout => 3) };
for (@urls) {
  my $answer = $client->get($_);
  if ($name eq 'Mojo') { print $answer->error ? 'error' : $answer->res->body, "\n" }
  else { print $answer->is_success ? $answer->content : 'error', "\n" }
}
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/valyala/fasthttp v1.78.0
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

func main() {
	for _, url := range os.Args[2:] {
		var body []byte
		var err error
		if os.Args[1] == "fasthttp" {
			_, body, err = fasthttp.GetTimeout(nil, url, 3*time.Second)
		} else if answer, e := http.Get(url); e != nil {
			err = e
		} else {
			body, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		if err != nil {
			fmt.Println("error")
		} else {
			fmt.Println(string(body))
		}
	}
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { once } from 'node:events'

const bodies = {
  'an extension': '5;a=b\r\nhello\r\n0;c=d\r\n\r\n',
  'a space before it': '5 ;a=b\r\nhello\r\n0\r\n\r\n',
  'a trailer': '5\r\nhello\r\n0\r\nServer-Timing: db;dur=5\r\n\r\n',
}
const server = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.on('data', (data) => {
    const name = decodeURIComponent(String(data).split(' ')[1].slice(1))
    const body = bodies[name] ?? '5\r\nagain\r\n0\r\n\r\n'
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const command = (...args) => (urls) => new Promise((told) => {
  execFile(args[0], [...args.slice(1), ...urls], { timeout: 20000 }, (error, stdout) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    told(stdout.trim().split('\n'))
  })
})
const clients = {
  'node, fetch': async (urls) => {
    const told = []
    for (const url of urls) told.push(await fetch(url).then((answer) => answer.text()).catch(() => 'error'))
    return told
  },
  'curl': command('curl', '-s', '-w', '\n'),
  'go, net/http': command('./main', 'net/http'),
  'go, fasthttp': command('./main', 'fasthttp'),
}
for (const name of ['requests', 'aiohttp', 'httpx', 'treq', 'tornado']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
for (const name of ['LWP', 'Mojo', 'Furl']) clients[`perl, ${name}`] = command('perl', 'main.pl', name)
for (const name of ['Net::HTTP', 'httpclient']) clients[`ruby, ${name}`] = command('ruby3.1', 'main.rb', name)
for (const [name, get] of Object.entries(clients)) {
  const wrong = []
  for (const body of ['none', ...Object.keys(bodies)]) {
    const [first, second] = await get([body, 'again'].map((path) => `http://127.0.0.1:${server.address().port}/${encodeURIComponent(path)}`))
    if (first !== (body === 'none' ? 'again' : 'hello')) wrong.push(`${body}: ${first}`)
    else if (second !== 'again') wrong.push(`after ${body}: ${second}`)
  }
  console.log(`${name}: ${wrong.join(', ') || 'all well'}`)
}
process.exit()
END
timeout 120 node main.mjs >have
diff want have
cat have
