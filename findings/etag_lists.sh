#!/usr/bin/env bash
# A client that polls sends the tags that it knows in If-None-Match: one, a list, in one field line or several (RFC 9110, 5.3), or "*". The server
# compares weakly, so that W/"one" and "one" match (13.1.2), and answers 304. It must ignore If-Modified-Since beside If-None-Match (13.1.3).
#
# Guessed: all 21 servers know the tag itself; lists fail in Rack, Plack, Twisted, sirv, @fastify/etag and fiber, weak against strong in the same
# and hono, "*" in half of them; a date beside it counts in Rack and Plack. Seen: seven do all (express, koa, hono, Django, Flask, Tornado, Apache).
# Six do not find the tag in a list: @fastify/etag 6.2.0, sirv 3.0.2, Starlette 0.26.1, Twisted 22.4 unless it is the last, Plack 1.0050, Rack 2.2.
# Eight compare strongly, which a proxy that compresses answers and weakens their tags turns into polling for whole answers. Plack's ConditionalGET
# never answers 304 to a tag alone if the answer has a date, too. Starlette says 304 to an unknown tag beside a newer date: the client keeps what
# is old. Of several lines net/http (Go 1.26), fiber 2.52.9, aiohttp 3.8.4 and lighttpd 1.4.69 see one, and nginx 1.22.1 says 400.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, net/http: two lines: 200
go, fiber: two lines: 200, any: 200
npm, express: all well
npm, koa: all well
npm, fastify: second of a list: 200, first of a list: 200, a list without spaces: 200, behind a comma in a tag: 200, two lines: 200, any: 200
npm, hono: all well
npm, hapi: any: 200
npm, sirv: second of a list: 200, first of a list: 200, a list without spaces: 200, behind a comma in a tag: 200, two lines: 200, weak or strong: 200, any: 200
python, Starlette: second of a list: 200, first of a list: 200, a list without spaces: 200, behind a comma in a tag: 200, two lines: 200, weak or strong: 200, any: 200, another tag, and a date: 304
python, Django: all well
python, Flask: all well
python, aiohttp: two lines: 200, weak or strong: 200
python, Tornado: all well
python, CherryPy: weak or strong: 200
python, Twisted: first of a list: 200, a list without spaces: 200, weak or strong: 200
perl, Plack: the tag: 200, second of a list: 200, first of a list: 200, a list without spaces: 200, behind a comma in a tag: 200, two lines: 200, weak or strong: 200, any: 200
perl, Mojolicious: weak or strong: 200, any: 200
ruby, Rack: second of a list: 200, first of a list: 200, a list without spaces: 200, behind a comma in a tag: 200, two lines: 200, weak or strong: 200, any: 200
nginx: two lines: 400
lighttpd: two lines: 200
apache: all well
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  gunicorn uvicorn python3-starlette python3-django python3-flask python3-aiohttp python3-tornado python3-cherrypy3 python3-twisted starman \
  libplack-perl libmojolicious-perl ruby ruby-rack ruby-webrick nginx-light lighttpd apache2 ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
find root/usr/share/perl5/Mojolicious -xtype l -delete
npm install --silent --no-fund --no-audit --prefix . express@5.3.0 koa@3.2.1 koa-etag@5.0.0 koa-conditional-get@3.0.0 fastify@5.12.8 @fastify/etag@6.2.0 \
  hono@4.13.19 @hono/node-server@2.1.9 @hapi/hapi@21.4.10 sirv@3.0.2 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require github.com/gofiber/fiber/v2 v2.52.9
END
chmod 711 "$dir" # Apache reads it as nobody
mkdir site
printf 'a page\n' >site/page
cat >main.go <<'END'
package main

import (
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	fiberetag "github.com/gofiber/fiber/v2/middleware/etag"
)

