package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

func hostsOf(n *sim.Network, names string) (hs []*sim.Host) {
	for _, name := range names {
		hs = append(hs, n.Host(string(name)))
	}
	return hs
}

// Each shape of partition leaves exactly the given pairs of hosts able to reach each other.
func TestShapesOfPartitions(t *testing.T) {
	seedsOfItsOwn(t) // the drawn order is that of seed 1
	for _, row := range []struct {
		reason string
		cuts   func(n *sim.Network, hosts func(string) []*sim.Host) sim.Cuts
		want   string
	}{
		{"isolated from all others, also from those made later", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Isolate(hosts("b")...)
		}, "ac ad ae ca cd ce da dc de ea ec ed"},
		{"several isolated hosts do not reach each other", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Isolate(hosts("be")...)
		}, "ac ad ca cd da dc"},
		{"a minority of two and a majority of three", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Halves(hosts("abcde")...)
		}, "ab ba cd ce dc de ec ed"},
		{"halves of hosts in a drawn order", func(n *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Halves(n.Shuffled("halves", hosts("abcde")...)...)
		}, "ad bc be cb ce da eb ec"},
		{"a bridge: c reaches both halves", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Bridge(hosts("abcde")...)
		}, "ab ac ba bc ca cb cd ce dc de ec ed"},
		{"a bridge of four: b reaches a, and c and d", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Bridge(hosts("abcd")...)
		}, "ab ae ba bc bd be cb cd ce db dc de ea eb ec ed"},
		{"a bridge of three", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Bridge(hosts("abc")...)
		}, "ab ad ae ba bc bd be cb cd ce da db dc de ea eb ec ed"},
		{"each reaches a majority, no two the same: itself and its neighbours", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.MajoritiesRing(hosts("abcde")...)
		}, "ab ae ba bc cb cd dc de ea ed"},
		{"a ring of four: each misses the one opposite", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.MajoritiesRing(hosts("abcd")...)
		}, "ab ad ae ba bc be cb cd ce da dc de ea eb ec ed"},
		{"not transitive: one pair, in one direction", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Cuts{{From: hosts("a"), To: hosts("d")}}
		}, "ab ac ae ba bc bd be ca cb cd ce da db dc de ea eb ec ed"},
		{"set to set", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Groups(hosts("ab"), hosts("de"))
		}, "ab ac ba bc ca cb cd ce dc de ec ed"},
		{"three groups", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Groups(hosts("ab"), hosts("c"), hosts("de"))
		}, "ab ba de ed"},
		{"nothing comes to one: it is deaf", func(_ *sim.Network, hosts func(string) []*sim.Host) sim.Cuts {
			return sim.Cuts{{To: hosts("a")}}
		}, "ab ac ad ae bc bd be cb cd ce db dc de eb ec ed"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				f := sim.PartitionBy(n, row.cuts(n, func(names string) []*sim.Host { return hostsOf(n, names) }), sim.PartitionConfig{})
				f.Begin()
				got := reach(t, n, "abcde")
				require.ElementsMatch(t, strings.Fields(row.want), strings.Fields(got), got)
				require.Equal(t, 20-len(strings.Fields(got)), f.Fired().Packets)
				n.Heal()
				require.Len(t, strings.Fields(reach(t, n, "abcde")), 20, "after Heal")
			}, sim.Strict())
		})
	}
}

// In a ring of any size, each host reaches a majority, and no two hosts reach the same majority.
func TestRingsOfMajorities(t *testing.T) {
	n := sim.New()
	defer n.Close()
	for count := 4; count < 40; count++ {
		var hosts []*sim.Host
		for i := range count {
			hosts = append(hosts, n.Host(fmt.Sprint("h", i)))
		}
		reached := map[string]bool{}
		unreached := map[*sim.Host]map[*sim.Host]bool{}
		for _, c := range sim.MajoritiesRing(hosts...) {
			require.Len(t, c.From, 1)
			require.Greater(t, 2*(count-len(c.To)), count, "of %d", count)
			require.LessOrEqual(t, count-len(c.To), count/2+2, "no more than it takes, with as many on each side")
			reached[fmt.Sprint(c.To)] = true
			unreached[c.From[0]] = map[*sim.Host]bool{}
			for _, h := range c.To {
				unreached[c.From[0]][h] = true
			}
		}
		require.Len(t, reached, count)
		for a, far := range unreached {
			for b := range far {
				require.True(t, unreached[b][a], "both directions")
			}
		}
	}
}

