package sim_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A dialogue is a client that sends requests of 100 bytes over a link of 10 ms. It sends each after the previous one
// was answered with 3000 bytes, in three segments. Then it closes and reads the end.
type dialogue struct {
	n              *sim.Network
	client, server *sim.Host
	link           *sim.Link
}

const answerSize = 3000

func newDialogue(n *sim.Network) *dialogue {
	d := &dialogue{n: n, client: n.Host("client"), server: n.Host("server")}
	d.link = n.Link(d.client, d.server, netem.Config{Delay: 10 * ms})
	return d
}

// serve answers requests. seen returns what the server saw of its connections, in the order in which they ended.
func (d *dialogue) serve(t *testing.T) (seen func() []string) {
	l := listen(t, d.server, ":7")
	saw, all := make(chan string, 100), []string(nil)
	accept(l, func(c net.Conn) {
		p, requests := make([]byte, 100), 0
		for {
			if _, err := io.ReadFull(c, p); err != nil {
				saw <- fmt.Sprintf("%d requests, %s", requests, inShort(err))
				break
			}
			requests++
			c.Write(make([]byte, answerSize))
		}
		c.Close()
	})
	return func() []string {
		for {
			select {
			case s := <-saw:
				all = append(all, s)
			default:
				return all
			}
		}
	}
}

