package sim

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// For how many seconds Linux 6.18 remembers a connection behind these segments, as conntrack -L showed it for segments that were put on a wire
// of its own; 0: it knows none. A segment is that of the client or of the server, its flags (S, F, R, A), its number, the bytes it has, and
// what it acknowledges; w0 is a window of nothing, n another connection of the same addresses, z the number 0 on the wire. "open" is a handshake.
func TestConnectionsAreFollowedAsLinuxDoes(t *testing.T) {
	for _, row := range []struct {
		segments string
		want     int64
	}{
		{"cS0", 120},
		{"cS0 sA0/77", 120},
		{"cS0 cFA1/0", 120},
		{"cS0 sRA0/1", 0},
		{"cS0 sSA0/1", 60},
		{"cS0 sSA0/1 sSA0/1", 60},
		{"cS0 sSA0/1 sA1+10/1", 60},
		{"cS0 sSA0/1 sA1+10/1 cA1/1", 300},
		{"cS0 sSA0/1 sFA1/1", 120},
		{"open", 432000},
		{"open cA1+100/1", 300},
		{"open cA1+100/1 sSA0/101", 300},
		{"open cA1+100/1 sA1/101", 432000},
		{"open cA1/1w0", 300},
		{"open cA1/1w0 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 cA1/1", 300},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 sA1/2 cA1/1 cA1/1 cA1/1", 432000},
		{"cFA1/1", 0},
		{"cA1+100/1", 300},
		{"cA1+100/1 sA1+5/101", 300},
		{"cA1+100/1 sA1+5/101 sA6/101", 432000},
		{"open cFA1/1", 120},
		{"open cFA1/1 cFA1/1", 30},
		{"open cFA1/1 cFA1/1 cFA1/1", 30},
		{"open cFA1/1 sA1+100/1", 60},
		{"open cFA1/1 cA2/1", 60},
		{"open cFA1/1 sA1/2", 60},
		{"open cFA1/1 sA1/2 cFA1/1", 30},
		{"open cFA1/1 sA1/2 sFA1/2", 30},
		{"open cFA1/1 sA1/2 sFA1/2 cA2/2", 120},
		{"open cFA1/1 sFA1/1", 30},
		{"open cFA1/1 sFA1/1 cA2/2", 120},
		{"open cFA1/1 sFA1/1 cA2/2 sA2/2", 120},
		{"open cFA1/1 sSA0/1", 120},
		{"open cFA1/1 sA1/2 sFA1/2 cA2/2 cS0", 120},
		{"open cRA1/1", 10},
		{"open cRA1/1 sA1+5/1", 10},
		{"open cRA1/1 cS0", 120},
		{"open sRA0/1", 432000},
		{"open cA1+100/1 sA1+100/101 cA101/1 sRA101/101", 10},
		{"open cA1+100/1 sA1+100/101 cA101/1 sRA101/101 cA101/1", 300},
		{"open cA1+100/1 sA1+100/101 sRA101/101", 10},

		{"cA1/1 sRA0/1", 0},
		{"cA1/1 sRA5/1", 0},
		{"cA1/1 sA1+1/1 sA1+1/1", 432000},
		{"cA1/1 sFA1/1 sRA2/1", 10},
		{"cS0 sS0 cSA0/1", 60},
		{"cS0 sS0 sSA0/1 cA1/1", 432000},
		{"open sA1/1 sA1/1 sA1/1", 432000},
		{"open cA1+100/1 sA1/11 sA1/21 sA1/31 sA1/41 sA1/101", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 sSA0/1 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 cS0 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 cSA0/1 cA1/1", 300},
		{"open sRA1/1 cA1/1", 10},
		{"open sA1+10/1 cA1/11 cA1/1 sRA1/1", 432000},
		{"open sA1+10/1 sRA2/1 sRA11/1 sA11+90/1", 300},
		{"open cA1+10/1 cRA11/1 sA1/11", 10},
		{"open cA1+10/1 cRA2/1", 10},
		{"open cA1+10/1 cRA2/1 sA1/11", 432000},
		{"open cA1+10/1 sA1+10/11 sRA11/11 sA11/11", 10},
		{"open cA1+10/1 sA1+10/11 sSA0/11 sRA11/11 sA11/11", 300},
		{"open cA1+10/1 sA1+10/11 cSA0/1 sRA11/11 sA11/11", 10},
		{"open cS0 sRA0/1", 10},
		{"open cS0 sRA0/1 sA1/1", 10},
		{"open sA1+100/1 cA1/101 sRA50/1", 432000},
		{"open sA1+100/1 cA1/101 cS0n sRA50/1", 10},
		{"open sA1+100/1 cA1/101 cS0n sSA0/1 sRA50/1", 432000},
		{"open sA1+100/1 cA1/101 sS0 sRA50/1", 432000},
		{"open cS0 cA1/1 sSA0/1", 432000},
		{"open cS0n sSA0/1n", 60},
		{"open cS0n sS0 sSA0/1n", 60},
		{"open cS0n cSA0/1 sSA0/1n", 60},
		{"open cS0n sSA0/1 sSA0/1n", 432000},
		{"open cS0n sSA0/1n cA1+1/1n", 300},
		{"open cA1+10/1 cFA11/1 sA1/12 cS0n sSA0/1n cRA1/1n", 10},
		{"open cFA1/1 sFA1/2 cA2/2 cS0 cR1", 0},
		{"open cFA1/1 sRA1/2 cS0", 120},
		{"open cFA1/1 sRA1/2 cS0 cR1", 0},
		{"open sFA1/1 sRA2/1 cS0", 120},
		{"open cA1+10/1 sA1/11 cFA11/1 cRA5/1", 10},
		{"open sA1+10/1 cA1/11 sFA11/1 sRA5/1", 10},
		{"open sA1+10/1 cA1/11 cFA1/11 sA11/2 sRA5/2", 10},
		{"open cFA1/1 sFA1/2 cA2/2 sRA1/1", 10},
		{"open cRA1/1 cS0 cR0", 0},
		{"open cRA1/1 cRA1/1 cS0", 120},
		{"open sRA1/1 cRA1/1 cS0", 120},
		{"open cRA1/1 sS0 cS0", 120},
		{"open cRA1/1 cSA0/1 cS0", 120},
		{"open sRA1/1 cS0", 10},
		{"open sRA1/1 cS0 cS0", 10},
		{"open sRA1/1 cS0 sSA0/1", 60},
		{"open cRA1/1 sRA1/1 cS0", 10},
		{"open cRA1/1 sA1/1 cS0", 10},
		{"open cRA1/1 sSA0/1 cS0", 10},
	} {
		left, _ := followed(t, row.segments)
		require.Equal(t, row.want, left, row.segments)
	}
}

// The same for a thousand connections with randomly drawn segments. Half of them contain segments that do not fit.
func TestRandomConnectionsAreFollowedAsLinuxDoes(t *testing.T) {
	text, err := os.ReadFile("testdata/conntrack.txt")
	require.NoError(t, err)
	rows, dropped := 0, 0
	for line := range strings.Lines(string(text)) {
		segments, linux, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if !ok {
			continue // a comment
		}
		rows++
		segments, high := strings.CutPrefix(segments, "high ")
		prefix := ""
		if high {
			prefix = "high "
		}
		all := strings.Fields(strings.Replace(segments, "open", "cS0 sSA0/1 cA1/1", 1))
		for i, want := range strings.Fields(linux) {
			left, fates := followed(t, prefix+strings.Join(all[:i+1], " "))
			fate := "P"
			if strings.HasSuffix(fates, "x") || strings.HasSuffix(fates, ".") {
				fate = "D"
				dropped++
			}
			require.Equal(t, want, fmt.Sprint(left, fate), "%s%s, segment %d", prefix, segments, i+1)
		}
	}
	require.Greater(t, rows, 1000)
	require.Greater(t, dropped, 500)
}

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
		way, h := c.answer, c.sides[1].heard
		if client {
			way, h = c.ask, c.sides[0].heard
		}
		s := n.pool.segments.get()
		s.Flags, s.Seq, s.Ack, s.ISS, s.IRS, s.Window = tcp.ACK, 1, 1, h.iss, h.irs, 1000
		change(s)
		host := k.at(way.from)
		f := host.flowTo(protoTCP, way.from, way.to)
		pkt := n.pool.packet(f, protoTCP, way.from, way.to)
		pkt.seg, pkt.size = s, s.Size()
		host.send(now, pkt, f)
		return
	}
}

