package sim_test

import (
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

// Data queued while the congestion window is full leaves with a FIN in its last segment. If a fault cuts that segment, the FIN is lost too.
func TestACutSegmentLosesItsFIN(t *testing.T) {
	const size = 20_000 // more than ten segments: the rest waits for the first acknowledgement, and Close comes before that
	for _, row := range []struct {
		fault func(l *sim.Link, from *sim.Host) *sim.Fault
		want  string
	}{
		{func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.StallAfter(l, size-10, sim.Packets{From: from})
		}, "19990 timeout"},
		{func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.ResetAfter(l, size-10, sim.Packets{From: from})
		}, "19990 connection reset by peer"},
		{func(l *sim.Link, from *sim.Host) *sim.Fault {
			return sim.CloseAfter(l, size-10, sim.Packets{From: from})
		}, "19990 EOF"},
		{func(l *sim.Link, from *sim.Host) *sim.Fault { return sim.StallAfter(l, size, sim.Packets{From: from}) }, "20000 timeout"},
		{func(l *sim.Link, from *sim.Host) *sim.Fault { return sim.CloseAfter(l, size, sim.Packets{From: from}) }, "20000 EOF"},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server, client := n.Host("server"), n.Host("client")
			link := n.Link(server, client, netem.Config{Delay: 20 * ms})
			accept(listen(t, server, ":7"), func(c net.Conn) {
				c.Write(make([]byte, size))
				c.Close()
			})
			n.Inject(0, 0, row.fault(link, server))
			c := dial(t, client, "server:7")
			c.SetReadDeadline(time.Now().Add(30 * time.Second))
			got, err := io.Copy(io.Discard, c)
			if err == nil {
				err = io.EOF
			}
			require.Equal(t, row.want, fmt.Sprintf("%d %s", got, inShort(err)))
			fins := 0
			for e := range n.Trace().Events() {
				if e.Kind == sim.Sent && e.From == "server" && strings.Contains(e.Flags, "F") && e.Length > 0 {
					fins++
				}
			}
			require.Positive(t, fins, "FIN comes with data")
		})
	}
}

// A connection with the ports of an earlier one is another connection: with Connections it has its
// own number, and all bytes of its stream count.
func TestPortsThatAreUsedAgain(t *testing.T) {
	for _, row := range []struct {
		fault func(d *dialogue) *sim.Fault
		read  [2]int
	}{
		{func(d *dialogue) *sim.Fault {
			return sim.StallAfter(d.link, 1000, sim.Packets{From: d.server, Connections: 1})
		}, [2]int{1000, 3000}},
		{func(d *dialogue) *sim.Fault { return sim.StallAfter(d.link, 1000, sim.Packets{From: d.server}) }, [2]int{1000, 1000}},
		{func(d *dialogue) *sim.Fault {
			return sim.Drop(d.link, sim.Packets{From: d.server, Kind: sim.Data, Connections: 1})
		}, [2]int{0, 3000}},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			d := newDialogue(n)
			d.serve(t)
			f := n.Inject(0, 0, row.fault(d))
			for _, want := range row.read {
				c, err := dialerOf(d.client, &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
				require.NoError(t, err)
				c.Write(make([]byte, 100))
				c.SetReadDeadline(time.Now().Add(time.Second))
				got, _ := io.ReadFull(c, make([]byte, 3000))
				require.Equal(t, want, got, f.Name())
				c.(*sim.TCPConn).SetLinger(0)
				c.Close() // by RST, so that the ports are free at once
				time.Sleep(time.Second)
			}
		})
	}
}

