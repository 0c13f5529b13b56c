package sim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// oneWay sends a datagram of 100 bytes on the wire from one host to the other and
// returns how long it takes.
func oneWay(t *testing.T, n *sim.Network, from, to *sim.Host) time.Duration {
	t.Helper()
	pc, err := to.ListenPacket("udp", ":99")
	require.NoError(t, err)
	defer pc.Close()
	c, err := from.Dial("udp", to.Name()+":99")
	require.NoError(t, err)
	defer c.Close()
	time.Sleep(time.Microsecond) // away from other wake-ups
	start := n.Elapsed()
	_, err = c.Write(make([]byte, 72))
	require.NoError(t, err)
	pc.SetReadDeadline(in(time.Hour))
	_, _, err = pc.ReadFrom(make([]byte, 100))
	require.NoError(t, err)
	return n.Elapsed() - start
}

func TestDefaultLink(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		require.Zero(t, oneWay(t, n, n.Host("a"), n.Host("b")), "a perfect path")
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
		n.Link(a, b, netem.Config{Delay: 10 * ms})
		require.Equal(t, 10*ms, oneWay(t, n, a, b))
		require.Equal(t, 70*ms, oneWay(t, n, a, c))
		require.Equal(t, 70*ms, oneWay(t, n, c, b))
		require.Zero(t, oneWay(t, n, a, a), "loopback is no such path")
		n.Link(a, c, netem.Config{Delay: 20 * ms})
		require.Equal(t, 20*ms, oneWay(t, n, a, c), "a link takes its place")
	}, sim.DefaultLink(netem.Config{Delay: 70 * ms}))
}

// Packets take the path with the fewest links. Hosts do not forward.
func TestPacketsTakeTheShortestWay(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
		r1, r2, r3 := n.Router("r1"), n.Router("r2"), n.Router("r3")
		n.Link(a, c, netem.Config{Delay: ms})
		n.Link(c, b, netem.Config{Delay: ms})
		require.Zero(t, oneWay(t, n, a, b), "hosts do not forward: the default path")
		n.Link(a, r1, netem.Config{Delay: 10 * ms})
		n.Link(r1, r2, netem.Config{Delay: 20 * ms})
		n.Link(r2, b, netem.Config{Delay: 40 * ms})
		require.Equal(t, 70*ms, oneWay(t, n, a, b))
		require.Equal(t, 70*ms, oneWay(t, n, b, a))
		n.Link(a, r3, netem.Config{Delay: 300 * ms})
		n.Link(r3, b, netem.Config{Delay: 300 * ms})
		require.Equal(t, 600*ms, oneWay(t, n, a, b), "fewer links, though slower ones")
		n.Link(a, b, netem.Config{Delay: time.Second})
		require.Equal(t, time.Second, oneWay(t, n, a, b))
	})
}

// Two senders behind one link share its rate: 100 bytes take 100 ms at 8 kbit/s.
func TestRouterSharesABottleneck(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, server, edge := n.Host("a"), n.Host("b"), n.Host("server"), n.Router("edge")
		n.Link(a, edge, netem.Config{})
		n.Link(b, edge, netem.Config{})
		n.Link(edge, server, netem.Config{Rate: 8 * netem.Kbit, Delay: 5 * ms})
		pc, err := server.ListenPacket("udp", ":9")
		require.NoError(t, err)
		for _, h := range []*sim.Host{a, b} {
			c, err := h.Dial("udp", "server:9")
			require.NoError(t, err)
			for range 2 {
				c.Write(make([]byte, 72))
			}
		}
		var from string
		for _, want := range []time.Duration{105, 205, 305, 405} {
			_, addr, err := pc.ReadFrom(make([]byte, 100))
			require.NoError(t, err)
			require.Equal(t, want*ms, n.Elapsed())
			from += addr.(*net.UDPAddr).IP.String() + " "
		}
		require.Equal(t, "10.0.0.1 10.0.0.1 10.0.0.2 10.0.0.2 ", from)
		require.EqualValues(t, 4, stats(n, "edge", "server").Delivered)
		require.EqualValues(t, 2, stats(n, "a", "edge").Delivered)
	})
}

func stats(n *sim.Network, from, to string) sim.LinkStats {
	for _, l := range n.Stats().Links {
		if l.From == from && l.To == to {
			return l
		}
	}
	return sim.LinkStats{}
}

// A fault in the middle of a path affects only the traffic that passes there.
func TestLinkBetweenRouters(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		west, east := n.Router("west"), n.Router("east")
		n.Link(n.Host("a"), west, netem.Config{Delay: ms})
		n.Link(n.Host("b"), west, netem.Config{Delay: ms})
		n.Link(n.Host("c"), east, netem.Config{Delay: ms})
		sea := n.Link(west, east, netem.Config{Delay: 30 * ms})
		require.Equal(t, 32*ms, oneWay(t, n, n.Host("a"), n.Host("c")))
		sea.Down()
		require.Equal(t, "ab ba", reach(t, n, "abc"))
		sea.Up()
		sea.DownFrom(east)
		require.Equal(t, "ab ac ba bc", reach(t, n, "abc"))
		require.Empty(t, n.IdleFaults())
	})
}

