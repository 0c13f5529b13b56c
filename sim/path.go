package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/squall-sim/squall/netem"
)

// A Node is a [Host] or a [Router]: what a [Link] can end at.
type Node interface {
	base() *node
}

// A node is what hosts and routers have in common.
type node struct {
	n      *Network
	made   moment
	name   string
	number int32   // from 1, in the order in which they were made
	hash   uint64  // of the name
	links  []*pipe // that lead away from it
	router bool

	icmpBlocked *fault // it passes and sends no ICMP messages
}

func (d *node) base() *node { return d }

// Name returns the name, which is unique on the network.
func (d *node) Name() string { return d.name }

// String returns the name.
func (d *node) String() string { return d.name }

// nodeOf panics unless d belongs to n.
func (n *Network) nodeOf(method string, d Node) *node {
	switch h := d.(type) {
	case nil:
		panic("sim: " + method + ": a host is nil")
	case *Host:
		if h == nil {
			panic("sim: " + method + ": a host is nil")
		}
	case *Router:
		if h == nil {
			panic("sim: " + method + ": a router is nil")
		}
	}
	b := d.base()
	if b.n != n {
		panic(fmt.Sprintf("sim: %s: %q belongs to another network", method, b.name))
	}
	return b
}

// nodes are the two ends of a pipe.
type nodes struct{ from, to *node }

// A Router joins links: packets between hosts pass it on their shortest way. So a
// bottleneck can be shared by many. A router takes no time and loses nothing; its
// links do.
type Router struct{ node }

// Router returns the router of that name, which is made at first use. As with hosts, the
// case of letters does not matter. It panics if the name is not a valid one, or that of a
// host.
func (n *Network) Router(name string) *Router {
	n.mustSimulate("Router")
	if err := validName("Router", name); err != nil {
		panic("sim: " + err.Error())
	}
	return get(n, func() *Router {
		if r := n.routers[strings.ToLower(name)]; r != nil {
			n.reveal(r.made)
			return r
		}
		if n.find(name) != nil {
			panic(fmt.Sprintf("sim: Router(%q): a host has that name", name))
		}
		r := newRouter(n, name)
		n.routers[strings.ToLower(name)] = r
		n.trace.addNode(&r.node)
		return r
	})
}

//go:norace
func newRouter(n *Network, name string) *Router {
	return &Router{node{n: n, made: n.moment(), name: name, hash: hashString(name), router: true}}
}

// Access gives h an access link, which all that it sends to other hosts passes first
// (up), and all that it receives last (down), before and after the links between the
// hosts: a phone's radio, a server's network card. A second call changes it, as
// [Link.Set] does. It panics if a configuration is not valid.
func (h *Host) Access(up, down netem.Config) {
	h.must("Access")
	h.n.mustSimulate("Access")
	mustBeValid(fmt.Sprintf("host %s: Access", h.name), up, down)
	n := h.n
	n.do(func() {
		if h.accessUp != nil {
			h.accessUp.set(up)
			h.accessDown.set(down)
			n.changed()
			return
		}
		h.accessUp, h.accessDown = newPipes(n, &h.node, &node{n: n, name: "(access of " + h.name + ")", hash: mix(h.hash)}, up, down)
		n.topology++
		n.changed()
	})
}

// A path leads from one host to another.
type path struct {
	n        *Network
	from, to *Host // from is nil for a link between neighbours, and to if that ends at a router
	route    []*pipe
	topology uint64   // state of the network that the route is for
	cutBy    []*fault // partitions that silence it, see cuts,
	cutting  uint64   // and how many changes of them that takes account of
	learned  pathMTU
	misc     *flow    // of packets that belong to no socket
	numbers  [2]int32 // of the hosts, for the trace,
	hash     uint64   // and of their names
}

// path returns the path between two hosts.
func (n *Network) path(from, to *Host) *path {
	p := n.paths[pair{from, to}]
	if p == nil {
		p = &path{n: n, from: from, to: to, numbers: [2]int32{from.number, to.number}, hash: from.hash ^ to.hash<<1}
		p.misc = &flow{path: p}
		n.paths[pair{from, to}] = p
	}
	return p
}

// pipes returns the way that packets take now.
func (p *path) pipes() []*pipe {
	if n := p.n; p.topology != n.topology {
		p.topology = n.topology
		if p.from != nil {
			p.route = n.route(p.from, p.to)
		}
	}
	return p.route
}

// slack is for how long nobody can notice a packet that is sent now.
func (p *path) slack() int64 { return p.pipes()[0].slack() }

