package sim

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// lookUpAddresses asks the name servers of h for the addresses of what is dialled, host and port. It returns
// nil if there is nothing to ask them.
func (h *Host) lookUpAddresses(ctx context.Context, network, address string) ([]string, error) {
	conf := get(h.n, func() *resolving {
		if h.resolver.conf != nil {
			h.n.reveal(h.resolver.conf.by)
		}
		return h.resolver.conf
	})
	if conf == nil || network != "tcp" && network != "tcp4" && network != "udp" && network != "udp4" {
		return nil, nil
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil || name == "" || strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return nil, nil
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil, nil
	}
	four := strings.HasSuffix(network, "4")
	found, err := conf.lookUp(ctx, four, name)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			addresses = append(addresses, net.JoinHostPort(a.String(), port))
		}
	}
	if len(addresses) == 0 {
		return nil, &net.AddrError{Err: "IPv6 is not simulated", Addr: name}
	}
	return addresses, nil
}

// lookUp asks for the addresses of a name as Go's resolver does on a machine with that resolv.conf
// (net.Resolver.goLookupIPCNAMEOrder): for those of both families, unless the program wants IPv4.
func (r *resolving) lookUp(ctx context.Context, four bool, name string) (found []netip.Addr, err error) {
	network := "ip"
	if four {
		network = "ip4"
	}
	ctx = context.WithValue(ctx, completeName{}, true)
	var last error
	for _, complete := range r.nameList(name) {
		if found, err = r.resolver.LookupNetIP(ctx, network, complete); err == nil {
			return found, nil
		}
		if last == nil || complete != name+"." { // that of the original name only if there is no other
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

// nameList is the names that are looked up for one (net.dnsConfig.nameList).
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

// dialSerial dials one address after the other until one answers (net.sysDialer.dialSerial). The error of the first
// counts.
func (d *Dialer) dialSerial(ctx context.Context, network string, addresses []string) (net.Conn, error) {
	var first error
	for i, address := range addresses {
		if ctx.Err() != nil && first == nil {
			first = opError("dial", network, d.LocalAddr, nil, contextError(ctx.Err()))
		}
		if ctx.Err() != nil {
			break
		}
		c, err := d.dialPart(ctx, network, address, len(addresses)-i)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// dialPart dials one address in a part of the time that is left for some (net.partialDeadline).
func (d *Dialer) dialPart(ctx context.Context, network, address string, of int) (net.Conn, error) {
	const least = 2 * time.Second
	deadline, limited := ctx.Deadline()
	if !limited {
		return d.dialOne(ctx, network, address)
	}
	left := time.Until(deadline)
	if left <= 0 {
		return nil, opError("dial", network, d.LocalAddr, nil, os.ErrDeadlineExceeded)
	}
	part := left / time.Duration(of)
	if part < least {
		part = min(left, least)
	}
	ctx, cancel := context.WithTimeout(ctx, part)
	defer cancel()
	return d.dialOne(ctx, network, address)
}
