#!/usr/bin/env bash
# A client that does not accept gzip sends "gzip;q=0" in Accept-Encoding: a weight of 0 "means 'not acceptable'" (RFC
# 9110, 12.4.2 and 12.5.3). An answer that depends on Accept-Encoding must name it in Vary (12.5.5). Without this, a
# cache gives gzip to clients that cannot read it. Compression must also let a stream through: a Go Flusher "sends any
# buffered data to the client", and WSGI middleware must not delay a block (PEP 3333).
#
# Guessed: chi 5.5.0, echo 4.16.5, gin-contrib/gzip 1.2.5 and most frameworks for Python in Debian 12 compress for a
# client that refuses gzip; koa-compress 5.2.2, Starlette 0.26.1 and NYTimes/gziphandler 1.1.1 hold an event back; the
# others do as they should. Seen: 14 of 29 servers compress although the client refuses it, among them Plack,
# Mojolicious, PHP 8.2 and lighttpd 1.4.69. 12 hold an event back until the stream ends, such as every framework for
# Python but Tornado, httpcompression 0.0.8, hapi 21.4.10 and Varnish 7.1.1 with do_gzip. 4 compress without Vary.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, chi: refused: gzip; an event: at once
go, echo: refused: gzip; an event: at once
go, gin: refused: gzip; an event: at once
go, gorilla: refused: none; an event: at once
go, NYTimes: refused: none; an event: held back
go, httpcompression: refused: none; an event: held back
go, klauspost: refused: none; an event: at once
npm, compression: refused: none; an event: at once
npm, koa: refused: none; an event: held back
npm, fastify: refused: none; an event: at once, not compressed
npm, hono: refused: none; an event: at once, not compressed
npm, hapi: refused: none; an event: held back
npm, @polka: refused: gzip, no Vary; an event: at once, not compressed
npm, http-compression: refused: gzip, no Vary; an event: at once, not compressed
python, Starlette: refused: gzip; an event: held back
python, Django: refused: gzip; an event: held back
python, Flask-Compress: refused: gzip; an event: held back
python, aiohttp: refused: gzip, no Vary; an event: held back
python, Tornado: refused: gzip; an event: at once
python, CherryPy: refused: none; an event: held back
python, Twisted: refused: none, no Vary; an event: held back
perl, Plack: refused: gzip; an event: held back
perl, Mojolicious: refused: gzip; an event: at once, not compressed
php: refused: gzip; an event: at once
nginx: refused: none; an event: at once
haproxy: refused: none; an event: at once
lighttpd: refused: gzip; an event: at once, not compressed
apache: refused: none; an event: at once
varnish: refused: none; an event: held back
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  gunicorn uvicorn python3-starlette python3-django python3-flask python3-flask-compress python3-aiohttp python3-tornado python3-cherrypy3 \
  python3-twisted starman libplack-middleware-deflater-perl libmojolicious-perl php-cli nginx-light haproxy lighttpd lighttpd-mod-deflate apache2 varnish ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
find root/usr/share/perl5/Mojolicious -xtype l -delete
npm install --silent --no-fund --no-audit --prefix . compression@1.8.2 koa@3.2.1 koa-compress@5.2.2 fastify@5.12.8 @fastify/compress@9.2.0 \
  hono@4.13.19 @hono/node-server@2.1.9 @hapi/hapi@21.4.10 @polka/compression@1.0.0-next.28 http-compression@1.1.3 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/CAFxX/httpcompression v0.0.8
	github.com/NYTimes/gziphandler v1.1.1
	github.com/gin-contrib/gzip v1.2.5
	github.com/gin-gonic/gin v1.11.0
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gorilla/handlers v1.5.2
	github.com/klauspost/compress v1.20.4
	github.com/labstack/echo/v4 v4.16.5
)
END
# Each server has a page of text, and a stream of two events, a second apart and each flushed where there is a way to do so.
cat >main.go <<'END'
package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/CAFxX/httpcompression"
	"github.com/NYTimes/gziphandler"
	gingzip "github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
	echogzip "github.com/labstack/echo/v4/middleware"
)

func serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/page" {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.Repeat("twenty bytes a line\n", 200))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 2 {
		fmt.Fprintf(w, "data: %d\n\n", i)
		w.(http.Flusher).Flush()
		time.Sleep(time.Second)
	}
}

func main() {
	var handler http.Handler = http.HandlerFunc(serve)
	switch os.Args[1] {
	case "chi":
		handler = middleware.Compress(5, "text/plain", "text/event-stream")(handler)
	case "echo":
		router := echo.New()
		router.Use(echogzip.Gzip())
		router.GET("/*", echo.WrapHandler(handler))
		handler = router
	case "gin":
		gin.SetMode(gin.ReleaseMode)
		router := gin.New()
		router.Use(gingzip.Gzip(gingzip.DefaultCompression))
		router.GET("/*path", gin.WrapF(serve))
		handler = router
	case "gorilla":
		handler = handlers.CompressHandler(handler)
	case "NYTimes":
		handler = gziphandler.GzipHandler(handler)
	case "httpcompression":
		adapter, err := httpcompression.DefaultAdapter()
		if err != nil {
			panic(err)
		}
		handler = adapter(handler)
	case "klauspost":
		handler = gzhttp.GzipHandler(handler)
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[2], handler))
}
END
cat >serve.mjs <<'END'
import http from 'node:http'
import { PassThrough } from 'node:stream'

const [name, port] = process.argv.slice(2)
const page = 'twenty bytes a line\n'.repeat(200)
const local = { host: '127.0.0.1', port: Number(port) }
const events = async (out, flush) => {
  for (const i of [0, 1]) {
    out.write(`data: ${i}\n\n`)
    flush?.()
    await new Promise((later) => setTimeout(later, 1000))
  }
  out.end()
}
const stream = () => {
  const out = new PassThrough()
  events(out)
  return out
}
const answer = (request, response, flush) => {
  response.setHeader('Content-Type', request.url === '/page' ? 'text/plain' : 'text/event-stream')
  if (request.url === '/page') response.end(page)
  else events(response, flush)
}
const plain = (middleware, flush) => http.createServer((request, response) => {
  middleware(request, response, () => answer(request, response, flush && (() => response.flush())))
}).listen(local)
const servers = {
  none: () => http.createServer((request, response) => answer(request, response)).listen(local),
  compression: async () => plain((await import('compression')).default(), true),
  '@polka': async () => plain((await import('@polka/compression')).default()),
  'http-compression': async () => plain((await import('http-compression')).default()),
  koa: async () => {
    const { default: Koa } = await import('koa')
    const { default: compress } = await import('koa-compress')
    new Koa().use(compress()).use((context) => {
      context.type = context.path === '/page' ? 'text/plain' : 'text/event-stream'
      context.body = context.path === '/page' ? page : stream()
    }).listen(local)
  },
  fastify: async () => {
    const fastify = (await import('fastify')).default()
    await fastify.register((await import('@fastify/compress')).default)
    fastify.get('/page', (request, reply) => reply.type('text/plain').send(page))
    fastify.get('/events', (request, reply) => reply.type('text/event-stream').send(stream()))
    await fastify.listen(local)
  },
  hono: async () => {
    const { Hono } = await import('hono')
    const { compress } = await import('hono/compress')
    const { streamSSE } = await import('hono/streaming')
    const { serve } = await import('@hono/node-server')
    const app = new Hono().use(compress()).get('/page', (context) => context.text(page))
    app.get('/events', (context) => streamSSE(context, async (out) => {
      for (const data of ['0', '1']) {
        await out.writeSSE({ data })
        await out.sleep(1000)
      }
    }))
    serve({ fetch: app.fetch, port: local.port, hostname: local.host })
  },
  hapi: async () => {
    const { default: Hapi } = await import('@hapi/hapi')
    const server = Hapi.server(local)
    server.route({ method: 'GET', path: '/page', handler: (request, h) => h.response(page).type('text/plain') })
    server.route({ method: 'GET', path: '/events', handler: (request, h) => h.response(stream()).type('text/event-stream') })
    await server.start()
  },
}
await servers[name]()
END
cat >main.py <<'END'
import asyncio, sys, time
name, port = sys.argv[1], int(sys.argv[2])
page = 'twenty bytes a line\n' * 200
events = [b'data: 0\n\n', b'data: 1\n\n']

