package sim_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A copy can be corrupt like its original, and each has its own checksum. The link that corrupted them counts them, whichever node detects it.
func TestCopiesAreCorruptToo(t *testing.T) {
	for _, way := range []string{"a link", "a router", "a firewall"} {
		t.Run(way, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b := n.Host("a"), n.Host("b")
				bad := netem.Config{Delay: ms, Duplicate: 1, Corrupt: 1}
				if way == "a link" {
					n.Link(a, b, bad)
				} else {
					n.Link(a, n.Router("r"), bad)
					n.Link(n.Router("r"), b, netem.Config{})
				}
				why := "checksum error"
				if way == "a firewall" {
					n.Router("r").Firewall(sim.Tracking{})
					why += " at r"
				}
				u, err := b.ListenPacket("udp", ":9")
				require.NoError(t, err)
				c, err := a.Dial("udp", "b:9")
				require.NoError(t, err)
				for range 10 {
					c.Write([]byte("x"))
				}
				u.SetReadDeadline(in(time.Second))
				_, _, err = u.ReadFrom(make([]byte, 10))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				dropped := 0
				for e := range n.Trace().Events() {
					require.NotEqual(t, sim.Delivered, e.Kind, "%v", e)
					if e.Kind == sim.Dropped && e.Note == why {
						dropped++
					}
				}
				require.Equal(t, 20, dropped)
				for _, l := range n.Stats().Links {
					require.Equal(t, map[bool]int64{true: 20}[l.From == "a"], l.Corrupted, "%+v", l)
					require.Equal(t, l.Sent+l.Duplicated, l.Delivered, "%+v", l)
				}
			})
		})
	}
}

// The fate of each packet of a flow, over links with loss and all other impairments, stays the same
// whatever else the network has, and whoever else sends over the same links.
func TestFatesAreTheFlowsOwn(t *testing.T) {
	seedsOfItsOwn(t) // with others too few packets may remain
	bad := netem.Config{Delay: 5 * ms, Jitter: 2 * ms, Loss: netem.Bernoulli(0.3), Duplicate: 0.2, Corrupt: 0.1, Reorder: 0.1}
	for _, flow := range []string{"udp", "tcp"} {
		fates := func(meanwhile func(n *sim.Network)) (all []string) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
				n.Link(a, r, bad)
				n.Link(r, b, bad)
				switch flow {
				case "udp":
					_, err := b.ListenPacket("udp", ":9")
					require.NoError(t, err)
				case "tcp":
					accept(listen(t, b, ":9"), echo)
				}
				c, err := a.Dial(flow, "b:9")
				require.NoError(t, err)
				go drain(c)
				for i := range 60 {
					c.Write(make([]byte, 1+i))
					if i == 20 {
						meanwhile(n)
					}
					time.Sleep(10 * ms)
				}
				time.Sleep(time.Minute)
				for e := range n.Trace().Events() {
					if (e.From == "a" || e.From == "b") && (e.To == "a" || e.To == "b") && (e.SourcePort == 9 || e.TargetPort == 9) && e.Kind != sim.Noted {
						all = append(all, e.String())
					}
				}
			})
			return all
		}
		want := fates(func(*sim.Network) {})
		require.Greater(t, len(want), 60)
		others := map[string]func(n *sim.Network){
			"a link":        func(n *sim.Network) { n.Link(n.Host("x"), n.Host("y"), bad) },
			"a host's link": func(n *sim.Network) { n.Link(n.Host("a"), n.Host("x"), bad) },
			"a router":      func(n *sim.Network) { n.Link(n.Router("r"), n.Router("r2"), bad) },
			"a router beside the way": func(n *sim.Network) {
				n.Link(n.Router("r"), n.Router("r2"), bad)
				n.Link(n.Router("r2"), n.Router("r3"), bad)
				n.Link(n.Router("r3"), n.Host("b"), bad)
			},
			"an access link elsewhere": func(n *sim.Network) { n.Host("x").Access(bad, bad) },
			"other flows": func(n *sim.Network) {
				u, err := n.Host("a").Dial("udp", "b:10")
				check(err)
				for range 30 {
					u.Write([]byte("x"))
				}
			},
		}
		for _, name := range slices.Sorted(maps.Keys(others)) { // a second process calls sim.Test in the same order
			t.Run(fmt.Sprint(flow, " and ", name), func(t *testing.T) {
				got := fates(others[name])
				require.Equal(t, want, got)
			})
		}
	}
}

func drain(c net.Conn) {
	p := make([]byte, 1000)
	for {
		if _, err := c.Read(p); err != nil {
			return
		}
	}
}