// talk describes how a conversation of some requests went, and how long it took.
func (d *dialogue) talk(requests int) (said string) {
	start := d.n.Elapsed()
	defer func() { said += fmt.Sprintf(" after %v", d.n.Elapsed()-start) }()
	dialer := d.client.Dialer()
	dialer.Timeout = 10 * time.Second
	c, err := dialer.Dial("tcp", "server:7")
	if err != nil {
		return "dial: " + inShort(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	read := 0
	for range requests {
		if _, err := c.Write(make([]byte, 100)); err != nil {
			return fmt.Sprintf("%d bytes, write: %s", read, inShort(err))
		}
		k, err := io.ReadFull(c, make([]byte, answerSize))
		read += k
		if err != nil {
			return fmt.Sprintf("%d bytes, %s", read, inShort(err))
		}
	}
	c.(*sim.TCPConn).CloseWrite()
	_, err = c.Read(make([]byte, 1))
	return fmt.Sprintf("%d bytes, %s", read, inShort(err))
}

func inShort(err error) string {
	for _, e := range []error{syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE} {
		if strings.Contains(fmt.Sprint(err), e.Error()) {
			return e.Error()
		}
	}
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return "EOF"
	case err.(net.Error).Timeout():
		return "timeout"
	}
	return err.Error()
}

// Targeted faults in each phase of a connection. Without a fault a conversation of two requests takes four round
// trips of 20 ms: one for the handshake, one for each request and one for the end. There are two conversations.
func TestTargetedFaults(t *testing.T) {
	const (
		undisturbed = "6000 bytes, EOF after 80ms"
		answered    = "2 requests, EOF" // as the server sees it
		stalled     = " bytes, timeout after 10.02s"
		reset       = "connection reset by peer"
	)
	for _, row := range []struct {
		name  string
		fault func(d *dialogue) *sim.Fault
		code  string
		fired int
		said  [2]string // of the client's two conversations
		seen  []string  // by the server
	}{
		// Before and during the handshake.
		{"the first SYN is lost, and comes again after a second",
			func(d *dialogue) *sim.Fault { return sim.Drop(d.link, sim.Packets{Kind: sim.SYN, Nth: 1}) },
			"sim.Drop(clientServer, sim.Packets{Kind: sim.SYN, Nth: 1})",
			1, [2]string{"6000 bytes, EOF after 1.08s", undisturbed}, []string{answered, answered}},
		{"the first SYN-ACK is lost",
			func(d *dialogue) *sim.Fault { return sim.Drop(d.link, sim.Packets{Kind: sim.SYNACK, Nth: 1}) },
			"sim.Drop(clientServer, sim.Packets{Kind: sim.SYNACK, Nth: 1})",
			1, [2]string{"6000 bytes, EOF after 1.08s", undisturbed}, []string{answered, answered}},
		{"the first attempt is refused",
			func(d *dialogue) *sim.Fault { return sim.Reset(d.link, sim.Packets{Kind: sim.SYN, Connections: 1}) },
			"sim.Reset(clientServer, sim.Packets{Kind: sim.SYN, Connections: 1})",
			1, [2]string{"dial: connection refused after 0s", undisturbed}, []string{answered}},
		{"the first attempt hangs: SYNs after 1, 2, 3, 4, 5 and 7 s are lost too",
			func(d *dialogue) *sim.Fault { return sim.Drop(d.link, sim.Packets{Connections: 1}) },
			"sim.Drop(clientServer, sim.Packets{Connections: 1})",
			7, [2]string{"dial: timeout after 10s", undisturbed}, []string{answered}},
		{"the first SYN-ACK is answered by RST",
			func(d *dialogue) *sim.Fault { return sim.Reset(d.link, sim.Packets{Kind: sim.SYNACK, First: 1}) },
			"sim.Reset(clientServer, sim.Packets{Kind: sim.SYNACK, First: 1})",
			1, [2]string{"dial: connection refused after 20ms", undisturbed}, []string{answered}},
		{"the first connection is reset as soon as it stands: the server never knows",
			func(d *dialogue) *sim.Fault { return sim.Reset(d.link, sim.Packets{Kind: sim.PureACK, Connections: 1}) },
			"sim.Reset(clientServer, sim.Packets{Kind: sim.PureACK, Connections: 1})",
			1, [2]string{"0 bytes, write: " + reset + " after 20ms", undisturbed}, []string{answered}},

		// In flight.
		{"the third segment of the answers is lost: a probe after two round trips and 200 ms sends it again",
			func(d *dialogue) *sim.Fault {
				return sim.Drop(d.link, sim.Packets{From: d.server, Kind: sim.Data, Nth: 3})
			},
			`sim.Drop(clientServer, sim.Packets{From: n.Host("server"), Kind: sim.Data, Nth: 3})`,
			1, [2]string{"6000 bytes, EOF after 320ms", undisturbed}, []string{answered, answered}},
		{"answers are lost, and requests are not",
			func(d *dialogue) *sim.Fault { return sim.Drop(d.link, sim.Packets{From: d.server, Kind: sim.Data}) },
			`sim.Drop(clientServer, sim.Packets{From: n.Host("server"), Kind: sim.Data})`,
			22, [2]string{"0" + stalled, "0" + stalled}, []string{"1 requests, EOF", "1 requests, EOF"}},
		{"the second segment of the answers is late, and those behind it wait",
			func(d *dialogue) *sim.Fault {
				return sim.Delay(d.link, sim.Packets{From: d.server, Kind: sim.Data, Nth: 2}, 5*ms)
			},
			`sim.Delay(clientServer, sim.Packets{From: n.Host("server"), Kind: sim.Data, Nth: 2}, 5*time.Millisecond)`,
			1, [2]string{"6000 bytes, EOF after 85ms", undisturbed}, []string{answered, answered}},
		{"all packets come twice",
			func(d *dialogue) *sim.Fault { return sim.Duplicate(d.link, sim.Packets{}) },
			"sim.Duplicate(clientServer, sim.Packets{})",
			70, [2]string{undisturbed, undisturbed}, []string{answered, answered}},
		{"the first request has a bit error, and is sent again after 200 ms and a round trip",
			func(d *dialogue) *sim.Fault {
				return sim.Corrupt(d.link, sim.Packets{From: d.client, Kind: sim.Data, First: 1})
			},
			`sim.Corrupt(clientServer, sim.Packets{From: n.Host("client"), Kind: sim.Data, First: 1})`,
			1, [2]string{"6000 bytes, EOF after 300ms", undisturbed}, []string{answered, answered}},
		{"the second request resets the connection at once, at its sender",
			func(d *dialogue) *sim.Fault {
				return sim.Reset(d.link, sim.Packets{From: d.client, Kind: sim.Data, Nth: 2})
			},
			`sim.Reset(clientServer, sim.Packets{From: n.Host("client"), Kind: sim.Data, Nth: 2})`,
			1, [2]string{"3000 bytes, " + reset + " after 40.000001ms", undisturbed}, []string{"1 requests, " + reset, answered}},
		{"the second segment of the answers does; the two that follow are answered by RST",
			func(d *dialogue) *sim.Fault {
				return sim.Reset(d.link, sim.Packets{From: d.server, Kind: sim.Data, Nth: 2})
			},
			`sim.Reset(clientServer, sim.Packets{From: n.Host("server"), Kind: sim.Data, Nth: 2})`,
			3, [2]string{"1448 bytes, " + reset + " after 40ms", undisturbed}, []string{"1 requests, " + reset, answered}},

		// Half-closed.
		{"every FIN is lost",
			func(d *dialogue) *sim.Fault { return sim.Drop(d.link, sim.Packets{Kind: sim.FIN}) },
			"sim.Drop(clientServer, sim.Packets{Kind: sim.FIN})",
			18, [2]string{"6000" + stalled, "6000" + stalled}, nil},
		{"a slow close: both FINs take a second more, and are sent again meanwhile",
			func(d *dialogue) *sim.Fault { return sim.Delay(d.link, sim.Packets{Kind: sim.FIN}, time.Second) },
			"sim.Delay(clientServer, sim.Packets{Kind: sim.FIN}, time.Second)",
			16, [2]string{"6000 bytes, EOF after 2.08s", "6000 bytes, EOF after 2.08s"}, []string{answered, answered}},
		{"the client's FIN resets",
			func(d *dialogue) *sim.Fault {
				return sim.Reset(d.link, sim.Packets{From: d.client, Kind: sim.FIN, Connections: 1})
			},
			`sim.Reset(clientServer, sim.Packets{From: n.Host("client"), Kind: sim.FIN, Connections: 1})`,
			1, [2]string{"6000 bytes, " + reset + " after 60.000001ms", undisturbed}, []string{"2 requests, " + reset, answered}},
		{"the server's FIN resets, in a connection that the client has half closed",
			func(d *dialogue) *sim.Fault {
				return sim.Reset(d.link, sim.Packets{From: d.server, Kind: sim.FIN, Connections: 1})
			},
			`sim.Reset(clientServer, sim.Packets{From: n.Host("server"), Kind: sim.FIN, Connections: 1})`,
			1, [2]string{"6000 bytes, " + reset + " after 80ms", undisturbed}, []string{answered, answered}},

		// Streams that a fault cuts at a byte. The second request is answered in part.
		{"answers stall after 4000 bytes",
			func(d *dialogue) *sim.Fault { return sim.StallAfter(d.link, 4000, sim.Packets{From: d.server}) },
			`sim.StallAfter(clientServer, 4000, sim.Packets{From: n.Host("server")})`,
			22, [2]string{"4000" + stalled, "4000" + stalled}, []string{answered, answered}},
		{"answers stall before the first byte",
			func(d *dialogue) *sim.Fault { return sim.StallAfter(d.link, 0, sim.Packets{From: d.server}) },
			`sim.StallAfter(clientServer, 0, sim.Packets{From: n.Host("server")})`,
			22, [2]string{"0" + stalled, "0" + stalled}, []string{"1 requests, EOF", "1 requests, EOF"}},
		{"answers stall before the end",
			func(d *dialogue) *sim.Fault { return sim.StallAfter(d.link, 6000, sim.Packets{From: d.server}) },
			`sim.StallAfter(clientServer, 6000, sim.Packets{From: n.Host("server")})`,
			18, [2]string{"6000" + stalled, "6000" + stalled}, []string{answered, answered}},
		{"a reset after 4000 bytes of the first answers",
			func(d *dialogue) *sim.Fault {
				return sim.ResetAfter(d.link, 4000, sim.Packets{From: d.server, Connections: 1})
			},
			`sim.ResetAfter(clientServer, 4000, sim.Packets{From: n.Host("server"), Connections: 1})`,
			3, [2]string{"4000 bytes, " + reset + " after 60ms", undisturbed}, []string{"2 requests, " + reset, answered}},
		{"a reset before the first byte",
			func(d *dialogue) *sim.Fault {
				return sim.ResetAfter(d.link, 0, sim.Packets{From: d.server, Connections: 1})
			},
			`sim.ResetAfter(clientServer, 0, sim.Packets{From: n.Host("server"), Connections: 1})`,
			3, [2]string{"0 bytes, " + reset + " after 40ms", undisturbed}, []string{"1 requests, " + reset, answered}},
		{"a reset within the second request",
			func(d *dialogue) *sim.Fault {
				return sim.ResetAfter(d.link, 150, sim.Packets{From: d.client, Port: 7, Connections: 1})
			},
			`sim.ResetAfter(clientServer, 150, sim.Packets{From: n.Host("client"), Port: 7, Connections: 1})`,
			1, [2]string{"3000 bytes, " + reset + " after 40.000001ms", undisturbed}, []string{"1 requests, " + reset, answered}},
		{"the end after 4000 bytes of the first answers, of which the server hears by RST",
			func(d *dialogue) *sim.Fault {
				return sim.CloseAfter(d.link, 4000, sim.Packets{From: d.server, Connections: 1})
			},
			`sim.CloseAfter(clientServer, 4000, sim.Packets{From: n.Host("server"), Connections: 1})`,
			5, [2]string{"4000 bytes, EOF after 60ms", undisturbed}, []string{"2 requests, " + reset, answered}},
		{"the end before the first byte",
			func(d *dialogue) *sim.Fault {
				return sim.CloseAfter(d.link, 0, sim.Packets{From: d.server, Connections: 1})
			},
			`sim.CloseAfter(clientServer, 0, sim.Packets{From: n.Host("server"), Connections: 1})`,
			5, [2]string{"0 bytes, EOF after 40ms", undisturbed}, []string{"1 requests, " + reset, answered}},
		{"the end within the second request: the server reads it, and the client gets RST",
			func(d *dialogue) *sim.Fault {
				return sim.CloseAfter(d.link, 150, sim.Packets{From: d.client, Connections: 1})
			},
			`sim.CloseAfter(clientServer, 150, sim.Packets{From: n.Host("client"), Connections: 1})`,
			3, [2]string{"3000 bytes, " + reset + " after 60ms", undisturbed}, []string{"1 requests, EOF", answered}},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			d := newDialogue(n)
			seen := d.serve(t)
			f := n.Inject(0, 0, row.fault(d))
			require.Equal(t, row.said, [2]string{d.talk(2), d.talk(2)}, row.name)
			time.Sleep(20 * time.Second)
			require.Equal(t, row.seen, seen(), row.name)
			require.Equal(t, row.fired, f.Fired().Count, row.name)
			require.Equal(t, row.fired, f.Fired().Packets, row.name)
			require.Equal(t, row.code, f.Code(nil))
		})
	}
}