// The first segment of the answers is lost before the fault sees it. All bytes still count,
// including retransmitted ones, and so do those of a stream that is in flight when the fault begins
// and has not passed the limit.
func TestStreamsAreCountedFromTheirBeginning(t *testing.T) {
	for _, row := range []struct {
		begin       time.Duration
		drops       bool
		limit, read int
	}{{0, true, 1000, 1000}, {0, true, 5000, 5000}, {50 * ms, false, 5000, 5000}, {50 * ms, false, 1000, 3000}} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			d := newDialogue(n)
			d.serve(t)
			if row.drops {
				n.Inject(row.begin, 0, sim.Drop(d.link, sim.Packets{From: d.server, Kind: sim.Data, Nth: 1})).MustFire()
			}
			n.Inject(row.begin, 0, sim.StallAfter(d.link, int64(row.limit), sim.Packets{From: d.server})).MustFire()
			c := dial(t, d.client, "server:7")
			got := 0
			for range 2 {
				c.Write(make([]byte, 100))
				c.SetReadDeadline(time.Now().Add(5 * time.Second))
				k, _ := io.ReadFull(c, make([]byte, answerSize))
				got += k
				time.Sleep(20 * ms) // the fault begins at 50 ms, between the answers
			}
			require.Equal(t, row.read, got)
		})
	}
}

// A sender that ends its stream exactly at the fault's limit gets no reset: its peer goes on
// sending.
func TestAnEndAtTheLimitIsTheSendersOwn(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		d := newDialogue(n)
		said := make(chan string, 1)
		accept(listen(t, d.server, ":7"), func(c net.Conn) {
			c.Write(make([]byte, 3000))
			c.(*sim.TCPConn).CloseWrite()
			heard, err := io.ReadAll(c)
			said <- fmt.Sprint(string(heard), err)
		})
		f := n.Inject(0, 0, sim.CloseAfter(d.link, 3000, sim.Packets{From: d.server}))
		c := dial(t, d.client, "server:7")
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Len(t, got, 3000)
		time.Sleep(time.Second)
		_, err = c.Write([]byte("goodbye"))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.Equal(t, "goodbye<nil>", <-said)
		require.Equal(t, 1, f.Fired().Count, "the last byte, with which the end comes already")
	})
}

// A segment that is cut occupies the line for as long as the rest of it takes: 100 of 1000 bytes,
// with 52 bytes of headers, at a millisecond each. The SYN-ACK of 60 bytes arrives at 60 ms.
func TestACutSegmentIsShorter(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		link := n.LinkAsym(server, client, netem.Config{Rate: 8 * netem.Kbit}, netem.Config{})
		accept(listen(t, server, ":7"), func(c net.Conn) { c.Write(make([]byte, 1000)) })
		n.Inject(0, 0, sim.StallAfter(link, 100, sim.Packets{From: server})).MustFire()
		c := dial(t, client, "server:7")
		got, err := c.Read(make([]byte, 1000))
		require.NoError(t, err)
		require.Equal(t, 100, got)
		require.Equal(t, (60+152)*ms, n.Elapsed().Truncate(ms))
	})
}

// A packet that two faults delay is late by both delays. A fault that drops all packets spares ARP.
func TestFaultsMeetAPacketTogether(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * ms})
		n.Inject(0, time.Second, sim.Delay(link, sim.Packets{}, 5*ms))
		n.Inject(0, time.Second, sim.Delay(link, sim.Packets{Kind: sim.UDP}, 7*ms))
		require.Equal(t, 22*ms, oneWay(t, n, a, b))
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: ms})
		link.ARP()
		listen(t, b, ":7")
		f := n.Inject(0, 0, sim.Drop(link, sim.Packets{})).MustFire()
		n.After(4500*ms, f.End) // after EHOSTUNREACH would be due
		c, err := a.Dial("tcp", "b:7")
		require.NoError(t, err, "SYNs go again after 1, 2, 3, 4 and 5 s")
		c.Close()
		require.Equal(t, 5*time.Second+2*ms, n.Elapsed().Truncate(ms))
		require.Equal(t, 5, f.Fired().Packets, "the SYNs of 0 to 4 s")
	}, sim.Seed(1))
}

// If a stream has already passed the limit, the sender learns that it was closed when the end is
// acknowledged, not by the acknowledgement of earlier data. It sends 1000 bytes at 30 ms, whose ACK
// arrives at 50 ms, and 1000 more at 35 ms, which the fault turns into the end. The end arrives at
// 45 ms, is acknowledged after the 40 ms of a delayed ACK, and the server learns of it 60 ms after
// its write.
func TestTheEndIsAcknowledgedByItself(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		d := newDialogue(n)
		reset := make(chan time.Duration, 1)
		accept(listen(t, d.server, ":7"), func(c net.Conn) {
			c.Write(make([]byte, 1000))
			time.Sleep(5 * ms)
			start := n.Elapsed()
			c.Write(make([]byte, 1000))
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			reset <- n.Elapsed() - start
		})
		n.Inject(32*ms, 0, sim.CloseAfter(d.link, 10, sim.Packets{From: d.server})).MustFire()
		c := dial(t, d.client, "server:7")
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Len(t, got, 1000)
		require.Equal(t, 60*ms, <-reset)
	})
}

