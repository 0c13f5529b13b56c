#!/usr/bin/env bash
# An endpoint that has sent everything may close its direction of a TCP connection and wait for the answer: the other
# direction goes on (RFC 9293, 3.6). Protocols whose request ends with the stream do this, and so does `nc -N`.
#
# Guessed: inetaf/tcpproxy and Shopify/toxiproxy 2.5.0, which tests put between client and server, close both
# directions with the first one, and elazarl/goproxy 1.9.4 passes the close on. Seen: tcpproxy passes it on too, in
# its version of May 2026. Toxiproxy, without a single toxic, delivers the whole request to the server, and the client
# gets the end of the stream instead of an answer.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
no proxy: server read 5 bytes, client read "an answer"
tcpproxy: server read 5 bytes, client read "an answer"
goproxy: server read 5 bytes, client read "an answer"
toxiproxy: server read 5 bytes, client read ""
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/Shopify/toxiproxy/v2 v2.5.0
	github.com/elazarl/goproxy v1.9.4
	github.com/inetaf/tcpproxy v0.0.0-20260515195445-c159a6051109
)
END
cat >main.go <<'END'
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/elazarl/goproxy"
	"github.com/inetaf/tcpproxy"
	"github.com/rs/zerolog"
)

func main() {
	server := listen()
	read := make(chan int)
	go func() { // answers, half a second after its client has sent all
		for {
			conn, err := server.Accept()
			must(err)
			request, err := io.ReadAll(conn)
			must(err)
			time.Sleep(500 * time.Millisecond)
			io.WriteString(conn, "an answer") // an error where nobody reads any more
			conn.Close()
			read <- len(request)
		}
	}()
	at := server.Addr().String()
	ask := func(name string, conn net.Conn) {
		_, err := io.WriteString(conn, "hello")
		must(err)
		must(conn.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(conn)
		must(err)
		fmt.Printf("%s: server read %d bytes, client read %q\n", name, <-read, answer)
	}
	ask("no proxy", dial(at))

	var one tcpproxy.Proxy
	front := listen()
	one.ListenFunc = func(string, string) (net.Listener, error) { return front, nil }
	one.AddRoute("any", tcpproxy.To(at))
	must(one.Start())
	ask("tcpproxy", dial(front.Addr().String()))

	tunnels := listen()
	go http.Serve(tunnels, goproxy.NewProxyHttpServer())
	conn := dial(tunnels.Addr().String())
	fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", at)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"})
	must(err)
	if res.StatusCode != 200 {
		panic(res.Status)
	}
	ask("goproxy", conn)

	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "any", "127.0.0.1:0", at)
	must(proxy.Start())
	ask("toxiproxy", dial(proxy.Listen))
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	return l
}

func dial(addr string) net.Conn {
	conn, err := net.Dial("tcp", addr)
	must(err)
	return conn
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 ./main >have
diff want have
cat have
