package sim

import (
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// dispatch sends a packet. If it is larger than the path's MTU, as far as its host knows, the host fragments
// it, if it may (ip_finish_output).
func (n *Network) dispatch(pkt *packet, now int64) { n.dispatchAs(MTUDiscoverWant, pkt, now) }

// dispatchAs sends a packet of a socket with that setting for packets that are too big for the path.
func (n *Network) dispatchAs(m MTUDiscover, pkt *packet, now int64) {
	if (len(n.watch.broken) > 0 || n.watch.sees != nil) && n.watched(now, m, pkt) {
		return
	}
	n.sendOut(m, pkt, now)
}

// sendOut is dispatchAs after a breakage had its chance to see the packet.
func (n *Network) sendOut(m MTUDiscover, pkt *packet, now int64) {
	way := pkt.way
	pkt.pipes = way.pipes()
	if len(n.wires.partitions) > 0 {
		n.begins(pkt, endsOf(pkt))
	}
	if cuts := way.cuts(); len(cuts) > 0 && n.cutOff(now, pkt, pkt.pipes, cuts, endsOf(pkt), n.resume) || n.names.lost && n.sourceLost(now, pkt) {
		return
	}
	mtu := m.mtu(way, now)
	fits := pkt.size <= mtu
	switch pkt.proto {
	case protoTCP:
		pkt.df = way.six && fits || !way.mayCut(now)
	case protoUDP:
		pkt.df = m.forbids(way, now, fits)
	default:
		pkt.df = way.six && fits
	}
	switch {
	case fits:
		n.record(now, Sent, pkt, "")
		n.transmit(pkt, now)
	case pkt.df:
		n.tooBig(now, pkt, nil, mtu)
	default:
		for _, f := range n.fragments(pkt, mtu) {
			n.record(now, Sent, f, "")
			n.transmit(f, now)
		}
	}
}

// straightOn is dispatch for a segment on which nothing can act before its first pipe: no fault, no
// partition, no unresolved neighbour, no observer, nothing learned about the path. If something can, it
// returns false and has done nothing.
func (n *Network) straightOn(pkt *packet) bool {
	f, way := pkt.flow, pkt.way
	if !n.unconcerned(f, way, pkt.size) {
		return false
	}
	pkt.pipes, pkt.df = way.route, true
	n.record(n.clock.at, Sent, pkt, "")
	n.admit(n.clock.at, pkt, f.first, &f.stream1, 0)
	return true
}

// unconcerned reports whether nothing can act on a segment of that size before its first pipe.
func (n *Network) unconcerned(f *flow, way *path, size int) bool {
	p := f.first
	switch {
	case p == nil, f.topology != n.wires.version, way.topology != n.wires.version, way.route[0] != p,
		len(n.watch.broken) > 0, n.watch.sees != nil, len(n.wires.partitions) > 0, n.names.lost,
		p.trouble != nil, p.neighbour != nil, p.byFlow, p.mtu < leastMTU6, size > p.mtu, way.learned.via != nil:
		return false
	}
	return true
}

// runsStraightOn is straightOn for a run of segments. The same happens to all of them on the first pipe. They stay
// one packet as long as that is so, even if the pipe's rate makes them leave one after the other.
func (n *Network) runsStraightOn(o *connOutput, s *tcp.Segment) bool {
	f, now, size := &o.flow, n.clock.at, s.Size()
	if n.log.film != nil || !n.unconcerned(f, f.path, size) {
		return false
	}
	p, count := f.first, s.Run()
	at, together := p.em.Pass(count, size, time.Duration(now), &f.stream1)
	var spacing netem.Spacing
	if !together {
		last := size + s.RunLen() - count*len(s.Payload) // its size
		var ok bool
		if spacing, at, ok = p.em.PassSpaced(count, size, last, time.Duration(now), &f.stream1); !ok {
			return false
		}
	}
	pkt := n.pool.packet(f, protoTCP, o.ends.local, o.ends.remote)
	pkt.seg, pkt.size, pkt.pipes, pkt.df, pkt.leaves.at = s, size, f.path.route, true, now
	first := *s
	var r record
	pkt.describe(&r, now, Sent)
	for more := true; more; {
		n.log.trace.carry(n.log.trace.repeat(&r, f.path.hash), s.Payload)
		more = pkt.advance(&r)
	}
	*s, pkt.size = first, size
	p.stats.Sent += int64(count)
	p.stats.SentBytes += int64(pkt.runSize(count))
	if together {
		n.queue.addPacket(pkt, int64(at))
	} else {
		n.queue.addSpaced(pkt, count, spacing, int64(at))
	}
	return true
}

// advance drops the first segment of a run: the packet, and a record of it, become the rest. It returns false
// if nothing is left.
func (pkt *packet) advance(r *record) bool {
	s := pkt.seg
	before := len(s.Payload)
	if !s.Advance() {
		return false
	}
	pkt.size += len(s.Payload) - before
	r.seq, r.flags, r.length, r.size = s.Seq, s.Flags, uint16(len(s.Payload)), uint16(pkt.size)
	return true
}

// runSize returns the size of all packets of a run of that length.
func (pkt *packet) runSize(count int) int {
	return pkt.seg.RunLen() + count*(pkt.size-len(pkt.seg.Payload))
}

// resume sends on a packet that a partition held.
func (n *Network) resume(now int64, pkt *packet) { n.sendOut(MTUDiscoverWant, pkt, now) }
