package sim

import "net/netip"

// A FamilyFilter is a box that drops the packets of an address family.
type FamilyFilter struct {
	n         *Network
	four, six bool
}

// NewFamilyFilter makes r a FamilyFilter that drops nothing.
func NewFamilyFilter(r *Router) *FamilyFilter {
	f := &FamilyFilter{n: r.n}
	r.n.do(func() { r.n.install(r, f) })
	return f
}

// Cut sets which families it drops.
func (f *FamilyFilter) Cut(four, six bool) { f.n.do(func() { f.four, f.six = four, six }) }

func (f *FamilyFilter) forward(now int64, pkt *packet) {
	if f.six && pkt.way.six || f.four && !pkt.way.six {
		f.n.drop(now, pkt, nil, "filtered")
		return
	}
	f.n.transmit(pkt, now)
}

// Preferred sorts addresses in the order in which a dial of h tries them.
func (h *Host) Preferred(addrs []netip.Addr) []netip.Addr {
	return ownAddrs(get(h.n, func() []netip.Addr { return h.preferred(addrs) }))
}
