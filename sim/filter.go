package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A filter is what a targeted fault puts on both directions of a link. It sees each packet about to enter,
// unless an earlier filter has ended it, and acts on the selected ones.
type filter struct {
	fault         *Fault
	by            moment         // when it was made
	pkts          Packets        // packets that it selects
	only          *pipe          // in this direction; nil: both
	local, remote netip.AddrPort // of this connection
	does          deed
	limit         uint64 // of a stream, in bytes
	delay         int64

	meant   int // packets that met all conditions but the number
	numbers int // connections seen
	conns   map[ends]*seenConn
}

// A deed is what a filter does.
type deed uint8

const (
	doesDrop deed = iota
	doesDelay
	doesDuplicate
	doesCorrupt
	doesReset
	doesStall // this and the following act on streams, after a number of bytes
	doesCut
	doesClose
)

// A seenConn is a connection that a filter has seen.
type seenConn struct {
	number int
	opened bool   // its SYN was seen
	iss    uint32 // initial sequence number of that SYN
	torn   bool   // every packet is answered by RST
	closed *pipe  // only data is, in the direction against this one; nil if not
	fin    bool   // the sender's own FIN has passed at the limit
	limit  uint64 // of its stream, in bytes; if the stream was already further, where it was
	begun  bool   // limit is known
}

// filtered shows a packet to the filters of a pipe. It returns whether the packet goes on, and how many
// copies of it.
func (n *Network) filtered(now int64, pkt *packet, p *pipe) (copies int, passes bool) {
	for _, f := range p.trouble.filters {
		switch f.sees(now, pkt, p) {
		case fateEnded:
			return 0, false
		case fateCopied:
			copies++
		}
	}
	return copies, true
}

// A fate is the outcome for a packet at a filter.
type fate uint8

const (
	fatePasses fate = iota
	fateCopied
	fateEnded
)

func (f *filter) sees(now int64, pkt *packet, p *pipe) fate {
	if pkt.proto == protoARP || pkt.proto == protoNDP {
		return fatePasses
	}
	c := f.track(pkt)
	if c != nil && (c.torn || c.closed != nil) && f.tears(now, pkt, p, c) {
		return fateEnded
	}
	if f.only != nil && f.only != p {
		if f.does == doesClose && c != nil {
			f.acknowledges(now, pkt, p, c)
		}
		return fatePasses
	}
	if !f.means(pkt, c) {
		return fatePasses
	}
	if f.does >= doesStall {
		return f.cuts(now, pkt, p, c)
	}
	f.meant++
	if !f.pkts.chosen(f.meant) {
		return fatePasses
	}
	f.fault.met(now, pkt)
	switch f.does {
	case doesDelay:
		pkt.leaves.late, pkt.leaves.on = pkt.leaves.lateOn(p)+f.delay, p
	case doesDuplicate:
		return fateCopied
	case doesCorrupt:
		pkt.corrupt = true
		p.stats.Corrupted++
	case doesReset:
		c.torn = true
		f.resets(now, pkt, p)
		return fateEnded
	default:
		f.drop(now, pkt, p)
		return fateEnded
	}
	return fatePasses
}

// drop drops a packet; the trace gives the fault as the reason.
func (f *filter) drop(now int64, pkt *packet, p *pipe) { f.fault.n.drop(now, pkt, p, f.fault.what) }

// means reports whether a packet meets all conditions but the number.
func (f *filter) means(pkt *packet, c *seenConn) bool {
	s := &f.pkts
	switch {
	case s.IP > 0 && s.IP != versionOf(pkt.dst.Addr()), s.Addr.IsValid() && s.Addr != pkt.src.Addr() && s.Addr != pkt.dst.Addr():
		return false
	case s.Port > 0 && (pkt.proto == protoICMP || int(pkt.src.Port()) != s.Port && int(pkt.dst.Port()) != s.Port):
		return false
	case s.Conn != nil && !(pkt.src == f.local && pkt.dst == f.remote || pkt.src == f.remote && pkt.dst == f.local):
		return false
	case f.does >= doesReset && pkt.segment() == nil:
		return false
	case !s.Kind.has(pkt) || s.Where != nil && !f.picks(pkt):
		return false
	case s.Connections > 0:
		if c == nil {
			return false
		}
		if c.number == 0 {
			f.numbers++
			c.number = f.numbers
		}
		return c.number <= s.Connections
	}
	return true
}

// picks asks the program's function.
//
//go:norace
func (f *filter) picks(pkt *packet) bool {
	n := f.fault.n
	r, e, ok := new(record), new(Event), new(bool)
	pkt.describe(r, n.clock.at, Sent)
	*e = n.log.trace.eventOf(r)
	e.Kind, e.From, e.To = 0, own(e.From), own(e.To)
	n.asProgram(f.by, func() { exact.Promptly(func() { *ok = f.pkts.Where(*e) }) })
	return *ok
}