// The last of these segments does not restart the timer: 4 s later Linux 6.18 showed 4 s less.
func TestSegmentsThatDoNotCountForAConnection(t *testing.T) {
	for _, segments := range []string{
		"cS0 cS0", "cS0 sA0/77", "cS0 cA1/1", "cS0 sSA0/1 sSA0/1", "cS0 sSA0/1 cS0", "open cS0", "open sS0", "open sSA0/1", "open cSA0/1", "open sRA0/1",
		"open cFA1/1 cS0", "open cFA1/1 sSA0/1", "open cRA1/1 sSA0/1", "open cFA1/1 sA1/2 sFA1/2 cA2/2 sSA0/1", "cS0 sS0", "open sRA1/1 cS0", "cA1/1 sS0",
	} {
		_, fates := followed(t, segments)
		require.Equal(t, strings.Repeat("+", len(fates)-1), strings.ReplaceAll(fates[:len(fates)-1], "-", "+"), segments)
		require.NotEqual(t, "+", fates[len(fates)-1:], segments)
	}
}

// If one side no longer knows an open connection and uses its addresses again, it counts as a new connection once
// both sides have spoken, as on Linux 6.18.
func TestASYNThatIsAnsweredBeginsAnew(t *testing.T) {
	c := &tracked{}
	for _, text := range strings.Fields("cS0 sSA0/1 cA1/1 cFA1/1 sA1/2") {
		s, opener := segmentFrom(t, text, false)
		c.heed(s, opener, false)
	}
	require.Equal(t, trackCloseWait, c.state)
	again := func(flags tcp.Flags, opener bool) {
		s := &tcp.Segment{Flags: flags, ISS: 99, IRS: 88, Window: 1000}
		if !opener {
			s.ISS, s.IRS, s.Ack = 88, 99, 1
		}
		c.heed(s, opener, false)
	}
	again(tcp.SYN, true)
	require.Equal(t, trackCloseWait, c.state)
	again(tcp.SYN|tcp.ACK, false)
	require.Equal(t, trackSynRecv, c.state)
}

