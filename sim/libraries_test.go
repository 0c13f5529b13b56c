package sim_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The libraries in this file run unmodified. Each must work on a healthy network, through an outage of 30 s that its
// connections survive, and through a crash that breaks them.

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "hello over "+r.Proto)
})

// weather puts a library through all of this.
func weather(t *testing.T, do func(t *testing.T, n *sim.Network, server, phone *sim.Host) func() (string, error), want string) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(server, phone, netem.Config{Delay: 40 * ms})
		request := do(t, n, server, phone)
		for range 3 {
			got, err := request()
			require.NoError(t, err)
			require.Equal(t, want, got)
			time.Sleep(time.Second)
		}

		dials := connections(n)
		start := n.Elapsed()
		link.Down()
		n.After(30*time.Second, link.Up)
		got, err := request()
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Greater(t, n.Elapsed(), start+30*time.Second)
		require.Less(t, n.Elapsed(), start+70*time.Second, "the next retransmission comes after twice the outage at the latest")
		require.Equal(t, dials, connections(n), "the connection survived")

		// A crash resets the open connections. The next request, or the one after it, opens a new one.
		server.Restart()
		time.Sleep(time.Second)
		if got, err = request(); err != nil {
			got, err = request()
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Greater(t, connections(n), dials)
		require.Empty(t, n.IdleFaults())
	})
}

func body(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestHTTP1(t *testing.T) {
	weather(t, func(t *testing.T, n *sim.Network, server, phone *sim.Host) func() (string, error) {
		server.ServeHTTP(":80", hello)
		c := phone.HTTPClient()
		return func() (string, error) { return body(c.Get("http://server/")) }
	}, "hello over HTTP/1.1")
}

func TestHTTP2WithoutTLS(t *testing.T) {
	mayDiffer(t, http2Races)
	weather(t, func(t *testing.T, n *sim.Network, server, phone *sim.Host) func() (string, error) {
		server.ServeHTTP(":80", hello)
		c := phone.HTTPClient()
		tr := c.Transport.(*http.Transport)
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
		return func() (string, error) { return body(c.Get("http://server/")) }
	}, "hello over HTTP/2.0")
}

func TestTLS(t *testing.T) {
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(proto, func(t *testing.T) {
			if h2 {
				mayDiffer(t, http2Races)
			}
			weather(t, func(t *testing.T, n *sim.Network, server, phone *sim.Host) func() (string, error) {
				server.Run("https", func(ctx context.Context, h *sim.Host) error {
					l, err := h.Listen("tcp", ":443")
					if err != nil {
						return err
					}
					srv := &http.Server{Handler: hello, TLSConfig: &tls.Config{Certificates: []tls.Certificate{server.Certificate()}}}
					srv.ServeTLS(l, "", "")
					return nil
				})
				c := phone.HTTPClient()
				tr := c.Transport.(*http.Transport)
				tr.TLSClientConfig = &tls.Config{RootCAs: n.Roots()}
				tr.ForceAttemptHTTP2 = h2
				return func() (string, error) { return body(c.Get("https://server/")) }
			}, "hello over "+proto)
		})
	}
}

func TestTLSRefusesAWrongName(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		cert, roots := n.Host("other").Certificate(), n.Roots()
		accept(listen(t, n.Host("server"), ":443"), func(c net.Conn) {
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		})
		c := tls.Client(dial(t, n.Host("phone"), "server:443"), &tls.Config{RootCAs: roots, ServerName: "server"})
		var wrong x509.HostnameError
		require.ErrorAs(t, c.Handshake(), &wrong)
	})
}

func TestReverseProxy(t *testing.T) {
	weather(t, func(t *testing.T, n *sim.Network, server, phone *sim.Host) func() (string, error) {
		app := n.Host("app")
		n.Link(server, app, netem.Config{Delay: ms})
		app.ServeHTTP(":8080", hello)
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "app:8080"})
		p.Transport = server.HTTPClient().Transport
		server.ServeHTTP(":80", p)
		c := phone.HTTPClient()
		return func() (string, error) { return body(c.Get("http://server/")) }
	}, "hello over HTTP/1.1")
}

// echoSocket is a WebSocket server that sends back what it reads.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1000)
	for {
		kind, p, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		if ws.Write(r.Context(), kind, p) != nil {
			return
		}
	}
}

func dialSocket(t *testing.T, phone *sim.Host) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://server/", &websocket.DialOptions{HTTPClient: phone.HTTPClient()})
	require.NoError(t, err)
	return ws
}

func TestWebSocket(t *testing.T) {
	weather(t, func(t *testing.T, n *sim.Network, server, phone *sim.Host) func() (string, error) {
		server.ServeHTTP(":80", http.HandlerFunc(echoSocket))
		var ws *websocket.Conn
		t.Cleanup(func() { ws.CloseNow() })
		return func() (string, error) {
			if ws == nil {
				ws = dialSocket(t, phone)
			}
			err := ws.Write(t.Context(), websocket.MessageText, []byte("news"))
			if err == nil {
				var p []byte
				if _, p, err = ws.Read(t.Context()); err == nil {
					return string(p), nil
				}
			}
			ws.CloseNow()
			ws = nil
			return "", err
		}
	}, "news")
}

func TestWebSocketEnds(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(server, phone, netem.Config{Delay: 40 * ms})
		server.ServeHTTP(":80", http.HandlerFunc(echoSocket))

		ws := dialSocket(t, phone)
		start := n.Elapsed()
		require.NoError(t, ws.Close(websocket.StatusNormalClosure, "bye"))
		require.Equal(t, start+80*ms, n.Elapsed().Truncate(ms), "the closing handshake takes a round trip")

		ws = dialSocket(t, phone)
		require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", 1001))))
		_, _, err := ws.Read(t.Context())
		require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))

		ws = dialSocket(t, phone)
		n.After(time.Second, server.Crash)
		_, _, err = ws.Read(t.Context())
		require.ErrorIs(t, err, syscall.ECONNRESET)
		ws.CloseNow()
	})
}
