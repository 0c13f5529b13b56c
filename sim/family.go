package sim

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// Addresses are IPv4 or IPv6, and never an IPv4 address in IPv6's form. An unspecified one (0.0.0.0, ::)
// stands for any address of a host, as far as the socket takes it, and the zero netip.Addr for none at all.
var (
	loopback  = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

const (
	ipHeader  = 20
	ip6Header = 40

	fragmentHeader = 8    // of IPv6 (RFC 8200 section 4.5)
	leastMTU6      = 1280 // of any link (RFC 8200 section 5)
)

// takes reports whether a socket of a network ("tcp", "udp6"...) that is bound to an address receives packets
// for another address: a socket on an unspecified address receives all of the network's families.
func takes(network string, bound, addr netip.Addr) bool {
	if !bound.IsUnspecified() {
		return bound == addr
	}
	switch familyOf(network) {
	case "4":
		return addr.Is4()
	case "6":
		return addr.Is6()
	}
	return true
}

// overlap reports whether two sockets of one port would both receive a packet.
func overlap(network string, bound netip.Addr, otherNetwork string, otherBound netip.Addr) bool {
	if bound.IsUnspecified() && otherBound.IsUnspecified() {
		f, g := familyOf(network), familyOf(otherNetwork)
		return f == "" || g == "" || f == g
	}
	if bound.IsUnspecified() {
		return takes(network, bound, otherBound)
	}
	return takes(otherNetwork, otherBound, bound)
}

// A family is the address family of a network, in one byte.
type family uint8

const (
	bothFamilies family = iota
	onlyIPv4
	onlyIPv6
)

func familyNamed(network string) family {
	switch familyOf(network) {
	case "4":
		return onlyIPv4
	case "6":
		return onlyIPv6
	}
	return bothFamilies
}

// String returns the suffix of the network's name.
func (f family) String() string { return [...]string{"", "4", "6"}[f] }

// familyOf returns "4" or "6" for a network of one family, and "" for a network of both.
func familyOf(network string) string { return network[len("tcp"):] }

// wildcard returns the address of a socket that is bound to any address. As in package net, that is "::"
// where the operating system has IPv6, unless the network is IPv4 alone (favoriteAddrFamily).
func (h *Host) wildcard(network string) netip.Addr {
	if f := familyOf(network); f == "6" || f == "" && h.addresses.ipv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// toOneself returns the destination of a dial without an address, or to an unspecified one. The local address
// may be unspecified too.
func toOneself(network string, named, from netip.Addr) netip.Addr {
	if familyOf(network) == "6" || named.Is6() || from.Is6() && !from.IsUnspecified() {
		return loopback6
	}
	return loopback
}

// maySocket returns the error if the host refuses a socket of any kind.
func (h *Host) maySocket() error {
	switch {
	case h.n.closed:
		return net.ErrClosed
	case h.dead:
		return sysError("socket", syscall.ENETDOWN)
	case h.fds.full():
		return errTooManyFiles("socket")
	}
	return nil
}

// mayBind returns the error if the host refuses the local address of a socket.
func (h *Host) mayBind(addr netip.Addr) error {
	switch {
	case addr.Is6() && !h.addresses.ipv6:
		return h.errNoIPv6()
	case addr.Is6() && addr.IsLinkLocalUnicast():
		return sysError("bind", syscall.EINVAL) // without a zone that it has
	case addr.Is6() && addr.IsMulticast():
		return sysError("bind", syscall.EINVAL)
	case !h.owns(addr) && !several(addr):
		return sysError("bind", syscall.EADDRNOTAVAIL)
	}
	return nil
}

// mayConnect returns the error if the host refuses the ends of a connection. For an unspecified local address
// the host chooses one.
func (h *Host) mayConnect(from, to netip.Addr) error {
	if to.Is6() && !h.addresses.ipv6 {
		return h.errNoIPv6()
	}
	if err := h.mayBind(from); err != nil {
		return err
	}
	switch {
	case to.Is6() && to.IsLinkLocalUnicast():
		return sysError("connect", syscall.EINVAL)
	case several(from):
		return errFromBroadcast
	case h.at(to) == nil || !h.sourceFor(to).IsValid():
		return sysError("connect", syscall.ENETUNREACH)
	case from.Is4() && from.IsLoopback() && h.at(to) != &h.node:
		return sysError("connect", syscall.EINVAL) // an IPv6 packet is sent, and dropped where it arrives
	}
	return nil
}

var errFromBroadcast = errors.New("a dial from a broadcast address is not simulated")

// errNoIPv6 is the error of a socket for IPv6 where the host has none.
//
//go:norace
func (h *Host) errNoIPv6() error {
	return &noIPv6Error{h.name, sysError("socket", syscall.EAFNOSUPPORT)}
}

type noIPv6Error struct {
	host string
	err  error
}

func (e *noIPv6Error) Error() string {
	return e.err.Error() + " (host " + e.host + " has no IPv6: see sim.IPv6 and Host.AddAddr)"
}

func (e *noIPv6Error) Unwrap() error { return e.err }

// tcpAddr returns an address as package net does. An IPv6 socket has IPv4 addresses in 16 bytes.
func tcpAddr(a netip.AddrPort, six bool) *net.TCPAddr { return (*net.TCPAddr)(udpAddr(a, six)) }

// udpAddr is the same for UDP.
func udpAddr(a netip.AddrPort, six bool) *net.UDPAddr {
	a = inFamily(a, six)
	both := new(struct {
		net.UDPAddr
		ip [16]byte
	}) // one allocation for both
	both.Port, both.Zone = int(a.Port()), a.Addr().Zone()
	if a.Addr().Is4() {
		ip := a.Addr().As4()
		both.IP = both.ip[:copy(both.ip[:], ip[:]):4]
	} else if a.Addr().IsValid() {
		both.ip = a.Addr().As16()
		both.IP = both.ip[:]
	}
	return &both.UDPAddr
}

// inFamily maps an IPv4 address to IPv6 form if the socket is an IPv6 socket (RFC 4291 section 2.5.5.2).
func inFamily(a netip.AddrPort, six bool) netip.AddrPort {
	if six && a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}
