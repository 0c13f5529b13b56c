package sim

import (
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

type protocol uint8

const (
	protoTCP protocol = iota + 1
	protoUDP
	protoICMP
)

func (p protocol) String() string {
	return [...]string{"", "tcp", "udp", "icmp"}[p]
}

// An endpoint is an IPv4 address and a port.
type endpoint struct {
	addr uint32
	port uint16
}

// A packet on its way. It is pooled: whoever ends its way frees it.
type packet struct {
	flow     *flow
	pipes    []*pipe // its way; links that are made later do not change it
	hop      int     // where on it
	proto    protocol
	src, dst endpoint
	seg      *tcp.Segment // of TCP; for ICMP, the segment that could not be delivered
	data     []byte       // of UDP
	whole    *whole       // of a fragment
	offset   uint16       // of a fragment: in the payload of IP
	icmp     ICMPCode
	about    protocol // for ICMP, the protocol of what could not be delivered
	size     int      // bytes on the wire
	corrupt  bool
	copied   bool // this is the copy of a duplicated packet
}

func (n *Network) newPacket(f *flow, proto protocol, src, dst endpoint) *packet {
	var pkt *packet
	if last := len(n.freePackets) - 1; last >= 0 {
		pkt = n.freePackets[last]
		n.freePackets = n.freePackets[:last]
	} else {
		pkt = new(packet)
	}
	pkt.flow, pkt.proto, pkt.src, pkt.dst = f, proto, src, dst
	return pkt
}

// free ends the way of a packet.
func (n *Network) free(pkt *packet) {
	if pkt.seg != nil {
		n.freeSegments.put(pkt.seg)
	}
	*pkt = packet{}
	n.freePackets = append(n.freePackets, pkt)
}

// record notes the packet in the trace.
func (n *Network) record(now int64, kind EventKind, pkt *packet, why string) {
	n.trace.add(recordOf(now, kind, pkt), why)
}

func recordOf(now int64, kind EventKind, pkt *packet) record {
	r := record{
		at: now, kind: kind, proto: pkt.proto,
		from: pkt.flow.path.from.number, to: pkt.flow.path.to.number,
		sport: pkt.src.port, dport: pkt.dst.port,
		length: int32(len(pkt.data)), size: int32(pkt.size),
	}
	if pkt.proto == protoTCP {
		s := pkt.seg
		r.flags, r.seq, r.ack, r.length, r.resent = s.Flags, s.Seq, s.Ack, int32(len(s.Payload)), s.Kind != tcp.Original
	}
	return r
}

// drop ends the way of a packet at a pipe, or at its host if p is nil, and says why.
func (n *Network) drop(now int64, pkt *packet, p *pipe, why string) {
	if p != nil {
		p.stats.Dropped++
		if len(pkt.pipes) > 1 {
			why += ", " + p.String()
		}
	}
	n.record(now, Dropped, pkt, why)
	n.free(pkt)
}

// dispatch sends a packet on its way.
func (n *Network) dispatch(pkt *packet, now int64) {
	pkt.pipes = pkt.flow.path.pipes()
	if n.cutOff(now, pkt) {
		return
	}
	if pkt.proto == protoUDP && pkt.size > pkt.pipes[0].mtu {
		for _, f := range n.fragments(pkt, pkt.pipes[0].mtu) {
			n.record(now, Sent, f, "")
			n.transmit(f, now)
		}
		return
	}
	n.record(now, Sent, pkt, "")
	n.transmit(pkt, now)
}

// cutOff drops a packet if a partition covers its path.
func (n *Network) cutOff(now int64, pkt *packet) bool {
	cuts := pkt.flow.path.cuts
	if len(cuts) == 0 {
		return false
	}
	for _, f := range cuts {
		f.hits++
	}
	n.drop(now, pkt, nil, "partition")
	return true
}

// transmit puts a packet on the next pipe of its way.
func (n *Network) transmit(pkt *packet, now int64) {
	p := pkt.pipes[pkt.hop]
	switch {
	case p.hold != nil:
		p.hold.hits++
		n.record(now, Held, pkt, "")
		p.held = append(p.held, pkt)
		return
	case p.down != nil:
		p.down.hits++
		n.drop(now, pkt, p, "link down")
		return
	case p.reject != nil:
		n.refuse(now, pkt, p)
		return
	}
	if pkt.proto == protoUDP && pkt.size > p.mtu {
		for _, f := range n.fragments(pkt, p.mtu) {
			n.transmit(f, now)
		}
		return
	}
	p.stats.Sent++
	p.stats.SentBytes += int64(pkt.size)
	v := p.em.Send(pkt.size, time.Duration(now), pkt.flow.stream(p))
	if v.Dup {
		c := n.copyOf(pkt)
		c.corrupt = pkt.corrupt || v.DupCorrupt
		p.stats.Duplicated++
		n.deliverAt(c, int64(v.DupAt))
	}
	if v.Reason != netem.Delivered {
		p.stats.count(v.Reason)
		n.drop(now, pkt, p, v.Reason.String())
		return
	}
	if v.Reordered {
		p.stats.Reordered++
	}
	pkt.corrupt = pkt.corrupt || v.Corrupt
	n.deliverAt(pkt, int64(v.At))
}

func (n *Network) deliverAt(pkt *packet, when int64) {
	n.ord++
	n.events.push(event{when: when, ord: classPacket | n.ord, pkt: pkt})
}

func (n *Network) copyOf(pkt *packet) *packet {
	c := n.newPacket(pkt.flow, pkt.proto, pkt.src, pkt.dst)
	seg := c.seg
	*c = *pkt
	if pkt.seg != nil {
		if seg == nil {
			seg = n.freeSegments.get()
		}
		*seg = *pkt.seg
		c.seg = seg
	}
	c.copied = true
	return c
}

// slack is for how long nobody can notice that a packet has passed its pipe.
func (pkt *packet) slack() int64 {
	if pkt.hop+1 >= len(pkt.pipes) {
		return 0
	}
	return pkt.pipes[pkt.hop+1].slack()
}

// arrive handles the end of a packet's way over a pipe.
func (n *Network) arrive(now int64, pkt *packet) {
	if pkt.hop < len(pkt.pipes) {
		pkt.pipes[pkt.hop].stats.Delivered++
		pkt.hop++
	}
	if pkt.hop < len(pkt.pipes) {
		n.transmit(pkt, now)
		return
	}
	h := pkt.flow.path.to
	switch {
	case h.off != nil:
		h.off.hits++
		n.drop(now, pkt, nil, "host is off")
		return
	case pkt.corrupt:
		pkt.pipes[len(pkt.pipes)-1].stats.Corrupted++
		n.drop(now, pkt, nil, "checksum error")
		return
	}
	n.record(now, Delivered, pkt, "")
	switch pkt.proto {
	case protoTCP:
		h.segment(now, pkt)
	case protoUDP:
		if pkt.whole != nil && !h.fragments.take(now, pkt) {
			return
		}
		h.datagram(now, pkt)
	case protoICMP:
		h.icmp(now, pkt)
	}
}

// A segmentPool keeps segments for reuse.
type segmentPool []*tcp.Segment

func (p *segmentPool) get() *tcp.Segment {
	last := len(*p) - 1
	if last < 0 {
		return new(tcp.Segment)
	}
	s := (*p)[last]
	*p = (*p)[:last]
	*s = tcp.Segment{}
	return s
}

func (p *segmentPool) put(s *tcp.Segment) {
	s.Payload = nil
	*p = append(*p, s)
}
