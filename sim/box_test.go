package sim_test

import (
	"errors"
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

// masquerade puts a box between two hosts, 10 ms from each.
func masquerade(n *sim.Network, idle time.Duration) (client, server *sim.Host, r *sim.Router, m *sim.Masquerade) {
	client, server, r = n.Host("client"), n.Host("server"), n.Router("nat")
	n.Link(client, r, netem.Config{Delay: 10 * ms})
	n.Link(r, server, netem.Config{Delay: 10 * ms})
	return client, server, r, sim.NewMasquerade(r, int64(idle))
}

func TestABoxRewritesInBothDirections(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r, _ := masquerade(n, time.Hour)
		l := listen(t, server, ":7")
		accept(l, func(c net.Conn) {
			io.WriteString(c, c.RemoteAddr().String()+"\n")
			io.Copy(c, c)
			c.Close()
		})
		c := dial(t, client, "server:7")
		require.Equal(t, 40*ms, n.Elapsed(), "two links there and back")
		sent := strings.Repeat("0123456789", 10_000)
		go func() {
			io.WriteString(c, sent)
			c.(*sim.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, r.Address().String()+":50000\n"+sent, string(got), "the server sees the router's address")
		require.Contains(t, n.Trace().String(), "sent nat:50000 > server:7 [S]", "the router is who sends what it changed")

		pc, err := server.ListenPacket("udp", ":9")
		require.NoError(t, err)
		u, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		u.Write([]byte("ping"))
		p := make([]byte, 10)
		_, from, err := pc.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, r.Address().String()+":50001", from.String())
		pc.WriteTo([]byte("pong"), from)
		k, err := u.Read(p)
		require.NoError(t, err)
		require.Equal(t, "pong", string(p[:k]))
	})
}

// Losses on the far side of a box are drawn anew for each packet, and what its flow says of them is counted once.
func TestDrawsBehindABoxGoOn(t *testing.T) {
	fates := ""
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("nat")
		n.Link(client, r, netem.Config{})
		n.Link(r, server, netem.Config{Loss: netem.Bernoulli(0.5)})
		sim.NewMasquerade(r, int64(time.Hour))
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

func TestABoxAnswersAndForgets(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r, m := masquerade(n, 10*time.Second) // less than keep-alive takes
		accept(listen(t, server, ":7"), echo)

		_, err := server.Dial("tcp", r.Address().String()+":80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "RST of the router's own")
		require.Equal(t, 20*ms, n.Elapsed())
		u, err := server.Dial("udp", r.Address().String()+":80")
		require.NoError(t, err)
		u.Write([]byte("x"))
		_, err = u.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "ICMP")

		c := dial(t, client, "server:7")
		roundTrip(t, c)
		time.Sleep(9 * time.Second)
		roundTrip(t, c)
		require.Equal(t, "[]", m.Gone(), "traffic sets the timer anew")
		time.Sleep(11 * time.Second)
		require.Contains(t, m.Gone(), c.LocalAddr().String())

		_, err = client.Dial("tcp", "server:81")
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the server's RST comes back through the box")
	})
}

// What a link behind the box tells by ICMP finds its way to the sender.
func TestICMPComesBackThroughABox(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("nat")
		n.Link(client, r, netem.Config{Delay: 10 * ms})
		n.Link(r, server, netem.Config{Delay: 10 * ms, MTU: 1000})
		sim.NewMasquerade(r, int64(time.Hour))
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
		sim.NewMasquerade(r, 1)
		require.PanicsWithValue(t, `sim: router "nat" is a middlebox already; use a router for each`, func() { sim.NewMasquerade(r, 1) })
	})
}

// roundTrip says a byte and waits for its echo.
func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
}