// way is how long an acknowledgement that is sent now takes at least to the other end, if all
// of the path is open, or else to the first pipe that may send it back.
func (p *path) way() (least int64, open bool) {
	const longest = 20 + 60 // IP header, and the longest of TCP
	for _, d := range p.pipes() {
		switch {
		case d.reject != nil || d.mtu < longest:
			return least, false
		case d.neighbour != nil:
			return after(least, d.slack()), false
		}
		least = after(least, d.floor)
	}
	return least, true
}

// route finds the way between two hosts.
func (n *Network) route(from, to *Host) []*pipe {
	if from == to {
		return []*pipe{n.direct(from, to, netem.Config{MTU: loopbackMTU})}
	}
	way := n.shortest(&from.node, &to.node)
	if way == nil {
		way = []*pipe{n.direct(from, to, n.conf.defaultLink)}
	}
	if from.accessUp != nil {
		way = slices.Insert(way, 0, from.accessUp)
	}
	if to.accessDown != nil {
		way = append(way, to.accessDown)
	}
	return way
}

// loopbackMTU is the largest IPv4 packet; Linux's lo device takes as much.
const loopbackMTU = 65535

// direct returns the pipe between two hosts that is no link.
func (n *Network) direct(from, to *Host, cfg netem.Config) *pipe {
	p := n.defaults[pair{from, to}]
	if p == nil {
		var back *pipe
		p, back = newPipes(n, &from.node, &to.node, cfg, cfg)
		n.defaults[pair{to, from}] = back
		n.defaults[pair{from, to}] = p
		if n.conf.arp && from != to {
			p.resolve()
			back.resolve()
		}
	}
	return p
}

// shortest finds the way with the fewest links through routers, and of several the one
// whose links were made first; nil if there is none.
func (n *Network) shortest(from, to *node) []*pipe {
	if p := n.linked[nodes{from, to}]; p != nil {
		return []*pipe{p}
	}
	if len(n.routers) == 0 {
		return nil
	}
	came := map[*node]*pipe{from: nil}
	queue := []*node{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
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

// A flow is the packets of one socket to one destination. On each pipe of its path it
// has a random stream of its own, so that other traffic never changes its draws.
type flow struct {
	path     *path
	log      said         // of TCP
	id       uint64       // see flowID; zero for packets that belong to no socket
	topology uint64       // state of the network that the streams are for
	first    *pipe        // of the way,
	stream1  netem.Stream // with its stream,
	rest     *[]hopStream // and those behind it; nil if there are none
	peer     *TCPConn     // that received the last segment
}

// likely is the call that will probably notice the packet under way: whoever waits at the
// peer.
func (f *flow) likely() *waiter {
	switch c := f.peer; {
	case c == nil:
		return nil
	case c.r.w != nil:
		return c.r.w
	default:
		return c.w.w
	}
}

type hopStream struct {
	pipe   *pipe
	stream netem.Stream
}

// flowID tells the flows of one path from each other.
func flowID(proto protocol, from, to uint16) uint64 {
	return uint64(proto)<<32 | uint64(from)<<16 | uint64(to)
}

// stream returns the flow's stream on a pipe, the hop-th of a packet's way. The packet
// may still be on a way that is no longer the flow's: then its draws are those of a fresh
// stream.
func (f *flow) stream(p *pipe, hop int) *netem.Stream {
	if f.topology != f.path.n.topology {
		f.reroute()
	}
	if f.first == p {
		return &f.stream1
	}
	if f.rest != nil {
		rest := *f.rest
		if 0 < hop && hop <= len(rest) && rest[hop-1].pipe == p {
			return &rest[hop-1].stream
		}
		if s := find(rest, p); s != nil {
			return s
		}
	}
	s := f.fresh(p)
	return &s
}

// find returns the stream on a pipe, or nil.
func find(hops []hopStream, p *pipe) *netem.Stream {
	for i := range hops {
		if hops[i].pipe == p {
			return &hops[i].stream
		}
	}
	return nil
}

func (f *flow) fresh(p *pipe) netem.Stream {
	return netem.NewStream(p.key).Derive(f.id>>32, f.id&(1<<32-1))
}

// reroute follows a change of the topology. Streams on pipes that stay go on.
func (f *flow) reroute() {
	before := []hopStream{{f.first, f.stream1}}
	if f.rest != nil {
		before = append(before, *f.rest...)
	}
	pipes := f.path.pipes()
	f.topology, f.rest = f.path.topology, nil
	for i, p := range pipes {
		s := f.fresh(p)
		if old := find(before, p); old != nil {
			s = *old
		}
		if i == 0 {
			f.first, f.stream1 = p, s
			if len(pipes) > 1 {
				f.rest = new(make([]hopStream, 0, len(pipes)-1))
			}
		} else {
			*f.rest = append(*f.rest, hopStream{p, s})
		}
	}
}
