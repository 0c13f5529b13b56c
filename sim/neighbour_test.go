package sim_test

import (
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The measurements of a real kernel quoted in these tests are from Linux 6.18, between network namespaces on a
// bridge. Its timers run a little late.

// asked returns when a node sent ARP requests for a neighbour.
func asked(n *sim.Network, who string) (at []time.Duration) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Protocol == "arp" && e.Flags == "request" && e.From == who {
			at = append(at, e.At)
		}
	}
	return at
}

// onEthernet sets up hosts a and b 10 ms apart, on a link with ARP.
func onEthernet(t *testing.T, f func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host), opts ...sim.Option) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * ms})
		link.ARP()
		accept(listen(t, b, ":7"), echo)
		f(t, n, link, a, b)
	}, opts...)
}

// oneByte sends a byte to an echo server and waits for it.
func oneByte(c net.Conn) {
	check1(c.Write([]byte{1}))
	check1(io.ReadFull(c, make([]byte, 1)))
}

func check1[T any](v T, err error) T {
	check(err)
	return v
}

// The first host to send asks for its neighbour. The host that was asked already knows the way back.
func TestNeighboursAskOnce(t *testing.T) {
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		c := dial(t, a, "b:7")
		require.Equal(t, 40*ms, n.Elapsed(), "a round trip for ARP, and one for the handshake")
		oneByte(c)
		require.Equal(t, 60*ms, n.Elapsed())
		accept(listen(t, a, ":7"), echo)
		oneByte(dial(t, b, "a:7"))
		require.Len(t, asked(n, "a"), 1)
		require.Empty(t, asked(n, "b"))
	})
}

// If a host of the same network is off, nobody answers ARP and calls fail. Linux took 3.06 s, measured twice.
func TestNobodyAnswersByARP(t *testing.T) {
	off := func(t *testing.T, n *sim.Network, a, b *sim.Host) {
		b.PowerOff()
		for range 2 {
			start := n.Elapsed()
			_, err := a.Dial("tcp", "b:7")
			require.ErrorIs(t, err, syscall.EHOSTUNREACH)
			require.ErrorContains(t, err, "connect: no route to host")
			require.Equal(t, 3*time.Second, n.Elapsed()-start)
		}
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second}, asked(n, "a"))
		require.Empty(t, n.IdleFaults())
	}
	onEthernet(t, func(t *testing.T, n *sim.Network, _ *sim.Link, a, b *sim.Host) { off(t, n, a, b) })
	lan := func(t *testing.T, n *sim.Network) { off(t, n, n.Host("a"), n.Host("b")) }
	sim.Test(t, lan, sim.ARP())
	sim.Test(t, lan, sim.ARP(), sim.DefaultLink(netem.Config{Delay: 4 * time.Second}))
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("a"), n.Host("b"), netem.Config{})
		lan(t, n)
	}, sim.ARP())
	// A host is not its own neighbour.
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		accept(listen(t, n.Host("a"), ":7"), echo)
		oneByte(dial(t, n.Host("a"), "a:7"))
		require.Empty(t, asked(n, "a"))
	}, sim.ARP())
}

// Without ARP a link is a line with one other end, and a host that is off is silent.
func TestWithoutARPThereIsSilence(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("a"), n.Host("b"), netem.Config{Delay: 10 * ms})
		n.Host("b").PowerOff()
		_, err := n.Host("a").Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.Equal(t, 131*time.Second, n.Elapsed())
	})
}

