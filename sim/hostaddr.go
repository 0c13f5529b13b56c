package sim

import (
	"fmt"
	"net/netip"
	"slices"
)

// addresses are those of a host.
type addresses struct {
	list []netip.Addr // in the order in which the host got them
	ipv6 bool         // the operating system has IPv6
	gone bool         // the host has lost at least one
}

// addrOfHost returns the IPv4 address of the host of a number, from 1: 10.0.0.1 and so on.
func addrOfHost(number int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(number >> 16), byte(number >> 8), byte(number)})
}

// addr6OfHost returns its IPv6 address, from the block for documentation (RFC 3849): 2001:db8::1 and so on.
func addr6OfHost(number int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(number >> 16), 14: byte(number >> 8), 15: byte(number)})
}

// IPv6 gives each host an IPv6 address next to its IPv4 address: 2001:db8::1, 2001:db8::2 and so on. Without
// it, a host is like a Linux that was booted without IPv6, until [Host.AddAddr] gives it an IPv6 address.
//
// With IPv6 a host behaves as Linux and package net do:
//
//   - A name stands for both addresses. A dial on "tcp" prefers IPv6 and races IPv4 against it
//     ([Dialer.FallbackDelay]).
//   - A listener on ":80" has the address "[::]:80" and accepts both families, as does one on "0.0.0.0:80".
//     The networks "tcp4", "tcp6", "udp4" and "udp6" are for one family.
//   - [::1] is the host itself.
//   - IPv6 packets have a header of 40 bytes, so a segment carries 20 bytes less. Only their sender fragments
//     them, and a link whose MTU is below 1280 carries none.
//
// To kill one family, drop its packets:
//
//	sim.Drop(link, sim.Packets{Where: func(e sim.Event) bool { return e.IPv6 }})
//
// Link-local addresses (fe80::) and IPv6 zones are not simulated, and refused.
func IPv6() Option {
	return func(o *options) { o.ipv6 = true }
}

// Addr returns the first of the host's IPv4 addresses, or of its IPv6 addresses if it has no IPv4 address. It
// is invalid if the host has lost all.
func (h *Host) Addr() netip.Addr {
	h.must("Addr")
	return get(h.n, func() netip.Addr {
		if i := slices.IndexFunc(h.addresses.list, netip.Addr.Is4); i >= 0 {
			return h.addresses.list[i]
		}
		if len(h.addresses.list) > 0 {
			return h.addresses.list[0]
		}
		return netip.Addr{}
	})
}

// Addrs returns the host's addresses, IPv4 and IPv6, in the order in which it got them, without those of the
// loopback.
func (h *Host) Addrs() []netip.Addr {
	h.must("Addrs")
	return ownAddrs(get(h.n, func() []netip.Addr { return slices.Clone(h.addresses.list) }))
}

// ownAddrs copies addresses of the engine for the program.
func ownAddrs(addrs []netip.Addr) []netip.Addr {
	return ownAll(addrs, func(a netip.Addr) netip.Addr { return a })
}

// AddAddr gives h another address, IPv4 or IPv6. The name of h then stands for that address too, and sockets
// that are bound to no address receive packets for it. A host's first IPv6 address gives it IPv6: see [IPv6].
//
// An address that another host lost by [Host.RemoveAddr] moves. Packets sent to it from now on go to h, which
// knows nothing of the other host's connections and resets them.
//
// AddAddr panics if another host or a router has the address, if it cannot be a host's (loopback,
// unspecified, multicast, broadcast), or if it is an IPv6 link-local address.
func (h *Host) AddAddr(addr netip.Addr) {
	h.must("AddAddr")
	h.n.mustSimulate("AddAddr")
	addr = addr.Unmap()
	if why := notOfHost(addr); why != "" {
		panic(fmt.Sprintf("sim: host %s: AddAddr(%v): %s", h.name, addr, why))
	}
	h.n.do(func() {
		was := h.n.names.byAddr[addr]
		switch {
		case h.has(addr):
			return
		case was != nil && (was.host == nil || was.host.has(addr)):
			panic(fmt.Sprintf("sim: host %s: AddAddr(%v): %q already has that address; RemoveAddr removes it", h.name, addr, was.name))
		}
		h.n.note(&h.node, nil, "address added: "+addr.String())
		h.give(addr)
		if was != nil && was.host != h {
			h.n.moved(addr)
		}
		h.n.invalidate()
	})
}

