package sim

import "github.com/squall-sim/squall/sim/internal/tcp"

// corrupt does to a packet what the pipe's configuration says: either its receiver's checksum finds the
// error, or its payload changes.
func (p *pipe) corrupt(pkt *packet, noise uint64) {
	damage := &p.damage
	switch {
	case pkt.frag.whole != nil:
	case pkt.proto == protoUDP && damage.UndetectedUDP:
		p.alter(pkt, pkt.data, damage.Apply(pkt.data, noise))
		return
	case pkt.proto == protoTCP && damage.UndetectedTCP:
		p.alter(pkt, pkt.seg.Payload, damage.Apply(pkt.seg.Payload, noise))
		return
	}
	pkt.corrupt = true
	p.proof.corrupted++
	p.stats.Corrupted++
}

// alter gives a packet another payload. If that is shorter, the rest is gone, and with it a FIN after it.
func (p *pipe) alter(pkt *packet, from, to []byte) {
	if len(from) == 0 {
		return
	}
	pkt.altered = true
	p.proof.corrupted++
	p.stats.Altered++
	pkt.size -= len(from) - len(to)
	if pkt.proto == protoUDP {
		pkt.data = to
		return
	}
	if len(to) < len(from) {
		pkt.seg.Flags &^= tcp.FIN
	}
	pkt.seg.Payload = to
}

// mishaps are what links have done to a packet.
type mishaps struct {
	corrupt bool // its receiver's checksum finds a bit error
	altered bool // its payload is not the one that was sent
	copied  bool // this is the copy of a duplicated packet
}
