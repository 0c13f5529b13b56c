package reqresp_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// serveRaw answers each request with these bytes and closes the connection. It counts the requests.
func serveRaw(t *testing.T, n *sim.Network, raw string) *atomic.Int64 {
	return serveConns(t, n, func(conn net.Conn, _ *http.Request) bool {
		io.WriteString(conn, raw)
		return false
	})
}

// serveConns calls answer for each request, and closes the connection when that returns false. It counts the requests.
func serveConns(t *testing.T, n *sim.Network, answer func(net.Conn, *http.Request) bool) *atomic.Int64 {
	l, err := n.Host("server").Listen("tcp", ":80")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	begun := &atomic.Int64{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				from := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(from)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body)
					begun.Add(1)
					if !answer(conn, r) {
						return
					}
				}
			}()
		}
	}()
	return begun
}
