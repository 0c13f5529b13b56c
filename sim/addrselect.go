package sim

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// The order in which to try several addresses (RFC 6724), as package net and Linux have it.

// A policy is a row of the table of RFC 6724 section 2.1.
type policy struct {
	prefix     netip.Prefix
	precedence int
	label      int
}

// policies have the longest prefixes first.
var policies = []policy{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4}, // IPv4
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},  // Teredo
	{netip.MustParsePrefix("2002::/16"), 30, 2}, // 6to4
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13}, // for local use
	{netip.MustParsePrefix("::/0"), 40, 1},
}

func policyOf(a netip.Addr) policy {
	a = netip.AddrFrom16(a.As16())
	return policies[slices.IndexFunc(policies, func(p policy) bool {
		return p.prefix.Contains(a) || p.prefix.Bits() == 96 && a.Is4In6() && p.label == 4
	})]
}

// local reports whether an address has link-local scope: a loopback address, or an IPv4 link-local one.
// Others are global.
func local(a netip.Addr) bool { return a.IsLoopback() || a.IsLinkLocalUnicast() }

// preferred sorts addresses in the order in which a dial of h should try them (RFC 6724 section 6, rules 1, 2, 5, 6, 8 and 9).
func (h *Host) preferred(addrs []netip.Addr) []netip.Addr {
	type destination struct {
		addr, source netip.Addr
		policy       policy
		scope, label bool // those of the source are the same
	}
	if len(addrs) < 2 {
		return addrs
	}
	var all []destination
	for _, a := range addrs {
		d := destination{addr: a, source: h.sourceFor(a), policy: policyOf(a)}
		if d.source.IsValid() {
			d.scope, d.label = local(a) == local(d.source), d.policy.label == policyOf(d.source).label
		}
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b destination) int {
		switch {
		case !a.source.IsValid() && !b.source.IsValid():
			return 0
		case a.source.IsValid() != b.source.IsValid():
			return first(a.source.IsValid())
		case a.scope != b.scope:
			return first(a.scope)
		case a.label != b.label:
			return first(a.label)
		case a.policy.precedence != b.policy.precedence:
			return cmp.Compare(b.policy.precedence, a.policy.precedence)
		case local(a.addr) != local(b.addr):
			return first(local(a.addr))
		case a.addr.Is6() && b.addr.Is6():
			return cmp.Compare(commonPrefix(b.source, b.addr), commonPrefix(a.source, a.addr))
		}
		return 0
	})
	sorted := make([]netip.Addr, len(all))
	for i, d := range all {
		sorted[i] = d.addr
	}
	return sorted
}

// first is the result of a comparison: the address in question comes first if yes is true, and otherwise
// last.
func first(yes bool) int {
	if yes {
		return -1
	}
	return 1
}

// commonPrefix returns how many leading bits two IPv6 addresses share, of the 64 that do not belong to the
// interface.
func commonPrefix(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	return bits.LeadingZeros64(binary.BigEndian.Uint64(x[:]) ^ binary.BigEndian.Uint64(y[:]))
}

// sourceFor returns the address from which an unbound socket of h sends to another address: for IPv4 the
// host's first, for IPv6 the one that RFC 6724 section 5 prefers (rules 1, 6 and 8). It is invalid if the
// host has no address of that family.
func (h *Host) sourceFor(to netip.Addr) netip.Addr {
	switch {
	case to.Is4() && to.IsLoopback():
		return loopback
	case to == loopback6:
		return loopback6
	case h.has(to):
		return to
	}
	var best netip.Addr
	for _, a := range h.addresses.list {
		switch {
		case a.Is4() != to.Is4() || best.IsValid() && to.Is4():
		case !best.IsValid() || h.betterSource(a, best, to):
			best = a
		}
	}
	return best
}

// betterSource reports whether a is a better source than b for packets to an IPv6 address.
func (h *Host) betterSource(a, b, to netip.Addr) bool {
	label := policyOf(to).label
	if x, y := policyOf(a).label == label, policyOf(b).label == label; x != y {
		return x
	}
	return commonPrefix(a, to) > commonPrefix(b, to)
}
