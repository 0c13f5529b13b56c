package sim

import "github.com/squall-sim/squall/netem"

// Hosts returns all hosts, in the order in which they were made.
func (n *Network) Hosts() []*Host {
	return ownAll(get(n, func() (all []*Host) {
		for _, h := range n.names.inOrder {
			n.reveal(h.made)
			all = append(all, h)
		}
		return all
	}), func(h *Host) *Host { return h })
}

// A madeLink is a link, and when the program made it.
type madeLink struct {
	*Link
	by moment
}

// Links returns all links, in the order in which [Network.Link] and [Network.LinkAsym] made them.
func (n *Network) Links() []*Link {
	return ownAll(get(n, func() (all []*Link) {
		for _, l := range n.wires.links {
			n.reveal(l.by)
			all = append(all, l.Link)
		}
		return all
	}), func(l *Link) *Link { return l })
}

// Ends returns the hosts or routers that the link joins, in the order in which [Network.Link] got them.
func (l *Link) Ends() (a, b Node) {
	l.must("Ends")
	return l.a.node(), l.b.node()
}

// node returns d in the form that the program knows.
func (d *node) node() Node {
	if d.host != nil {
		return d.host
	}
	return d.n.Router(d.name)
}

// Config returns what [Network.Link] or [Link.Set] set for both directions, without the effect of faults.
func (l *Link) Config() (aToB, bToA netem.Config) {
	l.must("Config")
	both := get(l.n, func() [2]netem.Config { return [2]netem.Config{l.ab.given(), l.ba.given()} })
	return both[0], both[1]
}
