package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// quic-go and its HTTP/3 over the network's UDP. They take any net.PacketConn whose
// addresses are *net.UDPAddr.

// idleTimeout is what both sides of quic-go have by default.
const idleTimeout = 30 * time.Second

// certificates returns the TLS configurations of a server and its clients. They are those of a
// network of their own, for many tests share them.
func certificates(t *testing.T, protocols ...string) (server, client *tls.Config) {
	t.Helper()
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		server = &tls.Config{Certificates: []tls.Certificate{n.Host("server").Certificate()}, NextProtos: protocols}
		client = &tls.Config{RootCAs: n.Roots(), ServerName: "server", NextProtos: protocols}
		return nil
	}))
	return server, client
}

// serveHTTP3 serves HTTP/3 on h.
func serveHTTP3(h *sim.Host, conf *tls.Config, handler http.Handler) {
	h.Run("http3", func(ctx context.Context, h *sim.Host) error {
		pc, err := h.ListenPacket("udp", ":443")
		if err != nil {
			return err
		}
		s := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(conf)}
		defer context.AfterFunc(ctx, func() {
			s.Close()
			pc.Close()
		})()
		s.Serve(pc)
		return nil
	})
}

// http3Client returns a client of HTTP/3 on h.
func http3Client(t *testing.T, h, server *sim.Host, conf *tls.Config) *http.Client {
	t.Helper()
	pc, err := h.ListenPacket("udp", ":0")
	require.NoError(t, err)
	q := &quic.Transport{Conn: pc}
	tr := &http3.Transport{
		TLSClientConfig: conf,
		Dial: func(ctx context.Context, addr string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			return q.DialEarly(ctx, https(server), tlsConf, conf)
		},
	}
	t.Cleanup(func() {
		tr.Close()
		q.Close()
		pc.Close()
	})
	return &http.Client{Transport: tr}
}

func https(h *sim.Host) *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.Addr(), 443))
}

func get(t *testing.T, c *http.Client, url string) []byte {
	t.Helper()
	b, err := tryGet(c, url)
	require.NoError(t, err)
	return b
}

func tryGet(c *http.Client, url string) ([]byte, error) {
	resp, err := c.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello over "+r.Proto) })

// The first answer takes a round trip for each handshake and one for itself, in every
// version of HTTP, and the second answer one.
func TestFirstAnswer(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	for _, row := range []struct {
		proto, reason string
		roundTrips    time.Duration
		client        func(t *testing.T, server, phone *sim.Host) *http.Client
	}{
		{"HTTP/2.0", "TCP's handshake, that of TLS 1.3, and the request", 3, func(t *testing.T, server, phone *sim.Host) *http.Client {
			server.Run("https", func(ctx context.Context, h *sim.Host) error {
				l, err := h.Listen("tcp", ":443")
				if err != nil {
					return err
				}
				defer context.AfterFunc(ctx, func() { l.Close() })()
				return (&http.Server{Handler: hello, TLSConfig: serverTLS}).ServeTLS(l, "", "")
			})
			c := phone.HTTPClient()
			c.Transport.(*http.Transport).TLSClientConfig = clientTLS
			return c
		}},
		{"HTTP/3.0", "QUIC has both handshakes in one (RFC 9001 section 4.1)", 2, func(t *testing.T, server, phone *sim.Host) *http.Client {
			serveHTTP3(server, serverTLS, hello)
			return http3Client(t, phone, server, clientTLS)
		}},
	} {
		t.Run(row.proto, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				n.Link(server, phone, netem.Config{Delay: transit})
				c := row.client(t, server, phone)
				time.Sleep(time.Second) // it listens
				start := n.Elapsed()
				require.Equal(t, "hello over "+row.proto, string(get(t, c, "https://server/")))
				require.Equal(t, row.roundTrips*2*transit, (n.Elapsed() - start).Truncate(ms), row.reason)
				time.Sleep(time.Second)
				start = n.Elapsed()
				get(t, c, "https://server/")
				require.Equal(t, 2*transit, (n.Elapsed() - start).Truncate(ms))
			})
		})
	}
}

// What is lost is sent again, and what arrives is what was sent.
func TestHTTP3OverBadLinks(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 16_000)
	serverTLS, clientTLS := certificates(t)
	for _, row := range []struct {
		name, reason string
		link         netem.Config
	}{
		{"1 percent loss", "every second window of packets has a hole", netem.Config{Delay: transit, Loss: netem.Bernoulli(0.01)}},
		{"10 percent loss", "handshakes and acknowledgements are lost too", netem.Config{Delay: transit, Loss: netem.Bernoulli(0.1)}},
		{"jitter that reorders", "QUIC numbers packets, and must not take a late one for a lost one twice", netem.Config{Delay: transit, Jitter: transit / 2}},
		{"duplicates", "a packet number counts once", netem.Config{Delay: transit, Duplicate: 0.2}},
		{"corruption", "a packet that does not authenticate is dropped, or the UDP checksum drops it before", netem.Config{Delay: transit, Corrupt: 0.05}},
		{"10 Mbit/s, 50 packets", "a queue that overflows is the usual cause of loss", netem.Config{Delay: transit, Rate: 10 * netem.Mbit, Queue: netem.DropTail{Packets: 50}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				n.Link(server, phone, row.link)
				serveHTTP3(server, serverTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(want) }))
				c := http3Client(t, phone, server, clientTLS)
				for range 5 {
					require.True(t, bytes.Equal(want, get(t, c, "https://server/")), row.reason)
				}
			})
		})
	}
}

