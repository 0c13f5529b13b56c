package sim

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Node is a [Host] or a [Router]: either can be the end of a [Link].
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
	links  []*pipe // links that lead away from it
	inner  []*pipe // those of them that lead to a router
	router bool
	host   *Host      // nil for a router, and for the middle of an access link
	addr   netip.Addr // for a router, only if it has a box
	box    box        // of a router; nil if it only forwards
	zone   *Zone      // of a host, or nil

	icmpBlocked ongoing                      // it passes and sends no ICMP messages
	told        map[netip.Addr]tellingBudget // addresses to which it has sent one
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

// A Router joins links. Packets between hosts pass it on their shortest route, so several hosts can share a
// bottleneck. A router takes no time and loses nothing; its links do.
type Router struct{ node }

// Router returns the router of that name and makes it at first use. As with hosts, letter case does not
// matter. Router panics if the name is not valid, or belongs to a host.
func (n *Network) Router(name string) *Router {
	n.mustSimulate("Router")
	if err := validName("Router", name); err != nil {
		panic("sim: " + err.Error())
	}
	return get(n, func() *Router {
		if r := n.names.routers[strings.ToLower(name)]; r != nil {
			n.reveal(r.made)
			return r
		}
		if n.names.find(name) != nil {
			panic(fmt.Sprintf("sim: Router(%q): a host has that name", name))
		}
		r := newRouter(n, name)
		n.names.routers[strings.ToLower(name)] = r
		n.log.trace.addNode(&r.node)
		return r
	})
}

//go:norace
func newRouter(n *Network, name string) *Router {
	return &Router{node{n: n, made: n.moment(), name: name, hash: hashString(name), router: true}}
}
