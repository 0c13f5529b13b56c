package sim

import (
	"cmp"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// A topology is how the hosts of a network are joined.
type topology struct {
	pipes    []*pipe // in the order in which they were made
	links    []madeLink
	linked   map[nodes]*pipe
	defaults map[nodes]*pipe // between hosts that no link joins
	paths    map[way]*path
	searches map[*node]*search // by the routers where they begin
	zones    map[string]*Zone
	between  map[zones]netem.Config // linked zones
	version  uint64                 // counts changes that move packets to other routes

	partitions    []*partition
	partitionings uint64 // counts changes of partitions
}

// sorted returns the pipes by the names of their ends.
func (w *topology) sorted() []*pipe {
	return slices.SortedStableFunc(slices.Values(w.pipes), func(a, b *pipe) int {
		return cmp.Or(cmp.Compare(a.from.name, b.from.name), cmp.Compare(a.to.name, b.to.name))
	})
}

// route finds the route between two hosts, or routers with a box.
func (n *Network) route(from, to *node) []*pipe {
	if from == to {
		loop := netem.Config{MTU: loopbackMTU}
		return []*pipe{n.direct(from, to, loop, loop)}
	}
	way := n.wires.shortest(from, to)
	if way == nil {
		way = []*pipe{n.direct(from, to, n.defaultFor(from, to), n.defaultFor(to, from))}
	}
	if h := from.host; h != nil && h.access.up != nil {
		way = slices.Insert(way, 0, h.access.up)
	}
	if h := to.host; h != nil && h.access.down != nil {
		way = append(way, h.access.down)
	}
	return way
}

// loopbackMTU is the largest IPv4 packet; Linux's lo device takes as much.
const loopbackMTU = 65535

// direct returns the pipe between two hosts that is no link.
func (n *Network) direct(from, to *node, there, backAgain netem.Config) *pipe {
	p := n.wires.defaults[nodes{from, to}]
	if p == nil {
		var back *pipe
		p, back = newPipes(n, from, to, there, backAgain)
		n.wires.defaults[nodes{to, from}] = back
		n.wires.defaults[nodes{from, to}] = p
		if n.conf.arp && from != to {
			p.resolve()
			back.resolve()
		}
	}
	return p
}
