#!/usr/bin/env bash
# A compressed WebSocket message may end with a DEFLATE block that has BFINAL set, after which its sender puts a zero
# byte (RFC 7692, 7.2.3.4). This is for senders whose zlib cannot flush otherwise. The messages after it are
# compressed as before.
#
# Guessed: of the clients, npm's ws 8.23.0 and gorilla/websocket 1.5.3 accept such messages, lxzan/gws 1.8.9 does not,
# and coder/websocket 1.8.15 does not accept the second. Seen: gws accepts them. For coder the data that follows is
# corrupt, even if the server keeps no context, and it closes the connection. undici 7.30.2, whose WebSocket is
# Node's, gives the program empty messages from then on, without an error.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
ws: "one", "two, final", "three, final", "four", close 1000
undici: "one", "two, final", "", "", close 1000
gorilla: "one", "two, final", "three, final", "four", close 1000
gws: "one", "two, final", "three, final", "four", close 1000
coder: "one", "two, final", an error
END
npm install --silent --no-fund --no-audit --prefix . ws@8.23.0 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/coder/websocket v1.8.15
	github.com/gorilla/websocket v1.5.3
	github.com/lxzan/gws v1.8.9
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

func main() {
	switch url := os.Args[2]; os.Args[1] {
	case "gorilla":
		conn, _, err := (&gorilla.Dialer{EnableCompression: true}).Dial(url, nil)
		must(err)
		for err == nil {
			var data []byte
			if _, data, err = conn.ReadMessage(); err == nil {
				fmt.Printf("%q, ", data)
			}
		}
		var closed *gorilla.CloseError
		errors.As(err, &closed)
		end(closed != nil, func() int { return closed.Code })
	case "coder":
		ctx := context.Background()
		conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
		must(err)
		for err == nil {
			var data []byte
			if _, data, err = conn.Read(ctx); err == nil {
				fmt.Printf("%q, ", data)
			}
		}
		code := websocket.CloseStatus(err)
		end(code != -1, func() int { return int(code) })
	case "gws":
		option := &gws.ClientOption{Addr: url, PermessageDeflate: gws.PermessageDeflate{Enabled: true}}
		conn, _, err := gws.NewClient(new(printer), option)
		must(err)
		conn.ReadLoop()
	}
}

type printer struct{ gws.BuiltinEventHandler }

func (*printer) OnMessage(_ *gws.Conn, message *gws.Message) { fmt.Printf("%q, ", message.Bytes()) }

func (*printer) OnClose(_ *gws.Conn, err error) {
	var closed *gws.CloseError
	errors.As(err, &closed)
	end(closed != nil, func() int { return int(closed.Code) })
}

func end(byServer bool, code func() int) {
	if byServer {
		fmt.Println("close", code())
	} else {
		fmt.Println("an error")
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
END
cat >main.mjs <<'END'
import crypto from 'node:crypto'
import http from 'node:http'
import zlib from 'node:zlib'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import * as undici from 'undici'
import { WebSocket } from 'ws'

// A server that sends four compressed messages, the second and third with BFINAL, and closes.
const compressed = (data) => Buffer.concat([Buffer.from([0xc1, data.length]), data])
const ordinary = (text) => compressed(zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4))
const final = (text) => compressed(Buffer.concat([zlib.deflateRawSync(text), Buffer.from([0])]))
const server = http.createServer()
server.on('upgrade', (req, socket) => {
  const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  if (!req.headers['sec-websocket-extensions'].includes('permessage-deflate')) throw new Error('not offered')
  const extension = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Extensions: ${extension}\r\n\r\n`)
  socket.on('error', () => {})
  const frames = [ordinary('one'), final('two, final'), final('three, final'), ordinary('four'), Buffer.from([0x88, 2, 3, 232])]
  for (const [i, frame] of frames.entries()) setTimeout(() => socket.writable && socket.write(frame), 200 * (i + 1))
  socket.on('data', (data) => { if ((data[0] & 15) === 8) setTimeout(() => socket.end(), 100) })
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const url = `ws://127.0.0.1:${server.address().port}/`

const standard = (WebSocket) => new Promise((done) => {
  const conn = new WebSocket(url)
  const seen = []
  conn.onmessage = (event) => seen.push(JSON.stringify(event.data))
  conn.onclose = (event) => done([...seen, event.code === 1000 ? 'close 1000' : 'an error'].join(', '))
})
console.log('ws:', await standard(WebSocket))
console.log('undici:', await standard(undici.WebSocket))
for (const name of ['gorilla', 'gws', 'coder']) console.log(`${name}:`, (await promisify(execFile)('./main', [name, url])).stdout.trim())
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
