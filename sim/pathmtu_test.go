package sim_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A narrows is a path from a to b of 5 + 10 + 5 ms, whose narrow link is the middle one, between two routers. The
// hosts' own links take 1500 bytes, so that they announce an MSS of 1460.
type narrows struct {
	t      *testing.T
	n      *sim.Network
	a, b   *sim.Host
	r1, r2 *sim.Router
	first  *sim.Link
	middle *sim.Link
}

func narrowsOf(t *testing.T, n *sim.Network, mtu int) *narrows {
	w := &narrows{t: t, n: n, a: n.Host("a"), b: n.Host("b"), r1: n.Router("r1"), r2: n.Router("r2")}
	w.first = n.Link(w.a, w.r1, netem.Config{Delay: 5 * ms})
	w.middle = n.Link(w.r1, w.r2, w.config(mtu))
	n.Link(w.r2, w.b, netem.Config{Delay: 5 * ms})
	return w
}

func (w *narrows) config(mtu int) netem.Config { return netem.Config{Delay: 10 * ms, MTU: mtu} }

// connect returns both ends of a new connection from a to b.
func (w *narrows) connect() (c, peer net.Conn) {
	w.t.Helper()
	l := listen(w.t, w.b, ":7")
	defer l.Close()
	c = dial(w.t, w.a, w.b.Name()+":7")
	peer, err := l.Accept()
	require.NoError(w.t, err)
	return c, peer
}

// carry writes size bytes on one end, reads them on the other, and returns how long that took.
func (w *narrows) carry(from, to net.Conn, size int) time.Duration {
	w.t.Helper()
	start := w.n.Elapsed()
	data := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	go from.Write(data)
	got := make([]byte, size)
	to.SetReadDeadline(in(20 * time.Minute))
	_, err := io.ReadFull(to, got)
	require.NoError(w.t, err)
	require.True(w.t, bytes.Equal(data, got))
	return w.n.Elapsed() - start
}

// since returns the matching events of the trace from the given number on.
func since(n *sim.Network, number int, match func(e sim.Event) bool) (all []sim.Event) {
	for e := range n.Trace().Events() {
		if e.Number >= number && match(e) {
			all = append(all, e)
		}
	}
	return all
}

func dataSent(e sim.Event) bool { return e.Kind == sim.Sent && e.From == "a" && e.Length > 0 }

func tooBig(e sim.Event) bool { return e.Kind == sim.Dropped && e.Note == "mtu, r1 > r2" }

func largest(events []sim.Event) (size int) {
	for _, e := range events {
		size = max(size, e.Size)
	}
	return size
}

// The first flight is 10 full segments, about which the router sends messages back. 10 ms after sending them, a cuts
// them to what fits: 1000 - 52 = 948 bytes. The MTU is remembered for the destination for 10 minutes.
func TestRouterTellsTheMTUOfItsLink(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := narrowsOf(t, n, 1000)
		c, peer := w.connect()
		settle()
		mark, start := n.Trace().Len(), n.Elapsed()
		w.carry(c, peer, 100_000)
		sent := since(n, mark, dataSent)
		for i, e := range sent[:10] {
			require.Equal(t, 1500, e.Size)
			require.Equal(t, start, e.At, "segment %d", i)
		}
		require.Equal(t, 1000, largest(sent[10:]))
		require.Equal(t, start+10*ms, sent[10].At, "to the router and back")
		require.EqualValues(t, 1, sent[10].Seq)
		require.Equal(t, 948, sent[10].Length)
		require.Len(t, since(n, mark, tooBig), 10)
		require.Len(t, since(n, mark, func(e sim.Event) bool { return e.Kind == sim.Delivered && e.Protocol == "icmp" }), 10)
		require.EqualValues(t, 10, stats(n, "r1", "r2").TooLarge)

		learned := start + 10*ms
		mark = n.Trace().Len()
		c, peer = w.connect()
		w.carry(c, peer, 10_000)
		require.Equal(t, 1000, largest(since(n, mark, dataSent)), "another connection knows")
		w.carry(peer, c, 10_000)
		answers := since(n, mark, func(e sim.Event) bool { return e.Kind == sim.Sent && e.From == "b" })
		require.Equal(t, 1000, largest(answers), "and has announced an MSS that fits")

		time.Sleep(learned + 600*time.Second - ms - n.Elapsed())
		mark = n.Trace().Len()
		w.carry(c, peer, 1448)
		require.Equal(t, 1000, largest(since(n, mark, dataSent)))
		time.Sleep(time.Second)
		mark = n.Trace().Len()
		require.Equal(t, 30*ms, w.carry(c, peer, 1448), "10 ms to learn it again")
		require.Equal(t, 1500, largest(since(n, mark, dataSent)))
		require.Len(t, since(n, mark, tooBig), 1)
	})
}

