package reqresp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// What net/http sends again by itself when a connection that it has used before dies, for Go 1.26 and 1.27, and that a
// Client has it send nothing again that may have been begun.
func TestWhatNetHTTPRepeats(t *testing.T) {
	plain := func() io.Reader { return struct{ io.Reader }{strings.NewReader("x")} } // which cannot be rewound
	for _, row := range []struct {
		reason string
		method string
		body   io.Reader
		key    []string // nil: no header
		again  bool
	}{
		{"GET", "GET", nil, nil, true},
		{"HEAD", "HEAD", nil, nil, true},
		{"OPTIONS", "OPTIONS", nil, nil, true},
		{"TRACE", "TRACE", nil, nil, true},
		{"PUT, although it is idempotent", "PUT", nil, nil, false},
		{"DELETE, although it is idempotent", "DELETE", nil, nil, false},
		{"PATCH", "PATCH", nil, nil, false},
		{"POST", "POST", nil, nil, false},
		{"QUERY, although it is safe", "QUERY", nil, nil, false},
		{"POST with a key", "POST", nil, []string{"k"}, true},
		{"POST with a key and a body that can be had again", "POST", strings.NewReader("x"), []string{"k"}, true},
		{"POST with a key and one that cannot", "POST", plain(), []string{"k"}, false},
		{"POST with an empty key", "POST", nil, []string{""}, true},
		{"POST with an empty list of keys", "POST", nil, []string{}, true},
		{"GET with a body that cannot be had again", "GET", plain(), nil, false},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			begun := serveConns(t, n, func(conn net.Conn, r *http.Request) bool {
				if r.URL.Path == "/warm" {
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
				return r.URL.Path == "/warm"
			})
			c := n.Host("phone").HTTPClient()
			warm := func() {
				resp, err := c.Get("http://server/warm")
				require.NoError(t, err)
				resp.Body.Close()
			}
			warm()
			begun.Store(0)
			req, err := http.NewRequest(row.method, "http://server/", row.body)
			require.NoError(t, err)
			if row.key != nil {
				req.Header["Idempotency-Key"] = row.key
			}
			_, err = c.Do(req)
			require.Error(t, err, "a fresh connection that dies ends it")
			want := int64(1)
			if row.again {
				want = 2
			}
			require.Equal(t, want, begun.Load(), row.reason)

			// The same by a Client that makes one attempt.
			own := &reqresp.Client{URL: "http://server", HTTP: c, MaxAttempts: 1}
			_, err = own.Call(t.Context(), reqresp.Request{Path: "/warm"})
			require.NoError(t, err)
			begun.Store(0)
			r := reqresp.Request{Method: row.method}
			if len(row.key) > 0 {
				r.Key = "k"
			}
			if row.body != nil {
				r.Body = []byte("x")
			}
			_, err = own.Call(t.Context(), r)
			require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
			require.EqualValues(t, 1, begun.Load(), row.reason)
		})
	}
}

// There is no count: one request is begun once for each dead connection, and once more. A Client has it begun as often
// as it says.
func TestNetHTTPRepeatsWithoutLimit(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		release := make(chan struct{})
		begun := serveConns(t, n, func(conn net.Conn, r *http.Request) bool {
			if r.URL.Path == "/warm" {
				<-release
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
			return r.URL.Path == "/warm"
		})
		c := n.Host("phone").HTTPClient()
		c.Transport.(*http.Transport).MaxIdleConnsPerHost = 20
		pool := func() {
			done := make(chan struct{})
			release = make(chan struct{})
			for range 20 {
				go func() {
					defer func() { done <- struct{}{} }()
					if resp, err := c.Get("http://server/warm"); err == nil {
						resp.Body.Close()
					}
				}()
			}
			retry.Sleep(t.Context(), ms)
			close(release)
			for range 20 {
				<-done
			}
			retry.Sleep(t.Context(), ms)
			begun.Store(0)
		}
		pool()
		_, err := c.Get("http://server/")
		require.Error(t, err)
		require.EqualValues(t, 21, begun.Load())

		pool()
		own := &reqresp.Client{URL: "http://server", HTTP: c, Jitter: retry.NoJitter}
		_, err = own.Call(t.Context(), reqresp.Request{})
		require.Error(t, err)
		require.EqualValues(t, 3, begun.Load())
	}, sim.MayDiffer("twenty requests at one instant"))
}

// How much time is left is told when there is a connection, over HTTP/2 as well.
func TestTimeIsToldWhenThereIsAConnection(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			s := &scripted{}
			c := s.serve(n, statuses(200))
			tr := c.HTTP.Transport.(*http.Transport)
			if h2 {
				tr.Protocols = new(http.Protocols)
				tr.Protocols.SetUnencryptedHTTP2(true)
			}
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				retry.Sleep(ctx, 3*sec)
				return dial(ctx, network, addr)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*sec)
			defer cancel()
			ours := 0 // what the caller traces is traced still
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { ours++ }})
			c.Margin = 500 * ms
			_, err := c.Call(ctx, reqresp.Request{})
			require.NoError(t, err)
			s.mu.Lock()
			defer s.mu.Unlock()
			require.Equal(t, []string{"1500"}, s.heads[0][reqresp.HeaderTimeout], "HTTP/2: %v", h2)
			require.Equal(t, 1, ours)
		}, sim.MayDiffer("the frames of HTTP/2"))
	}
}
