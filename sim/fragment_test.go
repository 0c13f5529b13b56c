package sim_test

import (
	"bytes"
	"math"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// socketsBehind makes a connected socket of a and the socket of b to which it sends, behind a
// router, with the configurations of the two links.
func socketsBehind(t *testing.T, n *sim.Network, first, second netem.Config) (net.Conn, net.PacketConn) {
	t.Helper()
	n.Link(n.Host("a"), n.Router("r"), first)
	n.Link(n.Router("r"), n.Host("b"), second)
	pc, err := n.Host("b").ListenPacket("udp", ":9")
	require.NoError(t, err)
	c, err := n.Host("a").Dial("udp", "b:9")
	require.NoError(t, err)
	return c, pc
}

// drops returns the instants at which something was dropped for a reason.
func drops(n *sim.Network, note string) (at []time.Duration) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Dropped && e.Note == note {
			at = append(at, e.At)
		}
	}
	return at
}

// Fragments follow each other: the second link sends the first one while the others are on the
// first link. At a byte a millisecond and 1500 + 1500 + 68 bytes, the last one leaves the first
// link at 3068 ms, and the second link after the two others at 1500 + 3068 ms.
func TestFragmentsArePipelined(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		slow := netem.Config{Rate: 8 * netem.Kbit}
		c, pc := socketsBehind(t, n, slow, slow)
		c.Write(make([]byte, 3000))
		_, _, err := pc.ReadFrom(make([]byte, 3000))
		require.NoError(t, err)
		require.Equal(t, (1500+3068)*ms, n.Elapsed())
		require.EqualValues(t, 3, stats(n, "a", "r").Sent)
		require.EqualValues(t, 3068, stats(n, "a", "r").SentBytes)
	})
}

// A router fragments again the fragments that are too large for its next link, and nothing is lost
// or changed. A link with an MTU of 576 carries 552 bytes in a fragment.
func TestRoutersFragment(t *testing.T) {
	for _, row := range []struct{ payload, first, second int }{
		{540, 1, 1},
		{548, 1, 1},  // 576 bytes with the headers: one packet, which must not be cut
		{1473, 2, 4}, // 1480 + 1, of which the first is cut into 552 + 552 + 376
		{3000, 3, 7}, // 1480 + 1480 + 48, of which the first two are cut
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			c, pc := socketsBehind(t, n, netem.Config{}, netem.Config{MTU: 576})
			data := make([]byte, row.payload)
			for i := range data {
				data[i] = byte(i * i)
			}
			_, err := c.Write(data)
			require.NoError(t, err)
			p := make([]byte, 4000)
			k, _, err := pc.ReadFrom(p)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, p[:k]))
			require.EqualValues(t, row.first, stats(n, "a", "r").Delivered)
			require.EqualValues(t, row.second, stats(n, "r", "b").Delivered)
		})
	}
}

// All fragments must arrive. Of datagrams of five fragments on a link that loses every sixth
// packet, one in six arrives.
func TestAllFragmentsMustArrive(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.SetAsym(netem.Config{Loss: netem.EveryNth(6)}, netem.Config{})
		r.fill(60, 5*1480-8)
		require.Equal(t, 10, r.drain())
		require.EqualValues(t, 50, stats(r.n, "a", "b").Lost)
	})
	// With random loss p it is (1-p)^n.
	onRig(t, func(r *rig) {
		r.link.SetAsym(netem.Config{Loss: netem.Bernoulli(0.1)}, netem.Config{})
		require.NoError(t, r.atB.(*sim.UDPConn).SetReadBuffer(4<<20))
		got := 0
		for range 10 {
			r.fill(300, 5*1480-8)
			got += r.drain()
		}
		want := math.Pow(0.9, 5)
		require.InDelta(t, 3000*want, got, 5*math.Sqrt(3000*want*(1-want)), "five standard deviations")
	})
}

