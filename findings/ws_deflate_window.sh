#!/usr/bin/env bash
# A WebSocket client that offers compression may say that it keeps a window of at most, say, 1024 bytes
# (server_max_window_bits=10). A server accepts that or less, or declines. An answer "MUST NOT include"
# client_max_window_bits if the offer did not (RFC 7692, 7.1.2.1 and 7.1.2.2). A server "MUST decline" an offer with a
# parameter that it does not know (7.1), and look at the next offer, which clients send for that case (5.2).
#
# Guessed: of eleven servers gorilla/websocket 1.5.3 and Perl's Mojolicious 9.31 ignore the window, and the others
# behave correctly. Seen: lxzan/gws 1.8.9 ignores it too. If it is to keep the context, its answer has
# client_max_window_bits for every client, so that coder/websocket 1.8.15 cannot connect. For gobwas/ws 1.5.0, npm's
# ws 8.23.0 and Python's Tornado 6.2.0 an unknown parameter is an error, and the handshake fails.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, gorilla: a small window: unreadable; none: well, coder's client: connected; an unknown parameter: well
go, coder: a small window: declined; none: well, coder's client: connected; an unknown parameter: well
go, gws: a small window: unreadable; none: has client_max_window_bits, coder's client: error; an unknown parameter: well
go, gobwas: a small window: declined; none: well, coder's client: connected; an unknown parameter: 500
node, ws: a small window: well; none: well, coder's client: connected; an unknown parameter: 400
node, faye: a small window: well; none: well, coder's client: connected; an unknown parameter: well
perl, Mojolicious: a small window: unreadable; none: well, coder's client: connected; an unknown parameter: well
python, websockets: a small window: well; none: well, coder's client: connected; an unknown parameter: well
python, hypercorn: a small window: well; none: well, coder's client: connected; an unknown parameter: well
python, aiohttp: a small window: well; none: well, coder's client: connected; an unknown parameter: well
python, tornado: a small window: well; none: well, coder's client: connected; an unknown parameter: 500
END
npm install --silent --no-fund --no-audit --prefix . ws@8.23.0 faye-websocket@0.11.4 permessage-deflate@0.1.7 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3-websockets python3-hypercorn python3-wsproto python3-aiohttp python3-tornado libmojolicious-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
find root/usr/share/perl5/Mojolicious -xtype l -delete
export LD_LIBRARY_PATH="$dir/root/usr/lib/$(uname -m)-linux-gnu" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages" PERL5LIB="$dir/root/usr/share/perl5"

# Each server sends back what it gets, and compresses what it sends.
cat >main.py <<'END'
import asyncio, sys
name, port = sys.argv[1], int(sys.argv[2])

async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    await receive()
    await send({'type': 'websocket.accept'})
    while True:
        message = await receive()
        if message['type'] == 'websocket.disconnect':
            return
        await send({'type': 'websocket.send', 'text': message['text']})

if name == 'websockets':
    import websockets
    async def echo(socket):
        async for message in socket:
            await socket.send(message)
    async def main():
        async with websockets.serve(echo, '127.0.0.1', port):
            await asyncio.Future()
    asyncio.run(main())
elif name == 'hypercorn':
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    config = Config()
    config.bind = [f'127.0.0.1:{port}']
    asyncio.run(serve(asgi, config))
elif name == 'aiohttp':
    from aiohttp import web
    async def get(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket
    app = web.Application()
    app.router.add_get('/', get)
    web.run_app(app, host='127.0.0.1', port=port)
elif name == 'tornado':
    import tornado.ioloop, tornado.web, tornado.websocket
    class Handler(tornado.websocket.WebSocketHandler):
        def get_compression_options(self):
            return {}
        def on_message(self, message):
            self.write_message(message)
    tornado.web.Application([('/', Handler)]).listen(port, '127.0.0.1')
    tornado.ioloop.IOLoop.current().start()
END
cat >main.pl <<'END'
use Mojolicious::Lite -signatures;
app->log->level('fatal');
websocket '/' => sub ($c) {
  $c->tx->with_compression;
  $c->on(message => sub ($c, $message) { $c->send($message) });
};
app->start('daemon', '-l', "http://127.0.0.1:$ARGV[0]");
END
cat >serve.mjs <<'END'
import http from 'node:http'
import Faye from 'faye-websocket'
import deflate from 'permessage-deflate'
import { WebSocketServer } from 'ws'

const [name, port] = process.argv.slice(2)
const server = http.createServer().listen(port, '127.0.0.1')
if (name === 'ws') new WebSocketServer({ server, perMessageDeflate: true }).on('connection', (socket) => socket.on('message', (message) => socket.send(String(message))))
else {
  server.on('upgrade', (request, socket, head) => {
    const faye = new Faye(request, socket, head, [], { extensions: [deflate] })
    faye.on('message', (event) => faye.send(event.data))
  })
}
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.5.0
	github.com/gorilla/websocket v1.5.3
	github.com/lxzan/gws v1.8.9
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(conn *gws.Conn, message *gws.Message) {
	_ = conn.WriteMessage(message.Opcode, message.Bytes())
}

func gorilla(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{EnableCompression: true}
	conn, err := upgrader.Upgrade(w, r, nil)
	for err == nil {
		var kind int
		var message []byte
		if kind, message, err = conn.ReadMessage(); err == nil {
			err = conn.WriteMessage(kind, message)
		}
	}
}

func coderServer(w http.ResponseWriter, r *http.Request) {
	conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
	for err == nil {
		var kind coder.MessageType
		var message []byte
		if kind, message, err = conn.Read(r.Context()); err == nil {
			err = conn.Write(r.Context(), kind, message)
		}
	}
}

func gobwas(w http.ResponseWriter, r *http.Request) {
	extension := wsflate.Extension{Parameters: wsflate.DefaultParameters}
	upgrader := ws.HTTPUpgrader{Negotiate: extension.Negotiate}
	conn, _, _, err := upgrader.Upgrade(r, w)
	for err == nil {
		var frame ws.Frame
		if frame, err = ws.ReadFrame(conn); err != nil {
			break
		}
		frame = ws.UnmaskFrameInPlace(frame)
		answer := ws.NewTextFrame(frame.Payload)
		if _, ok := extension.Accepted(); ok {
			answer, err = wsflate.CompressFrame(answer)
		}
		if err == nil {
			err = ws.WriteFrame(conn, answer)
		}
	}
}

// dial says how coder's client, which offers "permessage-deflate" alone, fares.
func dial(url string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, _, err := coder.Dial(ctx, url, &coder.DialOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return "error"
	}
	_ = conn.CloseNow()
	return "connected"
}

func main() {
	if os.Args[1] == "dial" {
		fmt.Println(dial(os.Args[2]))
		return
	}
	upgrader := gws.NewUpgrader(echo{}, &gws.ServerOption{PermessageDeflate: gws.PermessageDeflate{
		Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true,
	}})
	handlers := map[string]http.HandlerFunc{"gorilla": gorilla, "coder": coderServer, "gobwas": gobwas, "gws": func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r); err == nil {
			go conn.ReadLoop()
		}
	}}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[2], handlers[os.Args[1]]))
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import net from 'node:net'
import zlib from 'node:zlib'
import crypto from 'node:crypto'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'

