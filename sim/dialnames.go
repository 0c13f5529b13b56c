package sim

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// lookUpToDial looks up a name to dial: it asks the name servers of h, or the network.
func (h *Host) lookUpToDial(ctx context.Context, network, name string) ([]netip.Addr, error) {
	conf := get(h.n, func() *resolving {
		if h.resolver.conf != nil {
			h.n.reveal(h.resolver.conf.by)
		}
		return h.resolver.conf
	})
	if conf == nil || strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return h.lookup(ctx, network, name)
	}
	found, err := conf.lookUp(ctx, familyOf(network), name)
	if err != nil {
		return nil, err
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	return ownAddrs(get(h.n, func() []netip.Addr { return h.preferred(found) })), nil
}

// lookUp asks for the addresses of a name as Go's resolver does on a machine with that resolv.conf
// (net.Resolver.goLookupIPCNAMEOrder): for both families, unless the program wants one.
func (r *resolving) lookUp(ctx context.Context, family, name string) (found []netip.Addr, err error) {
	network := "ip" + family
	ctx = context.WithValue(ctx, completeName{}, true)
	var last error
	for _, complete := range r.nameList(name) {
		if found, err = r.resolver.LookupNetIP(ctx, network, complete); err == nil {
			return found, nil
		}
		if last == nil || complete != name+"." { // the error of the original name only if there is no other
			last = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if e, ok := last.(*net.DNSError); ok {
		e.Name = name
	}
	return nil, last
}

// nameList returns the names that are looked up in place of one (net.dnsConfig.nameList).
func (r *resolving) nameList(name string) (all []string) {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	whole := []string{name + "."}
	for _, domain := range r.search {
		all = append(all, name+"."+strings.TrimSuffix(domain, ".")+".")
	}
	if strings.Count(name, ".") >= r.ndots {
		return append(whole, all...)
	}
	return append(all, whole...)
}
