#!/usr/bin/env bash
# A client that keeps cookies decides by RFC 6265 which of them come back. Max-Age goes before Expires, in whatever order they stand, and 0 or
# less deletes (5.2.2, 5.3 step 3). A Max-Age that is no number, a Path without a slash before it and an empty Domain are ignored, and the cookie
# is kept (5.2.2 to 5.2.4). Path=/a is for /a and what is below it, and not for /ab (5.1.4); without Path it is the folder of the URL that set it.
# Dates are read piece by piece, so asctime's form counts (5.1.1). A value comes back as it was sent. Longer paths should come first (5.4).
#
# Guessed: Python's and Ruby's, Go, curl and tough-cookie do all that; LWP, w3m and wget do not know Max-Age, and LWP takes /a for /ab; aiohttp and
# Mojo do not sort. Seen: of 17 clients, four do all (curl, tough-cookie, fetch-cookie, HTTP::CookieJar). superagent 10.4.2, Guzzle 7.4.5, LWP with
# HTTP::Cookies 6.10, and w3m 0.5.3 keep a cookie with Max-Age=0, so that whoever logs out stays logged in. Go 1.26 does not understand two of the
# three forms of dates that HTTP has (RFC 9110, 5.6.7) and keeps such a cookie for the session; it puts quotes around a value with a comma, as
# Ruby's httpclient 2.8.3 does. Python's http.cookiejar (3.11; requests, httpx, urllib) drops a cookie because of a Max-Age that is no number.
# wget 1.21.3 and Mojo 9.31 take no cookie for a path other than that of the page that sets it, such as that of an API set at /login. aiohttp 3.8.4
# and superagent send one of two cookies with one name.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, cookiejar: asctime: a=1 | dashes: a=1 | b,c: a="b,c"
npm, tough-cookie: all well
npm, fetch-cookie: all well
npm, superagent: Max-Age, then Expires: nothing | Expires, then Max-Age: nothing | Max-Age=0 and Expires: a=1 | Max-Age=0: a=1 | Path=/a for /ab: a=1 | Path=x: nothing | two paths: a=2 | two paths, other way round: a=2 | upper case: a=1
curl: all well
wget: Max-Age, then Expires: nothing | Expires, then Max-Age: nothing | Path=/a for /a/b: nothing | Path=x: nothing | Domain=: nothing
w3m: Max-Age, then Expires: nothing | Max-Age=0 and Expires: a=1 | Max-Age=0: a=1 | Path=/a for /ab: a=1 | no Path, elsewhere: a=1 | two paths: a=2 | two paths, other way round: a=1 | upper case: a=1
ruby, httpclient: b,c: a="b,c"
php, Guzzle: Max-Age, then Expires: nothing | Expires, then Max-Age: nothing | Max-Age=0 and Expires: a=1 | Max-Age=0: a=1 | no Path, elsewhere: a=1 | two paths: a=1; a=2 | upper case: a=1
aria2: Max-Age=1h: nothing | quotes: a=b c | Domain=: nothing
python, requests: Max-Age=1h: nothing | asctime: a=1 | Path=x: nothing | Domain=: nothing
python, httpx: Max-Age=1h: nothing | asctime: a=1 | Path=x: nothing | Domain=: nothing
python, urllib: Max-Age=1h: nothing | asctime: a=1 | Path=x: nothing | Domain=: nothing
python, aiohttp: two paths: a=2 | two paths, other way round: a=1
perl, LWP: Max-Age, then Expires: nothing | Expires, then Max-Age: nothing | Max-Age=0 and Expires: a=1 | Max-Age=0: a=1 | Path=/a for /ab: a=1 | Path=x: nothing | quotes: a=b c | upper case: a=1 | Domain=: nothing
perl, HTTP::CookieJar: all well
perl, Mojo::UserAgent: asctime: a=1 | Path=/a for /a/b: nothing | Path=x: nothing | two paths: a=1; a=2 | b,c: a=b; c=
END
npm install --silent --no-fund --no-audit --prefix . got@16.1.0 tough-cookie@6.1.0 fetch-cookie@3.2.0 superagent@10.4.2 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl wget w3m aria2 python3-requests python3-httpx python3-aiohttp php-cli php-guzzlehttp-guzzle ruby ruby-httpclient libwww-perl libhttp-cookiejar-perl libmojolicious-perl ; } >log 2>&1 || { cat log; exit 1; }
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
    requests.Session().get(url)
elif name == 'httpx':
    import httpx
    httpx.Client(follow_redirects=True).get(url)
elif name == 'urllib':
    import urllib.request
    urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(url)
else:
    import aiohttp
    import asyncio
    async def get():
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session, session.get(url):
            pass
    asyncio.run(get())
END
cat >main.rb <<'END'
require 'httpclient'
HTTPClient.new.get(ARGV[0], follow_redirect: true)
END
cat >main.pl <<'END'
my ($name, $url) = @ARGV;
if ($name eq 'HTTP::CookieJar') {
  require HTTP::Tiny;
  require HTTP::CookieJar;
  HTTP::Tiny->new(cookie_jar => HTTP::CookieJar->new)->get($url);
} elsif ($name eq 'Mojo::UserAgent') {
  require Mojo::UserAgent;
  Mojo::UserAgent->new->max_redirects(5)->get($url);
} else {
  require LWP::UserAgent;
  LWP::UserAgent->new(cookie_jar => {})->get($url);
}
END
cat >main.php <<'END'
<?php
require 'GuzzleHttp/autoload.php';
(new GuzzleHttp\Client(['cookies' => true]))->get($argv[1]);
END
cat >main.go <<'END'
package main

