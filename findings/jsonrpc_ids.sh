#!/usr/bin/env bash
# A JSON-RPC 2.0 id is a string, a number or null, and the answer has the same id (sections 4 and 5): the caller uses it
# to find the call. JSON numbers have no limit, and many callers count from a time in nanoseconds, beyond 2^53.
# Fractions are discouraged, but not forbidden.
#
# Guessed: jsonrpc2 of golang.org/x/exp, sourcegraph/jsonrpc2 0.2.3, creachadair/jrpc2 1.3.6 and gorilla/rpc 1.2.0
# return every number unchanged. Seen: x/exp reads it as a float64. The answer to 2^53+1 then has the id 2^53, which
# belongs to another call, and the answer to 1.5 has the id 1. sourcegraph ends the connection, and with it all other
# calls, at a number that is not an int64 and at every batch.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
x/exp/jsonrpc2: 7 as 7; 9007199254740993 as 9007199254740992; 1.5 as 1; "a" as "a"
sourcegraph/jsonrpc2: 7 as 7; 9007199254740993 as 9007199254740993; 1.5: EOF; "a" as "a"
creachadair/jrpc2: 7 as 7; 9007199254740993 as 9007199254740993; 1.5 as 1.5; "a" as "a"
gorilla/rpc: 7 as 7; 9007199254740993 as 9007199254740993; 1.5 as 1.5; "a" as "a"
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/creachadair/jrpc2 v1.3.6
	github.com/gorilla/rpc v1.2.0
	github.com/sourcegraph/jsonrpc2 v0.2.3
	golang.org/x/exp/jsonrpc2 v0.0.0-20260709172345-9ea1abe57597
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/creachadair/jrpc2/handler"
	"github.com/gorilla/rpc/v2"
	"github.com/gorilla/rpc/v2/json2"
	"github.com/sourcegraph/jsonrpc2"
	exp "golang.org/x/exp/jsonrpc2"
)

// A Service has the method Echo, which all libraries serve, and which says yes.
type Service struct{}

func (Service) Echo(_ *http.Request, _ *struct{}, answer *bool) error { *answer = true; return nil }

// once accepts one connection.
type once chan net.Conn

func (o once) Accept(ctx context.Context) (io.ReadWriteCloser, error) {
	select {
	case c := <-o:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (o once) Close() error       { return nil }
func (o once) Dialer() exp.Dialer { return nil }

func main() {
	log.SetOutput(io.Discard)
	ctx := context.Background()
	gorilla := rpc.NewServer()
	gorilla.RegisterCodec(json2.NewCodec(), "application/json")
	if err := gorilla.RegisterService(Service{}, ""); err != nil {
		panic(err)
	}
	for _, library := range []struct {
		name  string
		serve func(net.Conn)
	}{
		{"x/exp/jsonrpc2", func(c net.Conn) {
			conns := make(once, 1)
			conns <- c
			exp.Serve(ctx, conns, exp.ConnectionOptions{Framer: exp.RawFramer(), Handler: exp.HandlerFunc(func(context.Context, *exp.Request) (any, error) { return true, nil })})
		}},
		{"sourcegraph/jsonrpc2", func(c net.Conn) {
			jsonrpc2.NewConn(ctx, jsonrpc2.NewPlainObjectStream(c), jsonrpc2.HandlerWithError(func(context.Context, *jsonrpc2.Conn, *jsonrpc2.Request) (any, error) { return true, nil }))
		}},
		{"creachadair/jrpc2", func(c net.Conn) {
			jrpc2.NewServer(handler.Map{"Service.Echo": handler.New(func(context.Context) bool { return true })}, nil).Start(channel.Line(c, c))
		}},
		{"gorilla/rpc", func(c net.Conn) {
			req := make([]byte, 1000)
			n, err := c.Read(req)
			if err != nil {
				panic(err)
			}
			r, err := http.NewRequest("POST", "/", strings.NewReader(string(req[:n])))
			if err != nil {
				panic(err)
			}
			r.Header.Set("Content-Type", "application/json")
			gorilla.ServeHTTP(writer{c}, r)
		}},
	} {
		var told []string
		for _, id := range []string{"7", "9007199254740993", "1.5", `"a"`} {
			client, server := net.Pipe()
			go library.serve(server)
			go fmt.Fprintf(client, `{"jsonrpc":"2.0","method":"Service.Echo","id":%s}`+"\n", id)
			var answer struct{ ID json.RawMessage }
			if err := json.NewDecoder(client).Decode(&answer); err != nil {
				told = append(told, fmt.Sprintf("%s: %v", id, err))
			} else {
				told = append(told, fmt.Sprintf("%s as %s", id, answer.ID))
			}
			client.Close()
		}
		fmt.Printf("%s: %s\n", library.name, strings.Join(told, "; "))
	}
}

// A writer is a ResponseWriter that writes the body alone.
type writer struct{ io.Writer }

func (writer) Header() http.Header { return http.Header{} }
func (writer) WriteHeader(int)     {}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
timeout 60 go run . >have
diff want have
cat have
