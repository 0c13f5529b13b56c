#!/usr/bin/env bash
# A server that closes the connection after an answer announces this by "Connection: close", and a client "MUST cease
# sending requests on that connection" (RFC 9112, 9.6). An answer of unknown length ends with the connection, even
# without that field (6.3, rule 8).
#
# Guessed: of fourteen clients in five languages that keep connections, Ruby's Excon 0.88.0 and em-http 1.1.7 use such a
# connection again; all of them read an answer that ends with the connection. Seen: em-http ignores "close", and Excon
# reuses a connection whose end ended an answer. In both the next request fails, although another connection would have
# been answered. Tcl's http 2.9.8, if it keeps connections, returns an empty body without an error for an answer that
# ends with its connection.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, fetch: all well
npm, needle: all well
tcl, http: the end of the connection: nothing, an error, nothing
python, requests: all well
python, httplib2: all well
ruby, Net::HTTP: all well
ruby, excon: the end of the connection: hello, an error, hello
ruby, httpclient: all well
ruby, em-http: length and close: hello, an error, an error; the end of the connection: hello, an error, an error
perl, LWP: all well
perl, Mojo: all well
perl, AnyEvent::HTTP: all well
perl, Furl: all well
perl, HTTP::Tiny: all well
END
npm install --silent --no-fund --no-audit --prefix . needle@3.5.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl tcl python3-requests python3-httplib2 ruby ruby-excon ruby-httpclient ruby-em-http-request libwww-perl libfurl-perl libmojolicious-perl libanyevent-http-perl ; } \
  >log 2>&1 || { cat log; exit 1; }
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
# Each client asks for the same URL three times, with its connections kept, and prints a line for each: the body, or an error.
cat >main.py <<'END'
import sys
name, url = sys.argv[1:]
if name == 'requests':
    import requests
    session = requests.Session()
    get = lambda: session.get(url).text
else:
    import httplib2
    client = httplib2.Http()
    get = lambda: client.request(url)[1].decode()
for _ in range(3):
    print(get())
END
cat >main.rb <<'END'
name, url = ARGV
print = ->(body) { puts body }
case name
when 'excon'
  require 'excon'
  client = Excon.new(url, persistent: true)
  3.times { print.(begin client.get.body rescue 'an error' end) }
when 'httpclient'
  require 'httpclient'
  client = HTTPClient.new
  3.times { print.(client.get(url).body) }
when 'Net::HTTP'
  require 'net/http'
  client = Net::HTTP.start(URI(url).host, URI(url).port)
  3.times { print.(client.get(URI(url).path).body) }
when 'em-http'
  require 'em-http'
  EM.run do
    client = EM::HttpRequest.new(url)
    get = lambda do |times|
      next EM.stop if times == 0
      request = client.get(keepalive: true)
      request.callback { print.(request.response); get.(times - 1) }
      request.errback { print.('an error'); get.(times - 1) }
    end
    get.(3)
  end
end
END
cat >main.pl <<'END'
my ($name, $url) = @ARGV;
my $client;
for (1 .. 3) {
  if ($name eq 'AnyEvent::HTTP') {
    require AnyEvent::HTTP;
    my $done = AnyEvent->condvar;
    AnyEvent::HTTP::http_get($url, sub { $done->send($_[1]{Status} == 200 ? $_[0] : 'an error') });
    print $done->recv, "\n";
  } elsif ($name eq 'Mojo') {
    require Mojo::UserAgent;
    $client ||= Mojo::UserAgent->new;
    my $answer = $client->get($url);
    print $answer->error ? 'an error' : $answer->res->body, "\n";
  } elsif ($name eq 'HTTP::Tiny') {
    require HTTP::Tiny;
    $client ||= HTTP::Tiny->new;
    my $answer = $client->get($url);
    print $answer->{success} ? $answer->{content} : 'an error', "\n";
  } else {
    require LWP::UserAgent;
    require Furl;
    $client ||= $name eq 'Furl' ? Furl->new : LWP::UserAgent->new(keep_alive => 1);
    my $answer = $client->get($url);
    print $answer->is_success ? $answer->content : 'an error', "\n";
  }
}
END
cat >main.tcl <<'END'
package require http 2.9.8
for {set i 0} {$i < 3} {incr i} {
  set answer [http::geturl [lindex $argv 0] -keepalive 1 -timeout 5000]
  puts [expr {[http::status $answer] eq "ok" ? [http::data $answer] : "an error"}]
  after 200
}
END
cat >main.mjs <<'END'
import net from 'node:net'
import http from 'node:http'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import needle from 'needle'

const answers = {
  'length': 'Content-Length: 5\r\n\r\nhello',
  'length and close': 'Connection: close\r\nContent-Length: 5\r\n\r\nhello',
  'the end of the connection': '\r\nhello',
}
const server = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.on('data', (data) => {
    const kind = decodeURIComponent(String(data).split(' ')[1].slice(1))
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${answers[kind]}`)
    if (kind !== 'length') socket.end()
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const command = (...args) => (url) => new Promise((told) => {
  execFile(args[0], [...args.slice(1), url], { timeout: 20000 }, (error, stdout) => {
    if (error?.killed || error?.code === 'ENOENT') throw error
    told(stdout.replace(/\n$/, '').split('\n'))
  })
})
const agent = new http.Agent({ keepAlive: true })
const three = async (get) => [await get(), await get(), await get()].map(String)
const clients = {
  'node, fetch': (url) => three(() => fetch(url).then((answer) => answer.text())),
  'npm, needle': (url) => three(() => needle('get', url, null, { agent }).then((answer) => answer.body)),
  'tcl, http': command('tclsh', 'main.tcl'),
}
for (const name of ['requests', 'httplib2']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
for (const name of ['Net::HTTP', 'excon', 'httpclient', 'em-http']) clients[`ruby, ${name}`] = command('ruby3.1', 'main.rb', name)
for (const name of ['LWP', 'Mojo', 'AnyEvent::HTTP', 'Furl', 'HTTP::Tiny']) clients[`perl, ${name}`] = command('perl', 'main.pl', name)
for (const [name, get] of Object.entries(clients)) {
  const wrong = []
  for (const kind of Object.keys(answers)) {
    const told = await get(`http://127.0.0.1:${server.address().port}/${encodeURIComponent(kind)}`)
    if (told.some((body) => body !== 'hello')) wrong.push(`${kind}: ${told.map((body) => body || 'nothing').join(', ')}`)
  }
  console.log(`${name}: ${wrong.join('; ') || 'all well'}`)
}
process.exit()
END
timeout 120 node --no-warnings main.mjs >have
diff want have
cat have