// A datagram's fragments wait for the rest for 30 s from the arrival of the first. A fragment of
// 1500 bytes takes 1.5 s. So a datagram of 20 fragments arrives, and one of 45 does not: its later
// fragments start a new datagram that is never complete.
func TestFragmentsWaitFor30Seconds(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Rate: 8 * netem.Kbit})
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		c.Write(make([]byte, 20*1480-8))
		_, _, err = pc.ReadFrom(nil)
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, n.Elapsed())
		require.Empty(t, drops(n, "fragments missing"))

		c.Write(make([]byte, 65507))
		pc.SetReadDeadline(in(200 * time.Second))
		_, _, err = pc.ReadFrom(nil)
		require.ErrorContains(t, err, "i/o timeout")
		second := func(s float64) time.Duration { return 30*time.Second + time.Duration(s*1e9) }
		require.Equal(t, []time.Duration{second(31.5), second(63), second(94.5)}, drops(n, "fragments missing"))
	})
}

// A copy of a fragment changes nothing. One that arrives when its datagram is complete starts
// another datagram, which never gets its other fragments.
func TestDuplicateFragments(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		r.link.SetAsym(netem.Config{Duplicate: 1}, netem.Config{})
		r.fill(1, 2000)
		require.Equal(t, 1, r.drain())
		require.Len(t, drops(r.n, "fragment arrived before"), 1)
		time.Sleep(time.Minute)
		require.Equal(t, []time.Duration{start + 30*time.Second}, drops(r.n, "fragments missing"))
		require.Zero(t, r.drain())
	})
}

// A bit error in any fragment loses the datagram. A host reassembles it before it looks at the
// checksum, and of two copies of a fragment it takes the one that arrives first. Linux 6.18 did the
// same with fragments of 3000 bytes, for IPv4 and IPv6, that were written to a tun device.
func TestCorruptFragment(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		for _, row := range []struct {
			name    string
			twice   int   // of which there are two copies before the second link; 0: none
			corrupt []int // there
			lost    int   // there; 0: none
			arrives bool
			drops   map[string]int // at the host
		}{
			{"the first", 0, []int{1}, 0, false, map[string]int{"checksum error": 1}},
			{"the second", 0, []int{2}, 0, false, map[string]int{"checksum error": 1}},
			{"the last", 0, []int{3}, 0, false, map[string]int{"checksum error": 1}},
			{"all", 0, []int{1, 2, 3}, 0, false, map[string]int{"checksum error": 1}},
			{"one of which a sound copy follows", 2, []int{2}, 0, false, map[string]int{"checksum error": 1, "fragment arrived before": 1}},
			{"a copy that follows", 2, []int{3}, 0, true, map[string]int{"fragment arrived before": 1}},
			{"the first, and the last is lost", 0, []int{1}, 3, false, map[string]int{"fragments missing": 1}},
		} {
			t.Run(network+", "+row.name, func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					a, r, b := n.Host("a"), n.Router("r"), n.Host("b")
					first, second := n.Link(a, r, netem.Config{}), n.Link(r, b, netem.Config{})
					if row.twice > 0 {
						n.Inject(0, 0, sim.Duplicate(first, sim.Packets{Nth: row.twice}))
					}
					for _, i := range row.corrupt {
						n.Inject(0, 0, sim.Corrupt(second, sim.Packets{Nth: i}))
					}
					if row.lost > 0 {
						n.Inject(0, 0, sim.Drop(second, sim.Packets{Nth: row.lost}))
					}
					pc, err := b.ListenPacket(network, ":9")
					require.NoError(t, err)
					c, err := a.Dial(network, "b:9")
					require.NoError(t, err)
					c.Write(make([]byte, 3000))
					pc.SetReadDeadline(in(2 * time.Minute))
					_, _, err = pc.ReadFrom(make([]byte, 3000))
					require.Equal(t, row.arrives, err == nil)
					got := map[string]int{}
					for _, why := range []string{"checksum error", "fragment arrived before", "fragments missing"} {
						if k := dropped(n, why); k > 0 {
							got[why] = k
						}
					}
					require.Equal(t, row.drops, got)
					require.EqualValues(t, len(row.corrupt), stats(n, "r", "b").Corrupted)
				}, sim.IPv6())
			})
		}
	}
}

