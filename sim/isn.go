package sim

import (
	"net/netip"

	"github.com/squall-sim/squall/netem"
)

// initialSequence is the sequence number with which a host begins a connection, as RFC
// 6528 has it: a clock that ticks every 64 ns, added to a hash of the addresses and ports
// that the seed keys (secure_tcp_seq). The numbers of one connection after the other
// between the same ports grow, and segments of an earlier one do not fit the next.
func (n *Network) initialSequence(now int64, local, remote netip.AddrPort) uint32 {
	draws := netem.NewStream(n.seed, "isn").Derive(ends{local, remote}.hash())
	return uint32(draws.Uint64()) + uint32(now>>6)
}
