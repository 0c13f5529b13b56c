package sim

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/conntrack"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Unless the box is liberal, a segment that does not fit its connection is not forwarded to the other end but treated
// as a stray.
func TestSegmentsThatDoNotFitTheirConnection(t *testing.T) {
	const why = "does not fit its connection at box"
	for _, c := range []struct {
		name string
		box  func(r *Router, client *Host) *tracker
		from string
		want map[string]int // how often packets ended, by the reason
		rst  int            // from the box
	}{
		{"firewall", func(r *Router, _ *Host) *tracker { return r.Firewall(Tracking{}).memory() }, "client", map[string]int{why: 1}, 0},
		{"firewall, from the server", func(r *Router, _ *Host) *tracker { return r.Firewall(Tracking{}).memory() }, "server", map[string]int{why: 1}, 0},
		{"firewall that answers", func(r *Router, _ *Host) *tracker { return r.Firewall(Tracking{Stray: StrayReset}).memory() }, "client", map[string]int{why: 1}, 1},
		{"firewall, liberal", func(r *Router, _ *Host) *tracker { return r.Firewall(Tracking{Liberal: true}).memory() }, "client", map[string]int{}, 0},
		{"NAT", func(r *Router, client *Host) *tracker { return r.NAT(NATConfig{}, client).memory() }, "client", map[string]int{why: 1}, 0},
		{"NAT, liberal", func(r *Router, client *Host) *tracker {
			return r.NAT(NATConfig{Tracking: Tracking{Liberal: true}}, client).memory()
		}, "client", map[string]int{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			Test(t, func(t *testing.T, n *Network) {
				k, _ := openBehind(t, n, c.box)
				time.Sleep(time.Second)
				n.do(func() {
					n.newTimer(func(now int64) { sendStrange(n, k, now, c.from == "client", tcp.ACK) }).set(n.now())
				})
				time.Sleep(time.Second)
				got, resets := map[string]int{}, 0
				for e := range n.Trace().Events() {
					if e.Kind == Dropped {
						got[e.Note]++
					}
					if e.Kind == Sent && strings.Contains(e.Flags, "R") {
						resets++
					}
				}
				require.Equal(t, c.want, got)
				require.Equal(t, c.rst, resets)
				stats := get(n, func() TrackingStats { return k.stats })
				require.Equal(t, c.want[why], stats.Strays)
				require.Equal(t, 1, stats.Open)
			})
		})
	}
}

// An open connection that both sides end with sequence numbers that the box does not accept is forgotten after 300 s
// instead of 120 h.
func TestAConnectionThatEndsOutOfTheWindowIsForgotten(t *testing.T) {
	for _, ends := range []bool{true, false} {
		Test(t, func(t *testing.T, n *Network) {
			k, c := openBehind(t, n, func(r *Router, _ *Host) *tracker { return r.Firewall(Tracking{}).memory() })
			c.Write([]byte{1}) // the box knows that it is open when that is acknowledged
			time.Sleep(time.Second)
			n.do(func() {
				first := n.newTimer(func(now int64) { sendStrange(n, k, now, true, tcp.FIN|tcp.ACK) })
				second := n.newTimer(func(now int64) { sendStrange(n, k, now, !ends, tcp.RST|tcp.ACK) })
				first.set(n.now())
				second.set(n.now() + int64(time.Second))
			})
			time.Sleep(305 * time.Second)
			stats := get(n, func() TrackingStats { return k.stats })
			require.Equal(t, !ends, stats.Open == 1)
			require.Equal(t, 2, stats.Strays)
		}, WithTCP(TCPConfig{KeepAlive: TCPKeepAlive{Off: true}}))
	}
}

// openBehind has a client open a connection to a server through a box.
func openBehind(t *testing.T, n *Network, box func(r *Router, client *Host) *tracker) (*tracker, net.Conn) {
	client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
	n.Link(client, r, netem.Config{Delay: 10 * time.Millisecond})
	n.Link(r, server, netem.Config{Delay: 10 * time.Millisecond})
	k := box(r, client)
	l, err := server.Listen("tcp", ":7")
	require.NoError(t, err)
	c, err := client.Dial("tcp", "server:7")
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	return k, c
}

// sendStrange sends a segment of a connection that the box knows, which acknowledges data that nobody has sent.
func sendStrange(n *Network, k *tracker, now int64, client bool, flags tcp.Flags) {
	sendOwn(n, k, now, client, func(s *tcp.Segment) { s.Flags, s.Ack = flags, 1_000_000 })
}

// sendOwn sends a segment of the connection that a box knows, which begins as one with the first byte.
func sendOwn(n *Network, k *tracker, now int64, client bool, change func(s *tcp.Segment)) {
	for _, c := range k.known {
		way := c.answer
		if client {
			way = c.ask
		}
		h, _ := c.Heard(client)
		s := n.pool.segments.get()
		s.Flags, s.Seq, s.Ack, s.ISS, s.IRS, s.Window = tcp.ACK, 1, 1, h.ISS, h.IRS, 1000
		change(s)
		host := k.at(way.from)
		f := host.flowTo(protoTCP, way.from, way.to)
		pkt := n.pool.packet(f, protoTCP, way.from, way.to)
		pkt.seg, pkt.size = s, s.Size()
		host.send(now, pkt, f)
		return
	}
}

// Linux puts a segment together before it looks at it (nf_defrag_ipv4), so that one in fragments is one: a FIN behind data counts once, and
// is not followed by another.
func TestSegmentsInFragmentsAreFollowedOnce(t *testing.T) {
	Test(t, func(t *testing.T, n *Network) {
		client, server, narrow, box := n.Host("client"), n.Host("server"), n.Router("narrow"), n.Router("box")
		n.Link(client, narrow, netem.Config{Delay: time.Millisecond})
		n.Link(narrow, box, netem.Config{Delay: time.Millisecond, MTU: 300}) // below net.ipv4.route.min_pmtu, so that segments are cut
		n.Link(box, server, netem.Config{Delay: time.Millisecond})
		k := box.Firewall(Tracking{}).memory()
		l, err := server.Listen("tcp", ":7")
		require.NoError(t, err)
		c, err := client.Dial("tcp", "server:7")
		require.NoError(t, err)
		_, err = l.Accept()
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = c.Write(make([]byte, 5000))
		require.NoError(t, err)
		time.Sleep(time.Second) // the client knows the path now: 500 bytes in a segment
		_, err = c.Write(make([]byte, 40_000))
		require.NoError(t, err)
		require.NoError(t, c.(*TCPConn).CloseWrite())

		for pieces := 0; pieces < 2; { // until both have come, before they are acknowledged
			require.Less(t, n.Elapsed(), 3*time.Second, "the FIN came in no fragments")
			time.Sleep(100 * time.Microsecond)
			pieces = 0
			for e := range n.Trace().Events() {
				if e.Kind == Delivered && strings.Contains(e.Flags, "F") {
					require.LessOrEqual(t, e.Size, 300)
					pieces++
				}
			}
		}
		n.do(func() {
			require.Len(t, k.known, 2) // one connection, by either direction
			for _, c := range k.known {
				require.Equal(t, conntrack.FinWait, c.State())
			}
		})
	})
}
