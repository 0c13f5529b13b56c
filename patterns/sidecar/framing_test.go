package sidecar_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// Requests that a server of net/http (1.26) takes for something, and what the proxy makes of them. One that could be read in two ways is refused before any of it
// goes on, since a replica that reads it in the other way would take its rest for a request of somebody's (RFC 9112, section 11.2).
var framings = []struct {
	reason, request string
	status          int    // that the client gets
	seen            string // by the replica; empty: nothing
}{
	{"plain", "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /a?b x []"},
	{"a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200, "POST / x [abc]"},
	{"chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, "POST / x [abc]"},
	{"a coding in upper case", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, "POST / x [a]"},
	{"extensions of chunks are dropped", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;q=\"x\"\r\na\r\n0;y\r\n\r\n", 200, "POST / x [a]"},
	{"a body of GET", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", 200, "GET / x [a]"},
	{"the absolute form, whose host counts", "GET http://y/z HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /z y []"},
	{"the absolute form without a path", "GET http://y?q HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /?q y []"},
	{"methods are case-sensitive", "get / HTTP/1.1\r\nHost: x\r\n\r\n", 200, "get / x []"},
	{"a later version of HTTP/1", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 200, "GET / x []"},
	{"HTTP/1.0 without a Host", "GET / HTTP/1.0\r\n\r\n", 200, "GET / app []"},
	{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 200, "GET /  []"},
	{"empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET / x []"},
	{"queries with semicolons stay", "GET /?a;b=%00&c HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /?a;b=%00&c x []"},

	{"two lengths that are equal", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, ""},
	{"two lengths that differ", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, ""},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", 400, ""},
	{"a length with a sign", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400, ""},
	{"an empty length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400, ""},
	{"a length beyond 63 bits", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n", 400, ""},
	{"a length and chunks", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
	{"chunks and a length", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400, ""},
	{"chunks of HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
	{"another coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, ""},
	{"identity", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501, ""},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501, ""},
	{"a vertical tab before the coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, ""},
	{"lines that end with LF", "GET / HTTP/1.1\nHost: x\n\n", 400, ""},
	{"one line that does", "GET / HTTP/1.1\r\nA: b\nHost: x\r\n\r\n", 400, ""},
	{"one line that does, before the head is whole", "GET / HTTP/1.1\r\nA: b\nHost: x\r\n", 400, ""},
	{"a folded field", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, ""},
	{"a blank before the colon", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\na", 400, ""},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", 400, ""},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, ""},
	{"the absolute form without a host", "GET http:///z HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"the absolute form with a user", "GET http://u@y/z HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"the absolute form with two hosts", "GET http://y,z/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"a target that is none", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"an authority as a target", "GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"a Host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, ""},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400, ""},
	{"CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400, ""},
	{"LF first", "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"CR first", "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"a blank in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	{"no version", "GET /\r\nHost: x\r\n\r\n", 400, ""},
	{"HTTP/2 in words", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, ""},
	{"a length that the sender has removed", "POST / HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\na", 400, ""},
	{"a key that the sender has removed", "POST / HTTP/1.1\r\nHost: x\r\nConnection: Idempotency-Key\r\nIdempotency-Key: 1\r\n\r\n", 400, ""},
	{"CONNECT", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 501, ""},
	{"an unknown expectation", "GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", 417, ""},
	{"a head beyond MaxHeaderBytes", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431, ""},
}

func TestFramingInFront(t *testing.T) {
	for _, row := range framings {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				var seen []string
				app(n, "app", func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					seen = append(seen, fmt.Sprintf("%s %s %s [%s]", r.Method, r.RequestURI, r.Host, body))
				})
				client := serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))})

				got := exchange(t, client, row.request)

				require.True(t, strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", row.status)), got)
				if row.seen == "" {
					require.Empty(t, seen)
					require.Contains(t, got, "Connection: close\r\n")
				} else {
					require.Equal(t, []string{row.seen}, seen)
				}
			})
		})
	}
}

// What a client offers to speak after an Upgrade is passed on, but for HTTP/2, in which requests would go past the proxy.
func TestUpgradeToHTTP2IsNotPassedOn(t *testing.T) {
	for _, row := range []struct {
		upgrade string
		passed  bool
	}{{"echo", true}, {"h2c", false}, {"H2C", false}, {"echo, h2c", false}, {"h2c\r\nUpgrade: echo", false}, {"echo\r\nUpgrade: h2c", false}, {" ", false}} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			var seen http.Header
			app(n, "app", func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
			client := serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))})

			got := exchange(t, client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "+row.upgrade+"\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")

			require.True(t, strings.HasPrefix(got, "HTTP/1.1 200 "), got)
			require.Equal(t, row.passed, seen.Get("Upgrade") == row.upgrade, "%v", seen)
			require.Equal(t, row.passed, seen.Get("Connection") == "Upgrade", "%v", seen)
			require.Empty(t, seen.Get("HTTP2-Settings"))
		})
	}
}