// Each kind of partition has its effect on an open connection, on an attempt to connect after 1 s, and on a datagram after 2 s.
// A partition lasts 4 s, and the link takes 10 ms.
func TestEffectsOfPartitions(t *testing.T) {
	const silent = "nothing within 1s"
	for _, row := range []struct {
		name    string
		cfg     sim.PartitionConfig
		echo    string // of the open connection
		connect string
		write   string // of the datagram
		read    string // when it arrives
	}{
		{"loses", sim.PartitionConfig{}, silent, silent, "", "never"},
		{"rejects", sim.PartitionConfig{Rejects: true}, silent, "ENETUNREACH after 0s", "ENETUNREACH", "never"},
		{"rejects as a host that is not there", sim.PartitionConfig{Rejects: true, Code: sim.ICMPHostUnreachable},
			silent, "EHOSTUNREACH after 0s", "EHOSTUNREACH", "never"},
		{"rejects as a firewall, of which a socket of UDP learns later", sim.PartitionConfig{Rejects: true, Code: sim.ICMPAdminProhibited},
			silent, "EHOSTUNREACH after 0s", "", "never"},
		{"holds until 4 s", sim.PartitionConfig{Holds: true}, silent, silent, "", "4.01s"},
		{"new connections are lost", sim.PartitionConfig{Only: sim.NewConnections}, "20ms", silent, "", "2.01s"},
		{"new connections are refused", sim.PartitionConfig{Only: sim.NewConnections, Rejects: true, Code: sim.ICMPPortUnreachable},
			"20ms", "ECONNREFUSED after 0s", "", "2.01s"},
		{"new connections wait", sim.PartitionConfig{Only: sim.NewConnections, Holds: true}, "20ms", silent, "", "2.01s"},
		{"open connections are lost", sim.PartitionConfig{Only: sim.OpenConnections}, silent, "20ms", "", "2.01s"},
		{"open connections are rejected, which TCP does not believe", sim.PartitionConfig{Only: sim.OpenConnections, Rejects: true},
			silent, "20ms", "", "2.01s"},
		{"open connections wait", sim.PartitionConfig{Only: sim.OpenConnections, Holds: true}, silent, "20ms", "", "2.01s"},
		{"what is in flight makes no difference later", sim.PartitionConfig{InFlight: true}, silent, silent, "", "never"},
	} {
		t.Run(row.name, func(t *testing.T) {
			onRig(t, func(r *rig) {
				t := r.t
				start := r.n.Elapsed()
				at := func(d time.Duration) { time.Sleep(start + d - r.n.Elapsed()) }
				f := r.n.Inject(0, 4*time.Second, sim.PartitionBy(r.n, sim.Groups([]*sim.Host{r.a}, []*sim.Host{r.b}), row.cfg))

				echo := silent
				if took := r.echoes(time.Second); took > 0 {
					echo = fmt.Sprint(took)
				}
				at(time.Second)
				connect := silent
				if err := r.connects(time.Second); err == nil {
					connect = fmt.Sprint(r.n.Elapsed() - start - time.Second)
				} else if !errors.Is(err, context.DeadlineExceeded) {
					connect = fmt.Sprintf("%s after %v", unreachability(err), (r.n.Elapsed() - start - time.Second).Truncate(time.Microsecond))
				}
				at(2 * time.Second)
				_, err := r.atA.Write([]byte{1})
				read := "never"
				r.atB.SetReadDeadline(in(3 * time.Second))
				if _, _, err := r.atB.ReadFrom(make([]byte, 1)); err == nil {
					read = fmt.Sprint((r.n.Elapsed() - start).Truncate(time.Microsecond))
				}
				require.Equal(t, []string{row.echo, row.connect, row.write, row.read}, []string{echo, connect, unreachability(err), read})
				require.NotZero(t, f.Fired().Count)

				at(10 * time.Second) // the open connection sends again at 0.2, 0.6, 1.5, 3.1 and 6.4 s
				if echo == silent {
					r.conn.SetReadDeadline(time.Time{})
					_, err = io.ReadFull(r.conn, make([]byte, 1))
					require.NoError(t, err, "the connection lives on")
				}
				require.Equal(t, 20*ms, r.echoes(time.Second))
				require.NoError(t, r.connects(time.Second))
			}, sim.Strict())
		})
	}
}

// unreachability returns the name of an errno that partitions cause, the text of any other error, or "" for nil.
func unreachability(err error) string {
	switch {
	case errors.Is(err, syscall.ENETUNREACH):
		return "ENETUNREACH"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "EHOSTUNREACH"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "ECONNREFUSED"
	case err != nil:
		return err.Error()
	}
	return ""
}

