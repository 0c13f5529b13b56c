#!/usr/bin/env bash
# A client with much to send may send "Expect: 100-continue" and wait (curl and Go for a second) for the server to send
# 100 Continue. The server must do so at once if it gives no final answer. The value is case-insensitive. For a request
# of HTTP/1.0 a server "MUST ignore that expectation" (RFC 9110, 10.1.1), because it "MUST NOT send a 1xx response to an
# HTTP/1.0 client" (15.2), which does not know them.
#
# Guessed: of 15 servers PHP 8.2's own never sends it, fasthttp 1.78.0, Tornado 6.2.0 and Cheroot 9.0.0 do not know
# "100-Continue", and fasthttp, Tornado, Twisted 22.4.0 and WEBrick 1.8.1 send it to HTTP/1.0. Seen: fasthttp and
# Twisted are right. Perl's Mojolicious 9.31 and WEBrick, which has a method for it that nothing calls, never send it
# either, so that each such request takes a second longer. Tornado, Cheroot and gunicorn 20.1.0 send it to HTTP/1.0.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
node, http: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
go, net/http: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
go, fasthttp: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
ruby, webrick: 1.1 100-continue: nothing, 1.1 100-Continue: nothing, 1.0 100-continue: nothing
perl, starman: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
perl, mojolicious: 1.1 100-continue: nothing, 1.1 100-Continue: nothing, 1.0 100-continue: nothing
php -S: 1.1 100-continue: nothing, 1.1 100-Continue: nothing, 1.0 100-continue: nothing
python, gunicorn: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: 100
python, waitress: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
python, aiohttp: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
python, cheroot: 1.1 100-continue: 100, 1.1 100-Continue: nothing, 1.0 100-continue: 100
python, uvicorn: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
python, hypercorn: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
python, tornado: 1.1 100-continue: 100, 1.1 100-Continue: nothing, 1.0 100-continue: 100
python, twisted: 1.1 100-continue: 100, 1.1 100-Continue: 100, 1.0 100-continue: nothing
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  gunicorn python3-waitress python3-cheroot uvicorn python3-hypercorn python3-aiohttp python3-tornado python3-twisted ruby ruby-webrick starman php-cli libmojolicious-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
find root/usr/share/perl5/Mojolicious -xtype l -delete
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/share/rubygems-integration/all/gems/webrick-1.8.1/lib"

# Each server answers with what it has read.
cat >main.py <<'END'
import asyncio, sys
name, port = sys.argv[1], int(sys.argv[2])

def wsgi(environ, start_response):
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]

async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    body = b''
    while True:
        message = await receive()
        body += message.get('body', b'')
        if not message.get('more_body'):
            break
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'%d' % len(body))]})
    await send({'type': 'http.response.body', 'body': body})

if name == 'waitress':
    import waitress
    waitress.serve(wsgi, host='127.0.0.1', port=port)
elif name == 'gunicorn':
    from gunicorn.app.base import BaseApplication
    class Application(BaseApplication):
        def load_config(self):
            self.cfg.set('bind', f'127.0.0.1:{port}')
        def load(self):
            return wsgi
    Application().run()
elif name == 'cheroot':
    from cheroot.wsgi import Server
    Server(('127.0.0.1', port), wsgi).start()
elif name == 'uvicorn':
    import uvicorn
    uvicorn.run(asgi, host='127.0.0.1', port=port)
elif name == 'hypercorn':
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    config = Config()
    config.bind = [f'127.0.0.1:{port}']
    asyncio.run(serve(asgi, config))
elif name == 'aiohttp':
    from aiohttp import web
    async def post(request):
        return web.Response(body=await request.read())
    app = web.Application()
    app.router.add_post('/', post)
    web.run_app(app, host='127.0.0.1', port=port)
elif name == 'tornado':
    import tornado.ioloop, tornado.web
    class Handler(tornado.web.RequestHandler):
        def post(self):
            self.write(self.request.body)
    tornado.web.Application([('/', Handler)]).listen(port, '127.0.0.1')
    tornado.ioloop.IOLoop.current().start()
elif name == 'twisted':
    from twisted.internet import reactor
    from twisted.web import resource, server
    class Handler(resource.Resource):
        isLeaf = True
        def render_POST(self, request):
            return request.content.read()
    reactor.listenTCP(port, server.Site(Handler()), interface='127.0.0.1')
    reactor.run()
