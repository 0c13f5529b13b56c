package sim

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// fragmentsBehind has a box between two hosts, 10 ms from each. The client sends 3000 bytes by UDP through it, in fragments of 1480, 1480 and 48.
type fragmentsBehind struct {
	n      *Network
	r      *Router
	in     *Link
	out    *Link
	client *Host
	server net.PacketConn
	c      net.Conn
}

func newFragmentsBehind(t *testing.T, n *Network, network string, in, out int, box func(r *Router, client *Host)) fragmentsBehind {
	client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
	f := fragmentsBehind{n: n, r: r, client: client}
	f.in = n.Link(client, r, netem.Config{Delay: 10 * time.Millisecond, MTU: in})
	f.out = n.Link(r, server, netem.Config{Delay: 10 * time.Millisecond, MTU: out})
	box(r, client)
	var err error
	f.server, err = server.ListenPacket(network, ":9")
	require.NoError(t, err)
	f.c, err = client.Dial(network, "server:9")
	require.NoError(t, err)
	return f
}

func (f fragmentsBehind) send() {
	f.c.Write(make([]byte, 3000))
	time.Sleep(2 * time.Minute)
}

// what returns the time, size and note of each event in the trace that has the given kind and, unless to is empty, that receiver.
func (f fragmentsBehind) what(kind EventKind, to string) (at []time.Duration, sizes []int, notes []string) {
	for e := range f.n.Trace().Events() {
		if e.Kind == kind && (to == "" || e.To == to) {
			at, sizes, notes = append(at, e.At), append(sizes, e.Size), append(notes, e.Note)
		}
	}
	return at, sizes, notes
}

// A box reassembles a datagram before it looks at it, as Linux does (nf_defrag_ipv4). It then forwards the fragments as they arrived, or fragments the
// datagram anew if one of them is too big for the next link (ip_do_fragment). Seen on Linux 6.18 between two tun devices, for fragments in any order.
func TestABoxPutsFragmentsTogether(t *testing.T) {
	const ms = time.Millisecond
	firewall := func(r *Router, _ *Host) { r.Firewall(Tracking{}) }
	for _, row := range []struct {
		name  string
		box   func(r *Router, client *Host)
		in    int // MTUs
		out   int
		fault func(f fragmentsBehind) *Fault
		at    []time.Duration // arrival at the server
		sizes []int
		why   string        // if it does not arrive
		when  time.Duration // it is given up
	}{
		{"as they come", firewall, 1500, 1500, nil, []time.Duration{20 * ms, 20 * ms, 20 * ms}, []int{1500, 1500, 68}, "", 0},
		{"the first one late", firewall, 1500, 1500, func(f fragmentsBehind) *Fault { return Delay(f.in, Packets{Nth: 1}, 5*ms) },
			[]time.Duration{25 * ms, 25 * ms, 25 * ms}, []int{1500, 1500, 68}, "", 0},
		{"the second one twice", firewall, 1500, 1500, func(f fragmentsBehind) *Fault { return Duplicate(f.in, Packets{Nth: 2}) },
			[]time.Duration{20 * ms, 20 * ms, 20 * ms}, []int{1500, 1500, 68}, "fragment arrived before at box", 10 * ms},
		{"NAT", func(r *Router, client *Host) { r.NAT(NATConfig{}, client) }, 1500, 1500, func(f fragmentsBehind) *Fault { return Delay(f.in, Packets{Nth: 2}, 5*ms) },
			[]time.Duration{25 * ms, 25 * ms, 25 * ms}, []int{1500, 1500, 68}, "", 0},
		// 3008 bytes are five times 552 and 248. A router that is not a box would cut each fragment: twice into 552 + 552 + 376, and 48.
		{"a narrower link", firewall, 1500, 576, nil, []time.Duration{20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms}, []int{572, 572, 572, 572, 572, 268}, "", 0},
		{"a wider link", firewall, 576, 1500, nil, []time.Duration{20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms}, []int{572, 572, 572, 572, 572, 268}, "", 0},
		{"the first one lost", firewall, 1500, 1500, func(f fragmentsBehind) *Fault { return Drop(f.in, Packets{Nth: 1}) }, nil, nil, "fragments missing at box", 30_010 * ms},
		{"the last one lost", firewall, 1500, 1500, func(f fragmentsBehind) *Fault { return Drop(f.in, Packets{Nth: 3}) }, nil, nil, "fragments missing at box", 30_010 * ms},
		{"a bit error in one", firewall, 1500, 1500, func(f fragmentsBehind) *Fault { return Corrupt(f.in, Packets{Nth: 2}) }, nil, nil, "checksum error at box", 10 * ms},
		{"the box off meanwhile", firewall, 1500, 1500, func(f fragmentsBehind) *Fault {
			f.n.Inject(12*ms, ms, Reboot(f.r))
			return Delay(f.in, Packets{Nth: 1}, 5*ms)
		}, nil, nil, "fragments missing at box", 30_015 * ms}, // of the one that came later
	} {
		t.Run(row.name, func(t *testing.T) {
			Test(t, func(t *testing.T, n *Network) {
				f := newFragmentsBehind(t, n, "udp4", row.in, row.out, row.box)
				if row.fault != nil {
					n.Inject(0, 0, row.fault(f))
				}
				f.send()
				at, sizes, _ := f.what(Delivered, "server")
				require.Equal(t, row.at, at)
				require.Equal(t, row.sizes, sizes)
				if row.why != "" {
					at, _, notes := f.what(Dropped, "")
					require.Equal(t, row.why, notes[len(notes)-1])
					require.Equal(t, row.when, at[len(at)-1])
				}
			})
		})
	}
}

