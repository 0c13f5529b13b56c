#!/usr/bin/env bash
# Informational answers, 100 to 199, may arrive before the answer to a request: early hints (103, RFC 8297), a sign of
# life (102), 100 Continue. "A client MUST be able to parse one or more 1xx responses received prior to a final
# response, even if the client does not expect one" (RFC 9110, 15.2).
#
# Guessed: of 23 clients Ruby's em-http 1.1.7, fasthttp 1.78.0, PHP 8.2's file_get_contents and Tcl's http 2.9.8 take
# early hints for the answer. Seen: fasthttp waits. PHP and Perl's Furl 3.14 wait after one, but not after two. Python's
# requests 2.28.1 and httplib2 0.20.4, Perl's LWP 6.68, Ruby's httpclient 2.8.3, em-http and Tcl give the program 102 or
# 103 as the answer, without a body. Python 3.11's urllib and lftp 4.9.2 fail. Node 20's fetch reports an error for a
# 100 that it did not ask for; em-http returns it as status 0.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: 100: error
curl: all well
wget: all well
aria2: all well
lftp: 103: error, 103 twice: error
php: 103 twice: error
tcl: 102: 102, 103: 103, 103 twice: 103
go, net/http: all well
go, fasthttp: all well
python, urllib: 102: error, 103: error, 103 twice: error
python, httplib2: 102: 102, 103: 103, 103 twice: 103
python, requests: 102: 102, 103: 103, 103 twice: 103
python, aiohttp: all well
python, httpx: all well
python, treq: all well
python, tornado: all well
perl, HTTP::Tiny: all well
perl, LWP: 102: 102, 103: 103, 103 twice: 103
perl, Mojo: all well
perl, Furl: 103 twice: error
ruby, Net::HTTP: all well
ruby, httpclient: 102: 102, 103: 103, 103 twice: 103
ruby, em-http: 100: 0, 102: 102, 103: 103, 103 twice: 103
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl wget lftp aria2 php-cli tcl python3-tornado python3-requests python3-aiohttp python3-httpx python3-httplib2 python3-treq ruby ruby-httpclient \
  ruby-em-http-request libwww-perl libfurl-perl libmojolicious-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36" TCL_LIBRARY="$dir/root/usr/share/tcltk/tcl8.6"
RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/lib/ruby/vendor_ruby:$dir/root/$libs/ruby/vendor_ruby/3.1.0"
for gem in "$dir"/root/usr/share/rubygems-integration/all/gems/*/lib; do
  RUBYLIB+=:$gem
done
export RUBYLIB

# Each client prints the status and the body of the answer, or an error.
cat >main.py <<'END'
import asyncio, sys

name, url = sys.argv[1:]

async def tornado():
    from tornado.httpclient import AsyncHTTPClient
    answer = await AsyncHTTPClient().fetch(url, request_timeout=3)
    return answer.code, answer.body.decode()

async def aiohttp():
    import aiohttp
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as client, client.get(url) as answer:
        return answer.status, await answer.text()

async def treq():
    import treq
    answer = await treq.get(url, timeout=3)
    return answer.code, (await answer.content()).decode()

def httpx():
    import httpx
    answer = httpx.get(url, timeout=3)
    return answer.status_code, answer.text

def requests():
    import requests
    answer = requests.get(url, timeout=3)
    return answer.status_code, answer.text

def httplib2():
    import httplib2
    answer, body = httplib2.Http(timeout=3).request(url)
    return answer.status, body.decode()

def urllib():
    from urllib.request import urlopen
    answer = urlopen(url, timeout=3)
    return answer.status, answer.read().decode()

try:
    if name == 'treq':
        from twisted.internet.defer import ensureDeferred
        from twisted.internet.task import react
        async def main():
            print(*await treq())
        react(lambda _: ensureDeferred(main()))
    get = globals()[name]
    print(*(asyncio.run(get()) if asyncio.iscoroutinefunction(get) else get()))
except Exception:
    print('error')
END
cat >main.rb <<'END'
require 'uri'
name, url = ARGV
case name
when 'httpclient'
  require 'httpclient'
  client = HTTPClient.new
  client.receive_timeout = 3
  answer = client.get(url)
  puts "#{answer.status} #{answer.body}"
when 'Net::HTTP'
  require 'net/http'
  answer = Net::HTTP.get_response(URI(url))
  puts "#{answer.code} #{answer.body}"
when 'em-http'
  require 'em-http'
  EM.run do
    asked = EM::HttpRequest.new(url, inactivity_timeout: 3).get
    asked.callback { puts "#{asked.response_header.status} #{asked.response}"; EM.stop }
    asked.errback { puts 'error'; EM.stop }
  end
end
END
cat >main.pl <<'END'
my ($name, $url) = @ARGV;
my $client = $name eq 'Furl' ? do { require Furl; Furl->new(timeout => 3) }
  : $name eq 'Mojo' ? do { require Mojo::UserAgent; Mojo::UserAgent->new(inactivity_timeout => 3) }
  : $name eq 'HTTP::Tiny' ? do { require HTTP::Tiny; HTTP::Tiny->new(timeout => 3) }
  : do { require LWP::UserAgent; LWP::UserAgent->new(timeout => 3) };
my $answer = $client->get($url);
my ($status, $body) = $name eq 'Mojo' ? ($answer->res->code, $answer->res->body)
  : $name eq 'HTTP::Tiny' ? ($answer->{status}, $answer->{content}) : ($answer->code, $answer->content);
print $status && $status < 500 ? "$status $body\n" : "error\n";
END
cat >main.tcl <<'END'
package require http
set answer [http::geturl [lindex $argv 0] -timeout 3000]
if {[http::status $answer] eq "ok"} { puts "[http::ncode $answer] [http::data $answer]" } else { puts error }
END
cat >main.php <<'END'
<?php
$body = @file_get_contents($argv[1], false, stream_context_create(['http' => ['timeout' => 3]]));
echo $body === false ? 'error' : "200 $body", "\n";
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
	var status int
	var body []byte
	var err error
	if os.Args[1] == "fasthttp" {
		status, body, err = fasthttp.GetTimeout(nil, os.Args[2], 3*time.Second)
	} else if answer, e := http.Get(os.Args[2]); e != nil {
		err = e
	} else {
		status = answer.StatusCode
		body, err = io.ReadAll(answer.Body)
	}
	if err != nil {
		fmt.Println("error")
	} else {
		fmt.Println(status, string(body))
	}
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { once } from 'node:events'

const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n'
const before = { 100: 'HTTP/1.1 100 Continue\r\n\r\n', 102: 'HTTP/1.1 102 Processing\r\n\r\n', 103: hints, '103 twice': hints + hints }
const server = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.on('data', (data) => {
    socket.write(before[decodeURIComponent(String(data).split(' ')[1].slice(1))] ?? '')
    setTimeout(() => socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello'), 100)
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const command = (...args) => (url) => new Promise((told) => {
  execFile(args[0], [...args.slice(1), url], { timeout: 20000 }, (error, stdout) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    told(stdout.trim().replace('\n', ' '))
  })
})
let files = 0
const download = (line) => (url) => {
  const file = `got${files++}`
  return command('bash', '-c', `${line.replace('FILE', file)} && [ -e ${file} ] && echo "200 $(cat ${file})" || echo error`)(url)
}
const clients = {
  'node, fetch': (url) => fetch(url).then(async (answer) => `${answer.status} ${await answer.text()}`).catch(() => 'error'),
  'curl': download('curl -sf -o FILE "$0"'),
  'wget': download('wget -q -T 3 -t 1 -O FILE "$0"'),
  'aria2': download('aria2c -q -t 3 -m 1 -o FILE "$0"'),
  'lftp': download('HOME=. timeout 10 lftp -c "set net:timeout 3; set net:max-retries 1; get $0 -o FILE"'),
  'php': command('php8.2', '-n', 'main.php'),
  'tcl': command('tclsh8.6', 'main.tcl'),
  'go, net/http': command('./main', 'net/http'),
  'go, fasthttp': command('./main', 'fasthttp'),
}
for (const name of ['urllib', 'httplib2', 'requests', 'aiohttp', 'httpx', 'treq', 'tornado']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
for (const name of ['HTTP::Tiny', 'LWP', 'Mojo', 'Furl']) clients[`perl, ${name}`] = command('perl', 'main.pl', name)
for (const name of ['Net::HTTP', 'httpclient', 'em-http']) clients[`ruby, ${name}`] = command('ruby3.1', 'main.rb', name)
for (const [name, get] of Object.entries(clients)) {
  const wrong = await Promise.all(['nothing', ...Object.keys(before)].map(async (what) => {
    const told = await get(`http://127.0.0.1:${server.address().port}/${encodeURIComponent(what)}`)
    return told === '200 hello' ? '' : `${what}: ${told}`
  }))
  console.log(`${name}: ${wrong.filter(Boolean).join(', ') || 'all well'}`)
}
process.exit()
END
timeout 200 node --no-warnings main.mjs >have
diff want have
cat have
