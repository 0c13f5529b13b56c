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
	pipe     *pipe
	proto    protocol
	src, dst endpoint
	seg      *tcp.Segment // of TCP; for ICMP, the segment that could not be delivered
	data     []byte       // of UDP
	icmp     icmpCode
	about    protocol // for ICMP, the protocol of what could not be delivered
	size     int      // bytes on the wire
	corrupt  bool
	copied   bool // this is the copy of a duplicated packet
}

// icmpCode is the code of an ICMP destination unreachable message (RFC 792).
type icmpCode uint8

const (
	icmpHostUnreachable icmpCode = 1
	icmpPortUnreachable icmpCode = 3
)

// icmpSize is the size of such a message: IP header, ICMP header, and the IP
// header and first 8 bytes of the packet it is about.
const icmpSize = 20 + 8 + 20 + 8

func (n *Network) newPacket(p *pipe, proto protocol, src, dst endpoint) *packet {
	var pkt *packet
	if last := len(n.freePackets) - 1; last >= 0 {
		pkt = n.freePackets[last]
		n.freePackets = n.freePackets[:last]
	} else {
		pkt = new(packet)
	}
	pkt.pipe, pkt.proto, pkt.src, pkt.dst = p, proto, src, dst
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
	r := record{
		at: now, kind: kind, proto: pkt.proto,
		from: pkt.pipe.from.number, to: pkt.pipe.to.number,
		sport: pkt.src.port, dport: pkt.dst.port,
		length: int32(len(pkt.data)), size: int32(pkt.size), note: why,
	}
	if pkt.proto == protoTCP {
		s := pkt.seg
		r.flags, r.seq, r.ack, r.length, r.resent = s.Flags, s.Seq, s.Ack, int32(len(s.Payload)), s.Kind != tcp.Original
	}
	n.trace.add(r)
}

// drop ends the way of a packet, and says why.
func (n *Network) drop(now int64, pkt *packet, why string) {
	n.record(now, Dropped, pkt, why)
	pkt.pipe.stats.Dropped++
	n.free(pkt)
}

// transmit puts a packet on the path p; stream is its flow's on p.
func (n *Network) transmit(p *pipe, pkt *packet, stream *netem.Stream, now int64) {
	pkt.pipe = p
	switch {
	case len(p.cuts) > 0:
		for _, f := range p.cuts {
			f.hits++
		}
		n.drop(now, pkt, "partition")
		return
	case p.down != nil:
		p.down.hits++
		n.drop(now, pkt, "link down")
		return
	case p.reject != nil:
		p.reject.hits++
		n.record(now, Dropped, pkt, "link rejects")
		p.stats.Dropped++
		n.unreachable(now, pkt, icmpHostUnreachable)
		return
	case p.hold != nil:
		p.hold.hits++
		n.record(now, Held, pkt, "")
		p.held = append(p.held, heldPacket{pkt, stream})
		return
	}
	p.stats.Sent++
	p.stats.SentBytes += int64(pkt.size)
	v := p.send(pkt, stream, now)
	if v.Dup {
		c := n.copyOf(pkt)
		c.corrupt = v.DupCorrupt
		p.stats.Duplicated++
		n.schedule(c, int64(v.DupAt))
	}
	if v.Reason != netem.Delivered {
		p.stats.count(v.Reason)
		n.drop(now, pkt, v.Reason.String())
		return
	}
	n.record(now, Sent, pkt, "")
	if v.Reordered {
		p.stats.Reordered++
	}
	pkt.corrupt = v.Corrupt
	n.schedule(pkt, int64(v.At))
}

// send asks the link what happens to a packet. A datagram larger than the MTU goes
// in fragments (RFC 791 section 3.2) and is there when all of them are; the copy of
// a fragment changes nothing.
func (p *pipe) send(pkt *packet, stream *netem.Stream, now int64) netem.Verdict {
	mtu := p.mtu
	if pkt.proto != protoUDP || pkt.size <= mtu {
		return p.em.Send(pkt.size, time.Duration(now), stream)
	}
	var whole netem.Verdict
	room := (mtu - ipHeader) &^ 7
	for rest := pkt.size - ipHeader; rest > 0; rest -= room {
		v := p.em.Send(ipHeader+min(rest, room), time.Duration(now), stream)
		if whole.Reason == netem.Delivered {
			whole.Reason = v.Reason
		}
		whole.At = max(whole.At, v.At)
		whole.Corrupt = whole.Corrupt || v.Corrupt
	}
	return whole
}

func (n *Network) schedule(pkt *packet, when int64) {
	n.ord++
	n.events.push(event{when: when, ord: classPacket | n.ord, pkt: pkt})
}

func (n *Network) copyOf(pkt *packet) *packet {
	c := n.newPacket(pkt.pipe, pkt.proto, pkt.src, pkt.dst)
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

// unreachable tells the sender that its packet could not be delivered, and ends
// the packet. The news arrives at once if the packet was still with its sender
// (host unreachable), and over the way back otherwise.
func (n *Network) unreachable(now int64, pkt *packet, code icmpCode) {
	back := n.pipe(pkt.pipe.to, pkt.pipe.from)
	m := n.newPacket(back, protoICMP, pkt.dst, pkt.src)
	m.icmp, m.about, m.size = code, pkt.proto, icmpSize
	m.seg, pkt.seg = pkt.seg, nil
	n.free(pkt)
	if code == icmpHostUnreachable {
		n.schedule(m, now)
		return
	}
	n.transmit(back, m, &back.misc, now)
}

// arrive ends a packet's way at its host.
func (n *Network) arrive(now int64, pkt *packet) {
	h := pkt.pipe.to
	switch {
	case h.off:
		n.drop(now, pkt, "host is off")
		return
	case pkt.corrupt:
		pkt.pipe.stats.Corrupted++
		n.drop(now, pkt, "checksum error")
		return
	}
	n.record(now, Delivered, pkt, "")
	pkt.pipe.stats.Delivered++
	switch pkt.proto {
	case protoTCP:
		h.segment(now, pkt)
	case protoUDP:
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