// A partition in one direction that affects only new connections acts as a firewall: the hosts inside can connect to those outside, but not
// the reverse.
func TestPartitionOfOneDirectionForNewConnections(t *testing.T) {
	onRig(t, func(r *rig) {
		t := r.t
		accept(listen(t, r.a, ":8"), echo)
		f := sim.PartitionBy(r.n, sim.Cuts{{From: []*sim.Host{r.b}, To: []*sim.Host{r.a}}}, sim.PartitionConfig{Only: sim.NewConnections})
		f.Begin()
		require.NoError(t, r.connects(20*ms+1), "the SYN-ACK passes")
		ctx, cancel := context.WithTimeout(t.Context(), 1500*ms)
		defer cancel()
		_, err := r.b.DialContext(ctx, "tcp", "a:8")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2, f.Fired().Packets, "the SYN and, after 1 s, the SYN again")
	})
}

// A partition for open connections spares a connection made while it lasts, even if it cuts only the direction of the answers
// to the SYN.
func TestPartitionForOpenConnectionsSparesNewOnes(t *testing.T) {
	onRig(t, func(r *rig) {
		t := r.t
		sim.PartitionBy(r.n, sim.Cuts{{From: []*sim.Host{r.b}, To: []*sim.Host{r.a}}}, sim.PartitionConfig{Only: sim.OpenConnections}).Begin()
		require.Zero(t, r.echoes(time.Second))
		c := dial(t, r.a, "b:7")
		c.Write([]byte{1})
		c.SetReadDeadline(in(20*ms + 1))
		_, err := io.ReadFull(c, make([]byte, 1))
		require.NoError(t, err)
	})
}

// A partition for open connections, from 5 ms to 1.5 s, affects a connection whose first SYN was sent before it began, also behind a NAT
// that the SYN reaches only later. It spares one whose first SYN is sent a moment after that, whichever direction is cut.
func TestPartitionForOpenConnectionsAndTheFirstSYN(t *testing.T) {
	const begins = 5 * ms
	for _, row := range []struct {
		name     string
		nats     int  // on the way
		from, to bool // which of the directions are cut
		dials    time.Duration
		takes    time.Duration
	}{
		// The partition drops the answer at 20 ms, or the SYN at the NAT at 10 ms. The SYN is sent again at 1 s, in vain, and at 2 s
		// (net.ipv4.tcp_syn_linear_timeouts).
		{"the SYN has gone", 0, true, true, 0, 2*time.Second + 40*ms},
		{"the SYN has gone, behind a NAT", 1, true, true, 0, 2*time.Second + 40*ms},
		{"the SYN has gone, and the answer is cut", 0, false, true, 0, 2*time.Second + 40*ms},
		{"the SYN has gone, and the answer is cut, behind a NAT", 1, false, true, 0, 2*time.Second + 40*ms},
		{"the SYN has not gone", 0, true, true, begins + ms, 40 * ms},
		{"the SYN has not gone, behind a NAT", 1, true, true, begins + ms, 40 * ms},
		{"the SYN has not gone, and the answer would be cut, behind a NAT", 1, false, true, begins + ms, 40 * ms},
		{"the SYN has not gone, and the answer would be cut, behind two", 2, false, true, begins + ms, 40 * ms},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b, near, far := n.Host("a"), n.Host("b"), n.Router("near"), n.Router("far")
				n.Link(a, near, netem.Config{Delay: 10 * ms})
				n.Link(near, far, netem.Config{})
				n.Link(far, b, netem.Config{Delay: 10 * ms})
				if row.nats > 0 {
					near.NAT(sim.NATConfig{}, a)
				}
				if row.nats > 1 {
					far.NAT(sim.NATConfig{}, near)
				}
				accept(listen(t, b, ":7"), echo)
				var cuts sim.Cuts
				if row.from {
					cuts = append(cuts, sim.Cut{From: []*sim.Host{a}, To: []*sim.Host{b}})
				}
				if row.to {
					cuts = append(cuts, sim.Cut{From: []*sim.Host{b}, To: []*sim.Host{a}})
				}
				n.Inject(begins, 1500*ms-begins, sim.PartitionBy(n, cuts, sim.PartitionConfig{Only: sim.OpenConnections}))
				time.Sleep(row.dials)
				dial(t, a, "b:7")
				require.Equal(t, row.takes, n.Elapsed()-row.dials)
			})
		})
	}
}

