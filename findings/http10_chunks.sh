#!/usr/bin/env bash
# Chunks belong to HTTP/1.1: "a server MUST NOT send a response containing Transfer-Encoding unless the corresponding
# request indicates HTTP/1.1 (or later minor revisions)" (RFC 9112, 6.1). A client of HTTP/1.0, such as a device or a
# script, reads to the end of the connection instead. If it does not know chunks, it takes their sizes for text.
#
# Guessed: fasthttp 1.78.0 sends none when it streams; nor do Go's net/http, Node 20, Twisted 22.4.0, Tornado 6.2.0 and
# aiohttp 3.8.4. If a server sends chunks anyway, the proxy nginx 1.22.1 removes them (7.1.3 shows how), and HAProxy
# 2.6.12 and Tinyproxy 1.11.1 pass them on. Seen: fasthttp sends chunks, so that a download has "b" as its first line
# and "0" as its last, also through the latter two. The rest is as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
Node: "hello world"
net/http: "hello world"
fasthttp: chunks, "b\r\nhello world\r\n0\r\n\r\n"
Twisted: "hello world"
Tornado: "hello world"
aiohttp: "hello world"
nginx before fasthttp: "hello world"
HAProxy before fasthttp: chunks, "B\r\nhello world\r\n0\r\n\r\n"
Tinyproxy before fasthttp: chunks, "b\r\nhello world\r\n0\r\n\r\n"
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3-twisted python3-tornado python3-aiohttp nginx-light haproxy tinyproxy-bin ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
export LD_LIBRARY_PATH="$dir/root/usr/lib/$(uname -m)-linux-gnu" PATH="$PATH:$dir/root/usr/bin:$dir/root/usr/sbin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"

# Each server sends "hello" and then " world".
cat >main.py <<'END'
import sys
name, port = sys.argv[1], int(sys.argv[2])
if name == 'aiohttp':
    from aiohttp import web
    async def get(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'hello')
        await answer.write(b' world')
        return answer
    app = web.Application()
    app.router.add_get('/', get)
    web.run_app(app, host='127.0.0.1', port=port)
elif name == 'tornado':
    import tornado.ioloop, tornado.web
    class Handler(tornado.web.RequestHandler):
        async def get(self):
            self.write('hello')
            await self.flush()
            self.write(' world')
    tornado.web.Application([('/', Handler)]).listen(port, '127.0.0.1')
    tornado.ioloop.IOLoop.current().start()
elif name == 'twisted':
    from twisted.internet import reactor
    from twisted.web import resource, server
    class Handler(resource.Resource):
        isLeaf = True
        def render_GET(self, request):
            request.write(b'hello')
            request.write(b' world')
            request.finish()
            return server.NOT_DONE_YET
    reactor.listenTCP(port, server.Site(Handler()), interface='127.0.0.1')
    reactor.run()
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/valyala/fasthttp v1.78.0
END
cat >main.go <<'END'
package main

import (
	"bufio"
	"io"
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	addr := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "net/http" {
		panic(http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "hello")
			http.NewResponseController(w).Flush()
			io.WriteString(w, " world")
		})))
	}
	panic(fasthttp.ListenAndServe(addr, func(ctx *fasthttp.RequestCtx) {
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			w.WriteString("hello")
			w.Flush()
			w.WriteString(" world")
		})
	}))
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import http from 'node:http'
import net from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'

const node = http.createServer((req, res) => {
  res.write('hello')
  setTimeout(() => res.end(' world'), 50)
}).listen(0, '127.0.0.1')
await once(node, 'listening')
const here = process.cwd()
const free = async () => {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address()
  await new Promise((closed) => holder.close(closed))
  return port
}
const behind = await free()
const servers = {
  'Node': undefined,
  'net/http': () => ['./main', 'net/http', 'PORT'],
  'fasthttp': () => ['./main', 'fasthttp', 'PORT'],
  'Twisted': () => ['/usr/bin/python3', 'main.py', 'twisted', 'PORT'],
  'Tornado': () => ['/usr/bin/python3', 'main.py', 'tornado', 'PORT'],
  'aiohttp': () => ['/usr/bin/python3', 'main.py', 'aiohttp', 'PORT'],
  'nginx before fasthttp': (port) => {
    mkdirSync('nginx')
    writeFileSync('nginx.conf', `daemon off; master_process off; pid ${here}/nginx/pid; error_log ${here}/nginx/error;
events {}
http { access_log off; client_body_temp_path nginx/a; fastcgi_temp_path nginx/b; uwsgi_temp_path nginx/c; scgi_temp_path nginx/d; proxy_temp_path nginx/e;
server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${behind}; } } }`)
    return ['nginx', '-p', here, '-c', `${here}/nginx.conf`]
  },
  'HAProxy before fasthttp': (port) => {
    writeFileSync('haproxy.cfg', `defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server server 127.0.0.1:${behind}
`)
    return ['haproxy', '-db', '-f', 'haproxy.cfg']
  },
  'Tinyproxy before fasthttp': (port) => {
    writeFileSync('tinyproxy.conf', `Port ${port}\nListen 127.0.0.1\nReversePath "/" "http://127.0.0.1:${behind}/"\nReverseOnly Yes\nTimeout 10\n`)
    return ['tinyproxy', '-d', '-c', 'tinyproxy.conf']
  },
}
const get = async (port, version) => {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`GET / HTTP/${version}\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`)
  let data = ''
  for await (const part of socket) data += part
  return data
}
const running = []
for (const [name, make] of Object.entries(servers)) {
  let port = name === 'fasthttp' ? behind : await free()
  if (make) {
    const [command, ...args] = make(port)
    running.push(spawn(command, args.map((arg) => arg.replace('PORT', port)), { stdio: 'ignore' }))
  } else port = node.address().port
  let ready = ''
  for (let i = 0; i < 150 && !ready.includes('hello'); i++) {
    await new Promise((later) => setTimeout(later, 100))
    ready = await get(port, '1.1').catch(() => '')
  }
  if (!ready.includes('hello')) throw new Error(`${name} does not run`)
  const answer = await get(port, '1.0')
  const [head, body] = answer.split('\r\n\r\n', 1).concat(answer.slice(answer.indexOf('\r\n\r\n') + 4))
  console.log(`${name}: ${/^transfer-encoding: *chunked/im.test(head) ? 'chunks, ' : ''}${JSON.stringify(body)}`)
}
for (const server of running) server.kill('SIGKILL')
process.exit()
END
timeout 120 node --no-warnings main.mjs >have
diff want have
cat have
