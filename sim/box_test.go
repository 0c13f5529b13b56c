package sim_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// behindNAT links a client to a NAT and the NAT to a server, 10 ms each. Neither host sends keep-alive probes.
func behindNAT(n *sim.Network, cfg sim.NATConfig) (client, server *sim.Host, nat *sim.NAT) {
	client, server, r := n.Host("client"), n.Host("server"), n.Router("nat")
	n.Link(client, r, netem.Config{Delay: 10 * ms})
	n.Link(r, server, netem.Config{Delay: 10 * ms})
	silent(client, server)
	return client, server, r.NAT(cfg, client)
}

// silent turns off keep-alive probes on hosts.
func silent(hosts ...*sim.Host) {
	for _, h := range hosts {
		h.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
	}
}

func TestNATRewritesInBothDirections(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, _ := behindNAT(n, sim.NATConfig{})
		accept(listen(t, server, ":7"), func(c net.Conn) {
			io.WriteString(c, c.RemoteAddr().String()+"\n")
			io.Copy(c, c)
			c.Close()
		})
		public := n.Router("nat").Addr()
		c := dial(t, client, "server:7")
		require.Equal(t, 40*ms, n.Elapsed(), "two links there and back")
		sent := strings.Repeat("0123456789", 10_000)
		go func() {
			io.WriteString(c, sent)
			c.(*sim.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		port := c.LocalAddr().(*net.TCPAddr).Port
		require.Equal(t, fmt.Sprintf("%v:%d\n", public, port)+sent, string(got), "the server sees the NAT's address and the client's port")
		require.Contains(t, n.Trace().String(), fmt.Sprintf("sent nat:%d > server:7 [S]", port), "the router is who sends what it changed")

		pc, err := server.ListenPacket("udp", ":9")
		require.NoError(t, err)
		u, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		u.Write([]byte("ping"))
		p := make([]byte, 10)
		_, from, err := pc.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%v:%d", public, u.LocalAddr().(*net.UDPAddr).Port), from.String())
		pc.WriteTo([]byte("pong"), from)
		k, err := u.Read(p)
		require.NoError(t, err)
		require.Equal(t, "pong", string(p[:k]))
	})
}

// A link on the far side of a box decides on the loss of each packet separately, although the box keeps a flow for all of them.
func TestDrawsBehindABoxGoOn(t *testing.T) {
	fates := ""
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("nat")
		n.Link(client, r, netem.Config{})
		n.Link(r, server, netem.Config{Loss: netem.Bernoulli(0.5)})
		r.NAT(sim.NATConfig{}, client)
		_, err := server.ListenPacket("udp", ":9")
		require.NoError(t, err)
		u, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		for range 64 {
			u.Write([]byte("x"))
			time.Sleep(ms)
		}
		for e := range n.Trace().Events() {
			switch {
			case e.Kind == sim.Dropped:
				fates += "x"
			case e.Kind == sim.Delivered && e.To == "server":
				fates += "."
			}
		}
	})
	require.Len(t, fates, 64)
	lost := strings.Count(fates, "x")
	require.True(t, lost > 16 && lost < 48, "half of 64: %s", fates)
}

// An ICMP message from beyond the box finds its way to the sender behind the box.
func TestICMPComesBackThroughABox(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("nat")
		n.Link(client, r, netem.Config{Delay: 10 * ms})
		n.Link(r, server, netem.Config{Delay: 10 * ms, MTU: 1000})
		r.NAT(sim.NATConfig{}, client)
		accept(listen(t, server, ":7"), echo)
		c := dial(t, client, "server:7")
		start := n.Elapsed()
		c.Write(make([]byte, 3000))
		_, err := io.ReadFull(c, make([]byte, 3000))
		require.NoError(t, err)
		require.Less(t, n.Elapsed()-start, 200*ms, "the path's MTU is learned, and not a timeout waited for")

		u, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		u.Write([]byte("nobody"))
		_, err = u.Read(make([]byte, 1))
		require.True(t, errors.Is(err, syscall.ECONNREFUSED), "%v", err)
	})
}

func TestARouterHasOneBox(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		r := n.Router("nat")
		require.False(t, r.Addr().IsValid(), "a router that only forwards has no address")
		r.NAT(sim.NATConfig{}, n.Host("client"))
		require.Equal(t, "198.18.0.1", r.Addr().String())
		require.PanicsWithValue(t, `sim: router "nat" is a middlebox already; use a router for each`, func() { r.Firewall(sim.Tracking{}) })
	})
}

// roundTrip writes a byte and waits for its echo.
func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
}