func main() {
	address := "127.0.0.1:" + os.Args[2]
	switch os.Args[1] {
	case "net/http":
		panic(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"one"`)
			http.ServeContent(w, r, "page", time.Now().Add(-time.Hour), strings.NewReader("a page\n"))
		})))
	case "fiber":
		app := fiber.New(fiber.Config{DisableStartupMessage: true})
		app.Use(fiberetag.New())
		app.Get("/page", func(c *fiber.Ctx) error { return c.SendString("a page\n") })
		panic(app.Listen(address))
	}
}
END
cat >serve.mjs <<'END'
const [name, port] = process.argv.slice(2)
const page = 'a page\n'
const local = { host: '127.0.0.1', port: Number(port) }
const servers = {
  express: async () => (await import('express')).default().get('/page', (request, response) => response.type('text').send(page)).listen(local.port, local.host),
  koa: async () => {
    const { default: Koa } = await import('koa')
    const { default: conditional } = await import('koa-conditional-get')
    const { default: etag } = await import('koa-etag')
    new Koa().use(conditional()).use(etag()).use((context) => { context.body = page }).listen(local)
  },
  fastify: async () => {
    const fastify = (await import('fastify')).default()
    await fastify.register((await import('@fastify/etag')).default)
    fastify.get('/page', (request, reply) => reply.type('text/plain').send(page))
    await fastify.listen(local)
  },
  hono: async () => {
    const { Hono } = await import('hono')
    const { etag } = await import('hono/etag')
    const { serve } = await import('@hono/node-server')
    serve({ fetch: new Hono().use(etag()).get('/page', (context) => context.text(page)).fetch, port: local.port, hostname: local.host })
  },
  hapi: async () => {
    const { default: Hapi } = await import('@hapi/hapi')
    const server = Hapi.server(local)
    server.route({ method: 'GET', path: '/page', handler: (request, h) => h.response(page).etag('one').header('last-modified', new Date(Date.now() - 3600000).toUTCString()) })
    await server.start()
  },
  sirv: async () => {
    const http = await import('node:http')
    http.createServer((await import('sirv')).default('site', { etag: true })).listen(local)
  },
}
await servers[name]()
END
cat >main.py <<'END'
import sys
name, port = sys.argv[1], int(sys.argv[2])
page = 'a page\n'

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
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles
    uvicorn.run(Starlette(routes=[Mount('/', StaticFiles(directory='site'))]), host='127.0.0.1', port=port)
elif name == 'Django':
    from django.conf import settings
    settings.configure(ROOT_URLCONF='__main__', ALLOWED_HOSTS=['*'], MIDDLEWARE=['django.middleware.http.ConditionalGetMiddleware'], SECRET_KEY='key')
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path
    urlpatterns = [path('page', lambda request: HttpResponse(page, content_type='text/plain'))]
    gunicorn(get_wsgi_application())
elif name == 'Flask':
    from flask import Flask, send_file
    app = Flask('app')
    app.add_url_rule('/page', 'page', lambda: send_file(f'{sys.path[0]}/site/page', mimetype='text/plain'))
    gunicorn(app)
elif name == 'aiohttp':
    from aiohttp import web
    app = web.Application()
    app.router.add_static('/', 'site')
    web.run_app(app, host='127.0.0.1', port=port)
elif name == 'Tornado':
    import tornado.ioloop, tornado.web
    class Page(tornado.web.RequestHandler):
        def get(self):
            self.write(page)
        head = get
    tornado.web.Application([('/page', Page)]).listen(port, '127.0.0.1')
    tornado.ioloop.IOLoop.current().start()
elif name == 'CherryPy':
    import cherrypy
    class Root:
        @cherrypy.expose
        def page(self):
            return page
    cherrypy.config.update({'server.socket_host': '127.0.0.1', 'server.socket_port': port})
    cherrypy.quickstart(Root(), '/', {'/': {'tools.etags.on': True, 'tools.etags.autotags': True}})
elif name == 'Twisted':
    from twisted.internet import reactor
    from twisted.web import http, resource, server
    class Handler(resource.Resource):
        isLeaf = True
        def render_GET(self, request):
            return b'' if request.setETag(b'"one"') is http.CACHED else page.encode()
    reactor.listenTCP(port, server.Site(Handler()), interface='127.0.0.1')
    reactor.run()
END
cat >main.psgi <<'END'
use Plack::Builder;
builder {
  enable 'ConditionalGET';
  enable 'Head';
  sub { [200, ['Content-Type' => 'text/plain', 'ETag' => '"one"', 'Last-Modified' => 'Thu, 01 Jan 2015 00:00:00 GMT'], ["a page\n"]] };
};
END
cat >main.pl <<'END'
use Mojolicious::Lite;
app->log->level('fatal');
push @{app->static->paths}, 'site';
app->start('daemon', '-l', "http://127.0.0.1:$ARGV[0]");
END
cat >main.rb <<'END'
require 'rack'
page = ->(env) { [200, { 'Content-Type' => 'text/plain' }, ["a page\n"]] }
app = Rack::ConditionalGet.new(Rack::ETag.new(page))
Rack::Handler::WEBrick.run(app, Host: '127.0.0.1', Port: ARGV[0].to_i, Logger: WEBrick::Log.new(File::NULL), AccessLog: [])
END
cat >main.mjs <<'END'
import http from 'node:http'
import net from 'node:net'
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
const ask = (port, headers = {}) => new Promise((answer, failed) => {
  http.get({ host: '127.0.0.1', port, path: '/page', agent: false, headers }, (res) => {
    res.resume()
    res.on('end', () => answer({ status: res.statusCode, tag: res.headers.etag })).on('error', failed)
  }).on('error', failed)
})
const other = (tag) => tag.startsWith('W/') ? tag.slice(2) : `W/${tag}`
const future = 'Fri, 01 Jan 2038 00:00:00 GMT'
const cases = {
  'the tag': [304, (tag) => ({ 'If-None-Match': tag })],
  'second of a list': [304, (tag) => ({ 'If-None-Match': `"x", ${tag}` })],
  'first of a list': [304, (tag) => ({ 'If-None-Match': `${tag}, "x"` })],
  'a list without spaces': [304, (tag) => ({ 'If-None-Match': `"x",${tag}` })],
  'behind a comma in a tag': [304, (tag) => ({ 'If-None-Match': `"x,y", ${tag}` })],
  'two lines': [304, (tag) => ({ 'If-None-Match': ['"x"', tag] })],
  'weak or strong': [304, (tag) => ({ 'If-None-Match': other(tag) })],
  'any': [304, () => ({ 'If-None-Match': '*' })],
  'another tag, and a date': [200, () => ({ 'If-None-Match': '"x"', 'If-Modified-Since': future })],
  'part of a tag': [200, (tag) => ({ 'If-None-Match': `"x${tag.replace(/^W\//, '').slice(1)}` })],
}

const commands = {}
for (const name of ['net/http', 'fiber']) commands[`go, ${name}`] = () => ['./main', name]
for (const name of ['express', 'koa', 'fastify', 'hono', 'hapi', 'sirv']) commands[`npm, ${name}`] = () => ['node', 'serve.mjs', name]
for (const name of ['Starlette', 'Django', 'Flask', 'aiohttp', 'Tornado', 'CherryPy', 'Twisted']) commands[`python, ${name}`] = () => ['/usr/bin/python3', 'main.py', name]
commands['perl, Plack'] = () => ['perl', `${root}/usr/bin/plackup`, '-s', 'Starman', '-E', 'none', 'main.psgi', '--host', '127.0.0.1', '--port']
commands['perl, Mojolicious'] = () => ['perl', 'main.pl']
commands['ruby, Rack'] = () => ['ruby3.1', 'main.rb']
const conf = (command, config, ...args) => (port) => {
  writeFileSync('conf', config(port))
  return [command, ...args]
}
mkdirSync('tmp')
commands.nginx = conf('nginx', (port) => `
daemon off; master_process off; pid ${here}/nginx.pid; error_log ${here}/log; events {}
http { access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${here}/tmp/${what};`).join(' ')}
  server { listen 127.0.0.1:${port}; root ${here}/site; } }