// A connection outlives an outage that is shorter than its idle timeout. A longer one
// ends it, the timeout after the request at the latest (RFC 9000 section 10.1), and the
// next request begins anew.
func TestHTTP3ThroughOutages(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	for _, row := range []struct {
		name     string
		outage   time.Duration
		survives bool
	}{
		{"shorter than the idle timeout", idleTimeout / 2, true},
		{"longer", 2 * idleTimeout, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				link := n.Link(server, phone, netem.Config{Delay: transit})
				serveHTTP3(server, serverTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }))
				c := http3Client(t, phone, server, clientTLS)
				get(t, c, "https://server/")
				time.Sleep(time.Second)

				start := n.Elapsed()
				link.Down()
				n.After(row.outage, link.Up)
				_, err := tryGet(c, "https://server/")
				took := n.Elapsed() - start
				if row.survives {
					require.NoError(t, err)
					require.Greater(t, took, row.outage)
					require.Less(t, took, 2*row.outage+time.Second, "probes come at twice the time each (RFC 9002 section 6.2)")
					return
				}
				var idle *quic.IdleTimeoutError
				require.ErrorAs(t, err, &idle)
				require.Equal(t, idleTimeout, took.Truncate(ms))
				time.Sleep(start + row.outage - n.Elapsed() + ms)
				start = n.Elapsed()
				get(t, c, "https://server/")
				require.Equal(t, 4*transit, (n.Elapsed() - start).Truncate(ms), "a handshake and the request")
			})
		})
	}
}

// The network's UDP has no descriptor, so that quic-go cannot forbid fragmentation, and
// leaves the size of its packets as it is: MTU discovery (RFC 8899) is off. So is ECN.
func TestQUICWithoutDescriptorKeepsItsPacketSize(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(server, phone, netem.Config{Delay: transit})
		serveHTTP3(server, serverTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) }))
		c := http3Client(t, phone, server, clientTLS)
		for range 3 {
			get(t, c, "https://server/")
		}
		largest := 0
		for e := range n.Trace().Events() {
			if e.Kind == sim.Sent {
				largest = max(largest, e.Size)
			}
		}
		require.Equal(t, 1280+8+20, largest, "quic-go's initial size, and the headers of UDP and IP")
	})
}

// A client that moves to another socket takes its connection along (RFC 9000 section 9).
func TestQUICMigrates(t *testing.T) {
	serverTLS, clientTLS := certificates(t, "echo")
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(server, phone, netem.Config{Delay: transit})
		open := func(h *sim.Host, addr string) *quic.Transport {
			pc, err := h.ListenPacket("udp", addr)
			require.NoError(t, err)
			tr := &quic.Transport{Conn: pc}
			t.Cleanup(func() {
				tr.Close()
				pc.Close()
			})
			return tr
		}
		l, err := open(server, ":443").Listen(serverTLS, nil)
		require.NoError(t, err)
		accepted := make(chan *quic.Conn, 1)
		go func() {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			accepted <- c
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			io.Copy(s, s)
			s.Close()
		}()
		c, err := open(phone, ":1000").Dial(t.Context(), https(server), clientTLS, nil)
		require.NoError(t, err)
		s, err := c.OpenStreamSync(t.Context())
		require.NoError(t, err)
		echo := func(text string) {
			_, err := io.WriteString(s, text)
			require.NoError(t, err)
			got := make([]byte, len(text))
			_, err = io.ReadFull(s, got)
			require.NoError(t, err)
			require.Equal(t, text, string(got))
		}
		echo("from the first socket")
		peer := <-accepted
		require.Equal(t, 1000, peer.RemoteAddr().(*net.UDPAddr).Port)

		path, err := c.AddPath(open(phone, ":2000"))
		require.NoError(t, err)
		start := n.Elapsed()
		require.NoError(t, path.Probe(t.Context()))
		require.Equal(t, 2*transit, (n.Elapsed() - start).Truncate(ms), "a path is validated in a round trip")
		require.NoError(t, path.Switch())
		echo("from the second socket")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 2000, peer.RemoteAddr().(*net.UDPAddr).Port)
		require.NoError(t, c.CloseWithError(0, ""))
		<-peer.Context().Done()
	})
}
