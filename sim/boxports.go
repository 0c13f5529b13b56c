package sim

import (
	"net/netip"

	"github.com/squall-sim/squall/netem"
)

// A portPool is a range of ports from which a box chooses: a first port and a count.
type portPool struct{ first, count int }

// highPorts are the unprivileged ports.
var highPorts = portPool{1024, 1<<16 - 1024}

// portsLike returns the ports from which Linux chooses a replacement for a port
// (nf_nat_l4proto_unique_tuple): a privileged port stays privileged.
func portsLike(port int) portPool {
	switch {
	case port < 512:
		return portPool{1, 511}
	case port < 1024:
		return portPool{600, 424}
	}
	return highPorts
}

// free reports whether one of the box's own ports can serve one more connection to a remote address.
func (k *tracker) free(proto protocol, remote netip.AddrPort, port int) bool {
	return k.known[tuple{proto, remote, netip.AddrPortFrom(k.r.addr, uint16(port))}] == nil
}

// port draws one of the box's own ports for a new connection to a remote address; 0 if none is free.
func (k *tracker) port(proto protocol, remote netip.AddrPort, of portPool, draws *netem.Stream) uint16 {
	first := int(draws.Uint64() % uint64(of.count))
	for i := range of.count {
		if port := of.first + (first+i)%of.count; k.free(proto, remote, port) {
			return uint16(port)
		}
	}
	return 0
}