// A fault that stops packets on the link also stops ARP. A fault that stops only programs, or only IP, does not.
func TestWhatStopsARP(t *testing.T) {
	for name, stop := range map[string]func(n *sim.Network, link *sim.Link, a, b *sim.Host){
		"down":         func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.Down() },
		"one way":      func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.DownFrom(a) },
		"the way back": func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.DownFrom(b) },
		"unplugged":    func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.Unplug() },
		"held":         func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.Hold() },
		"held, where it would reject": func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			link.Reject()
			link.Hold()
		},
		"loss":       func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.Set(netem.Config{Loss: netem.Bernoulli(1)}) },
		"corruption": func(n *sim.Network, link *sim.Link, a, b *sim.Host) { link.Set(netem.Config{Corrupt: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
				stop(n, link, a, b)
				_, err := a.Dial("tcp", "b:7")
				require.ErrorIs(t, err, syscall.EHOSTUNREACH)
				require.Equal(t, 3*time.Second, n.Elapsed())
				if name != "held, where it would reject" {
					require.Empty(t, n.IdleFaults())
				}
				link.Up()
				link.Release()
				link.Set(netem.Config{Delay: 10 * ms})
				oneByte(dial(t, a, "b:7"))
			})
		})
	}
	for name, stop := range map[string]func(n *sim.Network, b *sim.Host){
		"partition": func(n *sim.Network, b *sim.Host) { n.Partition([]*sim.Host{n.Host("a")}, []*sim.Host{b}) },
		"pause":     func(n *sim.Network, b *sim.Host) { b.Pause() },
		"crash":     func(n *sim.Network, b *sim.Host) { b.Crash() },
	} {
		t.Run(name, func(t *testing.T) {
			onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
				u, err := a.Dial("udp", "b:9")
				require.NoError(t, err)
				u.Write([]byte{1}) // a datagram on its own, before the partition
				settle()
				stop(n, b)
				_, err = a.Dial("tcp", "b:7")
				if name != "pause" {
					require.Error(t, err)
				}
				require.NotErrorIs(t, err, syscall.EHOSTUNREACH)
			})
		})
	}
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		link.Reject() // the routing table, or a filter: nobody comes to ask
		_, err := a.Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		require.Zero(t, n.Elapsed())
		require.Empty(t, asked(n, "a"))
	})
}

// The last router of a path asks for the host, and reports that it is unreachable. Linux took 3.06 s.
func TestARPBehindARouter(t *testing.T) {
	behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
		link.ARP()
		a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
		dial(t, a, "b:7")
		require.Equal(t, 100*ms, n.Elapsed(), "60 to and from the router, 20 for ARP, 20 to and from b")
		b.PowerOff()
		link.Unplug()
		start := n.Elapsed()
		_, err := a.Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		require.Equal(t, 3060*ms, n.Elapsed()-start)
		require.Equal(t, []time.Duration{30 * ms, start + 30*ms, start + 1030*ms, start + 2030*ms}, asked(n, "r"))
		require.Empty(t, asked(n, "a"), "the link to the router has no ARP")
		require.Empty(t, asked(n, "b"))

		r.BlockICMP()
		_, err = a.Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.Empty(t, n.IdleFaults())
	})
}

// UDP sockets never learn of a failed neighbour, on the same network or after a router, connected or not. Their calls
// succeed, as on Linux.
func TestUDPAndARP(t *testing.T) {
	quiet := func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		b.PowerOff()
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		pc, err := a.ListenPacket("udp", ":5000")
		require.NoError(t, err)
		for range 8 {
			check1(c.Write([]byte{1}))
			check1(pc.WriteTo([]byte{1}, udpAddr(b.Addr().String()+":9")))
			for _, s := range []net.Conn{c, pc.(*sim.UDPConn)} {
				s.SetReadDeadline(in(700 * ms))
				_, err := s.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
		}
	}
	onEthernet(t, func(t *testing.T, n *sim.Network, _ *sim.Link, _, _ *sim.Host) {
		quiet(t, n)
		require.Equal(t, 12, dropped(n, "no answer by ARP from b"))
	})
	behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
		link.ARP()
		quiet(t, n)
	})
}

// An established connection to a host that is gone. The neighbour's entry is valid for 15 to 45 s. After that the
// next packet is still sent, then the neighbour is asked three times, and from then on packets wait. On Linux the
// entry was valid for 40 s, doubted at 54.3 s with the next retransmission, asked for at 59.5 s, failed at 62.5 s,
// asked for again at 107.6 s and failed at 110.7 s.
func TestAConnectionLosesItsNeighbour(t *testing.T) {
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		a.SetTCP(sim.TCPConfig{Retries2: 9})
		c := dial(t, a, "b:7")
		oneByte(c)
		confirmed := n.Elapsed() - 20*ms // as the data left that carried news of the handshake
		first := len(asked(n, "a"))
		b.PowerOff()
		c.Write([]byte{1})
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.EHOSTUNREACH, "instead of ETIMEDOUT")

		var sent []time.Duration
		for _, e := range since(n, 0, dataSent) {
			sent = append(sent, e.At)
		}
		after := func(d time.Duration) time.Duration {
			for _, at := range sent {
				if at > d {
					return at
				}
			}
			t.Fatal("nothing was sent")
			return 0
		}
		at := asked(n, "a")[first:]
		doubted := at[0] - 5*time.Second
		require.Contains(t, sent, doubted)
		require.Greater(t, doubted, confirmed+15*time.Second)
		require.Less(t, doubted, 2*(confirmed+45*time.Second))
		again := after(at[2] + time.Second)
		require.Equal(t, []time.Duration{
			doubted + 5*time.Second, doubted + 6*time.Second, doubted + 7*time.Second,
			again, again + time.Second, again + 2*time.Second,
		}, at[:6])
		require.NotZero(t, dropped(n, "no answer by ARP from b"))
	})
}