const servers = {
  'go, gorilla': ['./main', 'gorilla'], 'go, coder': ['./main', 'coder'], 'go, gws': ['./main', 'gws'], 'go, gobwas': ['./main', 'gobwas'],
  'node, ws': ['node', 'serve.mjs', 'ws'], 'node, faye': ['node', 'serve.mjs', 'faye'], 'perl, Mojolicious': ['perl', 'main.pl'],
}
for (const name of ['websockets', 'hypercorn', 'aiohttp', 'tornado']) servers[`python, ${name}`] = ['/usr/bin/python3', 'main.py', name]

// A message that says again what it said 2000 bytes before.
const message = Buffer.from(crypto.randomBytes(1500).toString('base64').repeat(2))

const connect = async (port, offer) => {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: ${offer}\r\n\r\n`)
  let data = Buffer.alloc(0)
  const chunks = socket.iterator({ destroyOnReturn: false })
  const until = async (enough) => {
    while (!enough()) {
      const { value, done } = await chunks.next()
      if (done) throw new Error(`closed after ${data}`)
      data = Buffer.concat([data, value])
    }
  }
  await until(() => data.includes('\r\n\r\n'))
  const head = String(data.subarray(0, data.indexOf('\r\n\r\n')))
  data = data.subarray(data.indexOf('\r\n\r\n') + 4)
  const status = head.split(' ')[1]
  if (status !== '101') { socket.destroy(); return { status } }
  const extension = /^sec-websocket-extensions: *(.*)$/im.exec(head)?.[1] ?? 'none'
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  socket.write(Buffer.concat([Buffer.from([0x81, 0xfe]), length, Buffer.alloc(4), message]))
  // Its echo, which may come in several frames.
  const parts = []
  let compressed, final
  while (!final) {
    await until(() => data.length >= 2)
    if (parts.length === 0) compressed = Boolean(data[0] & 0x40)
    final = data[0] & 0x80
    const at = data[1] < 126 ? 2 : 4
    await until(() => data.length >= at)
    const size = at === 2 ? data[1] : data.readUInt16BE(2)
    await until(() => data.length >= at + size)
    parts.push(data.subarray(at, at + size))
    data = data.subarray(at + size)
  }
  socket.destroy()
  return { extension, compressed, payload: Buffer.concat(parts) }
}
// What a client reads that remembers 1024 bytes.
const window = async (port) => {
  const { status, extension, compressed, payload } = await connect(port, 'permessage-deflate; server_max_window_bits=10')
  if (status) return status
  if (!compressed) return extension === 'none' ? 'declined' : 'not compressed'
  try {
    const whole = Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])])
    zlib.inflateRawSync(whole, { windowBits: 10, chunkSize: 64, finishFlush: zlib.constants.Z_SYNC_FLUSH })
    return 'well'
  } catch {
    return 'unreadable'
  }
}
// What is in an answer that was not asked for.
const uninvited = async (port) => {
  const { status, extension } = await connect(port, 'permessage-deflate')
  if (status) return status
  return extension.includes('client_max_window_bits') ? 'has client_max_window_bits' : 'well'
}
const unknown = async (port) => (await connect(port, 'permessage-deflate; later=1, permessage-deflate')).status ?? 'well'
let stop = () => {}
process.on('exit', () => stop())
for (const [name, args] of Object.entries(servers)) {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address()
  await new Promise((closed) => holder.close(closed))
  const server = spawn(args[0], [...args.slice(1), port], { stdio: 'ignore', detached: true })
  stop = () => process.kill(-server.pid, 'SIGKILL')
  let ready
  for (let i = 0; i < 150 && !ready; i++) {
    await new Promise((later) => setTimeout(later, 100))
    ready = await connect(port, 'x-other').catch(() => undefined)
  }
  if (!ready) throw new Error(`${name} does not answer`)
  const dialed = execFileSync('./main', ['dial', `ws://127.0.0.1:${port}/`], { encoding: 'utf8' }).trim()
  console.log(`${name}: a small window: ${await window(port)}; none: ${await uninvited(port)}, coder's client: ${dialed}; an unknown parameter: ${await unknown(port)}`)
  stop()
  stop = () => {}
}
process.exit()
END
timeout 120 node --no-warnings main.mjs >have
diff want have
cat have
