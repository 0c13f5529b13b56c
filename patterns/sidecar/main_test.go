package sidecar_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// hop is the way from the client to the proxy, and from there to a replica.
var hop = netem.Config{Delay: 10 * ms}

// upstream is one with replicas on hosts of these names, port 8080, as a proxy on a host of the name "proxy" calls it. Delays have their longest values.
func upstream(n *sim.Network, replicas ...string) *sidecar.Upstream {
	proxy := n.Host("proxy")
	up := &sidecar.Upstream{Name: "app", DialContext: proxy.DialContext, Jitter: retry.NoJitter, Balance: sidecar.RoundRobin}
	for _, r := range replicas {
		n.Link(proxy, n.Host(r), hop)
		up.Addrs = append(up.Addrs, r+":8080")
	}
	return up
}

func to(up *sidecar.Upstream) sidecar.Config {
	return sidecar.Config{Routes: []sidecar.Route{{Upstream: up}}}
}

// serve serves a proxy on port 80 of the host "proxy", to which the host "client" has a link.
func serve(n *sim.Network, p *sidecar.Proxy) (client *sim.Host) {
	client = n.Host("client")
	n.Link(client, n.Host("proxy"), hop)
	run(n.Host("proxy"), p)
	return client
}

// run serves a proxy on port 80 of a host.
func run(h *sim.Host, p *sidecar.Proxy) {
	h.Run("proxy", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { p.Close() })()
		p.Serve(l)
		p.Close()
		return nil
	})
	time.Sleep(1)
}

// app serves HTTP on port 8080 of a host.
func app(n *sim.Network, host string, f http.HandlerFunc) { n.Host(host).ServeHTTP(":8080", f) }

// exchange sends raw bytes, and returns all that comes until the end of the connection, for a second at most.
func exchange(t *testing.T, h *sim.Host, request string) string {
	t.Helper()
	conn, err := h.Dial("tcp", "proxy:80")
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	return readFor(conn, time.Second)
}

func readFor(conn net.Conn, d time.Duration) string {
	conn.SetReadDeadline(time.Now().Add(d))
	got, _ := io.ReadAll(conn)
	return string(got)
}