// The time for which an answer is valid is drawn from 15 to 45 s by the seed, and drawn anew every five minutes.
func TestHowLongANeighbourIsBelieved(t *testing.T) {
	seedsOfItsOwn(t)
	holds := func(seed uint64, wait time.Duration) (d time.Duration) {
		onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
			u, err := a.Dial("udp", "b:9999")
			require.NoError(t, err)
			time.Sleep(wait)
			// 5 s after the first packet that is sent in doubt, a request follows.
			for len(asked(n, "a")) < 2 {
				for range 10 {
					u.Write([]byte{1})
					time.Sleep(100 * ms)
				}
			}
			at := asked(n, "a")
			d = at[1] - 5*time.Second - (at[0] + 20*ms)
		}, sim.Seed(seed))
		return d
	}
	least, most := time.Hour, time.Duration(0)
	for seed := range uint64(12) {
		d := holds(seed, 0)
		require.Equal(t, d, holds(seed, 0), "it replays")
		least, most = min(least, d), max(most, d)
	}
	require.GreaterOrEqual(t, least, 15*time.Second)
	require.Less(t, least, 25*time.Second)
	require.Less(t, most, 45*time.Second+100*ms)
	require.Greater(t, most, 35*time.Second)
	require.NotEqual(t, holds(1, 0), holds(1, 10*time.Minute))
	require.Equal(t, holds(1, 0), holds(1, time.Minute), "drawn once for five minutes")
}

// While TCP sees its data acknowledged, the host does not ask. If a program only receives, its host asks, and the
// answer renews the entry.
func TestTCPConfirmsANeighbour(t *testing.T) {
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		c := dial(t, a, "b:7")
		for range 100 {
			oneByte(c)
			time.Sleep(2 * time.Second)
		}
		require.Len(t, asked(n, "a"), 1)
		require.Empty(t, asked(n, "b"))
		c.Close()
		time.Sleep(time.Minute)
		dial(t, a, "b:7")
		time.Sleep(10 * time.Second)
		require.Len(t, asked(n, "a"), 1, "the handshake confirms too, for the side that dials")
		require.Len(t, asked(n, "b"), 1)
	})
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		u, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		for range 100 {
			u.Write([]byte{1})
			time.Sleep(2 * time.Second)
		}
		at := asked(n, "a")
		require.Greater(t, len(at), 3)
		for i, d := range at[1:] {
			gap := d - at[i]
			require.GreaterOrEqual(t, gap, 20*time.Second)
			require.Less(t, gap, 55*time.Second)
		}
	})
}

// Datagrams that wait for an ARP answer may take 212992 bytes of memory. Of 1,000 datagrams Linux kept the last 256
// of 10 bytes, or the last 92 of 1,000 bytes.
func TestWhatWaitsForARPIsBounded(t *testing.T) {
	for _, row := range []struct{ size, kept int }{{10, 256}, {1000, 92}, {1400, 92}} {
		size, kept := row.size, row.kept
		onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
			pc, err := b.ListenPacket("udp", ":9")
			require.NoError(t, err)
			require.NoError(t, pc.(*sim.UDPConn).SetReadBuffer(4<<20))
			link.Down()
			u, err := a.Dial("udp", "b:9")
			require.NoError(t, err)
			for i := range 1000 {
				p := make([]byte, size)
				copy(p, strconv.Itoa(i))
				u.Write(p)
			}
			n.After(1300*ms, link.Up)
			for i := range kept {
				p := make([]byte, size)
				pc.SetReadDeadline(in(10 * time.Second))
				_, _, err := pc.ReadFrom(p)
				require.NoError(t, err)
				require.Contains(t, string(p), strconv.Itoa(1000-kept+i))
			}
			require.Equal(t, 2030*ms, n.Elapsed(), "the third request is answered")
			require.Equal(t, 1000-kept, dropped(n, "too much waits for ARP"))
		})
	}
}

