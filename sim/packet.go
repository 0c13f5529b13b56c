package sim

import (
	"net/netip"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

type protocol uint8

const (
	protoTCP protocol = iota + 1
	protoUDP
	protoICMP
	protoARP
	protoNDP
)

func (p protocol) String() string {
	return [...]string{"", "tcp", "udp", "icmp", "arp", "ndp"}[p]
}

// A packet in flight. It is pooled: whatever ends it frees it.
type packet struct {
	flow     *flow
	way      *path   // path that it takes: the flow's when it was sent
	pipes    []*pipe // its route; later links do not change it
	hop      int     // its place on the route
	leaves   leaving // how it leaves the beginning of that pipe
	proto    protocol
	src, dst netip.AddrPort
	seg      *tcp.Segment // of TCP; for ICMP, the segment that could not be delivered
	data     []byte       // of UDP
	by       moment       // of UDP: when it was written
	frag     fragment
	icmp     icmpMessage
	arp      uint8 // request or reply; for UDP to several hosts: toGroup or toBroadcast
	size     int   // bytes on the wire
	df       bool  // don't fragment (DF)
	mishaps
	train train
	line  line
	shot  *shot // in a film
}

// A leaving says how a packet leaves the beginning of a pipe.
type leaving struct {
	at   int64 // when its last bit is sent; packets of a train may not know
	late int64 // how much longer it takes because of a fault
	on   *pipe // on this pipe

	never bool // it ends while it waits

	then *breakage // what breaks when it arrives; nil: nothing
}

// lateOn returns the lateness on p.
func (l *leaving) lateOn(p *pipe) int64 {
	if l.on != p {
		return 0
	}
	return l.late
}

// late returns the lateness on the current pipe.
func (pkt *packet) late() int64 {
	if pkt.hop < len(pkt.pipes) {
		return pkt.leaves.lateOn(pkt.pipes[pkt.hop])
	}
	return 0
}

// record adds the packet to the trace.
func (n *Network) record(now int64, kind EventKind, pkt *packet, why string) {
	r := n.log.trace.slot()
	pkt.describe(r, now, kind)
	n.log.trace.seal(r, pkt.way.hash, why)
	if kind == Sent {
		n.log.trace.carry(r, pkt.payload())
	}
	if n.log.film != nil {
		n.log.film.packet(kind, pkt)
	}
}

// payload returns what a packet carries. For a fragmented packet it counts with the first fragment.
func (pkt *packet) payload() []byte {
	data, seg := pkt.data, pkt.seg
	if w := pkt.frag.whole; w != nil {
		if pkt.frag.offset > 0 {
			return nil
		}
		data, seg = w.data, w.seg
	}
	if seg != nil && pkt.proto == protoTCP {
		return seg.Payload
	}
	return data
}

// describe fills in a record, except for its note.
func (pkt *packet) describe(r *record, now int64, kind EventKind) {
	way := pkt.way
	r.at, r.kind, r.proto = now, kind, pkt.proto
	if way.six {
		r.proto |= overIPv6
	}
	r.from, r.to = way.numbers[0], way.numbers[1]
	r.sport, r.dport = pkt.src.Port(), pkt.dst.Port()
	r.size = uint16(min(pkt.size, 65535)) // a reassembled IPv6 packet may be larger
	switch {
	case pkt.frag.whole != nil:
		s := pkt.span()
		pkt.frag.whole.describe(r, s.from, s.to-s.from)
		if pkt.proto == protoUDP {
			r.flags = tcp.Flags(pkt.arp)
		}
	case pkt.proto == protoTCP:
		s := pkt.seg
		r.flags, r.seq, r.ack, r.length, r.segment = s.Flags, s.Seq, s.Ack, uint16(len(s.Payload)), s.Kind
	default:
		r.flags, r.seq, r.ack, r.length, r.segment = tcp.Flags(pkt.arp), 0, 0, uint16(len(pkt.data)), tcp.Original
	}
}

// drop drops a packet at a pipe, or at its host if p is nil, and records why.
func (n *Network) drop(now int64, pkt *packet, p *pipe, why string) {
	n.recordDrop(now, pkt, p, why)
	n.pool.free(pkt)
}

// recordDrop is the part of drop before the packet's end.
func (n *Network) recordDrop(now int64, pkt *packet, p *pipe, why string) {
	if p != nil {
		p.stats.Dropped++
		if len(pkt.pipes) > 1 {
			why += ", " + p.String()
		}
	}
	n.record(now, Dropped, pkt, why)
}

// transmit puts a packet on the next pipe of its route.
func (n *Network) transmit(pkt *packet, now int64) {
	p := pkt.pipes[pkt.hop]
	if pkt.joined() && !pkt.staysWhole(p) {
		for _, f := range n.apart(pkt) {
			n.transmit(f, now)
		}
		return
	}
	if p.mtu < leastMTU6 && pkt.way.six {
		n.sendBack(now, pkt, p, ICMPNetUnreachable, "no IPv6 over an MTU below 1280")
		return
	}
	if p.neighbour != nil && !several(pkt.dst.Addr()) && !p.neighbourOf(pkt.way.six).passes(now, pkt) {
		return
	}
	if p.trouble != nil && !n.troubled(now, pkt, p) {
		return
	}
	if f := p.from.icmpBlocked; f != nil && pkt.proto == protoICMP && pkt.hop > 0 {
		f.met(now, pkt)
		n.drop(now, pkt, p, "ICMP blocked")
		return
	}
	if p.trouble == nil || len(p.trouble.filters) == 0 {
		n.putOn(now, pkt, p)
		return
	}
	copies, passes := n.filtered(now, pkt, p)
	if !passes {
		return
	}
	behind := make([]*packet, copies)
	for i := range behind {
		behind[i] = n.pool.copyOf(pkt)
		p.stats.Duplicated++
	}
	size := int64(pkt.size)
	n.putOn(now, pkt, p)
	for _, c := range behind {
		n.putOn(now, c, p)
		p.stats.Sent--
		p.stats.SentBytes -= size
	}
}

// putOn puts a packet on a pipe that allows it.
func (n *Network) putOn(now int64, pkt *packet, p *pipe) {
	if pkt.size > p.mtu && !pkt.df {
		for _, f := range n.fragments(pkt, p.mtu) {
			n.putOn(now, f, p)
		}
		return
	}
	flow := uint64(0)
	if p.byFlow {
		flow = mix(pkt.flow.path.hash ^ mix(pkt.flow.id))
	}
	n.admit(now, pkt, p, pkt.flow.stream(p, pkt.hop), flow)
}

// admit lets a packet of a flow enter a pipe that takes it unchanged.
func (n *Network) admit(now int64, pkt *packet, p *pipe, r *netem.Stream, flow uint64) {
	p.stats.Sent++
	p.stats.SentBytes += int64(pkt.size)
	if p.trouble == nil {
		if at, ok := p.em.Pass(1, pkt.size, time.Duration(now), r); ok {
			pkt.leaves.at = now
			n.arriveAt(pkt, p, int64(at))
			return
		}
	}
	n.emulate(now, pkt, p, r, flow)
}

// emulate is the part of admit for a pipe that does more than to delay.
func (n *Network) emulate(now int64, pkt *packet, p *pipe, r *netem.Stream, flow uint64) {
	v := p.em.Send(netem.Packet{Size: pkt.size, ECT: pkt.markable(), Flow: flow}, time.Duration(now), r)
	for i := range v.Copies {
		a := &v.Copies[i]
		p.stats.Duplicated++
		p.decided(now, n.pool.copyOf(pkt), netem.Verdict{Ticket: a.Ticket, Departure: a.Departure, At: a.At, Noise: a.Noise, Corrupt: a.Corrupt, Marked: a.Marked})
	}
	p.decided(now, pkt, v)
	if p.waiting != nil {
		p.leave(now)
	}
}

// markable reports whether a router can mark a packet instead of dropping it. It cannot mark a fragment.
func (pkt *packet) markable() bool {
	return pkt.proto == protoTCP && pkt.frag.whole == nil && pkt.seg.ECT
}

// marked reports whether a router has marked it.
func (pkt *packet) marked() bool { return pkt.markable() && pkt.seg.CE }

// decided does to a packet what the verdict says.
func (p *pipe) decided(now int64, pkt *packet, v netem.Verdict) {
	n := p.n
	if v.Ticket != 0 {
		p.wait(pkt, v.Ticket)
		return
	}
	if p.trouble != nil {
		p.trouble.affected(now, pkt, &v)
	}
	if v.Reason != netem.Delivered {
		p.stats.count(v.Reason)
		if v.Reason == netem.DropMTU {
			n.tooBig(now, pkt, p, p.mtu)
			return
		}
		n.drop(now, pkt, p, v.Reason.String())
		return
	}
	if v.Reordered {
		p.stats.Reordered++
	}
	if v.Marked {
		pkt.seg.CE = true
		p.stats.Marked++
		if p.lossMarks {
			p.proof.marked++
		}
	}
	if v.Corrupt {
		p.corrupt(pkt, v.Noise)
	}
	pkt.leaves.at = int64(v.Departure)
	n.arriveAt(pkt, p, int64(v.At))
}

// arriveAt makes a packet arrive at the end of p at an instant, or later if a fault delays it.
func (n *Network) arriveAt(pkt *packet, p *pipe, at int64) {
	n.queue.addPacket(pkt, after(at, pkt.leaves.lateOn(p)))
}

// arriveTrain handles the arrival of a train.
func (n *Network) arriveTrain(now int64, head *packet) {
	if n.queue.lastTrain == head {
		n.queue.lastTrain = nil
	}
	if head.hop+1 < len(head.pipes) && n.forward(now, head) {
		return
	}
	if c := head.cardAt(); c != nil {
		c.gather(now, head)
		return
	}
	n.deliver(now, head, nil)
}

// deliver handles the packets of a train one after the other. If joined is not nil, it takes what generic receive
// offload joins as one.
func (n *Network) deliver(now int64, head *packet, joined *tcp.Joined) {
	hop := head.hop
	var c *TCPConn // the connection that must be settled
	for pkt := head; pkt != nil; {
		pkt.hop = hop
		to := n.receiver(pkt)
		if to != nil && joined == nil && pkt.seg.Run() > 1 {
			c = to
			next := pkt.train.next
			n.receiveRun(now, pkt, c)
			pkt = next
			continue
		}
		next := n.pool.behind(pkt)
		if pkt.leaves.then != nil && hop+1 >= len(pkt.pipes) {
			if n.breaksAt(now, pkt, hop) {
				break
			}
			to = n.receiver(pkt)
		}
		if to != nil {
			c = to
			n.receive(now, pkt, c, joined != nil && n.joins(joined, pkt, next, c))
		} else {
			n.arrive(now, pkt)
		}
		pkt = next
	}
	if c != nil {
		c.settle()
	}
}

// receiver returns the open connection that takes a segment, or nil if that needs a closer look.
func (n *Network) receiver(pkt *packet) *TCPConn {
	c := pkt.peer()
	if c == nil || pkt.hop+1 != len(pkt.pipes) || pkt.corrupt || pkt.altered || pkt.seg.CE || c.host.off != nil || n.names.lost || c.tcp().State() != tcp.Established {
		return nil
	}
	return c
}

// peer returns the connection that a segment is for, if the last segment of its flow went there too, or nil.
func (pkt *packet) peer() *TCPConn {
	c := pkt.flow.peer
	if c == nil || pkt.proto != protoTCP || pkt.frag.whole != nil || c.gone || c.ends.local != pkt.dst || c.ends.remote != pkt.src {
		return nil
	}
	return c
}

// receive hands a segment to an open connection. It must be settled before anything but its next segment
// arrives.
func (n *Network) receive(now int64, pkt *packet, c *TCPConn, more bool) {
	pkt.pipes[pkt.hop].stats.Delivered++
	n.record(now, Delivered, pkt, "")
	c.input(now, pkt, more)
	if !c.tcp().OnlyReadable() {
		c.settle()
	}
}

// receiveRun is receive for a run of segments at which nothing breaks: where something could break, there are
// no runs (see unconcerned). None of the segments ends c; at most one of them has the peer's FIN.
func (n *Network) receiveRun(now int64, pkt *packet, c *TCPConn) {
	c.log.hears(pkt.flow.log)
	m, stats := c.tcp(), &pkt.pipes[pkt.hop].stats
	m.SetMTU(c.flow.path.mtu(now))
	var r record
	pkt.describe(&r, now, Delivered)
	for more := true; more; more = pkt.advance(&r) {
		stats.Delivered++
		n.log.trace.repeat(&r, pkt.way.hash)
		m.InputPart(tcp.Time(now), pkt.seg, false)
		if !m.OnlyReadable() {
			c.settle()
		}
	}
	n.pool.free(pkt)
}

// forward puts a train on the next pipe as a whole, unless something can happen to its packets there.
func (n *Network) forward(now int64, head *packet) bool {
	p, t := head.pipes[head.hop+1], &head.train
	if p.trouble != nil || p.from.box != nil || p.mtu < leastMTU6 && head.way.six || p.from.icmpBlocked != nil || !p.neighbourOf(head.way.six).connected() {
		return false
	}
	at, ok := p.em.Pass(t.packets, t.largest, time.Duration(now), head.flow.stream(p, head.hop+1))
	if !ok {
		return false
	}
	head.pipes[head.hop].stats.Delivered += int64(t.packets)
	p.stats.Sent += int64(t.packets)
	p.stats.SentBytes += int64(t.bytes)
	head.hop++
	n.queue.addTrain(head, int64(at))
	return true
}

// lookahead returns how long the program cannot observe that a train has passed its pipe at an instant.
func (pkt *packet) lookahead(at int64) int64 {
	if pkt.hop+1 < len(pkt.pipes) {
		next := pkt.pipes[pkt.hop+1]
		if pkt.train.largest > next.mtu || next.from.box != nil || next.mtu < leastMTU6 && pkt.way.six {
			return 0 // an ICMP message may arrive at once, or the box's answer
		}
		return next.lookahead()
	}
	if c := pkt.cardAt(); c != nil {
		return c.wait(at)
	}
	return pkt.heardLookahead(at)
}

// heardLookahead returns how long the program cannot observe that its host handles a train at an instant.
func (pkt *packet) heardLookahead(at int64) int64 {
	if c := pkt.peer(); c != nil && c.tcp().Knows(pkt.seg) {
		return c.arrivalLookahead(at, &pkt.train.news)
	}
	return 0
}

// arrive handles a packet at the end of a pipe.
func (n *Network) arrive(now int64, pkt *packet) {
	if pkt.proto == protoARP || pkt.proto == protoNDP {
		n.arpArrived(now, pkt)
		return
	}
	to := pkt.way.to
	h := to.host
	off := h != nil && h.off != nil
	if pkt.hop < len(pkt.pipes) {
		pkt.pipes[pkt.hop].stats.Delivered++
		pkt.hop++
	}
	if pkt.hop < len(pkt.pipes) {
		if b := pkt.pipes[pkt.hop].from.box; b != nil {
			b.forward(now, pkt)
			return
		}
		n.transmit(pkt, now)
		return
	}
	if off {
		h.off.met(now, pkt)
		n.drop(now, pkt, nil, "host is off")
		return
	}
	if n.names.lost && h != nil && !h.owns(pkt.dst.Addr()) && !several(pkt.dst.Addr()) {
		n.drop(now, pkt, nil, "no such address")
		return
	}
	if pkt.corrupt && h != nil && pkt.frag.whole == nil { // a box checks for itself; with fragments, the checksum is in what they carry
		n.drop(now, pkt, nil, badChecksum)
		return
	}
	why := ""
	switch {
	case pkt.altered:
		why = "payload altered"
	case pkt.marked():
		why = "congestion experienced"
	}
	n.record(now, Delivered, pkt, why)
	if h == nil {
		to.box.forward(now, pkt)
		return
	}
	if pkt.frag.whole != nil {
		if !h.reassembler().take(now, pkt) {
			return
		}
		if pkt.corrupt {
			n.drop(now, pkt, nil, badChecksum)
			return
		}
	}
	switch pkt.proto {
	case protoTCP:
		h.segment(now, pkt)
	case protoUDP:
		h.datagram(now, pkt)
	case protoICMP:
		h.icmp(now, pkt)
	}
}
