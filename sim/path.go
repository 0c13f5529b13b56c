package sim

// A path leads from one host to another, or from or to a router with a box.
type path struct {
	n        *Network
	from, to *node // from is nil for a link between neighbours
	route    []*pipe
	topology uint64   // state of the network that the route is for
	cutBy    []*fault // partitions that silence it, see cuts,
	cutting  uint64   // and how many changes of them that takes account of
	learned  pathMTU
	misc     *flow    // of packets that belong to no socket
	numbers  [2]int32 // of its ends, for the trace,
	hash     uint64   // and of their names
}

// path returns the path between two hosts, or routers with a box.
func (n *Network) path(from, to *node) *path {
	p := n.wires.paths[nodes{from, to}]
	if p == nil {
		p = &path{n: n, from: from, to: to, numbers: [2]int32{from.number, to.number}, hash: from.hash ^ to.hash<<1}
		p.misc = &flow{path: p}
		n.wires.paths[nodes{from, to}] = p
	}
	return p
}

// pipes returns the route that packets take now.
func (p *path) pipes() []*pipe {
	if n := p.n; p.topology != n.wires.version {
		p.topology = n.wires.version
		if p.from != nil {
			p.route = n.route(p.from, p.to)
		}
	}
	return p.route
}

// lookahead is for how long the program cannot observe that a packet is sent now.
func (p *path) lookahead() int64 { return p.pipes()[0].lookahead() }

// leastDelay is how long an acknowledgement that is sent now takes at least to the other end, if all
// of the path is open, or else to the first pipe that may send it back, or box that may answer.
func (p *path) leastDelay() (least int64, open bool) {
	const longest = 20 + 60 // IP header, and the longest of TCP
	for _, d := range p.pipes() {
		switch {
		case d.reject != nil || d.mtu < longest || d.from.box != nil:
			return least, false
		case d.neighbour != nil:
			return after(least, d.lookahead()), false
		}
		least = after(least, d.floor)
	}
	return least, p.to.box == nil
}
