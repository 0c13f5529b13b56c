package sidecar_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// Fields of a request, and the lines in which a replica gets them. What is for one hop is removed (RFC 9110, section 7.6.1), and nothing else is changed or added.
var requestFields = []struct{ reason, sent, passed string }{
	{"fields keep their order and spelling", "b: 1\r\nX-oDD: 2\r\nb: 3\r\n", "b: 1\r\nX-oDD: 2\r\nb: 3\r\n"},
	{"where others have been, and by whom asked, is theirs to say", "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: y\r\nX-Forwarded-Proto: https\r\nVia: 1.1 z\r\n",
		"Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: y\r\nX-Forwarded-Proto: https\r\nVia: 1.1 z\r\n"},
	{"what Connection names", "A: 1\r\nConnection: keep-alive, a\r\nB: 2\r\na: 3\r\n", "B: 2\r\n"},
	{"... in several lines", "A: 1\r\nConnection: a\r\nB: 2\r\nConnection: , b\r\nC: 3\r\n", "C: 3\r\n"},
	{"... though it is not there", "Connection: a\r\nB: 2\r\n", "B: 2\r\n"},
	{"the sender's own X-Forwarded-For, if it says so", "Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n", ""},
	{"fields of a hop that Connection does not name", "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nProxy-Authenticate: Basic\r\nA: 1\r\n", "A: 1\r\n"},
	{"more of them than most have", strings.Repeat("Keep-Alive: timeout=5\r\nA: 1\r\n", 10), strings.Repeat("A: 1\r\n", 10)},
	{"TE of this hop", "TE: gzip;q=0.5\r\n", ""},
	{"TE for the other end", "TE: gzip;q=0.5, Trailers\r\n", "TE: trailers\r\n"},
	{"... and Connection names it, as it should", "Connection: TE\r\nTE: trailers\r\n", "TE: trailers\r\n"},
	{"an upgrade", "Connection: Upgrade, a\r\nA: 1\r\nUpgrade: x/1\r\n", "Upgrade: x/1\r\nConnection: Upgrade\r\n"},
	{"an upgrade that Connection does not name", "Upgrade: x/1\r\n", ""},
	{"which trailers come", "Trailer: Sum\r\n", "Trailer: Sum\r\n"},
}

func TestFieldsInFront(t *testing.T) {
	for _, row := range requestFields {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				var seen string
				replies(t, n, "HTTP/1.1 204 No Content\r\n\r\n", &seen)
				got := exchange(t, serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))}), "GET / HTTP/1.1\r\nHost: x\r\n"+row.sent+"\r\n")
				require.Equal(t, "HTTP/1.1 204 No Content\r\n\r\n", got)
				require.Equal(t, "GET / HTTP/1.1\r\nHost: x\r\n"+row.passed+"\r\n", seen)
			})
		})
	}
}

// Targets, and as what a replica gets them, with the Host (RFC 9112, section 3.2).
func TestTargetsInFront(t *testing.T) {
	for _, row := range []struct{ sent, passed string }{
		{"GET /a?b", "GET /a?b HTTP/1.1\r\nHost: x\r\n"},
		{"GET //a", "GET //a HTTP/1.1\r\nHost: x\r\n"},
		{"GET /http://y/z", "GET /http://y/z HTTP/1.1\r\nHost: x\r\n"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n"},
		{"GET http://y:8080/z", "GET /z HTTP/1.1\r\nHost: y:8080\r\n"},
		{"GET http://[::1]:8080/z?q=http://a/", "GET /z?q=http://a/ HTTP/1.1\r\nHost: [::1]:8080\r\n"},
		{"GET http://y", "GET / HTTP/1.1\r\nHost: y\r\n"},
		{"GET http://y?q", "GET /?q HTTP/1.1\r\nHost: y\r\n"},
		{"OPTIONS http://y", "OPTIONS * HTTP/1.1\r\nHost: y\r\n"},
		{"OPTIONS http://y/", "OPTIONS / HTTP/1.1\r\nHost: y\r\n"},
	} {
		t.Run(row.sent, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				var seen string
				replies(t, n, "HTTP/1.1 204 No Content\r\n\r\n", &seen)
				got := exchange(t, serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))}), row.sent+" HTTP/1.1\r\nHost: x\r\n\r\n")
				require.Equal(t, "HTTP/1.1 204 No Content\r\n\r\n", got)
				require.Equal(t, row.passed+"\r\n", seen)
			})
		})
	}
}

func TestFieldsBehind(t *testing.T) {
	for _, row := range []struct{ reason, sent, passed string }{
		{"fields keep their order and spelling", "b: 1\r\nX-oDD: 2\r\nb: 3\r\nVia: 1.1 z\r\n", "b: 1\r\nX-oDD: 2\r\nb: 3\r\nVia: 1.1 z\r\n"},
		{"what Connection names", "A: 1\r\nConnection: close, a\r\nB: 2\r\na: 3\r\n", "B: 2\r\n"},
		{"fields of a hop that Connection does not name", "Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authenticate: Basic\r\nA: 1\r\n", "A: 1\r\n"},
		{"an upgrade that is offered", "Connection: upgrade\r\nUpgrade: x/1\r\nA: 1\r\n", "A: 1\r\n"},
		{"a cookie for each line", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				replies(t, n, "HTTP/1.1 204 No Content\r\n"+row.sent+"\r\n", new(string))
				got := exchange(t, serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))}), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				require.Equal(t, "HTTP/1.1 204 No Content\r\n"+row.passed+"\r\n", got)
			})
		})
	}
}

// An answer that lasts until its connection ends is whole if that ends in order, and else is not: nothing but the end of the client's own can tell it so.
func TestAnswerUntilTheConnectionIsReset(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		for _, reset := range []bool{false, true} {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				config := to(upstream(n, "app"))
				l, err := n.Host("app").Listen("tcp", ":8080")
				require.NoError(t, err)
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Read(make([]byte, 1000))
					io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nabc")
					time.Sleep(100 * ms)
					if reset {
						conn.(*sim.TCPConn).SetLinger(0)
					}
					conn.Close()
				}()
				conn, err := serve(n, &sidecar.Proxy{Config: config}).Dial("tcp", "proxy:80")
				require.NoError(t, err)
				defer conn.Close()
				io.WriteString(conn, "GET / HTTP/"+version+"\r\nHost: x\r\nConnection: close\r\n\r\n")
				all, err := io.ReadAll(conn)
				got := string(all)
				require.Contains(t, got, "abc")
				if version == "1.1" {
					require.NoError(t, err)
					require.Equal(t, !reset, strings.HasSuffix(got, "\r\n0\r\n\r\n"), "the last chunk: %q", got)
				} else {
					require.Equal(t, reset, err != nil, "%v", err)
				}
			})
		}
	}
}

// replies has the replica of the upstream "app" answer each connection's first request, whose bytes are seen, and close.
func replies(t *testing.T, n *sim.Network, answer string, seen *string) {
	l, err := n.Host("app").Listen("tcp", ":8080")
	require.NoError(t, err)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				defer conn.Close()
				buf := make([]byte, 10_000)
				k, _ := conn.Read(buf)
				*seen = string(buf[:k])
				io.WriteString(conn, answer)
			}(conn)
		}
	}()
}