// A new MTU of a host's own link applies to the next segment (tcp_current_mss). Segments in flight still arrive and
// nothing is lost. When the link takes more again, segments grow.
func TestOwnLinkChangesItsMTU(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * ms})
		w := &narrows{t: t, n: n, a: a, b: b}
		c, peer := w.connect()
		for _, mtu := range []int{1500, 600, 300, 9000, 1500} {
			link.Set(netem.Config{Delay: 10 * ms, MTU: mtu})
			mark := n.Trace().Len()
			w.carry(c, peer, 40_000)
			w.carry(peer, c, 40_000)
			require.Equal(t, min(mtu, 1500), largest(since(n, mark, dataSent)), "the MSS of the handshake is the most")
			require.Empty(t, since(n, mark, func(e sim.Event) bool { return e.Kind == sim.Dropped || e.Protocol == "icmp" }))
			require.Empty(t, since(n, mark, func(e sim.Event) bool { return e.Resent }))
		}
	})
}

// A link in the middle shrinks during a connection, or a narrower path replaces the old one. One round trip to the
// router later, data flows again.
func TestMTUShrinksOnTheWay(t *testing.T) {
	for name, shrink := range map[string]func(w *narrows){
		"set": func(w *narrows) { w.middle.Set(w.config(1000)) },
		"another way": func(w *narrows) {
			r := w.n.Router("r")
			w.n.Link(w.r1, r, netem.Config{Delay: 5 * ms, MTU: 1000})
			w.n.Link(w.a, r, netem.Config{Delay: 5 * ms})
			w.n.Link(r, w.b, netem.Config{Delay: 15 * ms, MTU: 1000})
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				w := narrowsOf(t, n, 1500)
				c, peer := w.connect()
				usual := w.carry(c, peer, 40_000)
				time.Sleep(time.Minute)
				usual = w.carry(c, peer, 40_000)
				time.Sleep(time.Minute)
				shrink(w)
				mark := n.Trace().Len()
				require.InDelta(t, usual+10*ms, w.carry(c, peer, 40_000), float64(41*ms), "segments are smaller: a round trip more")
				sent := since(n, mark, dataSent)
				require.Equal(t, 1500, sent[0].Size)
				require.Equal(t, 1000, largest(sent[10:]))
				require.Empty(t, since(n, mark, func(e sim.Event) bool { return e.Resent && e.At > sent[0].At+10*ms+400*ms }))
			})
		})
	}
}

// A firewall that blocks ICMP turns a narrow link into a black hole: the handshake and small messages pass, full
// segments never do.
func TestPathMTUBlackHole(t *testing.T) {
	for _, blocks := range []string{"r1", "r2"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			// r2 is the router that would send the message, and r1 would only pass it on.
			w := narrowsOf(t, n, 1500)
			w.b = n.Host("far")
			n.Link(w.r2, n.Router("r3"), netem.Config{MTU: 1000})
			n.Link(n.Router("r3"), w.b, netem.Config{})
			n.Router(blocks).BlockICMP()
			c, peer := w.connect()
			w.carry(c, peer, 948)
			w.carry(peer, c, 500)
			c.Write(make([]byte, 3000))
			start := n.Elapsed()
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
			require.Greater(t, n.Elapsed()-start, 900*time.Second)
			require.Empty(t, n.IdleFaults())

			n.Router(blocks).AllowICMP()
			c, peer = w.connect()
			w.carry(c, peer, 100_000)
		})
	}
}

// A router that may not send ICMP also stays silent about the packets it drops because a link of it rejects.
func TestBlockedICMPOfALinkThatRejects(t *testing.T) {
	behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
		link.RejectWith(sim.ICMPPortUnreachable)
		n.Router("r").BlockICMP()
		_, err := n.Host("a").Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.Empty(t, n.IdleFaults())
	})
}

