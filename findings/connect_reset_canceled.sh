#!/usr/bin/env bash
# A Connect client gives each error a code. "canceled" means that somebody cancelled the call, usually its caller. A
# connection that breaks is "unavailable", the code that allows a retry (connectrpc.com/docs/protocol, "Error codes").
#
# Guessed: connect-go reports "unavailable" if the server's kernel resets the connection during a call. Seen: connect-go
# 1.21.1 reports "canceled", although nobody cancelled. The check that tells a handler that its client has gone is also
# applied to the client's errors (isClientDisconnected in error.go). For a connection that is closed it reports
# "unavailable".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
connect-go 1.21.1: closed unavailable, reset canceled
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	connectrpc.com/connect v1.21.1
	google.golang.org/protobuf v1.36.12
)
END
cat >main.go <<'END'
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
)

// call has a server read a call and end its connection, and returns the code that the caller gets.
func call(reset bool) connect.Code {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		http.ReadRequest(bufio.NewReader(c))
		if reset {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}()
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](http.DefaultClient, "http://"+l.Addr().String()+"/a.B/C")
	_, err = client.CallUnary(context.Background(), connect.NewRequest(&emptypb.Empty{}))
	return connect.CodeOf(err)
}

func main() {
	fmt.Printf("connect-go 1.21.1: closed %v, reset %v\n", call(false), call(true))
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >got
diff want got && cat got