// longOnes selects datagrams of more than 7 bytes to port 9.
func longOnes(e sim.Event) bool {
	return e.From == "a" && e.To == "b" && e.Protocol == "udp" && e.TargetPort == 9 && e.Length > 7 && e.At > 0
}

// Each selection affects exactly the packets that it describes, out of ten datagrams of 0 to 9 bytes to port 9 and
// ten to port 10.
func TestPacketsThatAreMeant(t *testing.T) {
	for _, row := range []struct {
		pkts func(s *scene) sim.Packets
		lost []int // the lengths of those that are lost; those of port 10 plus 100
		name string
	}{
		{func(s *scene) sim.Packets { return sim.Packets{Port: 9, First: 3} }, []int{0, 1, 2}, "the first 3 of the packets of port 9"},
		{func(s *scene) sim.Packets { return sim.Packets{Port: 9, Skip: 7} }, []int{7, 8, 9}, "all but the first 7 of the packets of port 9"},
		{func(s *scene) sim.Packets { return sim.Packets{Port: 10, First: 2, Skip: 1} }, []int{101, 102}, "the 2nd to 3rd of the packets of port 10"},
		{func(s *scene) sim.Packets { return sim.Packets{Kind: sim.Data, Nth: 1} }, []int{100}, "the first of the packets with data"},
		{func(s *scene) sim.Packets { return sim.Packets{Kind: sim.UDP, Nth: 4, From: s.a} }, []int{101}, "the 4th of the datagrams from a"},
		{func(s *scene) sim.Packets { return sim.Packets{Kind: sim.TCP} }, nil, "segments"},
		{func(s *scene) sim.Packets { return sim.Packets{From: s.r, Kind: sim.ICMP} }, nil, "ICMP messages from r"},
		{func(s *scene) sim.Packets {
			return sim.Packets{Where: longOnes}
		}, []int{8, 9}, "packets that longOnes picks"},
		{func(s *scene) sim.Packets {
			return sim.Packets{Port: 10, Skip: 1, First: 1, Where: func(e sim.Event) bool { return e.Length > 105 }}
		}, []int{107}, "the 2nd of the packets of port 10 that the function at target_test.go:LINE picks"},
		{func(s *scene) sim.Packets {
			c, err := s.a.Dialer().Dial("udp", "b:10")
			require.NoError(s.t, err)
			s.conn = c
			return sim.Packets{Conn: c, First: 1}
		}, []int{100}, "the first of the packets of CONN - 10.0.0.2:10"},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			s := newScene(t, n)
			var lost []int
			pkts := row.pkts(s)
			if s.conn != nil {
				row.name = strings.Replace(row.name, "CONN", s.conn.LocalAddr().String(), 1)
			}
			line := regexp.MustCompile(`\.go:\d+ `).ReplaceAllString
			require.Equal(t, row.name, line(pkts.String(), ".go:LINE "))
			f := n.Inject(0, 0, sim.Drop(s.link, pkts))
			require.Equal(t, "a - r: drops "+row.name, line(f.Name(), ".go:LINE "))
			u, err := s.a.ListenPacket("udp", ":0")
			require.NoError(t, err)
			_, err = s.b.ListenPacket("udp", ":9")
			require.NoError(t, err)
			for i := range 10 {
				u.WriteTo(make([]byte, i), udpAddr("10.0.0.2:9"))
				time.Sleep(ms)
				if s.conn != nil {
					s.conn.Write(make([]byte, 100+i))
				} else {
					u.WriteTo(make([]byte, 100+i), udpAddr("10.0.0.2:10"))
				}
				time.Sleep(ms)
			}
			time.Sleep(time.Second)
			for e := range n.Trace().Events() {
				if e.Kind == sim.Dropped && e.Protocol == "udp" && e.Note != "nobody listens, and was told so too often" {
					require.Equal(t, "drops "+row.name+", a > r", line(e.Note, ".go:LINE "))
					lost = append(lost, e.Length)
				}
			}
			require.Equal(t, row.lost, lost, row.name)
			if row.name == "ICMP messages from r" {
				require.Equal(t, 6, f.Fired().Count, "port 10 is unreachable, of which b tells six times")
			} else {
				require.Equal(t, len(lost), f.Fired().Packets)
			}
		})
	}
}