// A message that names less than 552 bytes is not believed (net.ipv4.route.min_pmtu). Segments of 552 bytes are sent
// without the bit that forbids fragmentation, and the router fragments them. So even the smallest MTU carries
// everything.
func TestPathMTUBelowTheLeast(t *testing.T) {
	for _, mtu := range []int{551, 300, 68} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			w := narrowsOf(t, n, mtu)
			c, peer := w.connect()
			settle()
			mark := n.Trace().Len()
			w.carry(c, peer, 40_000)
			sent := since(n, mark, dataSent)
			require.Equal(t, 1500, largest(sent[:10]))
			require.Equal(t, 552, largest(sent[10:]))
			require.Len(t, since(n, mark, tooBig), 10)
			require.Greater(t, stats(n, "r1", "r2").Delivered, stats(n, "a", "r1").Delivered)
			w.carry(peer, c, 40_000)
		})
	}
}

// On a link of 68 bytes the host's own IP fragments segments of 36 bytes (tcp_min_snd_mss). From the first segments
// TCP learns only that fragmentation is allowed. Its tail loss probe arrives, after two round trips and 2 ms
// (TCP_TIMEOUT_MIN). (Linux 6.18 counts segments that its own IP refuses as not sent, and waited 205 ms.)
func TestLeastMTUOfAnOwnLink(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := &narrows{t: t, n: n, a: n.Host("a"), b: n.Host("b")}
		link := n.Link(w.a, w.b, netem.Config{Delay: ms, MTU: 68})
		c, peer := w.connect()
		settle()
		mark := n.Trace().Len()
		start := n.Elapsed()
		w.carry(c, peer, 40_000)
		w.carry(peer, c, 40_000)
		sent := since(n, mark, dataSent)
		require.Equal(t, []int{68, 40}, []int{sent[0].Size, sent[1].Size})
		require.Equal(t, []int{16, 20}, []int{sent[0].Length, sent[1].Length})
		require.Equal(t, sent[0].Seq+16, sent[1].Seq)
		require.Equal(t, start+6*ms, sent[0].At)
		require.Len(t, since(n, mark, func(e sim.Event) bool { return e.Kind == sim.Dropped && e.From == "a" }), 10, "the first flight")

		link.Set(netem.Config{Delay: ms, MTU: 68, Loss: netem.Bernoulli(0.01), Duplicate: 0.05, Reorder: 0.05, Corrupt: 0.005})
		w.carry(c, peer, 5_000)
		w.carry(peer, c, 5_000)
	})
}

// A host that loses power forgets the MTU. A host whose processes crash does not.
func TestPowerOffForgetsTheMTU(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := narrowsOf(t, n, 1000)
		first := func() int {
			settle()
			c, peer := w.connect()
			mark := n.Trace().Len()
			w.carry(c, peer, 3000)
			return since(n, mark, dataSent)[0].Size
		}
		require.Equal(t, 1500, first())
		require.Equal(t, 1000, first())
		w.a.Restart()
		require.Equal(t, 1000, first())
		w.a.PowerOff()
		w.a.Restart()
		require.Equal(t, 1500, first())
	})
}

// UDP sockets of package net (IP_PMTUDISC_WANT) behave as on Linux 6.18. The first datagram is lost at the router. On
// a connected socket the next call fails with EMSGSIZE and sends nothing. The host fragments later datagrams to the
// MTU that it has learned.
func TestUDPLearnsTheMTU(t *testing.T) {
	for _, connected := range []bool{true, false} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			w := narrowsOf(t, n, 1000)
			pc, err := w.b.ListenPacket("udp", ":9")
			require.NoError(t, err)
			write := func() error { return nil }
			if connected {
				c, err := w.a.Dial("udp", "b:9")
				require.NoError(t, err)
				write = func() error { _, err := c.Write(make([]byte, 1400)); return err }
			} else {
				u, err := w.a.ListenPacket("udp", ":5000")
				require.NoError(t, err)
				write = func() error {
					_, err := u.WriteTo(make([]byte, 1400), udpAddr(w.b.Addr().String()+":9"))
					return err
				}
			}
			got := func() int {
				pc.SetReadDeadline(in(200 * ms))
				k, _, err := pc.ReadFrom(make([]byte, 2000))
				if err != nil {
					return -1
				}
				return k
			}
			sizes := func(number int) (all []int) {
				for _, e := range since(n, number, func(e sim.Event) bool { return e.Kind == sim.Sent && e.From == "a" }) {
					all = append(all, e.Size)
				}
				return all
			}
			require.NoError(t, write())
			require.Equal(t, -1, got(), "dropped at the router")
			if connected {
				mark := n.Trace().Len()
				require.ErrorIs(t, write(), syscall.EMSGSIZE)
				require.Equal(t, -1, got())
				require.Empty(t, sizes(mark))
			}
			mark := n.Trace().Len()
			require.NoError(t, write())
			require.Equal(t, 1400, got())
			require.Equal(t, []int{996, 452}, sizes(mark), "cut by the host")
			require.NoError(t, write())
			require.Equal(t, 1400, got())
			time.Sleep(10 * time.Minute)
			require.NoError(t, write())
			require.Equal(t, -1, got(), "forgotten")
		})
	}
}

