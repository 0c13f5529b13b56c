#!/usr/bin/env bash
# Location may be a reference relative to the URL of the request (RFC 9110, 10.2.2). The client resolves it by RFC
# 3986 (5.2): from /a/b/start, "c" means /a/b/c, "../c" means /a/c, and "//other/c" means /c of another host.
#
# Guessed: all 18 clients do so. Three that do not were already known by chance: PHP 8.2's file_get_contents; Perl's
# HTTP::Tiny 0.080, which needs a slash at the beginning; and httplib2 0.20.4 (Python), which takes no reference to
# another host. Seen: PHP resolves all four wrongly, by one slash or a whole path, which a server may answer with
# something other than 404. Ruby's em-http 1.1.7 does so with a query alone.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: all well
npm, needle: all well
go, net/http: all well
go, fasthttp: all well
curl: all well
wget: all well
php, file_get_contents: c is /c, ../c is /a/b//../c, ?q=1 is /a/b//?q=1, //other/c is //other/c
python, requests: all well
python, urllib: all well
python, aiohttp: all well
python, httplib2: //other/c is nothing
ruby, open-uri: all well
ruby, excon: all well
ruby, httpclient: all well
ruby, em-http: ?q=1 is /?q=1
perl, LWP: all well
perl, Furl: all well
perl, HTTP::Tiny: c is nothing, ../c is nothing, ?q=1 is nothing
END
npm install --silent --no-fund --no-audit --prefix . needle@3.5.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl wget python3-requests python3-aiohttp python3-httplib2 php-cli ruby ruby-excon ruby-httpclient ruby-em-http-request libwww-perl libfurl-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/lib/ruby/vendor_ruby:$dir/root/$libs/ruby/vendor_ruby/3.1.0"
for gem in root/usr/share/rubygems-integration/*/gems/*/lib; do
  RUBYLIB="$RUBYLIB:$dir/$gem"
done
export RUBYLIB
cat >main.py <<'END'
import sys
name, url = sys.argv[1:]
if name == 'requests':
    import requests
    requests.get(url)
elif name == 'httplib2':
    import httplib2
    httplib2.Http().request(url)
elif name == 'urllib':
    import urllib.request
    urllib.request.urlopen(url)
else:
    import aiohttp
    import asyncio
    async def get():
        async with aiohttp.ClientSession() as session, session.get(url):
            pass
    asyncio.run(get())
END
cat >main.rb <<'END'
name, url = ARGV
case name
when 'excon'
  require 'excon'
  Excon.get(url, middlewares: Excon.defaults[:middlewares] + [Excon::Middleware::RedirectFollower])
when 'httpclient'
  require 'httpclient'
  HTTPClient.new.get(url, follow_redirect: true)
when 'open-uri'
  require 'open-uri'
  URI.open(url)
when 'em-http'
  require 'em-http'
  EM.run do
    request = EM::HttpRequest.new(url).get(redirects: 5)
    request.callback { EM.stop }
    request.errback { EM.stop }
  end
end
END
cat >main.pl <<'END'
my ($name, $url) = @ARGV;
if ($name eq 'HTTP::Tiny') {
  require HTTP::Tiny;
  HTTP::Tiny->new->get($url);
} elsif ($name eq 'Furl') {
  require Furl;
  Furl->new->get($url);
} else {
  require LWP::UserAgent;
  LWP::UserAgent->new->get($url);
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
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	var err error
	if os.Args[1] == "net/http" {
		_, err = http.Get(os.Args[2])
	} else {
		request, answer := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		request.SetRequestURI(os.Args[2])
		err = fasthttp.DoRedirects(request, answer, 5)
	}
	if err != nil {
		panic(err)
	}
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import http from 'node:http'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import needle from 'needle'

let location, seen
const server = http.createServer((req, res) => {
  res.setHeader('Content-Length', 0)
  if (req.url === '/a/b/start') return res.writeHead(302, { Location: location }).end()
  seen = `${req.url.replace(/localhost:\d+/, 'other')}${req.headers.host.startsWith('localhost') ? ' there' : ''}`
  res.end()
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address()

const command = (...args) => (url) => new Promise((done) => {
  execFile(args[0], [...args.slice(1), url], { timeout: 20000 }, (error) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    done()
  })
})
const clients = {
  'node, fetch': (url) => fetch(url),
  'npm, needle': (url) => needle('get', url, null, { follow_max: 5 }),
  'go, net/http': command('./main', 'net/http'),
  'go, fasthttp': command('./main', 'fasthttp'),
  'curl': command('curl', '-s', '-L'),
  'wget': command('wget', '-q', '-O-'),
  'php, file_get_contents': command('php8.2', '-n', '-r', 'file_get_contents($argv[1]);', '--'),
}
for (const name of ['requests', 'urllib', 'aiohttp', 'httplib2']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
for (const name of ['open-uri', 'excon', 'httpclient', 'em-http']) clients[`ruby, ${name}`] = command('ruby3.1', 'main.rb', name)
for (const name of ['LWP', 'Furl', 'HTTP::Tiny']) clients[`perl, ${name}`] = command('perl', 'main.pl', name)
const places = { 'c': '/a/b/c', '../c': '/a/c', '?q=1': '/a/b/start?q=1', '//other/c': '/c there' }
for (const [name, get] of Object.entries(clients)) {
  const wrong = []
  for (const [reference, place] of Object.entries(places)) {
    location = reference.replace('other', `localhost:${port}`)
    seen = 'nothing'
    await get(`http://127.0.0.1:${port}/a/b/start`)
    if (seen !== place) wrong.push(`${reference} is ${seen}`)
  }
  console.log(`${name}: ${wrong.join(', ') || 'all well'}`)
}
process.exit()
END
timeout 120 node --no-warnings main.mjs >have
diff want have
cat have