// track returns what f knows about the connection of a packet. It is nil if the packet has none, or f need
// not know.
func (f *filter) track(pkt *packet) *seenConn {
	if f.pkts.Connections == 0 && f.does < doesReset || pkt.proto != protoTCP {
		return nil
	}
	key := ends{pkt.src, pkt.dst}
	if pkt.dst.Compare(pkt.src) < 0 {
		key = ends{pkt.dst, pkt.src}
	}
	c := f.conns[key]
	s := pkt.segment()
	switch {
	case c == nil:
		c = new(seenConn)
		f.conns[key] = c
		if s != nil && s.Flags&tcp.SYN != 0 {
			c.opened, c.iss = true, openedBy(s)
		}
	case s != nil && s.Flags&(tcp.SYN|tcp.RST) == tcp.SYN && c.iss != openedBy(s):
		*c = seenConn{opened: true, iss: openedBy(s)} // the ports are used again
	}
	return c
}

// openedBy returns the initial sequence number of the side that opened the connection, from a segment with
// SYN.
func openedBy(s *tcp.Segment) uint32 {
	if s.Flags&tcp.ACK != 0 {
		return s.IRS
	}
	return s.ISS
}

// resets drops a segment and makes both ends believe that the other one has reset the connection.
func (f *filter) resets(now int64, pkt *packet, p *pipe) {
	s := pkt.segment()
	f.fault.n.recordDrop(now, pkt, p, f.fault.what)
	if s.Flags&(tcp.SYN|tcp.ACK) != tcp.SYN {
		f.resetReceiver(now, pkt, p, s.Seq)
	}
	f.answer(now, pkt)
}

// resetReceiver makes the receiver of a segment believe that the sender has reset the connection.
func (f *filter) resetReceiver(now int64, pkt *packet, p *pipe, seq uint64) {
	n, s := f.fault.n, pkt.segment()
	r := n.pool.packet(pkt.flow, protoTCP, pkt.src, pkt.dst)
	r.seg = n.pool.segments.get()
	*r.seg = *s
	becomeReset(r.seg, seq)
	r.seg.Flags |= tcp.ACK
	r.size, r.way, r.pipes, r.hop, r.df = r.seg.Size(), pkt.way, pkt.pipes, pkt.hop, true
	n.record(now, Sent, r, "")
	n.putOn(now, r, p)
}

// becomeReset turns a segment into a RST from the same sender.
func becomeReset(s *tcp.Segment, seq uint64) {
	s.Flags, s.Seq, s.Payload, s.Kind = tcp.RST, seq, nil, tcp.Original
	s.SACKLen, s.SACKPermitted, s.HasTimestamps, s.HasScale, s.MSS = 0, false, false, false, 0
}

// answer answers a dropped segment with RST, and frees the segment.
func (f *filter) answer(now int64, pkt *packet) {
	n := f.fault.n
	back := n.path(pkt.way.to, pkt.way.from, pkt.src.Addr())
	r := n.pool.packet(back.misc, protoTCP, pkt.dst, pkt.src)
	r.seg = n.pool.segments.get()
	if !tcp.ResetFor(pkt.segment(), r.seg) {
		n.pool.free(r)
		n.pool.free(pkt)
		return
	}
	r.size, r.df = r.seg.Size(), true
	r.pipes = pkt.wayBack()
	n.pool.free(pkt)
	n.record(now, Sent, r, "")
	n.setOut(now, r)
}

// tears handles a packet of a connection that the fault has ended. It reports whether that has ended the
// packet.
func (f *filter) tears(now int64, pkt *packet, p *pipe, c *seenConn) bool {
	s := pkt.segment()
	if s == nil || s.Flags&tcp.RST != 0 {
		return false
	}
	f.fault.met(now, pkt)
	if c.closed != nil && c.closed != p && s.Len() == 0 {
		f.drop(now, pkt, p) // it acknowledges bytes that the other end did not send
		return true
	}
	f.fault.n.recordDrop(now, pkt, p, f.fault.what)
	f.answer(now, pkt)
	return true
}