// A stream is cut at the exact byte even if packets are lost or much data is in flight. The table also has streams
// that are already past that byte.
func TestStreamsAreCutByTheByte(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault func(l *sim.Link, from *sim.Host) *sim.Fault
		begin time.Duration
		loss  float64
		want  string
		least int
		most  int
	}{
		{"stall", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.StallAfter(l, 100_001, sim.Packets{From: from})
		}, 0, 0.05, "timeout", 100_001, 100_001},
		{"close", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.CloseAfter(l, 100_001, sim.Packets{From: from})
		}, 0, 0.05, "EOF", 100_001, 100_001},
		{"reset, nothing else lost", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.ResetAfter(l, 100_001, sim.Packets{From: from})
		}, 0, 0, "connection reset by peer", 100_001, 100_001},
		{"reset", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.ResetAfter(l, 100_001, sim.Packets{From: from})
		}, 0, 0.05, "connection reset by peer or timeout", 0, 100_001}, // the RST may be lost
		{"stall when further already", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.StallAfter(l, 10, sim.Packets{From: from})
		}, 600 * ms, 0, "timeout", 1000, 900_000},
		{"close when further already", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.CloseAfter(l, 10, sim.Packets{From: from})
		}, 600 * ms, 0, "EOF", 1000, 900_000},
		{"reset when further already", func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.ResetAfter(l, 10, sim.Packets{From: from})
		}, 600 * ms, 0, "connection reset by peer", 1000, 900_000},
	} {
		for seed := range uint64(3) {
			err := sim.Try(t, func(n *sim.Network) error {
				server, client, r := n.Host("server"), n.Host("client"), n.Router("r")
				far := n.Link(server, r, netem.Config{Delay: 20 * ms, Rate: 10 * netem.Mbit})
				n.Link(r, client, netem.Config{Delay: 20 * ms, Loss: netem.Bernoulli(row.loss)})
				accept(listen(t, server, ":7"), func(c net.Conn) {
					c.Write(make([]byte, 1_000_000))
					c.Close()
				})
				f := n.Inject(row.begin, 0, row.fault(far, server)).MustFire()
				c := dial(t, client, "server:7")
				c.SetReadDeadline(time.Now().Add(30 * time.Second))
				got, err := io.Copy(io.Discard, c)
				if err == nil {
					err = io.EOF
				}
				require.Contains(t, row.want, inShort(err), row.name)
				require.GreaterOrEqual(t, int(got), row.least, row.name)
				require.LessOrEqual(t, int(got), row.most, row.name)
				require.NotZero(t, f.Fired().Bytes)
				return nil
			}, sim.Seed(seed+1))
			require.NoError(t, err)
		}
	}
}

