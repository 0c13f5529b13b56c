#!/usr/bin/env bash
# A field that is a list may come in several lines, which mean the same as one line with commas (RFC 9110, 5.3). So
# "Connection: keep-alive" followed by "Connection: Upgrade" asks for an upgrade. Proxies that add a line of their own
# send that.
#
# Guessed: servers for Go accept it, because net/http has parsed the lines. Seen: gobwas/ws 1.5.0, lxzan/gws 1.8.9 and
# golang.org/x/net/websocket 0.62.0 answer 400, because they look only at the first line. gorilla/websocket 1.5.3 and
# coder/websocket 1.8.15 accept it. All five accept both words in one line.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
coder/websocket 1.8.15: one line 101, two lines 101
gobwas/ws 1.5.0: one line 101, two lines 400
gorilla/websocket 1.5.3: one line 101, two lines 101
lxzan/gws 1.8.9: one line 101, two lines 400
x/net/websocket 0.62.0: one line 101, two lines 400
END
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
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
	xnet "golang.org/x/net/websocket"
)

func status(addr, connection string) int {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nOrigin: http://%[1]s\r\n%sUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr, connection)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		panic(err)
	}
	return resp.StatusCode
}

func main() {
	for _, server := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"coder/websocket 1.8.15", func(w http.ResponseWriter, r *http.Request) { coder.Accept(w, r, nil) }},
		{"gobwas/ws 1.5.0", func(w http.ResponseWriter, r *http.Request) { ws.UpgradeHTTP(r, w) }},
		{"gorilla/websocket 1.5.3", func(w http.ResponseWriter, r *http.Request) { (&gorilla.Upgrader{}).Upgrade(w, r, nil) }},
		{"lxzan/gws 1.8.9", func(w http.ResponseWriter, r *http.Request) {
			gws.NewUpgrader(&gws.BuiltinEventHandler{}, nil).Upgrade(w, r)
		}},
		{"x/net/websocket 0.62.0", xnet.Handler(func(c *xnet.Conn) {}).ServeHTTP},
	} {
		addr := httptest.NewServer(server.handler).Listener.Addr().String()
		one := status(addr, "Connection: keep-alive, Upgrade\r\n")
		two := status(addr, "Connection: keep-alive\r\nConnection: Upgrade\r\n")
		fmt.Printf("%s: one line %d, two lines %d\n", server.name, one, two)
	}
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . 2>errors >got || { cat errors; exit 1; }
diff want got && cat got
