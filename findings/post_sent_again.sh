#!/usr/bin/env bash
# A POST whose connection breaks before the answer may have been carried out: "A user agent MUST NOT automatically retry
# a request with a non-idempotent method unless it has some means to know" that this does no harm (RFC 9110, 9.2.2).
# Here a server reads each POST and answers by closing the connection.
#
# Guessed: of the clients in Debian 12, curl 7.88.1, Wget 1.21.3, PHP 8.2 with curl, Python's requests 2.28.1, Ruby
# 3.1's Net::HTTP and Perl's LWP 6.68 send the POST once, as do Node 20 and Go 1.26. Seen: Wget sends it as often as
# --tries allows, by default 20 times. curl, and PHP with it, send it twice if the connection has already had an answer,
# although the server has read it both times. The others are as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: once
go, net/http: once
python, requests: once
ruby, Net::HTTP: once
perl, LWP::UserAgent: once
curl, after a GET: 2 times
curl, alone: once
php, curl: 2 times
wget --tries=5: 5 times
wget: 20 times
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl wget php-cli php-curl python3-requests ruby libwww-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PERL5LIB="$dir/root/usr/share/perl5"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
PHP_EXTENSIONS=$(dirname "$(find root/usr/lib/php /usr/lib/php -name curl.so 2>/dev/null | head -1)")
export PHP_EXTENSIONS
cat >go.mod <<'END'
module finding

go 1.26
END
cat >main.go <<'END'
package main

import (
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	if res, err := http.Get(os.Args[1] + "/before"); err == nil {
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	http.Post(os.Args[1]+"/order", "text/plain", strings.NewReader("a=1"))
}
END
go build -o main . >log 2>&1 || { cat log; exit 1; }
cat >curl.php <<'END'
<?php
$c = curl_init($argv[1] . "/before");
curl_setopt($c, CURLOPT_RETURNTRANSFER, true);
curl_exec($c);
curl_setopt($c, CURLOPT_URL, $argv[1] . "/order");
curl_setopt($c, CURLOPT_POSTFIELDS, "a=1");
curl_exec($c);
END
cat >session.py <<'END'
import requests, sys
session = requests.Session()
session.get(sys.argv[1] + "/before")
try:
    session.post(sys.argv[1] + "/order", data="a=1")
except requests.ConnectionError:
    pass
END
cat >http.rb <<'END'
require "net/http"
url = URI(ARGV[0])
Net::HTTP.start(url.host, url.port) do |http|
  http.get("/before")
  http.post("/order", "a=1") rescue EOFError
end
END
cat >lwp.pl <<'END'
use LWP::UserAgent;
my $agent = LWP::UserAgent->new(keep_alive => 1);
$agent->get("$ARGV[0]/before");
$agent->post("$ARGV[0]/order", Content => 'a=1');
END
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { once } from 'node:events'

let posts
const server = net.createServer((socket) => {
  let got = ''
  socket.on('error', () => {})
  socket.on('data', (data) => {
    got += data
    if (/^GET [^]*\r\n\r\n$/.test(got)) {
      got = ''
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    } else if (/^POST [^]*\r\n\r\na=1$/.test(got)) { // the whole of it
      posts++
      socket.end()
    }
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${server.address().port}`

const command = (name, ...args) => () => new Promise((told, failed) => {
  execFile(name, args, { timeout: 20000 }, (error) => error?.killed || error?.code === 'ENOENT' ? failed(error) : told())
})
const clients = {
  'node, fetch': async () => {
    await (await fetch(`${url}/before`)).text()
    await fetch(`${url}/order`, { method: 'POST', body: 'a=1' }).catch(() => {})
  },
  'go, net/http': command('./main', url),
  'python, requests': command('/usr/bin/python3', 'session.py', url),
  'ruby, Net::HTTP': command('ruby3.1', 'http.rb', url),
  'perl, LWP::UserAgent': command('perl', 'lwp.pl', url),
  'curl, after a GET': command('curl', '-s', `${url}/before`, '--next', '-s', '-d', 'a=1', `${url}/order`),
  'curl, alone': command('curl', '-s', '-d', 'a=1', `${url}/order`),
  'php, curl': command('php8.2', '-d', `extension_dir=${process.env.PHP_EXTENSIONS}`, '-d', 'extension=curl', 'curl.php', url),
  'wget --tries=5': command('wget', '-q', '--tries=5', '--waitretry=0', '-O-', '--post-data=a=1', `${url}/order`),
  wget: command('wget', '-q', '--waitretry=0', '-O-', '--post-data=a=1', `${url}/order`),
}
for (const [name, run] of Object.entries(clients)) {
  posts = 0
  await run()
  console.log(`${name}: ${posts === 1 ? 'once' : `${posts} times`}`)
}
process.exit()
END
timeout 90 node main.mjs >have
diff want have
cat have