// In the chart a segment in whose middle a fault cuts the stream is one arrow, which names the fault.
func TestTheChartNamesTheFault(t *testing.T) {
	for _, row := range []struct {
		fault func(d *dialogue) *sim.Fault
		want  string
	}{
		{func(d *dialogue) *sim.Fault { return sim.ResetAfter(d.link, 4000, sim.Packets{From: d.server}) },
			"[A] seq 3001:4449 ack 201 len 1448: resets streams from server after 4000 bytes"},
		{func(d *dialogue) *sim.Fault { return sim.StallAfter(d.link, 3000, sim.Packets{From: d.server}) },
			"[A] seq 3001:4449 ack 201 len 1448: stalls streams from server after 3000 bytes"},
		{func(d *dialogue) *sim.Fault {
			return sim.Drop(d.link, sim.Packets{From: d.server, Kind: sim.Data, Nth: 4})
		}, "[A] seq 3001:4449 ack 201 len 1448: drops the 4th of the packets with data from server"},
	} {
		err := sim.Try(t, func(n *sim.Network) error {
			d := newDialogue(n)
			d.serve(t)
			n.Inject(0, 0, row.fault(d))
			n.After(55*ms, n.Close)
			return errors.New(d.talk(2))
		})
		require.ErrorContains(t, err, row.want)
		require.Equal(t, 1, strings.Count(err.Error(), "seq 3001:"), "%v", err)
	}
}