// followed is for how many seconds a connection is remembered behind these segments, and what becomes of each: + it counts, = it counts, but
// does not set the time anew, - it is let through, x it is invalid, and . it is of no connection.
func followed(t *testing.T, segments string) (left int64, fates string) {
	k, c := &tracker{}, (*tracked)(nil)
	segments, high := strings.CutPrefix(segments, "high ")
	for _, text := range strings.Fields(strings.Replace(segments, "open", "cS0 sSA0/1 cA1/1", 1)) {
		s, opener := segmentFrom(t, text, high)
		if c == nil {
			if !k.begins(&packet{proto: protoTCP, seg: s}) {
				fates += "."
				continue
			}
			c = newTracked(tuple{}, tuple{}, s)
		}
		o := k.follow(c, s, opener)
		left = o.until(0, left)
		switch {
		case o.verdict == invalid:
			fates += "x"
		case o.verdict == passes:
			fates += "-"
		case o.lasts > 0:
			fates += "+"
		default:
			fates += "="
		}
		if o.over {
			c, left = nil, 0
		}
	}
	return left / int64(time.Second), fates
}

// segmentFrom reads a segment, and whether it is the client's. The numbers of high ones are above 2^31, and the server's begin again at 0 soon.
func segmentFrom(t *testing.T, text string, high bool) (s *tcp.Segment, opener bool) {
	m := segmentForm.FindStringSubmatch(text)
	require.NotNil(t, m, text)
	opener = m[1] == "c"
	s = &tcp.Segment{ISS: 1_000_000, IRS: 5_000_000, Window: 1000, SACKPermitted: m[7] != ""}
	if high {
		s.ISS, s.IRS = 3_000_000_000, 1<<32-296
	}
	if m[9] != "" {
		s.ISS += 500_000_000
	}
	if !opener {
		s.ISS, s.IRS = s.IRS, s.ISS
	}
	read := func(what string) (value uint64) {
		if what != "" && what != "z" {
			_, err := fmt.Sscan(what, &value)
			require.NoError(t, err)
		}
		return value
	}
	s.Seq, s.Ack = read(m[3]), read(m[5])
	s.Payload = make([]byte, read(m[4]))
	if m[6] != "" {
		s.Window = uint32(read(m[6]))
	}
	if m[8] != "" {
		s.SACKLen, s.SACK[0] = 1, tcp.Block{Start: read(m[8]) - 1, End: read(m[8])}
	}
	if m[3] == "z" {
		s.ISS = 0
	}
	if m[5] == "z" {
		s.IRS = 0
	}
	for i, f := range map[string]tcp.Flags{"S": tcp.SYN, "F": tcp.FIN, "R": tcp.RST, "A": tcp.ACK} {
		if strings.Contains(m[2], i) {
			s.Flags |= f
		}
	}
	return s, opener
}

// segmentForm is that of a segment: whose it is, flags, number, bytes, what it acknowledges, window, whether it permits selective
// acknowledgements, behind which number one ends that it has, and whether it is of another connection.
var segmentForm = regexp.MustCompile(`^([cs])([SFRA]+)(\d+|z)(?:\+(\d+))?(?:/(\d+|z))?(?:w(\d+))?(p)?(?:k(\d+))?(n)?$`)

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
				require.Equal(t, trackFinWait, c.state)
			}
		})
	})
}
