#!/usr/bin/env bash
# After a POST, 303 means that the client should fetch the result by GET, without the body and the fields that
# describe it (RFC 9110, 15.4.4 and 15.4). 307 and 308 mean that the POST belongs elsewhere: "the user agent MUST NOT
# change the request method" (15.4.8 and 15.4.9). After 302 a POST may become a GET (15.4.3), which then has no body
# either.
#
# Guessed: of 21 clients in seven languages only Perl's HTTP::Tiny does otherwise: its GET after 303 has the body.
# Seen: so do those of Perl's Furl and Ruby's httpclient, and fasthttp's after 302. Ruby's em-http sends the POST
# again after 303. npm's needle turns every redirected POST into a GET without the body, which the other place answers
# with 200. npm's request does so after 308.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
npm, axios: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
npm, got: 302 POST with the body, 303 GET, 307 POST with the body, 308 POST with the body
npm, superagent: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
npm, needle: 302 GET, 303 GET, 307 GET, 308 GET
npm, request: 302 GET, 303 GET, 307 POST with the body, 308 GET
go, net/http: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
go, fasthttp: 302 GET with the body, 303 GET, 307 POST with the body, 308 POST with the body
curl: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
php, file_get_contents: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
python, requests: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
python, tornado: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
python, httplib2: 302 not followed, 303 GET, 307 not followed, 308 POST with the body
ruby, excon: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
ruby, httpclient: 302 POST with the body, 303 GET with the body, 307 POST with the body, 308 not followed
ruby, em-http: 302 POST with the body, 303 POST with the body, 307 POST with the body, 308 POST with the body
perl, LWP: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
perl, Mojo: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
perl, AnyEvent::HTTP: 302 GET, 303 GET, 307 POST with the body, 308 POST with the body
perl, Furl: 302 GET with the body, 303 GET with the body, 307 POST with the body, 308 POST with the body
perl, HTTP::Tiny: 302 not followed, 303 GET with the body, 307 not followed, 308 not followed
END
npm install --silent --no-fund --no-audit --prefix . axios@1.21.1 got@14.6.6 superagent@10.4.2 needle@3.5.0 request@2.88.2 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl python3-requests python3-tornado python3-httplib2 php-cli ruby ruby-excon ruby-httpclient ruby-em-http-request libwww-perl libfurl-perl libmojolicious-perl \
  libanyevent-http-perl ; } >log 2>&1 || { cat log; exit 1; }
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
    requests.post(url, data=b'order')
elif name == 'httplib2':
    import httplib2
    httplib2.Http().request(url, 'POST', body=b'order')
else:
    from tornado.httpclient import AsyncHTTPClient
    import asyncio
    async def post():
        await AsyncHTTPClient().fetch(url, method='POST', body=b'order', raise_error=False)
    asyncio.run(post())
END
cat >main.rb <<'END'
name, url = ARGV
case name
when 'excon'
  require 'excon'
  Excon.post(url, body: 'order', middlewares: Excon.defaults[:middlewares] + [Excon::Middleware::RedirectFollower])
when 'httpclient'
  require 'httpclient'
  HTTPClient.new.request('POST', url, body: 'order', follow_redirect: true)
when 'em-http'
  require 'em-http'
  EM.run do
    request = EM::HttpRequest.new(url).post(body: 'order', redirects: 5)
    request.callback { EM.stop }
    request.errback { EM.stop }
  end
end
END
cat >main.pl <<'END'
my ($name, $url) = @ARGV;
if ($name eq 'HTTP::Tiny') {
  require HTTP::Tiny;
  HTTP::Tiny->new->post($url, { content => 'order' });
} elsif ($name eq 'Furl') {
  require Furl;
  Furl->new->post($url, [], 'order');
} elsif ($name eq 'Mojo') {
  require Mojo::UserAgent;
  Mojo::UserAgent->new(max_redirects => 5)->post($url, 'order');
} elsif ($name eq 'AnyEvent::HTTP') {
  require AnyEvent::HTTP;
  my $done = AnyEvent->condvar;
  AnyEvent::HTTP::http_request('POST', $url, body => 'order', sub { $done->send });
  $done->recv;
} else {
  require LWP::UserAgent;
  LWP::UserAgent->new(requests_redirectable => ['GET', 'HEAD', 'POST'])->post($url, Content => 'order');
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
	"strings"

	"github.com/valyala/fasthttp"
)

func main() {
	var err error
	if os.Args[1] == "net/http" {
		_, err = http.Post(os.Args[2], "text/plain", strings.NewReader("order"))
	} else {
		request, answer := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		request.SetRequestURI(os.Args[2])
		request.Header.SetMethod(http.MethodPost)
		request.SetBodyString("order")
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
import axios from 'axios'
import got from 'got'
import superagent from 'superagent'
import needle from 'needle'
import request from 'request'

let seen
const server = http.createServer(async (req, res) => {
  let body = ''
  for await (const part of req) body += part
  res.setHeader('Content-Length', 0)
  if (req.url.startsWith('/moved/')) return res.writeHead(Number(req.url.slice(7)), { Location: '/there' }).end()
  seen = `${req.method}${body ? ' with the body' : ''}`
  res.end()
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const command = (...args) => (url) => new Promise((done) => {
  execFile(args[0], [...args.slice(1), url], { timeout: 20000 }, (error) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    done()
  })
})
const clients = {
  'node, fetch': (url) => fetch(url, { method: 'POST', body: 'order' }),
  'npm, axios': (url) => axios.post(url, 'order'),
  'npm, got': (url) => got.post(url, { body: 'order' }),
  'npm, superagent': (url) => superagent.post(url).type('text/plain').send('order'),
  'npm, needle': (url) => needle('post', url, 'order', { follow_max: 5 }),
  'npm, request': (url) => new Promise((done) => request({ url, method: 'POST', body: 'order', followAllRedirects: true }, done)),
  'go, net/http': command('./main', 'net/http'),
  'go, fasthttp': command('./main', 'fasthttp'),
  'curl': command('curl', '-s', '-L', '-d', 'order'),
  'php, file_get_contents': command('php8.2', '-n', '-r', `file_get_contents($argv[1], false, stream_context_create(['http' => ['method' => 'POST', 'header' => 'Content-Type: text/plain', 'content' => 'order']]));`, '--'),
}
for (const name of ['requests', 'tornado', 'httplib2']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
for (const name of ['excon', 'httpclient', 'em-http']) clients[`ruby, ${name}`] = command('ruby3.1', 'main.rb', name)
for (const name of ['LWP', 'Mojo', 'AnyEvent::HTTP', 'Furl', 'HTTP::Tiny']) clients[`perl, ${name}`] = command('perl', 'main.pl', name)
for (const [name, post] of Object.entries(clients)) {
  const told = []
  for (const code of [302, 303, 307, 308]) {
    seen = 'not followed'
    await post(`http://127.0.0.1:${server.address().port}/moved/${code}`)
    told.push(`${code} ${seen}`)
  }
  console.log(`${name}: ${told.join(', ')}`)
}
process.exit()
END
timeout 120 node --no-warnings main.mjs >have
diff want have
cat have