// A packet that a fault delays is late by the same time even if it waits in a queue whose rate changes meanwhile.
func TestADelayedPacketThatWaitsMoves(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		cfg := func(rate netem.BitRate) netem.Config { return netem.Config{Delay: 10 * ms, Rate: rate} }
		link := n.Link(a, b, cfg(80*netem.Kbit)) // 100 ms for 1000 bytes
		n.Inject(0, 0, sim.Delay(link, sim.Packets{Nth: 2}, 500*ms)).MustFire()
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		u, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		for i := range 3 {
			u.Write(make([]byte, 972-i))
		}
		n.After(150*ms, func() { link.Set(cfg(800 * netem.Kbit)) }) // half of the second is left, which takes 5 ms
		var came []string
		for range 3 {
			p := make([]byte, 1000)
			k, _, err := pc.ReadFrom(p)
			require.NoError(t, err)
			came = append(came, fmt.Sprintf("%d at %v", 972-k, n.Elapsed().Round(ms)))
		}
		require.Equal(t, []string{"0 at 110ms", "2 at 175ms", "1 at 665ms"}, came)
	})
}

// A targeted fault that never fired reports which packets passed, and how close they came to its selection.
func TestWhyATargetedFaultNeverFired(t *testing.T) {
	for _, row := range []struct {
		pkts func(d *dialogue) sim.Packets
		want string
	}{
		{func(d *dialogue) sim.Packets { return sim.Packets{From: d.server, Kind: sim.Data, Nth: 9} },
			"9 packets came from 0s on, but it met no matching packet (the 9th of the packets with data from server); 6 met the other conditions"},
		{func(d *dialogue) sim.Packets { return sim.Packets{Kind: sim.RST} },
			"19 packets came from 0s on, but it met no matching packet (RSTs)"},
	} {
		err := sim.Try(t, func(n *sim.Network) error {
			d := newDialogue(n)
			d.serve(t)
			n.Inject(0, 0, sim.Drop(d.link, row.pkts(d)).MustFire())
			d.talk(2)
			return nil
		})
		require.ErrorContains(t, err, row.want)
	}
}
