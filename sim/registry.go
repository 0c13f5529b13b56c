package sim

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"strings"
)

// A registry holds everything that has a name or a number on a network.
type registry struct {
	hosts   map[string]*Host   // by name, in lower case
	routers map[string]*Router // the same
	byAddr  map[netip.Addr]*node
	inOrder []*Host // in the order in which they were made
	streams map[string]stream
	conns   uint64 // number of connections so far: the last one's id
	boxes   int    // number of routers that have one
	lost    bool   // a host has lost an address, so each packet's address must be checked

	machine map[netip.AddrPort]netip.AddrPort // with Loopback: where the listeners are
	taken   map[string]bool                   // with a Resolver: which of its names the operating system's hosts file has
	servers []*NameServer
}

// A stream is a random stream that has a name.
type stream struct {
	by    moment // when it was made
	draws *rand.Rand
}

// find returns the host of a name, without regard to case (RFC 4343), or nil. The
// lock is held.
func (r *registry) find(name string) *Host { return r.hosts[strings.ToLower(name)] }

// middlebox returns the address of the router of a name, if it has a box; otherwise it is invalid.
func (r *registry) middlebox(name string) (addr netip.Addr) {
	if m := r.routers[strings.ToLower(name)]; m != nil {
		addr = m.addr
	}
	return addr
}

// has reports whether a name stands for an address of a host, or of a router with a box.
func (r *registry) has(name string) bool { return r.find(name) != nil || r.middlebox(name).IsValid() }

// nameServers yields all name servers.
func (n *Network) nameServers() iter.Seq[*NameServer] {
	return func(yield func(*NameServer) bool) {
		for i := 0; ; i++ {
			s := get(n, func() *NameServer {
				if i >= len(n.names.servers) {
					return nil
				}
				n.reveal(n.names.servers[i].made)
				return n.names.servers[i]
			})
			if s == nil || !yield(s) {
				return
			}
		}
	}
}

// serves reports whether a name is that of a host, or a name server has records of it.
func (n *Network) serves(name string) bool {
	if get(n, func() bool { return n.names.has(name) }) {
		return true
	}
	for s := range n.nameServers() {
		if len(s.recordsOf(strings.ToLower(name))) > 0 {
			return true
		}
	}
	return false
}
