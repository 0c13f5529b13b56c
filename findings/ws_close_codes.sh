#!/usr/bin/env bash
# The close codes 1012 (service restart), 1013 (try again later) and 1014 (bad gateway) are registered with IANA
# (WebSocket Close Code Number Registry; 1012 and 1013 since 2012). Servers that are redeployed send 1012.
#
# Guessed: of the servers tried only npm's websocket refuses one of them. Seen: it accepts them all, while gobwas/ws
# 1.5.0 and npm's faye-websocket 0.11.4 answer each with 1002, a protocol error, and gorilla/websocket 1.5.3 does so
# with 1014. npm's ws 8.23.0 echoes all.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
gobwas/ws 1.5.0: 1001>1001 1012>1002 1013>1002 1014>1002
gorilla/websocket 1.5.3: 1001>1001 1012>1012 1013>1013 1014>1002
faye-websocket 0.11.4: 1001>1001 1012>1002 1013>1002 1014>1002
ws 8.23.0: 1001>1001 1012>1012 1013>1013 1014>1014
END
npm install --silent --no-fund --no-audit --prefix . faye-websocket@0.11.4 ws@8.23.0 >log 2>&1 || { cat log; exit 1; }
cat >servers.mjs <<'END'
import http from 'node:http'
import Faye from 'faye-websocket'
import { WebSocketServer } from 'ws'

const faye = http.createServer()
faye.on('upgrade', (req, socket, head) => new Faye(req, socket, head).on('error', () => {}))
const ws = http.createServer()
new WebSocketServer({ server: ws }).on('connection', (s) => s.on('error', () => {}))
const port = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
console.log(await port(faye))
console.log(await port(ws))
process.stdin.on('end', () => process.exit(0)).resume()
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/gobwas/ws v1.5.0
	github.com/gorilla/websocket v1.5.3
)
END
cat >main.go <<'END'
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/gorilla/websocket"
)

// answer sends a close frame with a code, masked with zeros, and returns the code that comes back.
func answer(addr string, code uint16) uint16 {
	c, err := net.Dial("tcp", addr)
	must(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	must(err)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		panic(resp.Status)
	}
	c.Write(append([]byte{0x88, 0x82, 0, 0, 0, 0}, byte(code>>8), byte(code)))
	frame := make([]byte, 4)
	_, err = io.ReadFull(r, frame)
	must(err)
	return binary.BigEndian.Uint16(frame[2:])
}

func show(name, addr string) {
	fmt.Print(name, ":")
	for _, code := range []uint16{1001, 1012, 1013, 1014} {
		fmt.Printf(" %d>%d", code, answer(addr, code))
	}
	fmt.Println()
}

func serve(read func(w http.ResponseWriter, r *http.Request)) string {
	return httptest.NewServer(http.HandlerFunc(read)).Listener.Addr().String()
}

func main() {
	show("gobwas/ws 1.5.0", serve(func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		must(err)
		wsutil.ReadClientData(c)
		c.Close()
	}))
	show("gorilla/websocket 1.5.3", serve(func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		must(err)
		c.ReadMessage()
		c.Close()
	}))

	node := exec.Command("node", "servers.mjs")
	stdin, err := node.StdinPipe()
	must(err)
	out, err := node.StdoutPipe()
	must(err)
	must(node.Start())
	var faye, ws int
	_, err = fmt.Fscan(out, &faye, &ws)
	must(err)
	show("faye-websocket 0.11.4", fmt.Sprint("127.0.0.1:", faye))
	show("ws 8.23.0", fmt.Sprint("127.0.0.1:", ws))
	stdin.Close()
	node.Wait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >got
diff want got && cat got
