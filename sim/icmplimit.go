package sim

import "net/netip"

// Linux limits what it tells one address by ICMP of its own accord, except for the MTU of a path
// (icmpv4_xrlim_allow, inet_peer_xrlim_allow): this many messages at once, and then one in each of these
// times.
const (
	icmpBurst      = 6
	icmpRatelimit  = int64(1e9)   // net.ipv4.icmp_ratelimit
	icmp6Ratelimit = int64(100e6) // net.ipv6.icmp.ratelimit
)

// A tellingBudget is how much more a node may tell an address: a number of nanoseconds, of which each message
// takes one ratelimit.
type tellingBudget struct{ left, at int64 }

// affords reports whether d has a message about a packet left for its sender, and takes it. It always has one
// for itself (icmp_xrlim_allow).
func (d *node) affords(now int64, pkt *packet) bool {
	if pkt.way.from == d {
		return true
	}
	limit := icmpRatelimit
	if pkt.way.six {
		limit = icmp6Ratelimit
	}
	b, ok := d.told[pkt.src.Addr()]
	if !ok {
		b = tellingBudget{icmpBurst * limit, now}
	}
	b.left, b.at = min(b.left+now-b.at, icmpBurst*limit), now
	affords := b.left >= limit
	if affords {
		b.left -= limit
	}
	if d.told == nil {
		d.told = map[netip.Addr]tellingBudget{}
	}
	d.told[pkt.src.Addr()] = b
	return affords
}