def stream():
    for event in events:
        yield event
        time.sleep(1)

async def async_stream():
    for event in events:
        yield event
        await asyncio.sleep(1)

def gunicorn(wsgi):
    from gunicorn.app.base import BaseApplication
    class Application(BaseApplication):
        def load_config(self):
            self.cfg.set('bind', f'127.0.0.1:{port}')
        def load(self):
            return wsgi
    sys.argv[1:] = []
    Application().run()

if name == 'Starlette':
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route
    routes = [Route('/page', lambda request: PlainTextResponse(page)),
              Route('/events', lambda request: StreamingResponse(async_stream(), media_type='text/event-stream'))]
    uvicorn.run(Starlette(routes=routes, middleware=[Middleware(GZipMiddleware)]), host='127.0.0.1', port=port)
elif name == 'Django':
    from django.conf import settings
    settings.configure(ROOT_URLCONF='__main__', ALLOWED_HOSTS=['*'], MIDDLEWARE=['django.middleware.gzip.GZipMiddleware'], SECRET_KEY='key')
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path
    urlpatterns = [path('page', lambda request: HttpResponse(page, content_type='text/plain')),
                   path('events', lambda request: StreamingHttpResponse(stream(), content_type='text/event-stream'))]
    gunicorn(get_wsgi_application())
elif name == 'Flask-Compress':
    from flask import Flask, Response
    from flask_compress import Compress
    app = Flask('app')
    app.config['COMPRESS_MIMETYPES'] = ['text/plain', 'text/event-stream']
    Compress(app)
    app.add_url_rule('/page', 'page', lambda: Response(page, mimetype='text/plain'))
    app.add_url_rule('/events', 'events', lambda: Response(stream(), mimetype='text/event-stream'))
    gunicorn(app)
elif name == 'aiohttp':
    from aiohttp import web
    async def get_page(request):
        answer = web.Response(text=page)
        answer.enable_compression()
        return answer
    async def get_events(request):
        answer = web.StreamResponse(headers={'Content-Type': 'text/event-stream'})
        answer.enable_compression()
        await answer.prepare(request)
        async for event in async_stream():
            await answer.write(event)
        await answer.write_eof()
        return answer
    app = web.Application()
    app.router.add_get('/page', get_page)
    app.router.add_get('/events', get_events)
    web.run_app(app, host='127.0.0.1', port=port)
elif name == 'Tornado':
    import tornado.ioloop, tornado.web
    class Page(tornado.web.RequestHandler):
        def get(self):
            self.set_header('Content-Type', 'text/plain')
            self.write(page)
    class Events(tornado.web.RequestHandler):
        async def get(self):
            self.set_header('Content-Type', 'text/event-stream')
            async for event in async_stream():
                self.write(event)
                await self.flush()
    tornado.web.Application([('/page', Page), ('/events', Events)], compress_response=True).listen(port, '127.0.0.1')
    tornado.ioloop.IOLoop.current().start()
elif name == 'CherryPy':
    import cherrypy
    class Root:
        @cherrypy.expose
        def page(self):
            cherrypy.response.headers['Content-Type'] = 'text/plain'
            return page
        @cherrypy.expose
        def events(self):
            cherrypy.response.headers['Content-Type'] = 'text/event-stream'
            return stream()
        events._cp_config = {'response.stream': True}
    cherrypy.config.update({'server.socket_host': '127.0.0.1', 'server.socket_port': port})
    cherrypy.quickstart(Root(), '/', {'/': {'tools.gzip.on': True, 'tools.gzip.mime_types': ['text/plain', 'text/event-stream']}})