// TCP does not retransmit a segment that still waits in its own host, so a single SYN leaves. Linux counted none of
// its retransmissions either.
func TestWhatWaitsForARPIsNotSentAgain(t *testing.T) {
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		link.Down()
		n.After(1900*ms, link.Up)
		c := dial(t, a, "b:7")
		require.Equal(t, 2040*ms, n.Elapsed())
		require.Equal(t, 2, dropped(n, "waits for ARP already"))
		oneByte(c)
		require.Equal(t, int64(2+1), n.Stats().Links[0].Sent-2, "ARP twice; SYN, ACK and data")
	})
}

// When a cable is unplugged, both ends forget each other at once and drop the waiting packets.
func TestUnplug(t *testing.T) {
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		oneByte(dial(t, a, "b:7"))
		link.Unplug()
		for _, h := range []*sim.Host{a, b} {
			start := n.Elapsed()
			_, err := h.Dial("tcp", map[*sim.Host]string{a: "b:7", b: "a:7"}[h])
			require.ErrorIs(t, err, syscall.EHOSTUNREACH)
			require.Equal(t, 3*time.Second, n.Elapsed()-start)
		}
		u, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		u.Write([]byte{1})
		time.Sleep(ms)
		link.Unplug()
		faults := n.Stats().Faults
		require.Equal(t, 1, faults[len(faults)-1].Packets, "what waited")
		time.Sleep(10 * time.Second)
		waited := 0
		for e := range n.Trace().Events() {
			if e.Kind == sim.Dropped && e.Protocol == "udp" && e.Note == "cable unplugged" {
				waited++
			}
		}
		require.Equal(t, 1, waited)
		link.Up()
		oneByte(dial(t, a, "b:7"))
	})
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		n.After(15*ms, link.Unplug) // the answer is under way
		_, err := a.Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		require.Equal(t, 4*time.Second, n.Elapsed(), "the SYN that waited is gone, the next is asked for")
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) { // without ARP it is Down
		link := n.Link(n.Host("a"), n.Host("b"), netem.Config{})
		link.Unplug()
		_, err := n.Host("a").Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
	})
}

// A host that loses power forgets its neighbours and the packets that wait for them. The others still know it, and it
// answers their requests.
func TestPowerOffForgetsNeighbours(t *testing.T) {
	onEthernet(t, func(t *testing.T, n *sim.Network, link *sim.Link, a, b *sim.Host) {
		oneByte(dial(t, a, "b:7"))
		settle()
		a.PowerOff()
		a.Restart()
		accept(listen(t, a, ":7"), echo)
		before := len(asked(n, "a"))
		oneByte(dial(t, a, "b:7"))
		require.Len(t, asked(n, "a"), before+1)
		require.Empty(t, asked(n, "b"))
		oneByte(dial(t, b, "a:7"))

		b.PowerOff()
		b.Restart()
		link.Down()
		u, err := b.Dial("udp", "a:9")
		require.NoError(t, err)
		u.Write([]byte{1})
		time.Sleep(ms)
		b.PowerOff()
		require.Equal(t, 1, dropped(n, "host is off"))
		link.Up()
		time.Sleep(10 * time.Second)
		require.Zero(t, dropped(n, "no answer by ARP from a"))
	})
}

// A link that rejects returns only IP packets. A neighbour that is asked meanwhile answers.
func TestRejectedNeighboursAnswer(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			link := n.Link(a, b, netem.Config{Delay: 10 * ms})
			link.ARP()
			u, err := b.ListenPacket(network, ":9")
			require.NoError(t, err)
			c, err := a.Dial(network, "b:9")
			require.NoError(t, err)
			c.Write([]byte("1"))
			time.Sleep(10 * time.Minute)
			c.Write([]byte("2")) // what is known is stale: 5 s later b is asked
			time.Sleep(time.Second)
			link.Reject()
			time.Sleep(10 * time.Second)
			var answers []time.Duration
			for e := range n.Trace().Events() {
				if e.Kind == sim.Delivered && e.To == "a" && (e.Flags == "reply" || e.Flags == "advertisement") {
					answers = append(answers, e.At)
				}
			}
			require.Equal(t, []time.Duration{20 * ms, 10*time.Minute + 5*time.Second + 20*ms}, answers)
			link.Up()
			c.Write([]byte("3"))
			for range 3 {
				_, _, err = u.ReadFrom(make([]byte, 1))
				require.NoError(t, err)
			}
		}, sim.IPv6())
	}
}
