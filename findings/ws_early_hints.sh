#!/usr/bin/env bash
# An HTTP client must be ready for informational answers before the final one, and may ignore those that it did not
# expect (RFC 9110, 15.2). One is 103 Early Hints (RFC 8297), which servers, and proxies in front of them, add to any
# answer. This holds for the WebSocket handshake too, in which an answer other than 101 is handled as HTTP says (RFC
# 6455, 4.1).
#
# Guessed: gorilla/websocket 1.5.3 and golang.org/x/net/websocket 0.62.0 take the first answer for the final one and
# fail. The other three for Go and four for JavaScript wait for the 101. Seen: gobwas/ws 1.5.0 and lxzan/gws 1.8.9
# fail as well, so of those for Go only coder/websocket 1.8.15, which uses net/http's client, connects. All four for
# JavaScript do.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
/101 ws connects
/101 undici connects
/101 faye-websocket connects
/101 websocket connects
/103-101 ws connects
/103-101 undici connects
/103-101 faye-websocket connects
/103-101 websocket connects
/101 gorilla/websocket connects
/101 coder/websocket connects
/101 gobwas/ws connects
/101 lxzan/gws connects
/101 x/net/websocket connects
/103-101 gorilla/websocket fails
/103-101 coder/websocket connects
/103-101 gobwas/ws fails
/103-101 lxzan/gws fails
/103-101 x/net/websocket fails
END
npm install --silent --no-fund --no-audit --prefix . ws@8.23.0 websocket@1.0.35 faye-websocket@0.11.4 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.5.0
	github.com/gorilla/websocket v1.5.3
	github.com/lxzan/gws v1.8.9
	golang.org/x/net v0.62.0
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"os"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	gws "github.com/lxzan/gws"
	xnet "golang.org/x/net/websocket"
)

func main() {
	for _, path := range []string{"/101", "/103-101"} {
		url := "ws://" + os.Args[1] + path
		tell := func(name string, err error) {
			if err != nil {
				fmt.Println(path, name, "fails")
				return
			}
			fmt.Println(path, name, "connects")
		}
		_, _, err := gorilla.DefaultDialer.Dial(url, nil)
		tell("gorilla/websocket", err)
		_, _, err = coder.Dial(context.Background(), url, nil)
		tell("coder/websocket", err)
		_, _, _, err = gobwas.Dial(context.Background(), url)
		tell("gobwas/ws", err)
		_, _, err = gws.NewClient(gws.BuiltinEventHandler{}, &gws.ClientOption{Addr: url})
		tell("lxzan/gws", err)
		_, err = xnet.Dial(url, "", "http://localhost/")
		tell("x/net/websocket", err)
	}
}
END
cat >main.mjs <<'END'
import net from 'node:net'
import { createHash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { WebSocket as Ws } from 'ws'
import websocket from 'websocket'
import faye from 'faye-websocket'
import { WebSocket as Undici } from 'undici'

const server = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', (data) => {
    const request = String(data)
    const key = /sec-websocket-key: *(\S+)/i.exec(request)[1]
    const accept = createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
    if (request.startsWith('GET /103-101 ')) socket.write('HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const at = `127.0.0.1:${server.address().port}`

const standard = (Socket) => (url) => new Promise((told) => {
  const socket = new Socket(url)
  socket.onopen = () => told('connects')
  socket.onerror = () => told('fails')
})
const clients = {
  ws: standard(Ws),
  undici: standard(Undici),
  'faye-websocket': standard(faye.Client),
  websocket: standard(websocket.w3cwebsocket),
}
for (const path of ['/101', '/103-101']) {
  for (const [name, connect] of Object.entries(clients)) console.log(path, name, await connect(`ws://${at}${path}`))
}
await once(spawn('./main', [at], { stdio: 'inherit' }), 'exit')
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