// notOfHost says why no host can have an address, or "".
func notOfHost(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "the address is not valid"
	case a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast():
		return "link-local addresses of IPv6 and zones are not simulated"
	case a.IsLoopback():
		return "every host already has the loopback addresses"
	case a.IsUnspecified() || several(a):
		return "it must be a unicast address"
	}
	return ""
}

// give adds an address. The lock is held.
func (h *Host) give(addr netip.Addr) {
	h.addresses.list = append(h.addresses.list, addr)
	h.addresses.ipv6 = h.addresses.ipv6 || addr.Is6()
	h.n.names.byAddr[addr] = &h.node
}

// RemoveAddr takes an address from h, as when a host changes its address. A host that loses all its addresses
// leaves the network. Sockets live on, as in Linux. A connection of that address stays bound to it: what its
// program writes waits and is retransmitted after timeouts, in vain, until [Host.AddAddr] gives the address
// back or TCP gives up. A UDP socket bound to it fails to send with ENETUNREACH; listeners wait. New sockets
// cannot have it: EADDRNOTAVAIL. Over IPv6, where Linux does not check its own source address, packets from a
// removed address are still sent as long as the host has another one; it does not receive the answers.
//
// What others send to the address still arrives at h, which drops it without an answer, so their dials time
// out. Names no longer stand for the address. RemoveAddr panics if h does not have the address.
func (h *Host) RemoveAddr(addr netip.Addr) {
	h.must("RemoveAddr")
	h.n.mustSimulate("RemoveAddr")
	addr = addr.Unmap()
	h.n.do(func() {
		i := slices.Index(h.addresses.list, addr)
		if i < 0 {
			panic(fmt.Sprintf("sim: host %s: RemoveAddr(%v): the host does not have this address; it has %v", h.name, addr, h.addresses.list))
		}
		h.addresses.list = slices.Delete(slices.Clone(h.addresses.list), i, i+1)
		h.addresses.gone, h.n.names.lost = true, true
		h.n.note(&h.node, nil, "address removed: "+addr.String())
		h.n.invalidate()
	})
}

// has reports whether an address is one of h's, except those of the loopback.
func (h *Host) has(addr netip.Addr) bool { return slices.Contains(h.addresses.list, addr) }

// owns reports whether a socket of h can have an address. An unspecified address stands for all of them.
func (h *Host) owns(addr netip.Addr) bool {
	return addr.IsUnspecified() || addr.IsLoopback() || h.has(addr)
}

// moved sends packets for an address to the host that has it now.
func (n *Network) moved(addr netip.Addr) {
	for _, h := range n.names.inOrder {
		for c := range h.table.conns.all() {
			if c.ends.remote.Addr() == addr {
				c.flow.path = h.pathTo(addr)
				c.flow.topology, c.flow.peer = 0, nil
			}
		}
		for _, u := range h.table.udp.all() {
			for to, f := range u.flows {
				if to.Addr() == addr {
					f.path, f.topology = h.pathTo(addr), 0
				}
			}
		}
	}
}

// sourceLost drops a packet from an address that its host has lost. IPv4 finds no route for it
// (ip_route_output_key); IPv6 does not check.
func (n *Network) sourceLost(now int64, pkt *packet) bool {
	h := pkt.way.from.host
	if h == nil || !h.addresses.gone || h.owns(pkt.src.Addr()) {
		return false
	}
	if pkt.way.six && h.sourceFor(pkt.dst.Addr()).IsValid() {
		return false
	}
	n.drop(now, pkt, nil, "sender has no such address")
	return true
}
