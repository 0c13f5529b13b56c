package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Addresses are IPv4. An unspecified one (0.0.0.0) stands for any address of a host, and the zero
// netip.AddrPort for no address at all.
var (
	loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	anywhere = netip.IPv4Unspecified()
)

// addrOfHost is the address of the host of a number, from 1: 10.0.0.1 and so on.
func addrOfHost(number int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(number >> 16), byte(number >> 8), byte(number)})
}

// unicast refuses addresses that stand for several hosts.
func unicast(a netip.Addr) error {
	if a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return &net.AddrError{Err: "broadcast and multicast are not simulated", Addr: a.String()}
	}
	return nil
}

// validName refuses what cannot stand where a host name may: RFC 1123 section
// 2.1, with the underscore that many services use.
func validName(kind, name string) error {
	if name == "" {
		return fmt.Errorf("%s(%q): the name must not be empty", kind, name)
	}
	if len(name) > 253 {
		return fmt.Errorf("%s(%.20q...): the name must not be longer than 253 bytes", kind, name)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%s(%q): an address is no name", kind, name)
	}
	if strings.EqualFold(name, "localhost") {
		return fmt.Errorf("%s(%q): the name stands for every host itself", kind, name)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return fmt.Errorf("%s(%q): a name consists of letters, digits, '-' and '_' in parts joined by '.'", kind, name)
		}
		if len(label) > 63 {
			return fmt.Errorf("%s(%q): a part of a name must not be longer than 63 bytes", kind, name)
		}
	}
	return nil
}

// Addr returns the host's IPv4 address.
func (h *Host) Addr() netip.Addr {
	h.must("Addr")
	return h.addr
}

// network splits a network's name into its protocol and says whether it can be
// had: the simulated internet has IPv4 only.
func checkNetwork(network string, want protocol) error {
	var p protocol
	switch network {
	case "tcp", "tcp4":
		p = protoTCP
	case "udp", "udp4":
		p = protoUDP
	case "tcp6", "udp6":
		return &net.AddrError{Err: "IPv6 is not simulated", Addr: network}
	}
	if p != want {
		return net.UnknownNetworkError(network)
	}
	return nil
}

// resolve turns "host:port" into an address and a port, as h sees the names. An empty host
// is wildcard.
func (h *Host) resolve(ctx context.Context, network, address string, wildcard netip.Addr) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	e := netip.AddrPortFrom(wildcard, 0)
	if n, err := strconv.ParseUint(port, 10, 64); err == nil {
		if n > 65535 {
			return e, &net.AddrError{Err: "invalid port", Addr: port}
		}
		e = netip.AddrPortFrom(e.Addr(), uint16(n))
	} else if port != "" {
		n, err := net.DefaultResolver.LookupPort(ctx, network, port)
		if err != nil {
			return e, err
		}
		e = netip.AddrPortFrom(e.Addr(), uint16(n))
	}
	if host == "" {
		return e, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		if !ip.Is4() {
			return e, &net.AddrError{Err: "IPv6 is not simulated", Addr: host}
		}
		e = netip.AddrPortFrom(ip, e.Port())
		return e, nil
	}
	ip, err := h.lookup(host)
	return netip.AddrPortFrom(ip, e.Port()), err
}

// lookup finds a host by name, with or without the final dot. It takes no time:
// /etc/hosts would know the names.
func (h *Host) lookup(name string) (netip.Addr, error) {
	plain := strings.TrimSuffix(name, ".")
	if strings.EqualFold(plain, "localhost") {
		return loopback, nil
	}
	if other := get(h.n, func() *Host { return h.n.names.find(plain) }); other != nil {
		return other.addr, nil
	}
	return netip.Addr{}, &net.DNSError{Err: "no such host" + text(h.n, h.n.knownHosts), Name: name, IsNotFound: true}
}

// knownHosts lists the hosts that there are, for an error. The lock is held.
func (n *Network) knownHosts() string {
	const most = 10
	if len(n.names.inOrder) == 0 {
		return ""
	}
	var names []string
	for _, h := range n.names.inOrder {
		names = append(names, h.name)
	}
	return " (the network has " + shortList(names, most) + ")"
}