END
cat >main.rb <<'END'
require 'webrick'
server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: '127.0.0.1')
server.mount_proc('/') { |request, answer| answer.body = request.body }
server.start
END
cat >main.psgi <<'END'
sub {
  my ($env) = @_;
  $env->{'psgi.input'}->read(my $body, $env->{CONTENT_LENGTH});
  [200, ['Content-Length' => length $body], [$body]];
};
END
cat >main.pl <<'END'
use Mojolicious::Lite;
app->log->level('fatal');
post '/' => sub { $_[0]->render(data => $_[0]->req->body) };
app->start('daemon', '-l', "http://127.0.0.1:$ARGV[0]");
END
mkdir php
echo '<?php echo file_get_contents("php://input");' >php/index.php
cat >serve.mjs <<'END'
import http from 'node:http'
http.createServer((req, res) => req.pipe(res)).listen(process.argv[2], '127.0.0.1')
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/valyala/fasthttp v1.78.0
END
cat >main.go <<'END'
package main

import (
	"io"
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	addr := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "net/http" {
		panic(http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })))
	}
	panic(fasthttp.ListenAndServe(addr, func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) }))
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import net from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const servers = {
  'node, http': ['node', 'serve.mjs', 'PORT'],
  'go, net/http': ['./main', 'net/http', 'PORT'],
  'go, fasthttp': ['./main', 'fasthttp', 'PORT'],
  'ruby, webrick': ['ruby3.1', 'main.rb', 'PORT'],
  'perl, starman': ['perl', 'root/usr/bin/starman', '--listen', '127.0.0.1:PORT', '--workers', '1', 'main.psgi'],
  'perl, mojolicious': ['perl', 'main.pl', 'PORT'],
  'php -S': ['php8.2', '-n', '-S', '127.0.0.1:PORT', '-t', 'php'],
}
for (const name of ['gunicorn', 'waitress', 'aiohttp', 'cheroot', 'uvicorn', 'hypercorn', 'tornado', 'twisted']) servers[`python, ${name}`] = ['/usr/bin/python3', 'main.py', name, 'PORT']
// What comes before the body, for which a client waits for a second, and what after it.
const post = async (port, version, expect) => {
  const socket = net.connect(port, '127.0.0.1')
  let got = ''
  socket.on('data', (data) => { got += data })
  const closed = new Promise((told) => socket.on('close', told))
  socket.on('error', () => {})
  socket.setTimeout(5000, () => socket.destroy())
  await once(socket, 'connect')
  socket.write(`POST / HTTP/${version}\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\nContent-Length: 5\r\n${expect}\r\n`)
  for (let i = 0; i < 20 && expect && !got; i++) await new Promise((later) => setTimeout(later, 50))
  const [, first = 'nothing'] = got.split(' ')
  socket.write('hello')
  await closed
  const last = got.slice(first === '100' ? got.indexOf('\r\n\r\n') + 4 : 0)
  return last.split(' ')[1] === '200' && last.includes('hello') ? first : 'error'
}
let stop = () => {}
process.on('exit', () => stop())
for (const [name, args] of Object.entries(servers)) {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address()
  await new Promise((closed) => holder.close(closed))
  const server = spawn(args[0], args.slice(1).map((arg) => arg.replace('PORT', port)), { stdio: 'ignore', detached: true })
  stop = () => process.kill(-server.pid, 'SIGKILL')
  let ready
  for (let i = 0; i < 150 && !ready; i++) {
    await new Promise((later) => setTimeout(later, 100))
    ready = await post(port, '1.1', '').catch(() => undefined)
  }
  if (ready !== 'nothing') throw new Error(`${name}: ${ready}`)
  const told = []
  for (const [version, expect] of [['1.1', '100-continue'], ['1.1', '100-Continue'], ['1.0', '100-continue']]) {
    told.push(`${version} ${expect}: ${await post(port, version, `Expect: ${expect}\r\n`)}`)
  }
  console.log(`${name}: ${told.join(', ')}`)
  stop()
  stop = () => {}
}
process.exit()
END
timeout 150 node --no-warnings main.mjs >have
diff want have
cat have