elif name == 'Twisted':
    from twisted.internet import reactor
    from twisted.web import resource, server
    class Handler(resource.Resource):
        isLeaf = True
        def render_GET(self, request):
            if request.path == b'/page':
                request.setHeader('Content-Type', 'text/plain')
                return page.encode()
            request.setHeader('Content-Type', 'text/event-stream')
            def step(left):
                if not left:
                    return request.finish()
                request.write(left[0])
                reactor.callLater(1, step, left[1:])
            step(events)
            return server.NOT_DONE_YET
    reactor.listenTCP(port, server.Site(resource.EncodingResourceWrapper(Handler(), [server.GzipEncoderFactory()])), interface='127.0.0.1')
    reactor.run()
END
cat >main.psgi <<'END'
use Plack::Builder;
builder {
  enable 'Deflater', content_type => ['text/plain', 'text/event-stream'];
  sub {
    my ($env) = @_;
    return [200, ['Content-Type' => 'text/plain'], ["twenty bytes a line\n" x 200]] if $env->{PATH_INFO} eq '/page';
    return sub {
      my $writer = shift->([200, ['Content-Type' => 'text/event-stream']]);
      for my $i (0, 1) { $writer->write("data: $i\n\n"); sleep 1 }
      $writer->close;
    };
  };
};
END
cat >main.pl <<'END'
use Mojolicious::Lite -signatures;
app->log->level('fatal');
get '/page' => sub ($c) {
  $c->res->headers->content_type('text/plain');
  $c->render(text => "twenty bytes a line\n" x 200);
};
get '/events' => sub ($c) {
  $c->res->headers->content_type('text/event-stream');
  $c->write_chunk("data: 0\n\n");
  Mojo::IOLoop->timer(1 => sub { $c->write_chunk("data: 1\n\n") });
  Mojo::IOLoop->timer(2 => sub { $c->finish });
};
app->start('daemon', '-l', "http://127.0.0.1:$ARGV[0]");
END
cat >main.php <<'END'
<?php
if ($_SERVER['REQUEST_URI'] === '/page') {
  header('Content-Type: text/plain');
  echo str_repeat("twenty bytes a line\n", 200);
} else {
  header('Content-Type: text/event-stream');
  foreach ([0, 1] as $i) {
    echo "data: $i\n\n";
    ob_flush();
    flush();
    sleep(1);
  }
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import net from 'node:net'
import zlib from 'node:zlib'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'

const here = process.cwd()
const root = `${here}/root`
const free = async () => {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address()
  await new Promise((closed) => holder.close(closed))
  return port
}
const get = (port, path, accept) => new Promise((answer, failed) => {
  http.get({ host: '127.0.0.1', port, path, agent: false, headers: { 'Accept-Encoding': accept } }, answer).on('error', failed)
})
const page = async (port, accept) => {
  const answer = await get(port, '/page', accept)
  answer.resume()
  await once(answer, 'end')
  return { coding: answer.headers['content-encoding'] ?? 'none', varies: /accept-encoding/i.test(answer.headers.vary) }
}
const event = async (port) => {
  const answer = await get(port, '/events', 'gzip')
  const compressed = answer.headers['content-encoding'] === 'gzip'
  const out = compressed ? answer.pipe(zlib.createGunzip({ finishFlush: zlib.constants.Z_SYNC_FLUSH })) : answer
  let text = '', first
  out.on('data', (data) => { text += data; first ??= text })
  await once(out, 'end')
  if (text !== 'data: 0\n\ndata: 1\n\n') throw new Error(`events: ${text}`)
  return first === text ? 'held back' : `at once${compressed ? '' : ', not compressed'}`
}

const commands = {}
for (const name of ['chi', 'echo', 'gin', 'gorilla', 'NYTimes', 'httpcompression', 'klauspost']) commands[`go, ${name}`] = () => ['./main', name]
for (const name of ['compression', 'koa', 'fastify', 'hono', 'hapi', '@polka', 'http-compression']) commands[`npm, ${name}`] = () => ['node', 'serve.mjs', name]
for (const name of ['Starlette', 'Django', 'Flask-Compress', 'aiohttp', 'Tornado', 'CherryPy', 'Twisted']) commands[`python, ${name}`] = () => ['/usr/bin/python3', 'main.py', name]
commands['perl, Plack'] = () => ['perl', `${root}/usr/bin/plackup`, '-s', 'Starman', '-E', 'none', 'main.psgi', '--host', '127.0.0.1', '--port']
commands['perl, Mojolicious'] = () => ['perl', 'main.pl']
commands.php = (port) => ['php8.2', '-n', '-d', 'zlib.output_compression=1', '-S', `127.0.0.1:${port}`, 'main.php']
const behind = await free()
const backend = spawn('node', ['serve.mjs', 'none', behind], { stdio: 'ignore' })
process.on('exit', () => backend.kill('SIGKILL'))
const conf = (command, config, ...args) => (port) => {
  writeFileSync('conf', config(port))
  return [command, ...args]
}
mkdirSync('tmp')
commands.nginx = conf('nginx', (port) => `
daemon off; master_process off; pid ${here}/nginx.pid; error_log ${here}/log; events {}
http { access_log off; gzip on; gzip_vary on; gzip_proxied any; gzip_types text/event-stream text/plain;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${here}/tmp/${what};`).join(' ')}
  server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${behind}; proxy_http_version 1.1; proxy_buffering off; } } }
