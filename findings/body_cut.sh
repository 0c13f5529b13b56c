#!/usr/bin/env bash
# An answer is incomplete if its connection closes before its Content-Length is reached or before its last chunk (RFC
# 9112, 8). A client must not take it for the whole body. This is how it distinguishes a server that crashed, or a proxy
# that gave up, from one that has sent everything.
#
# Guessed: of the ways to download with a few words in five languages, PHP 8.2's file_get_contents and Perl's LWP 6.68
# take half a body for the whole if there is a Content-Length. The others notice, and all of them notice that the last
# chunk is missing. Seen: Ruby 3.1's Net::HTTP and open-uri also take half for the whole, as does Python 3.11's urllib
# if it is read in pieces, as shutil.copyfileobj does. PHP never notices a cut. Perl and Wget 1.21.3 (which exits with
# 0) do not notice one inside a chunk. All versions are those of Debian 12.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: sees each cut
curl: sees each cut
wget: takes for the whole what is cut inside of a chunk
ruby, Net::HTTP.get: takes for the whole what is cut at 5 of 10 bytes
ruby, URI.open: takes for the whole what is cut at 5 of 10 bytes
python, urlopen, read: sees each cut
python, urlopen, copyfileobj: takes for the whole what is cut at 5 of 10 bytes
php, file_get_contents: takes for the whole what is cut at 5 of 10 bytes, between chunks, inside of a chunk
perl, LWP::UserAgent: takes for the whole what is cut at 5 of 10 bytes, inside of a chunk
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  ruby php-cli libwww-perl wget curl python3 ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PERL5LIB="$dir/root/usr/share/perl5"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0"
cat >pieces.py <<'END'
import io, shutil, sys, urllib.request
body = io.BytesIO()
shutil.copyfileobj(urllib.request.urlopen(sys.argv[1]), body)
print(body.getvalue().decode())
END
cat >whole.py <<'END'
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1]).read().decode())
END
cat >lwp.pl <<'END'
use LWP::UserAgent;
my $answer = LWP::UserAgent->new->get($ARGV[0]);
die $answer->status_line unless $answer->is_success;
die 'aborted' if $answer->header('Client-Aborted');
print $answer->content;
END
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { once } from 'node:events'

const answers = {
  whole: ['Content-Length: 5', 'hello'],
  'at 5 of 10 bytes': ['Content-Length: 10', 'hello'],
  'between chunks': ['Transfer-Encoding: chunked', '5\r\nhello\r\n'],
  'inside of a chunk': ['Transfer-Encoding: chunked', 'a\r\nhello'],
}
const server = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', (data) => {
    const [field, body] = answers[decodeURIComponent(String(data).split(' ')[1].slice(1))]
    socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${field}\r\n\r\n${body}`)
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const command = (name, ...args) => (url) => new Promise((told) => {
  execFile(name, args.map((arg) => arg.replace('URL', url)), { timeout: 20000 }, (error, stdout) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    told(!error && stdout.trim() === 'hello')
  })
})
const clients = {
  'node, fetch': (url) => fetch(url).then((res) => res.text()).then((text) => text === 'hello', () => false),
  curl: command('curl', '-sS', '--fail', 'URL'),
  wget: command('wget', '-q', '--tries=1', '-O-', 'URL'),
  'ruby, Net::HTTP.get': command('ruby3.1', '-rnet/http', '-e', 'puts Net::HTTP.get(URI("URL"))'),
  'ruby, URI.open': command('ruby3.1', '-ropen-uri', '-e', 'puts URI.open("URL").read'),
  'python, urlopen, read': command('/usr/bin/python3', 'whole.py', 'URL'),
  'python, urlopen, copyfileobj': command('/usr/bin/python3', 'pieces.py', 'URL'),
  'php, file_get_contents': command('php8.2', '-r', 'echo file_get_contents("URL");'),
  'perl, LWP::UserAgent': command('perl', 'lwp.pl', 'URL'),
}
for (const [name, get] of Object.entries(clients)) {
  const whole = []
  for (const cut of Object.keys(answers)) {
    if (await get(`http://127.0.0.1:${server.address().port}/${encodeURIComponent(cut)}`)) whole.push(cut)
  }
  if (whole.shift() !== 'whole') throw new Error(`${name} gets nothing`)
  console.log(`${name}: ${whole.length ? `takes for the whole what is cut ${whole.join(', ')}` : 'sees each cut'}`)
}
process.exit()
END
timeout 90 node main.mjs >have
diff want have
cat have