// Three datagrams are in flight when the partition begins: one is due to arrive 1 ms later, one is held at the far link, and one
// is in that link's queue. A partition loses them only if it is configured to. A datagram sent after it arrives.
func TestPartitionsAndWhatIsInFlight(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for _, queue := range []netem.Queue{netem.DropTail{Packets: 10}, netem.CoDel{}} {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b, c, r := n.Host("a"), n.Host("b"), n.Host("c"), n.Router("r")
				n.Link(a, r, netem.Config{Delay: 5 * ms})
				n.Link(c, r, netem.Config{Delay: 5 * ms})
				far := n.Link(r, b, netem.Config{Delay: 5 * ms, Rate: 8 * netem.Kbit, Queue: queue}) // a millisecond for each byte
				pc, err := b.ListenPacket("udp", ":9")
				require.NoError(t, err)
				at := map[byte]time.Duration{}
				done := make(chan struct{})
				go func() {
					defer close(done)
					for p := make([]byte, 1); ; {
						pc.SetReadDeadline(in(time.Second))
						if _, _, err := pc.ReadFrom(p); err != nil {
							return
						}
						at[p[0]] = n.Elapsed()
					}
				}()
				send := func(from *sim.Host, which byte) {
					conn, err := from.Dial("udp", "b:9")
					require.NoError(t, err)
					conn.Write([]byte{which})
				}
				send(a, 1) // 29 bytes: at r at 5 ms, sent at 34 ms, at b at 39 ms
				send(a, 2) // sent at 63 ms
				send(c, 3) // sent at 92 ms, and no matter of the partition
				cfg := sim.PartitionConfig{InFlight: lost}
				f := n.Inject(38*ms, ms, sim.PartitionBy(n, sim.Groups([]*sim.Host{a}, []*sim.Host{b}), cfg))
				n.After(37*ms, func() { far.Hold() })
				n.After(130*ms, func() { far.Release() })
				n.After(31*ms, func() { send(a, 4) })                      // at r at 36 ms, sent at 121 ms
				n.After(32*ms+500*time.Microsecond, func() { send(a, 5) }) // at r at 37.5 ms, and held there until 130 ms
				n.After(200*ms, func() { send(a, 6) })
				<-done

				want := map[byte]time.Duration{1: 39 * ms, 2: 68 * ms, 3: 97 * ms, 4: 126 * ms, 5: 164 * ms, 6: 239 * ms}
				if lost {
					want = map[byte]time.Duration{3: 97 * ms, 6: 239 * ms}
				}
				for which, when := range at {
					require.Equal(t, want[which], when.Truncate(time.Microsecond), "datagram %d", which)
				}
				require.Len(t, at, len(want))
				if lost {
					require.Equal(t, 4, f.Fired().Packets)
				}
				dropped := 0
				for _, l := range n.Stats().Links {
					require.Equal(t, l.Sent, l.Delivered+l.CutOff, "%s > %s", l.From, l.To)
					dropped += int(l.Dropped)
				}
				require.Equal(t, map[bool]int{true: 4}[lost], dropped, "what was held, too")
			})
		}
	}
}

// Where partitions overlap, one that loses a packet takes precedence over one that rejects it. A packet that one partition holds can be lost
// to another when it is released.
func TestPartitionsOfOtherEffectsOverlap(t *testing.T) {
	onRig(t, func(r *rig) {
		t, cuts := r.t, sim.Groups([]*sim.Host{r.a}, []*sim.Host{r.b})
		holds := sim.PartitionBy(r.n, cuts, sim.PartitionConfig{Holds: true})
		rejects := sim.PartitionBy(r.n, cuts, sim.PartitionConfig{Rejects: true})
		loses := sim.PartitionBy(r.n, cuts, sim.PartitionConfig{})
		firewall := sim.PartitionBy(r.n, cuts, sim.PartitionConfig{Rejects: true, Code: sim.ICMPAdminProhibited})

		holds.Begin()
		rejects.Begin()
		_, err := r.atA.Write([]byte{1})
		require.ErrorIs(t, err, syscall.ENETUNREACH, "the call fails")
		require.Equal(t, []int{1, 0}, []int{rejects.Fired().Count, rejects.Fired().Packets}, "which is no packet")
		loses.Begin()
		_, err = r.atA.Write([]byte{2})
		require.NoError(t, err)
		rejects.End()
		require.ErrorIs(t, r.connects(ms), context.DeadlineExceeded)
		loses.End()
		firewall.Begin()
		require.ErrorIs(t, r.connects(ms), syscall.EHOSTUNREACH)
		firewall.End()

		_, err = r.atA.Write([]byte{3})
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, sendsThen(r, loses.Begin, holds.End, 4))
		holds.Begin() // beside loses, which began before it and decides, too
		require.NoError(t, sendsThen(r, func() {}, loses.End, 6))
		require.NoError(t, sendsThen(r, r.n.Heal, func() {}, 5))
		p := make([]byte, 1)
		r.atB.SetReadDeadline(in(time.Second))
		_, _, err = r.atB.ReadFrom(p)
		require.NoError(t, err)
		require.EqualValues(t, 5, p[0], "the only one that was held and not lost, until Heal")
		_, _, err = r.atB.ReadFrom(p)
		require.Error(t, err)
	})
}