// cuts handles a segment of a stream that may end.
func (f *filter) cuts(now int64, pkt *packet, p *pipe, c *seenConn) fate {
	s, n := pkt.segment(), f.fault.n
	if s.Flags&(tcp.SYN|tcp.RST) != 0 || s.Len() == 0 {
		return fatePasses
	}
	from, to := s.Seq-1, s.Seq-1+uint64(len(s.Payload))
	fin := s.Flags&tcp.FIN != 0
	if !c.begun {
		c.begun, c.limit = true, f.limit
		if !c.opened {
			c.limit = max(f.limit, from)
		}
	}
	passed := to == c.limit && !fin // the stream reaches its limit, but does not go beyond
	switch {
	case to < c.limit, passed && f.does == doesStall:
		return fatePasses
	case fin && to == c.limit && f.does == doesClose:
		c.fin = true // it is as if closed there
		return fatePasses
	}
	f.meant++
	f.fault.met(now, pkt)
	if pkt.frag.whole != nil { // IP fragments are not cut again
		f.drop(now, pkt, p)
		return fateEnded
	}
	left := int(max(c.limit, from) - from)
	switch {
	case f.does == doesCut:
	case left > 0 || f.does == doesClose && from == c.limit:
		pkt.shorten(left)
		if f.does == doesClose {
			s.Flags |= tcp.FIN
		}
		return fatePasses
	default:
		f.drop(now, pkt, p)
		return fateEnded
	}
	c.torn = true
	n.recordDrop(now, pkt, p, f.fault.what)
	if left > 0 {
		rest := n.pool.copyOf(pkt)
		rest.copied = false
		rest.shorten(left)
		n.putOn(now, rest, p)
	}
	f.resetReceiver(now, pkt, p, c.limit+1)
	f.answer(now, pkt)
	return fateEnded
}

// shorten leaves a segment only that much of its payload, and no FIN.
func (pkt *packet) shorten(left int) {
	s := pkt.seg
	pkt.size -= len(s.Payload) - left
	s.Payload = s.Payload[:left]
	s.Flags &^= tcp.FIN
}

// acknowledges tells the sender that its stream was closed, once the receiver knows.
func (f *filter) acknowledges(now int64, pkt *packet, p *pipe, c *seenConn) {
	s := pkt.segment()
	if c.fin || s == nil || pkt.frag.whole != nil || s.Flags&(tcp.ACK|tcp.RST) != tcp.ACK || !c.begun || s.Ack < c.limit+2 {
		return
	}
	f.fault.met(now, pkt)
	c.closed = p.reverse
	becomeReset(s, s.Seq)
	pkt.size = s.Size()
}

// wayBack returns the route from where a packet is to its sender.
func (pkt *packet) wayBack() (pipes []*pipe) {
	for i := pkt.hop - 1; i >= 0; i-- {
		pipes = append(pipes, pkt.pipes[i].reverse)
	}
	return pipes
}

// setOut sends a packet on a route of its own. If the route is empty, the packet is already at its
// destination.
func (n *Network) setOut(now int64, pkt *packet) {
	if len(pkt.pipes) == 0 {
		n.queue.addPacket(pkt, now)
		return
	}
	n.transmit(pkt, now)
}

// target makes a fault that acts on some packets of a link. name is the fault's name, with %v for the
// packets.
func (l *Link) target(function string, does deed, name string, pkts Packets, args ...any) (*Fault, *filter) {
	l.must(function)
	if err := pkts.check(l, does >= doesReset); err != nil {
		panic(fmt.Sprintf("sim: %s(%v): %v", function, l, err))
	}
	f := &filter{pkts: pkts, does: does, conns: map[ends]*seenConn{}}
	f.local, f.remote = pkts.of()
	pipes := []*pipe{l.ab, l.ba}
	if pkts.From != nil {
		f.only = l.from(function, pkts.From)
		pipes = []*pipe{f.only}
	}
	meant := pkts.String()
	if does >= doesStall {
		meant = streamsOf(pkts)
	}
	fault := l.on(fmt.Sprintf(name, meant), expression{function, append([]any{l}, args...)}, pipes...)
	f.fault, fault.miss = fault, "matching packet ("+meant+")"
	fault.begin = func() {
		f.by = l.n.moment()
		for _, p := range []*pipe{l.ab, l.ba} {
			p.disturb(func(t *trouble) { t.filters = append(t.filters, f) })
		}
	}
	fault.end = func() {
		for _, p := range []*pipe{l.ab, l.ba} {
			p.disturb(func(t *trouble) {
				t.filters = slices.DeleteFunc(t.filters, func(g *filter) bool { return g == f })
			})
		}
	}
	fault.nearly = f.nearly
	return fault, f
}

// streamsOf describes the streams of segments.
func streamsOf(pkts Packets) string {
	return "streams" + strings.TrimPrefix(pkts.String(), TCP.String())
}

// nearly describes what came close to being met.
func (f *filter) nearly() string {
	if f.meant == 0 {
		return ""
	}
	return fmt.Sprintf("; %d met the other conditions", f.meant)
}