`, '-c', `${here}/conf`, '-p', here, '-e', `${here}/log`)
commands.lighttpd = conf('lighttpd', (port) => `
server.document-root = "${here}/site"
server.upload-dirs = ("${here}/tmp")
server.bind = "127.0.0.1"
server.port = ${port}
mimetype.assign = ("" => "text/plain")
`, '-D', '-m', `${root}/usr/lib/lighttpd`, '-f', 'conf')
commands.apache = conf('apache2', (port) => `
ServerRoot ${here}
ServerName a
PidFile ${here}/apache.pid
ErrorLog ${here}/log
Mutex file:${here}/tmp
Listen 127.0.0.1:${port}
${['mpm_event', 'authz_core'].map((name) => `LoadModule ${name}_module ${root}/usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
User nobody
Group nogroup
DocumentRoot ${here}/site
<Directory ${here}/site>
Require all granted
</Directory>
`, '-X', '-f', `${here}/conf`)

let stop = () => {}
process.on('exit', () => stop())
for (const [name, command] of Object.entries(commands)) {
  const port = await free()
  const [path, ...args] = command(port)
  const own = /^(go|npm|python|perl|ruby)/.test(name) ? [port] : []
  const server = spawn(path, [...args, ...own], { stdio: 'ignore', detached: true })
  stop = () => { try { process.kill(-server.pid, 'SIGKILL') } catch {} }
  let first
  for (let i = 0; i < 150 && first?.status !== 200; i++) {
    await new Promise((later) => setTimeout(later, 100))
    first = await ask(port).catch(() => undefined)
  }
  if (!first?.tag) throw new Error(`${name} has no tag`)
  const wrong = []
  for (const [what, [want, headers]] of Object.entries(cases)) {
    const { status } = await ask(port, headers(first.tag))
    if (status !== want) wrong.push(`${what}: ${status}`)
  }
  console.log(`${name}: ${wrong.join(', ') || 'all well'}`)
  stop()
  stop = () => {}
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin:$dir/root/usr/sbin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/lib/ruby/vendor_ruby:$dir/root/$libs/ruby/vendor_ruby/3.1.0"
for gem in root/usr/share/rubygems-integration/*/gems/*/lib; do
  RUBYLIB="$RUBYLIB:$dir/$gem"
done
export RUBYLIB
timeout 250 node --no-warnings main.mjs >have
diff want have
cat have