// A host's access link is part of all its paths, up and down, but not of loopback.
func TestAccessLink(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone, server, other := n.Host("phone"), n.Host("server"), n.Host("other")
		link := n.Link(phone, server, netem.Config{Delay: 10 * ms})
		phone.Access(netem.Config{Delay: ms, Rate: 8 * netem.Kbit}, netem.Config{Delay: 2 * ms})
		require.Equal(t, 111*ms, oneWay(t, n, phone, server), "up: 100 bytes at 8 kbit/s, 1 ms, then the link")
		require.Equal(t, 12*ms, oneWay(t, n, server, phone))
		require.Equal(t, 101*ms, oneWay(t, n, phone, other), "before the default path")
		require.Zero(t, oneWay(t, n, phone, phone))
		require.Zero(t, oneWay(t, n, server, other))
		other.Access(netem.Config{Delay: 4 * ms}, netem.Config{Delay: 5 * ms})
		require.Equal(t, 106*ms, oneWay(t, n, phone, other), "both ends have one")

		// The order: up first, then the links, down last.
		link.Hold()
		for from, to := range map[*sim.Host]string{phone: "server:9", server: "phone:9"} {
			c, err := from.Dial("udp", to)
			require.NoError(t, err)
			c.Write([]byte{1})
		}
		up, down := stats(n, "phone", "(access of phone)"), stats(n, "(access of phone)", "phone")
		settle()
		require.Equal(t, up.Delivered+1, stats(n, "phone", "(access of phone)").Delivered)
		require.Equal(t, down.Sent, stats(n, "(access of phone)", "phone").Sent)

		phone.Access(netem.Config{}, netem.Config{})
		require.Equal(t, 5*ms, oneWay(t, n, phone, other), "a second call changes it")
	})
}

// The MSS follows the smallest MTU of the path.
func TestSegmentsFitTheSmallestMTU(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
		n.Link(a, r, netem.Config{MTU: 9000})
		n.Link(r, b, netem.Config{MTU: 600, Delay: ms})
		accept(listen(t, b, ":7"), echo)
		c := dial(t, a, "b:7")
		_, err := c.Write(make([]byte, 5000))
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 5000))
		require.NoError(t, err)
		largest := 0
		for e := range n.Trace().Events() {
			if e.Protocol == "tcp" {
				largest = max(largest, e.Size)
			}
		}
		require.Equal(t, 600, largest)
		require.Zero(t, stats(n, "r", "b").TooLarge)
	})
}

// WithTCP sets the configuration of every host, and SetTCP that of one. Established connections keep theirs.
func TestTCPConfig(t *testing.T) {
	giveUp := func(t *testing.T, n *sim.Network, h *sim.Host) time.Duration {
		t.Helper()
		start := n.Elapsed()
		_, err := h.DialContext(context.Background(), "tcp", "nowhere:7")
		require.ErrorContains(t, err, "connection timed out")
		return n.Elapsed() - start
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Host("nowhere").PowerOff()
		require.Equal(t, time.Second, giveUp(t, n, a), "one SYN and no repetition")
		b.SetTCP(sim.TCPConfig{SynRetries: 1, SynLinearTimeouts: -1})
		require.Equal(t, 3*time.Second, giveUp(t, n, b), "one repetition, after 1 s, and 2 s more")
		require.Equal(t, time.Second, giveUp(t, n, a))
		b.SetTCP(sim.TCPConfig{})
		require.Equal(t, 131*time.Second, giveUp(t, n, b), "Linux's defaults")
	}, sim.WithTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1}))
}

// A link that many paths share loses different packets of each, even if hosts dial one server from the same port.
func TestPathsDrawApartOnWhatTheyShare(t *testing.T) {
	for _, shared := range []string{"a link between routers", "the server's access link"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			const hosts, packets = 40, 50
			hub, far, server := n.Router("hub"), n.Router("far"), n.Host("server")
			lossy := netem.Config{Loss: netem.Bernoulli(0.3)}
			if shared == "the server's access link" {
				server.Access(netem.Config{}, lossy)
				n.Link(hub, far, netem.Config{})
			} else {
				n.Link(hub, far, lossy)
			}
			n.Link(far, server, netem.Config{})
			pc, err := server.ListenPacket("udp", ":9")
			require.NoError(t, err)
			require.NoError(t, pc.(*sim.UDPConn).SetReadBuffer(hosts*packets*832))
			ports := map[int]bool{}
			for i := range hosts {
				h := n.Host(fmt.Sprint("h", i))
				n.Link(h, hub, netem.Config{})
				c, err := h.Dial("udp", "server:9")
				require.NoError(t, err)
				ports[c.LocalAddr().(*net.UDPAddr).Port] = true
				for j := range packets {
					c.Write([]byte{byte(i), byte(j)})
				}
			}
			require.Len(t, ports, 1)

			arrived, all := map[byte]string{}, 0
			for p := make([]byte, 2); ; all++ {
				pc.SetReadDeadline(in(time.Second))
				if _, _, err := pc.ReadFrom(p); err != nil {
					break
				}
				arrived[p[0]] += fmt.Sprint(p[1], " ")
			}
			alike := map[string]bool{}
			for _, which := range arrived {
				alike[which] = true
			}
			require.Len(t, alike, hosts, shared)
			require.InDelta(t, 0.7*hosts*packets, all, 5*20.5, "5 standard deviations of sqrt(2000 * 0.7 * 0.3) = 20.5")
		})
	}
}