// A box also reassembles the fragments of an IPv6 datagram (nf_defrag_ipv6) and forwards them as they arrived. If one of them is too big for the next link, the box
// forwards none and sends one ICMP message about the whole datagram to the sender (ip6_forward). If fragments stay missing, the box reports that to the sender of the
// first fragment; for IPv4 only a host does so. Linux 6.18 did the same between two tun devices.
func TestABoxPutsFragmentsOfIPv6Together(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name    string
		network string
		in, out int // MTUs
		fault   func(f fragmentsBehind) *Fault
		sizes   []int         // that arrive at the server,
		at      time.Duration // then
		told    time.Duration // when the box sends a message of ICMP; 0: it does not
		why     []string      // something ends
	}{
		{"as they come", "udp6", 1500, 1500, nil, []int{1496, 1496, 160}, 20 * ms, 0, nil},
		{"in another order", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault { return Delay(f.in, Packets{Nth: 1}, 5*ms) }, []int{1496, 1496, 160}, 25 * ms, 0, nil},
		{"a wider link", "udp6", 1280, 1500, nil, []int{1280, 1280, 592}, 20 * ms, 0, nil},
		{"a narrower link", "udp6", 1500, 1400, nil, nil, 0, 10 * ms, []string{"mtu, box > server"}},
		{"a narrower link, of a router that tells nothing", "udp6", 1500, 1400, func(f fragmentsBehind) *Fault { return BlockICMP(f.r) }, nil, 0, 0, []string{"mtu, box > server"}},
		{"a link that rejects", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault { return Reject(f.out, ICMPPortUnreachable) }, nil, 0, 10 * ms, []string{"link rejects: port unreachable"}},
		{"a bit error", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault { return Corrupt(f.in, Packets{Nth: 2}) }, nil, 0, 0, []string{"checksum error at box"}},
		{"the second twice", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault { return Duplicate(f.in, Packets{Nth: 2}) }, []int{1496, 1496, 160}, 20 * ms, 0, []string{"fragment arrived before at box"}},
		{"the first lost", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault { return Drop(f.in, Packets{Nth: 1}) }, nil, 0, 0, []string{"drops the first of the packets, client > box", "fragments missing at box"}},
		{"the last lost", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault { return Drop(f.in, Packets{Nth: 3}) }, nil, 0, 60_010 * ms, []string{"drops the 3rd of the packets, client > box", "fragments missing at box"}},
		{"the last lost, by a router that tells nothing", "udp6", 1500, 1500, func(f fragmentsBehind) *Fault {
			f.n.Inject(0, 0, BlockICMP(f.r))
			return Drop(f.in, Packets{Nth: 3})
		}, nil, 0, 0, []string{"drops the 3rd of the packets, client > box", "fragments missing at box"}},
		{"the last lost, IPv4", "udp4", 1500, 1500, func(f fragmentsBehind) *Fault { return Drop(f.in, Packets{Nth: 3}) }, nil, 0, 0, []string{"drops the 3rd of the packets, client > box", "fragments missing at box"}},
		{"a link that rejects, IPv4", "udp4", 1500, 1500, func(f fragmentsBehind) *Fault { return Reject(f.out, ICMPPortUnreachable) }, nil, 0, 10 * ms, []string{"link rejects: port unreachable"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			Test(t, func(t *testing.T, n *Network) {
				f := newFragmentsBehind(t, n, row.network, row.in, row.out, func(r *Router, _ *Host) { r.Firewall(Tracking{}) })
				if row.fault != nil {
					n.Inject(0, 0, row.fault(f))
				}
				f.send()
				at, sizes, _ := f.what(Delivered, "server")
				require.Equal(t, row.sizes, sizes)
				for _, at := range at {
					require.Equal(t, row.at, at)
				}
				_, _, why := f.what(Dropped, "")
				require.Equal(t, row.why, why)
				var told []time.Duration
				for e := range n.Trace().Events() {
					if e.Kind == Sent && e.Protocol == "icmp" {
						told = append(told, e.At)
						require.Equal(t, map[string]int{"udp6": 1280, "udp4": 56}[row.network], e.Size)
					}
				}
				if row.told == 0 {
					require.Empty(t, told)
				} else {
					require.Equal(t, []time.Duration{row.told}, told)
				}
			}, IPv6(), Strict())
		})
	}
}

