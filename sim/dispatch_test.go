package sim_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A segment that nothing can affect goes straight to its first link. Each row has something begin in the middle of a transfer that can affect segments.
// The trace must equal that of a run in which no segment takes this shortcut, because there is a partition of other hosts.
func TestSegmentsThatGoStraightOn(t *testing.T) {
	slow := netem.Config{Delay: 10 * ms, Rate: 10 * netem.Mbit}
	for _, row := range []struct {
		name string
		play func(n *sim.Network, link *sim.Link, a, b *sim.Host) // meanwhile
	}{
		{"nothing", func(*sim.Network, *sim.Link, *sim.Host, *sim.Host) {}},
		{"a queue that tells flows from each other", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			cfg := slow
			cfg.Queue = netem.FQCoDel{}
			n.After(100*ms, func() { link.Set(cfg) })
		}},
		{"a link that is too narrow for IPv6", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			cfg := slow
			cfg.MTU = 1000
			n.After(100*ms, func() { link.Set(cfg) })
			n.After(900*ms, func() { link.Set(slow) })
		}},
		{"a better way, by another first link", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			n.After(100*ms, func() { n.Link(a, b, netem.Config{Delay: ms, MTU: 1400}) })
		}},
		{"a better way behind the first link", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			n.After(100*ms, func() { n.Link(n.Router("r"), b, netem.Config{Delay: ms, MTU: 1400}) })
		}},
		{"a link that is down", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			n.After(100*ms, link.Down)
			n.After(900*ms, link.Up)
		}},
		{"a filter that loses nine segments", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			n.Inject(100*ms, 300*ms, sim.Drop(link, sim.Packets{Kind: sim.Data, Skip: 20, First: 9}))
		}},
		{"a host that has lost an address", func(n *sim.Network, link *sim.Link, a, b *sim.Host) {
			n.After(100*ms, func() { a.RemoveAddr(a.Addr()) })
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var traces [2][]sim.Event
			for i, parted := range []bool{true, false} {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
					link := n.Link(a, r, slow)
					n.Link(r, n.Router("s"), netem.Config{Delay: 10 * ms})
					n.Link(n.Router("s"), b, netem.Config{Delay: 10 * ms})
					if parted {
						n.Partition([]*sim.Host{n.Host("x")}, []*sim.Host{n.Host("y")})
					}
					transfers(t, a, b, func() { row.play(n, link, a, b) })
					for e := range n.Trace().Events() {
						if e.From == "a" || e.From == "b" {
							e.Number = 0
							traces[i] = append(traces[i], e)
						}
					}
				}, sim.IPv6())
			}
			require.Equal(t, traces[0], traces[1])
			require.Greater(t, len(traces[0]), 1000)
		})
	}
}

// transfers has one host send much data over IPv4 and IPv6, and small requests all the while, for a few seconds at most.
func transfers(t *testing.T, a, b *sim.Host, meanwhile func()) {
	accept(listen(t, b, ":7"), echo)
	accept(listen(t, b, ":8"), func(c net.Conn) {
		io.Copy(io.Discard, c)
		c.Close()
	})
	v4, v6 := b.Addrs()[0].String(), b.Addrs()[1].String()
	deadline := time.Now().Add(20 * time.Second)
	var all sync.WaitGroup
	for _, target := range []string{v4 + ":8", "[" + v6 + "]:8", v4 + ":7"} {
		c, err := a.Dial("tcp", target)
		require.NoError(t, err)
		c.SetDeadline(deadline)
		all.Go(func() {
			defer c.Close()
			if target[len(target)-1] == '8' {
				c.Write(make([]byte, 400_000))
				return
			}
			for range 20 {
				c.Write([]byte("small"))
				io.ReadFull(c, make([]byte, 5))
			}
		})
	}
	meanwhile()
	all.Wait()
}