// A program that reads the end of a stream that a fault closed, and keeps its connection, learns
// nothing more from its own keep-alive probes. Only data that it sends is answered with RST.
func TestProbesOfAClosedStreamAreNotAnswered(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		d := newDialogue(n)
		d.serve(t)
		n.Inject(0, 0, sim.CloseAfter(d.link, 3000, sim.Packets{From: d.server})).MustFire()
		c := dial(t, d.client, "server:7")
		c.Write(make([]byte, 100))
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Len(t, got, 3000)
		time.Sleep(20 * time.Second) // a probe goes after 15 s
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		time.Sleep(20 * ms)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE, "a RST in CLOSE_WAIT (tcp_reset)")
	})
}

// If several faults let nothing pass, the one that began last decides what the sender hears. All of them count the packet.
func TestTheLastCutDecides(t *testing.T) {
	for _, row := range []struct {
		first, second func(l *sim.Link) *sim.Fault
		hears         bool
	}{
		{sim.Down, func(l *sim.Link) *sim.Fault { return sim.Reject(l, sim.ICMPPortUnreachable) }, true},
		{func(l *sim.Link) *sim.Fault { return sim.Reject(l, sim.ICMPPortUnreachable) }, sim.Down, false},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			link := n.Link(a, b, netem.Config{Delay: ms})
			_, err := b.ListenPacket("udp", ":9")
			require.NoError(t, err)
			u, err := a.Dial("udp", "b:9")
			require.NoError(t, err)
			first, second := n.Inject(0, 2*time.Second, row.first(link)), n.Inject(0, time.Second, row.second(link))
			hears := func() bool {
				u.Write([]byte("x"))
				u.SetReadDeadline(time.Now().Add(100 * ms))
				_, err := u.Read(make([]byte, 1))
				return strings.Contains(err.Error(), "connection refused")
			}
			require.Equal(t, row.hears, hears())
			require.Equal(t, []int{1, 1}, []int{first.Fired().Count, second.Fired().Count})
			time.Sleep(time.Second + ms)
			require.Equal(t, !row.hears, hears(), "the other one is left")
		})
	}
}

// A middlebox on the path or at its end sees only keep-alive of a connection, and forgets it. An
// engine that defers keep-alive must not take the connection for alive.
func TestLookaheadWhenIdleBehindABox(t *testing.T) {
	for _, kind := range []string{"firewall", "balancer"} {
		run := func(eager bool) (account string) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				if eager {
					n.Eager()
				}
				a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
				n.Link(a, r, netem.Config{Delay: ms})
				n.Link(r, b, netem.Config{Delay: ms})
				to := "b:7"
				cfg := sim.Tracking{Established: time.Hour, Stray: sim.StrayDropped}
				if kind == "firewall" {
					r.Firewall(cfg)
				} else {
					r.Balancer(sim.BalancerConfig{Tracking: cfg, Port: 7}, b)
					to = r.Addr().String() + ":7"
				}
				b.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
				accept(listen(t, b, ":7"), readOnly)
				c := dial(t, a, to).(*sim.TCPConn)
				c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 150 * time.Minute, Interval: 20 * time.Minute, Count: 4})
				c.SetReadDeadline(time.Now().Add(10 * day))
				_, err := c.Read(make([]byte, 1))
				account = fmt.Sprintf("%v after %v\n%v %x\n%s", err, n.Elapsed(), n.Elapsed(), n.Trace().Hash(), n.Trace())
			})
			return account
		}
		want, got := run(true), run(false)
		require.NoError(t, sameRun("an engine that leaves keep-alive for later", want, got), kind)
		require.Contains(t, got, "connection timed out after 3h50m", "a probe after 150 min, and three more of 20 min, unanswered: %s", kind)
	}
}
