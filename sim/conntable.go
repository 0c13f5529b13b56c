package sim

import (
	"iter"
	"net/netip"
)

// A connTable holds the connections of a host, and the ports that they use. It is made for large numbers: the
// key of its map is a hash of a connection's ends, which the connections themselves store.
type connTable struct {
	heads  map[uint64]*TCPConn // the first connection of each hash; the others follow it
	count  int
	locals []localPorts // by local address
}

// localPorts are the ports of one local address.
type localPorts struct {
	addr netip.Addr
	uses map[uint16]portUse
}

// portUse counts the connections of one local address and port.
type portUse struct{ all, dialled int32 }

// ends are the two addresses of a connection.
type ends struct{ local, remote netip.AddrPort }

func (e ends) hash() uint64 {
	h := mix(addrHash(e.local.Addr())) ^ addrHash(e.remote.Addr())
	return mix(mix(h) ^ uint64(e.local.Port())<<16 ^ uint64(e.remote.Port()))
}

// get returns the connection between two ends, or nil.
func (t *connTable) get(e ends) *TCPConn {
	c := t.heads[e.hash()]
	for c != nil && c.ends != e {
		c = c.chain
	}
	return c
}

// put adds a connection whose ends no other one has.
func (t *connTable) put(c *TCPConn) {
	if t.heads == nil {
		t.heads = map[uint64]*TCPConn{}
	}
	h := c.ends.hash()
	c.chain, t.heads[h] = t.heads[h], c
	t.count++
	t.use(c, 1)
}

// remove removes a connection, and reports whether it was there.
func (t *connTable) remove(c *TCPConn) bool {
	h := c.ends.hash()
	head := t.heads[h]
	at := &head
	for *at != c {
		if *at == nil {
			return false
		}
		at = &(*at).chain
	}
	*at, c.chain = c.chain, nil
	if head != nil {
		t.heads[h] = head
	} else {
		delete(t.heads, h)
	}
	t.count--
	t.use(c, -1)
	return true
}

// use adds a connection to its port's count, or subtracts it.
func (t *connTable) use(c *TCPConn, more int32) {
	uses, port := t.of(c.ends.local.Addr()), c.ends.local.Port()
	u := uses[port]
	u.all += more
	if c.opening.dialled {
		u.dialled += more
	}
	if u.all > 0 {
		uses[port] = u
	} else {
		delete(uses, port)
	}
}

// of returns the ports of an address.
func (t *connTable) of(a netip.Addr) map[uint16]portUse {
	for _, l := range t.locals {
		if l.addr == a {
			return l.uses
		}
	}
	uses := map[uint16]portUse{}
	t.locals = append(t.locals, localPorts{a, uses})
	return uses
}

// uses counts the connections whose local end is a port of an address. An unspecified address stands for all
// that a socket of the network receives.
func (t *connTable) uses(network string, addr netip.Addr, port uint16) (sum portUse) {
	for _, l := range t.locals {
		if takes(network, addr, l.addr) {
			use := l.uses[port]
			sum.all += use.all
			sum.dialled += use.dialled
		}
	}
	return sum
}

// all yields the connections, in no particular order.
func (t *connTable) all() iter.Seq[*TCPConn] {
	return func(yield func(*TCPConn) bool) {
		for _, c := range t.heads {
			for ; c != nil; c = c.chain {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// clear forgets all connections.
func (t *connTable) clear() { *t = connTable{} }