import (
	"net/http"
	"net/http/cookiejar"
	"os"
)

func main() {
	jar, err := cookiejar.New(nil)
	if err == nil {
		_, err = (&http.Client{Jar: jar}).Get(os.Args[1])
	}
	if err != nil {
		panic(err)
	}
}
END
go build -o main main.go
cat >main.mjs <<'END'
import http from 'node:http'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import got from 'got'
import { CookieJar } from 'tough-cookie'
import fetchCookie from 'fetch-cookie'
import superagent from 'superagent'

const past = 'Thu, 01 Jan 2015 00:00:00 GMT', future = 'Fri, 01 Jan 2038 00:00:00 GMT'
const cases = [
  // what it is about, where the cookies are set, with which lines, where they come back, and what must
  ['Max-Age, then Expires', '/set', [`a=1; Max-Age=100; Expires=${past}`], '/get', 'a=1'],
  ['Expires, then Max-Age', '/set', [`a=1; Expires=${past}; Max-Age=100`], '/get', 'a=1'],
  ['Max-Age=0 and Expires', '/set', [`a=1; Max-Age=0; Expires=${future}`], '/get', ''],
  ['Max-Age=0', '/set', ['a=1; Max-Age=0'], '/get', ''],
  ['Max-Age=1h', '/set', ['a=1; Max-Age=1h'], '/get', 'a=1'],
  ['asctime', '/set', ['a=1; Expires=Thu Jan  1 00:00:00 2015'], '/get', ''],
  ['dashes', '/set', ['a=1; Expires=Thursday, 01-Jan-15 00:00:00 GMT'], '/get', ''],
  ['Path=/a for /ab', '/set', ['a=1; Path=/a'], '/ab', ''],
  ['Path=/a for /a/b', '/set', ['a=1; Path=/a'], '/a/b', 'a=1'],
  ['no Path, elsewhere', '/x/set', ['a=1'], '/y', ''],
  ['no Path, beside', '/x/set', ['a=1'], '/x/y', 'a=1'],
  ['Path=x', '/set', ['a=1; Path=x'], '/get', 'a=1'],
  ['two paths', '/x/set', ['a=1; Path=/', 'a=2; Path=/x'], '/x/get', 'a=2; a=1'],
  ['two paths, other way round', '/x/set', ['a=2; Path=/x', 'a=1; Path=/'], '/x/get', 'a=2; a=1'],
  ['set twice', '/set', ['a=1; Path=/', 'a=2; Path=/'], '/get', 'a=2'],
  ['quotes', '/set', ['a="b c"'], '/get', 'a="b c"'],
  ['b=c', '/set', ['a=b=c'], '/get', 'a=b=c'],
  ['b,c', '/set', ['a=b,c'], '/get', 'a=b,c'],
  ['upper case', '/set', ['a=1;PATH=/;MAX-AGE=0'], '/get', ''],
  ['Domain=', '/set', ['a=1; Domain='], '/get', 'a=1'],
]

let now, seen
const server = http.createServer((req, res) => {
  res.setHeader('Content-Length', 0)
  if (req.url === now[1]) return res.writeHead(302, { 'Set-Cookie': now[2], Location: now[3] }).end()
  if (req.url === now[3]) seen = (req.headers.cookie ?? '').replace(/; ?$/, '').replace(/; ?/g, '; ') // aria2 ends each by a semicolon
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
  'go, cookiejar': command('./main'),
  'npm, tough-cookie': (url) => got(url, { cookieJar: new CookieJar() }),
  'npm, fetch-cookie': (url) => fetchCookie(fetch)(url),
  'npm, superagent': (url) => superagent.agent().get(url),
  'curl': command('curl', '-s', '-L', '-b', ''),
  'wget': command('wget', '-q', '-O-'),
  'w3m': command('w3m', '-dump', '-cookie', '-o', 'accept_cookie=1'),
  'ruby, httpclient': command('ruby3.1', 'main.rb'),
  'php, Guzzle': command('php8.2', '-n', '-d', 'include_path=root/usr/share/php', 'main.php'),
  'aria2': command('aria2c', '-q', '--allow-overwrite=true', '-o', 'got'),
}
for (const name of ['requests', 'httpx', 'urllib', 'aiohttp']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
for (const name of ['LWP', 'HTTP::CookieJar', 'Mojo::UserAgent']) clients[`perl, ${name}`] = command('perl', 'main.pl', name)
for (const [name, get] of Object.entries(clients)) {
  const wrong = []
  for (const c of cases) {
    now = c
    seen = 'NO REQUEST'
    try { await get(`http://127.0.0.1:${port}${c[1]}`) } catch (e) { seen = String(e) }
    if (seen !== c[4]) wrong.push(`${c[0]}: ${seen || 'nothing'}`)
  }
  console.log(`${name}: ${wrong.join(' | ') || 'all well'}`)
}
process.exit()
END
HOME=$dir timeout 300 node --no-warnings main.mjs >have
diff want have
cat have
