package sidecar_test

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
)

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	nc, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// A request takes nothing from the heap once its connections exist, whether its fields go on in one piece, line by line, or with a body in chunks.
func TestRequestsTakeNoMemory(t *testing.T) {
	for _, row := range []struct{ reason, request, answer string }{
		{"as most are", "GET /a HTTP/1.1\r\nHost: app\r\nUser-Agent: test\r\nAccept-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello"},
		{"with a field that its sender has removed", "GET /a HTTP/1.1\r\nHost: app\r\nConnection: A\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length:5\r\n\r\nhello"},
		{"with a key, a body and a time", "POST /a HTTP/1.1\r\nHost: app\r\nIdempotency-Key: 1\r\nRequest-Timeout: 1000\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"in chunks", "POST /a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			up := &sidecar.Upstream{Name: "app", Addrs: []string{"app:80"}, DialContext: func(context.Context, string, string) (net.Conn, error) {
				proxys, nc := net.Pipe()
				go answerAll(nc, row.answer)
				return proxys, nil
			}}
			p := &sidecar.Proxy{Config: to(up)}
			l := make(pipes, 1)
			served := make(chan error, 1)
			go func() { served <- p.Serve(l) }()
			client, nc := net.Pipe()
			l <- nc
			got, request := make([]byte, 4096), []byte(row.request)
			_, body, _ := bytes.Cut([]byte(row.answer), endOfHead)
			exchange := func() {
				if _, err := client.Write(request); err != nil {
					t.Fatal(err)
				}
				for size := 0; ; {
					k, err := client.Read(got[size:])
					if err != nil {
						t.Fatal(err)
					}
					if size += k; ended(got[:size], body) {
						return
					}
				}
			}
			exchange()
			require.Zero(t, testing.AllocsPerRun(200, exchange))
			require.NoError(t, p.Close())
			close(l)
			require.ErrorIs(t, <-served, sidecar.ErrClosed)
		})
	}
}

var endOfHead = []byte("\r\n\r\n")

// ended reports whether an answer is whole, with a body that is known.
func ended(got, body []byte) bool {
	_, behind, whole := bytes.Cut(got, endOfHead)
	return whole && bytes.Equal(behind, body)
}

// answerAll answers each request, which comes in one piece or in two.
func answerAll(nc net.Conn, answer string) {
	buf, out := make([]byte, 4096), []byte(answer)
	defer nc.Close()
	for size := 0; ; {
		k, err := nc.Read(buf[size:])
		if err != nil {
			return
		}
		size += k
		_, body, whole := bytes.Cut(buf[:size], endOfHead)
		if !whole || buf[0] == 'P' && !bytes.HasSuffix(body, []byte("abc")) && !bytes.HasSuffix(body, []byte("0\r\n\r\n")) {
			continue
		}
		size = 0
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}
