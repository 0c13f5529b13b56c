package sim

import (
	"net/netip"

	"github.com/squall-sim/squall/netem"
)

// A portPool is the ports from which a box chooses: so many, from the first on.
type portPool struct{ first, count int }

// highPorts are those that are not privileged.
var highPorts = portPool{1024, 1<<16 - 1024}

// portsLike are those from which Linux chooses in place of a port (nf_nat_l4proto_unique_tuple): what is privileged stays so.
func portsLike(port int) portPool {
	switch {
	case port < 512:
		return portPool{1, 511}
	case port < 1024:
		return portPool{600, 424}
	}
	return highPorts
}

// free says whether a port of the box's own can be that of one more connection to a remote address.
func (k *tracker) free(proto protocol, remote netip.AddrPort, port int) bool {
	return k.known[tuple{proto, remote, netip.AddrPortFrom(k.r.addr, uint16(port))}] == nil
}

// port draws one of the box's own for a new connection to a remote address; 0 if none is free.
func (k *tracker) port(proto protocol, remote netip.AddrPort, of portPool, draws *netem.Stream) uint16 {
	first := int(draws.Uint64() % uint64(of.count))
	for i := range of.count {
		if port := of.first + (first+i)%of.count; k.free(proto, remote, port) {
			return uint16(port)
		}
	}
	return 0
}
