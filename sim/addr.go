package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// validName refuses a text that is not a host name: RFC 1123 section 2.1, with the underscore that many
// services use.
func validName(kind, name string) error {
	if name == "" {
		return fmt.Errorf("%s(%q): the name must not be empty", kind, name)
	}
	if len(name) > 253 {
		return fmt.Errorf("%s(%.20q...): the name must not be longer than 253 bytes", kind, name)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%s(%q): an address is not a name", kind, name)
	}
	if strings.EqualFold(name, "localhost") {
		return fmt.Errorf("%s(%q): every host uses this name for itself", kind, name)
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

// checkNetwork refuses a network name that is not one of the protocol.
func checkNetwork(network string, want protocol) error {
	p := want.String()
	if network != p && network != p+"4" && network != p+"6" {
		return net.UnknownNetworkError(network)
	}
	return nil
}

// A lookupFunc looks up the addresses of a name.
type lookupFunc func(ctx context.Context, network, name string) ([]netip.Addr, error)

// resolve returns the addresses and the port of "host:port" on h, as far as the network knows them, in the
// order in which to try them (internetAddrList in package net). An empty host gives the zero netip.Addr.
func (h *Host) resolve(ctx context.Context, network, address string, lookup lookupFunc) ([]netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port := 0
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		if n > 65535 {
			return nil, &net.AddrError{Err: "invalid port", Addr: text}
		}
		port = int(n)
	} else if text != "" {
		if port, err = net.DefaultResolver.LookupPort(ctx, network, text); err != nil {
			return nil, err
		}
	}
	if host == "" {
		return []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, uint16(port))}, nil
	}
	var all []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		all = []netip.Addr{ip.Unmap()}
		if ip == netip.IPv6Unspecified() { // which stands for both families
			all = append(all, netip.IPv4Unspecified())
		}
	} else if all, err = lookup(ctx, network, host); err != nil {
		return nil, err
	}
	var fit []netip.AddrPort
	for _, ip := range all {
		if f := familyOf(network); f == "" || (f == "4") == ip.Is4() {
			fit = append(fit, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if len(fit) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return fit, nil
}

// resolveLocal is resolve for the address of a listening socket: the first IPv4 address, or else the first
// one. It returns the address as the caller named it, and as the socket has it.
func (h *Host) resolveLocal(network, address string) (named, local netip.AddrPort, err error) {
	all, err := h.resolve(context.Background(), network, address, h.lookup)
	if err != nil {
		return named, local, err
	}
	named = all[max(slices.IndexFunc(all, func(a netip.AddrPort) bool { return a.Addr().Is4() }), 0)]
	if local = named; !named.Addr().IsValid() || named.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(get(h.n, func() netip.Addr { return h.wildcard(network) }), named.Port())
	}
	return named, local, nil
}

// lookup finds a host by name, with or without the final dot. It takes no time:
// /etc/hosts would know the names.
func (h *Host) lookup(_ context.Context, _, name string) ([]netip.Addr, error) {
	plain := strings.TrimSuffix(name, ".")
	found := ownAddrs(get(h.n, func() []netip.Addr {
		if strings.EqualFold(plain, "localhost") {
			if h.addresses.ipv6 {
				return []netip.Addr{loopback6, loopback}
			}
			return []netip.Addr{loopback}
		}
		if other := h.n.names.find(plain); other != nil {
			return h.preferred(slices.Clone(other.addresses.list))
		}
		if a := h.n.names.middlebox(plain); a.IsValid() {
			return []netip.Addr{a}
		}
		return nil
	}))
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host" + text(h.n, h.n.knownHosts), Name: name, IsNotFound: true}
	}
	return found, nil
}

// knownHosts lists all hosts, for an error. The lock is held.
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