// A read on a connected socket also returns the error, at the instant at which the message arrives.
func TestUDPReadLearnsTheMTU(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := narrowsOf(t, n, 1000)
		c, err := w.a.Dial("udp", "b:9")
		require.NoError(t, err)
		c.Write(make([]byte, 1400))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.EMSGSIZE)
		require.ErrorContains(t, err, "read: message too long")
		require.Equal(t, 10*ms, n.Elapsed())
	})
}

// The MTU learned for a path and that of the host's own link both apply, and the smaller one wins. The learned MTU
// applies only to the path that begins with that link.
func TestLearnedMTUAndOwnLink(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := narrowsOf(t, n, 1000)
		c, peer := w.connect()
		carries := func() int {
			settle()
			mark := n.Trace().Len()
			w.carry(c, peer, 20_000)
			return largest(since(n, mark, dataSent))
		}
		require.Equal(t, 1500, carries())
		require.Equal(t, 1000, carries())
		w.first.Set(netem.Config{Delay: 5 * ms, MTU: 700})
		require.Equal(t, 700, carries())
		w.first.Set(netem.Config{Delay: 5 * ms})
		require.Equal(t, 1000, carries())
		n.Link(w.a, w.b, netem.Config{Delay: 5 * ms})
		require.Equal(t, 1500, carries(), "another link, of which nothing is known")
	})
}

// If a host's own link shrinks during a transfer, the segments that the next acknowledgement releases already fit it.
func TestOwnLinkShrinksInATransfer(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := &narrows{t: t, n: n, a: n.Host("a"), b: n.Host("b")}
		link := n.Link(w.a, w.b, netem.Config{Delay: 10 * ms})
		c, peer := w.connect()
		start := n.Elapsed()
		n.After(50*ms, func() { link.Set(netem.Config{Delay: 10 * ms, MTU: 600}) })
		w.carry(c, peer, 500_000)
		sent := since(n, 0, func(e sim.Event) bool { return dataSent(e) && e.At >= start+50*ms })
		require.NotEmpty(t, sent)
		require.Equal(t, 600, largest(sent))
		require.Empty(t, since(n, 0, func(e sim.Event) bool { return e.Kind == sim.Dropped }))
	})
}

// An MTU too small to be believed is remembered for 10 minutes from the first message about it. Messages about
// packets that were already in flight do not count (ip_mtu_locked).
func TestALockedMTUIsLearnedOnce(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := narrowsOf(t, n, 300)
		u, err := w.a.Dial("udp", "b:9")
		require.NoError(t, err)
		u.Write(make([]byte, 500))
		time.Sleep(8 * ms)
		u.Write(make([]byte, 500)) // the first router says both times that this is too big
		time.Sleep(15 * ms)
		_, err = u.Write(nil)
		require.ErrorIs(t, err, syscall.EMSGSIZE)
		dropsOf := func(write func()) int {
			before := dropped(n, "mtu, r1 > r2")
			write()
			time.Sleep(6 * ms)
			return dropped(n, "mtu, r1 > r2") - before
		}
		time.Sleep(10*time.Minute + 9*ms - n.Elapsed()) // the news came after 10 ms and after 18
		require.Zero(t, dropsOf(func() { u.Write(make([]byte, 500)) }), "it may be cut")
		require.Equal(t, 10*time.Minute+15*ms, n.Elapsed())
		require.Equal(t, 1, dropsOf(func() { u.Write(make([]byte, 500)) }), "that is forgotten")
	})
}
