#!/usr/bin/env bash
# A request may give the whole URL as its target, as in "GET http://host/path HTTP/1.1": "a server MUST accept the
# absolute-form in requests even though most HTTP/1.1 clients will only send the absolute-form to a proxy" (RFC 9112,
# 3.2.2). A client sends this form if its settings name the server as its proxy. So does a load balancer that was built
# as a proxy.
#
# Guessed: of 18 servers, fastify 5.12.8, hono 2.1.9, PHP 8.2's own and Twisted 22.4.0 do not find the path in the URL;
# the others do. Seen: every server for Node finds it, and so does PHP. Five of the eight for Python do not. Twisted,
# uvicorn 0.17.6, Hypercorn 0.13.2 and Tornado 6.2.0 answer 404, because they or the program take the URL for the path.
# Cheroot 9.0.0 (CherryPy's) answers 400 on purpose, as if only a proxy could get this form. Perl's Starman 0.4016 also
# answers 404.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, net/http: 200
go, fasthttp: 200
ruby, webrick: 200
perl, starman: 404
php -S: 200
node, express: 200
node, fastify: 200
node, koa: 200
node, hono: 200
node, h3: 200
python, gunicorn: 200
python, waitress: 200
python, aiohttp: 200
python, cheroot: 400
python, uvicorn: 404
python, hypercorn: 404
python, tornado: 404
python, twisted: 404
END
npm install --silent --no-fund --no-audit --prefix . express@5.3.0 fastify@5.12.8 koa@3.3.0 hono@4.13.19 @hono/node-server@2.1.9 h3@2.0.8 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  gunicorn python3-waitress python3-cheroot uvicorn python3-hypercorn python3-aiohttp python3-tornado python3-twisted ruby ruby-webrick starman php-cli ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/share/rubygems-integration/all/gems/webrick-1.8.1/lib"

# Each server answers 200 for /x, and 404 for any other path.
cat >main.py <<'END'
import asyncio, sys
name, port = sys.argv[1], int(sys.argv[2])

def wsgi(environ, start_response):
    start_response('200 OK' if environ['PATH_INFO'] == '/x' else '404 Not Found', [('Content-Length', '0')])
    return []

async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    await send({'type': 'http.response.start', 'status': 200 if scope['path'] == '/x' else 404, 'headers': [(b'content-length', b'0')]})
    await send({'type': 'http.response.body'})

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
    async def get(request):
        return web.Response()
    app = web.Application()
    app.router.add_get('/x', get)
    web.run_app(app, host='127.0.0.1', port=port)
elif name == 'tornado':
    import tornado.ioloop, tornado.web
    class Handler(tornado.web.RequestHandler):
        def get(self):
            pass
    tornado.web.Application([('/x', Handler)]).listen(port, '127.0.0.1')
    tornado.ioloop.IOLoop.current().start()
elif name == 'twisted':
    from twisted.internet import reactor
    from twisted.web import resource, server
    class Handler(resource.Resource):
        def render_GET(self, request):
            return b''
    root = resource.Resource()
    root.putChild(b'x', Handler())
    reactor.listenTCP(port, server.Site(root), interface='127.0.0.1')
    reactor.run()
END
cat >main.rb <<'END'
require 'webrick'
server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: '127.0.0.1')
server.mount_proc('/') { |request, answer| answer.status = request.path == '/x' ? 200 : 404 }
server.start
END
cat >main.psgi <<'END'
sub { [$_[0]{PATH_INFO} eq '/x' ? 200 : 404, ['Content-Length' => 0], []] };
END
mkdir php
touch php/x
cat >serve.mjs <<'END'
const [name, port] = process.argv.slice(2)
const host = '127.0.0.1'
if (name === 'express') (await import('express')).default().get('/x', (req, res) => res.end()).listen(port, host)
if (name === 'fastify') (await import('fastify')).default().get('/x', (req, reply) => reply.send('')).listen({ port: Number(port), host })
if (name === 'koa') new (await import('koa')).default().use((ctx) => { ctx.status = ctx.path === '/x' ? 200 : 404 }).listen(port, host)
if (name === 'hono') {
  const { Hono } = await import('hono')
  const { serve } = await import('@hono/node-server')
  serve({ fetch: new Hono().get('/x', (c) => c.text('')).fetch, port: Number(port), hostname: host })
}
if (name === 'h3') {
  const { H3, serve } = await import('h3')
  serve(new H3().get('/x', () => ''), { port: Number(port), hostname: host, silent: true })
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
	addr := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "net/http" {
		http.HandleFunc("/x", func(http.ResponseWriter, *http.Request) {})
		panic(http.ListenAndServe(addr, nil))
	}
	panic(fasthttp.ListenAndServe(addr, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/x" {
			ctx.SetStatusCode(fasthttp.StatusNotFound)
		}
	}))
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import net from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const servers = {
  'go, net/http': ['./main', 'net/http', 'PORT'],
  'go, fasthttp': ['./main', 'fasthttp', 'PORT'],
  'ruby, webrick': ['ruby3.1', 'main.rb', 'PORT'],
  'perl, starman': ['perl', 'root/usr/bin/starman', '--listen', '127.0.0.1:PORT', '--workers', '1', 'main.psgi'],
  'php -S': ['php8.2', '-n', '-S', '127.0.0.1:PORT', '-t', 'php'],
}
for (const name of ['express', 'fastify', 'koa', 'hono', 'h3']) servers[`node, ${name}`] = ['node', 'serve.mjs', name, 'PORT']
for (const name of ['gunicorn', 'waitress', 'aiohttp', 'cheroot', 'uvicorn', 'hypercorn', 'tornado', 'twisted']) servers[`python, ${name}`] = ['/usr/bin/python3', 'main.py', name, 'PORT']
const status = async (port, target) => {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`)
  const [data] = await once(socket, 'data')
  socket.destroy()
  return String(data).split(' ')[1]
}
for (const [name, args] of Object.entries(servers)) {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address()
  await new Promise((closed) => holder.close(closed))
  const server = spawn(args[0], args.slice(1).map((arg) => arg.replace('PORT', port)), { stdio: 'ignore', detached: true })
  let told
  for (let i = 0; i < 150 && !told; i++) {
    await new Promise((later) => setTimeout(later, 100))
    told = await status(port, '/x').catch(() => undefined)
  }
  if (told !== '200') throw new Error(`${name} answers ${told} to /x`)
  console.log(`${name}: ${await status(port, `http://127.0.0.1:${port}/x`)}`)
  process.kill(-server.pid, 'SIGKILL')
}
process.exit()
END
timeout 150 node --no-warnings main.mjs >have
diff want have
cat have
