package sim

import (
	"net/netip"

	"github.com/squall-sim/squall/netem"
)

// initialSequence returns the sequence number with which a host begins a connection, as in RFC 6528: a clock
// that ticks every 64 ns, plus a hash of the addresses and ports that is keyed by the seed (secure_tcp_seq).
// The numbers of successive connections between the same ports grow, and segments of an earlier connection do
// not fit the next.
func (n *Network) initialSequence(now int64, local, remote netip.AddrPort) uint32 {
	draws := netem.NewStream(n.seed, "isn").Derive(ends{local, remote}.hash())
	return uint32(draws.Uint64()) + uint32(now>>6)
}