`, '-c', `${here}/conf`, '-p', here, '-e', `${here}/log`)
commands.haproxy = conf('haproxy', (port) => `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen a
  bind 127.0.0.1:${port}
  compression algo gzip
  compression type text/plain text/event-stream
  server b 127.0.0.1:${behind}
`, '-db', '-f', 'conf')
commands.lighttpd = conf('lighttpd', (port) => `
server.modules = ("mod_proxy", "mod_deflate")
server.document-root = "${here}"
server.upload-dirs = ("${here}/tmp")
server.bind = "127.0.0.1"
server.port = ${port}
server.stream-response-body = 1
deflate.allowed-encodings = ("gzip")
deflate.mimetypes = ("text/plain", "text/event-stream")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${behind})))
`, '-D', '-m', `${root}/usr/lib/lighttpd`, '-f', 'conf')
commands.apache = conf('apache2', (port) => `
ServerRoot ${here}
ServerName a
PidFile ${here}/apache.pid
ErrorLog ${here}/log
Mutex file:${here}/tmp
Listen 127.0.0.1:${port}
${['mpm_event', 'proxy', 'proxy_http', 'authz_core', 'filter', 'deflate'].map((name) => `LoadModule ${name}_module ${root}/usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
User nobody
Group nogroup
AddOutputFilterByType DEFLATE text/plain text/event-stream
ProxyPass / http://127.0.0.1:${behind}/
`, '-X', '-f', `${here}/conf`)
commands.varnish = (port) => {
  writeFileSync('conf', `
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "${behind}"; }
sub vcl_recv { return (pass); }
sub vcl_backend_response { set beresp.do_gzip = true; }
`)
  return ['varnishd', '-F', '-a', `127.0.0.1:${port}`, '-f', `${here}/conf`, '-n', `${here}/varnish`, '-s', 'malloc,8m', '-j', 'none']
}

let stop = () => {}
process.on('exit', () => stop())
for (const [name, command] of Object.entries(commands)) {
  const port = await free()
  const [path, ...args] = command(port)
  const own = /^(go|npm|python|perl)/.test(name) ? [port] : []
  const server = spawn(path, [...args, ...own], { stdio: 'ignore', detached: true })
  stop = () => { try { process.kill(-server.pid, 'SIGKILL') } catch {} }
  let wanted
  for (let i = 0; i < 150 && wanted?.coding !== 'gzip'; i++) {
    await new Promise((later) => setTimeout(later, 100))
    wanted = await page(port, 'gzip').catch(() => undefined)
  }
  if (wanted?.coding !== 'gzip') throw new Error(`${name} does not compress`)
  const refused = await page(port, 'identity, gzip;q=0')
  console.log(`${name}: refused: ${refused.coding}${wanted.varies ? '' : ', no Vary'}; an event: ${await event(port)}`)
  stop()
  stop = () => {}
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin:$dir/root/usr/sbin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
timeout 250 node --no-warnings main.mjs >have
diff want have
cat have