// An empty line behind a body is no part of a request: the connection is idle, for as long as it may be.
func TestEmptyLineBehindABody(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		app(n, "app", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
		conn, err := serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))}).Dial("tcp", "proxy:80")
		require.NoError(t, err)
		defer conn.Close()
		in := bufio.NewReader(conn)
		for range 2 {
			for _, piece := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", "\r", "\n"} {
				io.WriteString(conn, piece)
				time.Sleep(100 * ms)
			}
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			time.Sleep(time.Minute) // of the 3 min of IdleTimeout; a head has 10 s
		}
	})
}

// Bodies that are malformed or too short. The replica has had the head, and must not take what came for all.
func TestBrokenBodyInFront(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	for reason, request := range map[string]string{
		"LF behind a size":        head + "1\na\r\n0\r\n\r\n",
		"LF behind an extension":  head + "1;x\na\r\n0\r\n\r\n",
		"a size in C":             head + "0x1\r\na\r\n0\r\n\r\n",
		"a size that is none":     head + "\r\n",
		"a negative size":         head + "-1\r\na\r\n0\r\n\r\n",
		"a size beyond 60 bits":   head + "1000000000000000\r\na",
		"no CR LF behind a chunk": head + "1\r\nab0\r\n\r\n",
		"LF behind a chunk":       head + "1\r\na\n0\r\n\r\n",
		"a length as a trailer":   head + "0\r\nContent-Length: 1\r\n\r\n",
		"a key as a trailer":      head + "0\r\nIdempotency-Key: 1\r\n\r\n",
		"a line without end":      head + "1;" + strings.Repeat("a", 300),
		"trailers without end":    head + "0\r\n" + strings.Repeat("A: b\r\n", 20_000),
	} {
		t.Run(reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				whole := false
				app(n, "app", func(w http.ResponseWriter, r *http.Request) {
					_, err := io.ReadAll(r.Body)
					whole = err == nil
				})
				client := serve(n, &sidecar.Proxy{Config: to(upstream(n, "app"))})
				got := exchange(t, client, request)
				require.False(t, whole)
				require.Regexp(t, "^HTTP/1.1 4(00|31) ", got)
				require.Contains(t, got, "http_request_error")
			})
		})
	}
}

// Answers as a replica may give them, and what the client gets: the answer, 502, or a body that breaks off.
func TestFramingBehind(t *testing.T) {
	for _, row := range []struct {
		reason, answer string
		status         int
		body           string
		broken         bool // the body ends too early, which the client sees
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "abc", false},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc", 200, "abc", false},
		{"no reason", "HTTP/1.1 204\r\n\r\n", 204, "", false},
		{"a status that nobody knows", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", 799, "", false},
		{"not modified, with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", false},
		{"a length that is not met", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 200, "abc", true},
		{"chunks without the last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, "abc", true},
		{"chunks whose end is cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 200, "abc", true},
		{"a chunk that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n", 200, "abc", true},
		{"no status line", "hello\r\n\r\n", 502, "", false},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", 502, "", false},
		{"a status that is no number", "HTTP/1.1 2xx OK\r\n\r\n", 502, "", false},
		{"a head that is cut", "HTTP/1.1 200 OK\r\nContent-Le", 502, "", false},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 502, "", false},
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "", false},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", 502, "", false},
		{"a folded field", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", 502, "", false},
		{"no protocol that it changes to", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n", 502, "", false},
		{"a protocol that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502, "", false},
		{"a head without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 70<<10), 502, "", false},
		{"early answers without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 3000), 502, "", false},
		{"nothing", "", 502, "", false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				up := upstream(n, "app")
				up.MaxAttempts = 1
				l, err := n.Host("app").Listen("tcp", ":8080")
				require.NoError(t, err)
				go func() {
					for {
						conn, err := l.Accept()
						if err != nil {
							return
						}
						conn.Read(make([]byte, 1000))
						io.WriteString(conn, row.answer)
						conn.Close()
					}
				}()
				client := serve(n, &sidecar.Proxy{Config: to(up)})

				start := time.Now()
				resp, err := client.HTTPClient().Get("http://proxy/")
				require.NoError(t, err)
				defer resp.Body.Close()
				require.Equal(t, row.status, resp.StatusCode)
				body, err := io.ReadAll(resp.Body)
				if row.status == 502 {
					require.Equal(t, "unknown", resp.Header.Get("Call-Outcome"))
					require.Regexp(t, "sidecar; error=(http_protocol_error|connection_terminated)", resp.Header.Get("Proxy-Status"))
				} else {
					require.Equal(t, row.body, string(body))
					require.Equal(t, row.broken, err != nil, err)
				}
				// Both connections and the request there and back, and at most the windows' growth for what is large.
				require.Less(t, time.Since(start), 200*ms)
			})
		})
	}
}
