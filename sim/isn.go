package sim

import "net/netip"

// initialSequence is the sequence number with which a host begins a connection, as RFC
// 6528 has it: a clock that ticks every 64 ns, added to a hash of the addresses and ports
// that the seed keys (secure_tcp_seq). The numbers of one connection after the other
// between the same ports grow, and segments of an earlier one do not fit the next.
func (n *Network) initialSequence(now int64, local, remote netip.AddrPort) uint32 {
	h := mix(mix(n.seed) ^ number(local.Addr())<<32 ^ number(remote.Addr()))
	h = mix(h ^ uint64(local.Port())<<16 ^ uint64(remote.Port()))
	return uint32(h) + uint32(now>>6)
}