// There is one ICMP message for a datagram, for its first fragment, though each of its fragments is
// sent back (RFC 1122, section 3.2.2).
func TestOneMessageForAllFragments(t *testing.T) {
	for _, reject := range []bool{true, false} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			c, pc := socketsBehind(t, n, netem.Config{}, netem.Config{})
			if reject {
				n.Link(n.Router("r"), n.Host("c"), netem.Config{}).RejectWith(sim.ICMPPortUnreachable)
				var err error
				c, err = n.Host("a").Dial("udp", "c:9")
				require.NoError(t, err)
			} else {
				pc.Close() // the host itself has no socket
			}
			c.Write(make([]byte, 5000))
			settle()
			count := 0
			for e := range n.Trace().Events() {
				if e.Protocol == "icmp" && e.Kind == sim.Sent {
					count++
				}
			}
			require.Equal(t, 1, count)
			_, err := c.Read(make([]byte, 1))
			require.ErrorContains(t, err, "connection refused")
		})
	}
}

// A host that is off or paused, and a partition, treat fragments as they treat any packet.
func TestFragmentsMeetFaults(t *testing.T) {
	onRig(t, func(r *rig) {
		r.b.Pause()
		r.fill(1, 5000)
		r.b.Resume()
		require.Equal(t, 1, r.drain(), "the operating system has put it together")
		r.link.Hold()
		r.fill(1, 5000)
		require.Zero(t, r.drain())
		r.link.Release()
		settle()
		require.Equal(t, 1, r.drain())
		r.n.Partition([]*sim.Host{r.a}, []*sim.Host{r.b})
		r.fill(1, 5000)
		r.n.Heal()
		require.Zero(t, r.drain())
	})
}

// Fragments that have arrived are lost when the host loses its power.
func TestPowerOffLosesFragments(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: 10 * ms, Rate: 100 * netem.Kbit})
		u, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		u.Write(make([]byte, 2000)) // the first fragment arrives after 130 ms, the second after 174
		time.Sleep(150 * ms)
		b.PowerOff()
		b.Restart()
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		pc.SetReadDeadline(in(time.Second))
		_, _, err = pc.ReadFrom(make([]byte, 2000))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		u.Write(make([]byte, 2000))
		pc.SetReadDeadline(in(time.Second))
		_, _, err = pc.ReadFrom(make([]byte, 2000))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, 1, dropped(n, "fragments missing"), "the second one was alone")
	})
}

// When a host gives up, it sends time exceeded to the sender of the first fragment, if that one
// arrived (RFC 792; RFC 8200, section 4.5). A UDP socket does not learn of it. Linux 6.18 did the
// same.
func TestAHostThatWaitsInVainTells(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		for lost := 1; lost <= 3; lost++ {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				n.Link(n.Host("a"), n.Host("b"), netem.Config{Loss: netem.DropList{lost}})
				pc, err := n.Host("b").ListenPacket(network, ":9")
				require.NoError(t, err)
				defer pc.Close()
				c, err := n.Host("a").Dial(network, "b:9")
				require.NoError(t, err)
				c.Write(make([]byte, 3000))
				c.SetReadDeadline(in(2 * time.Minute))
				_, err = c.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				var told []time.Duration
				for e := range n.Trace().Events() {
					if e.Kind == sim.Delivered && e.Protocol == "icmp" && e.To == "a" {
						told = append(told, e.At)
					}
				}
				if lost > 1 {
					require.Equal(t, drops(n, "fragments missing"), told)
				}
				require.Equal(t, lost > 1, len(told) == 1)
			}, sim.IPv6())
		}
	}
}

// Over IPv6 the timeout is 60 s, whatever else the host waits with.
func TestFragmentsOfIPv6WaitFor60Seconds(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Loss: netem.DropList{2, 4}})
		for _, network := range []string{"udp6", "udp4"} {
			pc, err := b.ListenPacket(network, ":9")
			require.NoError(t, err)
			defer pc.Close()
			c, err := a.Dial(network, "b:9")
			require.NoError(t, err)
			c.Write(make([]byte, 2000))
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		require.Equal(t, []time.Duration{31 * time.Second, 60 * time.Second}, drops(n, "fragments missing"))
	}, sim.IPv6())
}