// Drop makes a fault that loses some packets of a link.
func Drop(l *Link, pkts Packets) *Fault {
	f, _ := l.target("Drop", doesDrop, "drops %v", pkts, pkts)
	return f.enlisted()
}

// Delay makes a fault that delays some packets of a link by a time. Later packets overtake them, unlike with
// [netem.Config]'s Delay. A delayed FIN is a slow close. Delay panics unless by is positive and at most 24 h.
func Delay(l *Link, pkts Packets, by time.Duration) *Fault {
	l.must("Delay")
	if by <= 0 || by > 24*time.Hour {
		panic(fmt.Sprintf("sim: Delay(%v): by is %v: it must be positive, and 24h at most", l, by))
	}
	f, filter := l.target("Delay", doesDelay, fmt.Sprintf("delays %%v by %v", by), pkts, pkts, by)
	filter.delay = int64(by)
	return f.enlisted()
}

// Duplicate makes a fault that sends some packets of a link twice, the copy right after the original.
func Duplicate(l *Link, pkts Packets) *Fault {
	f, _ := l.target("Duplicate", doesDuplicate, "duplicates %v", pkts, pkts)
	return f.enlisted()
}

// Corrupt makes a fault that gives some packets of a link a bit error, which the receiver's checksum finds.
func Corrupt(l *Link, pkts Packets) *Fault {
	f, _ := l.target("Corrupt", doesCorrupt, "corrupts %v", pkts, pkts)
	return f.enlisted()
}

// Reset makes a fault that resets the connection of some segments of a link, as a firewall does. It drops the
// segment, and each end gets a RST that seems to be from the other, so that calls on the connection return
// ECONNRESET. Later segments of the connection are answered with RST as long as the fault lasts. A SYN is
// answered as if no process listened: with Kind SYN, attempts to connect fail with ECONNREFUSED. Reset
// applies to TCP packets only.
func Reset(l *Link, pkts Packets) *Fault {
	f, _ := l.target("Reset", doesReset, "resets connections at %v", pkts, pkts)
	return f.enlisted()
}

// StallAfter makes a fault that lets only the first bytes of each stream pass a link. A stream is one
// direction of a connection: all answers on it, headers included. Whatever is beyond is lost, FIN included,
// however often it is sent. Acknowledgements and the other direction pass. If a stream is already further
// when the fault begins, nothing more passes.
//
// pkts selects the streams: From is required, and of the rest only IP, Addr, Port, Conn and Connections may
// be set. StallAfter panics if they are not, or if bytes is negative.
func StallAfter(l *Link, bytes int64, pkts Packets) *Fault {
	return l.stream("StallAfter", doesStall, "stalls", bytes, pkts)
}

// ResetAfter is [StallAfter] with a reset, as by [Reset], right after the last byte that passes; with
// 0 bytes, at the first byte. Packets that a link or queue holds at that moment may be lost.
func ResetAfter(l *Link, bytes int64, pkts Packets) *Fault {
	return l.stream("ResetAfter", doesCut, "resets", bytes, pkts)
}

// CloseAfter is [StallAfter] with an orderly end of the stream right after the last byte that passes; with
// 0 bytes, at the first byte. The receiver reads the bytes, then EOF. The sender gets RST when the receiver
// has acknowledged the end, and so does either end that sends data later: a proxy that closes both of its
// connections while data waits to be read behaves like this.
func CloseAfter(l *Link, bytes int64, pkts Packets) *Fault {
	return l.stream("CloseAfter", doesClose, "closes", bytes, pkts)
}

// stream makes a fault of streams.
func (l *Link) stream(function string, does deed, verb string, bytes int64, pkts Packets) *Fault {
	l.must(function)
	refuse := func(why string) { panic(fmt.Sprintf("sim: %s(%v): %s", function, l, why)) }
	switch {
	case bytes < 0:
		refuse(fmt.Sprintf("bytes is %d: it must be 0 or more", bytes))
	case pkts.From == nil:
		refuse("Packets.From is nil: it must be the end of the link that sends the streams")
	case pkts.Kind != AnyPacket || pkts.Where != nil || pkts.Nth != 0 || pkts.First != 0 || pkts.Skip != 0:
		refuse("only Packets.From, IP, Addr, Port, Conn and Connections may be set, since the fault is about streams")
	}
	pkts.Kind = TCP
	what := pkts
	what.Kind = AnyPacket
	f, filter := l.target(function, does, fmt.Sprintf("%s %%v after %d bytes", verb, bytes), pkts, bytes, what)
	filter.limit = uint64(bytes)
	f.miss = fmt.Sprintf("byte beyond the first %d of %v", bytes, streamsOf(pkts))
	return f.enlisted()
}
