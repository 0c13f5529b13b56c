package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// plainRoute searches the whole network anew, from one node, link by link in the order in which they were made.
func plainRoute(from, to *node) []*pipe {
	came := map[*node]*pipe{from: nil}
	for queue := []*node{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			var way []*pipe
			for p := came[at]; p != nil; p = came[p.from] {
				way = append(way, p)
			}
			slices.Reverse(way)
			return way
		}
		if at != from && !at.router {
			continue
		}
		for _, p := range at.links {
			if _, seen := came[p.to]; !seen {
				came[p.to] = p
				queue = append(queue, p.to)
			}
		}
	}
	return nil
}

// Routes that use the results of earlier searches equal those of a search of the whole network, whatever was linked
// in between.
func TestRoutesAreThoseOfASearchOfTheWholeNetwork(t *testing.T) {
	Test(t, func(t *testing.T, n *Network) {
		longest, several := 0, 0
		for round := range 100 {
			r := rand.New(rand.NewPCG(1, uint64(round)))
			var all []Node
			for i := range 2 + r.IntN(12) {
				all = append(all, n.Router(fmt.Sprintf("router%d-%d", round, i)))
			}
			for i := range 2 + r.IntN(8) {
				all = append(all, n.Host(fmt.Sprintf("host%d-%d", round, i)))
			}
			for range 3 * len(all) {
				a, b := all[r.IntN(len(all))], all[r.IntN(len(all))]
				if a != b && get(n, func() bool { return n.wires.linked[nodes{a.base(), b.base()}] == nil }) {
					n.Link(a, b, netem.Config{})
				}
				for range 4 {
					from, to := all[r.IntN(len(all))].base(), all[r.IntN(len(all))].base()
					if from == to {
						continue
					}
					r := get(n, func() (r compared) {
						way := n.wires.shortest(from, to)
						r.want, r.got = names(plainRoute(from, to)), names(way)
						r.links, r.several = len(way), from.host != nil && len(from.inner) > 1 && len(way) > 2
						return r
					})
					require.Equal(t, own(r.want), own(r.got), "round %d, from %s to %s", round, from, to)
					longest = max(longest, r.links)
					if r.several {
						several++
					}
				}
			}
		}
		require.Greater(t, longest, 5, "some routes are long")
		require.Greater(t, several, 250, "some begin at a host with several links to choose from")
	})
}

type compared struct {
	want, got string
	links     int
	several   bool
}

func names(way []*pipe) (all string) {
	for _, p := range way {
		all += p.String() + "\n"
	}
	return all
}

// With one router a route is found without looking at the other hosts, even after hosts are added.
func TestARouteCostsNoMoreAmongManyHosts(t *testing.T) {
	allocs := func(hosts int) float64 {
		n := newNetwork(false, nil)
		defer n.Close()
		r := n.Router("r")
		for i := range hosts {
			n.Link(n.Host(fmt.Sprint("h", i)), r, netem.Config{})
		}
		last := n.Host("last")
		n.Link(last, r, netem.Config{})
		return get(n, func() float64 {
			return testing.AllocsPerRun(10, func() { n.wires.shortest(&n.names.inOrder[0].node, &last.node) })
		})
	}
	require.LessOrEqual(t, allocs(1000), 1.0, "the route itself")
	require.Equal(t, allocs(2), allocs(1000))
}
