package sim

import "net/netip"

// A path leads from one host to another. Either end may be a router with a box instead.
type path struct {
	n        *Network
	from, to *node // from is nil for a link between neighbours
	route    []*pipe
	topology uint64       // state of the network that the route belongs to
	cutBy    []*partition // partitions that cut it, see cuts
	cutting  uint64       // number of changes of partitions that cutBy takes account of
	learned  pathMTU
	misc     *flow    // flow of packets that belong to no socket
	heard    *UDPConn // socket that took the last datagram
	numbers  [2]int32 // of its ends, for the trace
	hash     uint64   // of their names and the address
	six      bool     // for IPv6
	header   int      // bytes of an IP header
}

// A way is between two nodes, to an address of the second; the zero address means its first.
type way struct {
	from, to *node
	addr     netip.Addr
}

// path returns the path between two hosts, or routers with a box, to an address of the second. Paths to
// different addresses share neither what is learned on them nor what happens there.
func (n *Network) path(from, to *node, addr netip.Addr) *path {
	if addr == to.addr || addr.Is4() && addr.IsLoopback() {
		addr = netip.Addr{}
	}
	p := n.wires.paths[way{from, to, addr}]
	if p == nil {
		p = &path{n: n, from: from, to: to, numbers: [2]int32{from.number, to.number}, hash: from.hash ^ to.hash<<1}
		if addr.IsValid() {
			p.hash ^= addrHash(addr)
		}
		p.six, p.header = addr.Is6(), headerOf(addr)
		p.misc = &flow{path: p}
		n.wires.paths[way{from, to, addr}] = p
	}
	return p
}

// headerOf returns the length of the IP header of packets to an address.
func headerOf(to netip.Addr) int {
	if to.Is6() {
		return ip6Header
	}
	return ipHeader
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

// lost reports whether one end has lost an address, so that packets may end there.
func (p *path) lost() bool {
	return p.from.host != nil && p.from.host.addresses.gone || p.to.host != nil && p.to.host.addresses.gone
}

// lookahead returns how long the program cannot observe that a packet is sent now.
func (p *path) lookahead() int64 {
	first := p.pipes()[0]
	if p.six && first.mtu < leastMTU6 || p.mayReject() {
		return 0
	}
	return first.lookahead()
}

// leastDelay returns how long an acknowledgement sent now takes at least to the other end if all of the path
// is open. Otherwise it is the time to the first pipe that may send it back, or to the first box that may
// answer.
func (p *path) leastDelay() (least int64, open bool) {
	longest := p.header + 60 // the longest header of TCP
	if p.lost() || p.mayReject() {
		return 0, false
	}
	for _, d := range p.pipes() {
		switch {
		case d.mayAnswer() || d.mtu < longest || p.six && d.mtu < leastMTU6 || d.from.box != nil:
			return least, false
		case d.neighbour != nil:
			return after(least, d.lookahead()), false
		}
		least = after(least, d.floor)
	}
	return least, p.to.box == nil
}