// A sender that has learned the MTU beyond a box from such a message sends fragments that fit.
func TestASenderLearnsWhatABoxPutTogetherIsTooBigFor(t *testing.T) {
	Test(t, func(t *testing.T, n *Network) {
		f := newFragmentsBehind(t, n, "udp6", 1500, 1400, func(r *Router, _ *Host) { r.Firewall(Tracking{}) })
		f.send()
		_, err := f.c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EMSGSIZE)
		f.send()
		_, sizes, _ := f.what(Delivered, "server")
		require.Equal(t, []int{1400, 1400, 352}, sizes)
	}, IPv6())
}

// A box judges the fragments of a segment as one segment, and forwards none of them if the segment does not fit its connection. Linux 6.18 does so with
// "ct state invalid drop"; with "reject with tcp reset" it answers with a single RST.
func TestFragmentsOfASegmentThatDoesNotFit(t *testing.T) {
	for _, stray := range []Stray{StrayAdopted, StrayReset} {
		rst := 0
		if stray == StrayReset {
			rst = 1
		}
		Test(t, func(t *testing.T, n *Network) {
			client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
			n.Link(client, r, netem.Config{Delay: 10 * time.Millisecond, MTU: 324})
			n.Link(r, server, netem.Config{Delay: 10 * time.Millisecond})
			w := r.Firewall(Tracking{Stray: stray})
			l, err := server.Listen("tcp", ":7")
			require.NoError(t, err)
			_, err = client.Dial("tcp", "server:7")
			require.NoError(t, err)
			_, err = l.Accept()
			require.NoError(t, err)
			time.Sleep(time.Second)
			n.do(func() {
				n.newTimer(func(now int64) {
					sendOwn(n, w.memory(), now, true, func(s *tcp.Segment) { s.Ack, s.Payload = 1_000_000, make([]byte, 700) })
				}).set(n.now())
			})
			time.Sleep(500 * time.Millisecond)
			dropped, delivered, resets := 0, 0, 0
			for e := range n.Trace().Events() {
				switch {
				case e.At < time.Second:
				case e.Kind == Dropped:
					require.Equal(t, "does not fit its connection at box", e.Note)
					dropped++
				case e.Kind == Delivered && e.To == "server":
					delivered++
				case e.Kind == Sent && strings.Contains(e.Flags, "R"):
					resets++
				}
			}
			require.Equal(t, []int{1, 0, rst}, []int{dropped, delivered, resets}, stray)
			require.Equal(t, 1, w.Stats().Strays)
		})
	}
}