// sendsThen sends a datagram, and calls first and second a second later.
func sendsThen(r *rig, first, second func(), which byte) error {
	_, err := r.atA.Write([]byte{which})
	time.Sleep(time.Second)
	first()
	second()
	time.Sleep(ms)
	return err
}

// A partition that rejects answers at once, and a reader gets the error at the same instant, whatever the link's delay.
func TestLookaheadSeesPartitionsThatReject(t *testing.T) {
	requireSameWithoutLookahead(t, 1, func(n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: 10 * ms})
		n.Inject(time.Second, time.Second, sim.PartitionBy(n, sim.Isolate(b), sim.PartitionConfig{Rejects: true, Code: sim.ICMPAdminProhibited}))
		u, err := a.Dial("udp", "b:9")
		check(err)
		n.Host("c")
		other, err := a.Dial("udp", "c:9")
		check(err)
		go func() {
			u.Read(make([]byte, 1))
			other.Write([]byte("the trace has the instant"))
		}()
		time.Sleep(1500 * ms)
		u.Write([]byte{1})
		time.Sleep(time.Second)
	})
}

// A host sets its own interface down, as measured on Linux 6.18.44 (ip link set down on one end of a veth pair). The route vanishes, so
// every send fails at once. The address stays: a socket can listen on it, a reader waits, and open connections live on. The other side gets
// no answer. If the peer's end is set down instead, the route stays, and packets wait for ARP in vain: that is
// Link.Unplug.
func TestInterfaceThatIsSetDown(t *testing.T) {
	onRig(t, func(r *rig) {
		t, h := r.t, []*sim.Host{r.a}
		out := sim.PartitionBy(r.n, sim.Cuts{{From: h}}, sim.PartitionConfig{Rejects: true, InFlight: true})
		in := sim.PartitionBy(r.n, sim.Cuts{{To: h}}, sim.PartitionConfig{InFlight: true})
		out.Begin()
		in.Begin()

		at := r.n.Elapsed()
		require.ErrorIs(t, r.connects(time.Minute), syscall.ENETUNREACH)
		_, err := r.atA.Write([]byte{1})
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		_, err = r.a.Dial("udp", "b:9")
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		require.ErrorContains(t, err, "connect: network is unreachable")
		require.Equal(t, at, r.n.Elapsed().Truncate(time.Microsecond), "all at once")
		listen(t, r.a, r.a.Addr().String()+":0").Close()
		r.atA.SetReadDeadline(time.Now().Add(time.Second))
		_, err = r.atA.Read(make([]byte, 1))
		require.ErrorContains(t, err, "i/o timeout")
		require.Zero(t, r.echoes(time.Second))
		_, err = r.atB.WriteTo([]byte{1}, udpAddr(r.a.Addr().String()+":9"))
		require.NoError(t, err)
		time.Sleep(ms)
		require.Equal(t, 1, in.Fired().Packets)

		out.End()
		in.End()
		r.conn.SetReadDeadline(time.Time{})
		_, err = io.ReadFull(r.conn, make([]byte, 1))
		require.NoError(t, err, "the connection lives on")
		require.NoError(t, r.connects(time.Second))
	})
}

// Packets that a partition holds are lost when their sender loses power. When it crashes, they stay with its operating system. Packets of
// other hosts wait on in both cases.
func TestHeldPacketsOfAHostThatGoes(t *testing.T) {
	for name, row := range map[string]struct {
		goes func(h *sim.Host)
		want []string
	}{
		"crash":     {(*sim.Host).Crash, []string{"a", "b"}},
		"power off": {(*sim.Host).PowerOff, []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
				at, err := c.ListenPacket("udp", ":9")
				require.NoError(t, err)
				n.Inject(0, 5*time.Second, sim.PartitionBy(n, sim.Isolate(c), sim.PartitionConfig{Holds: true}))
				for _, h := range []*sim.Host{a, b} {
					check1(check1(h.Dial("udp", "c:9")).Write([]byte(h.Name())))
				}
				n.After(time.Second, func() { row.goes(a) })
				at.SetReadDeadline(in(10 * time.Second))
				var got []string
				p := make([]byte, 1)
				for {
					if _, _, err := at.ReadFrom(p); err != nil {
						break
					}
					got = append(got, string(p))
				}
				require.Equal(t, row.want, got)
			})
		})
	}
}
