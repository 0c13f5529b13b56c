package sim

import (
	"net/netip"
	"time"

	"github.com/squall-sim/squall/sim/internal/artifacts"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A film is what a run records beyond its trace if it is going to leave artifacts (SQUALL_ARTIFACTS): the
// bytes of packets, which packet an event is about, the states of connections, and when faults were active.
// It has no effect on the network. Of each kind it keeps the last ones.
type film struct {
	n      *Network
	frames window[still]
	bytes  int // in all kept frames
	bare   int // number of oldest frames whose bytes are gone
	scales map[ends]uint8
	cut    uint32           // fragmented datagrams, to number them
	conns  window[filmConn] // in order of their numbers
	forgot uint64           // connections no longer kept
	states window[artifacts.State]
	spells []filmSpell
}

// The most that a film keeps. With all that, a run takes up to about 250 MB more.
const (
	mostFrames     = 400_000
	mostFrameBytes = 96 << 20
	mostStates     = 400_000
	mostConns      = 20_000
	mostSpells     = 10_000
	mostScales     = 100_000
)

// A still is a packet at an event.
type still struct {
	number int // of the event
	shot   *shot
	bytes  []byte // nil if they are no longer known, or the packet is not an IP packet
	own    bool   // the bytes count here
}

// A shot is a packet as it was when it was sent.
type shot struct {
	number   int // of the event
	before   int // event of the packet that a middlebox sends on as this one, or -1
	src, dst netip.AddrPort
	bytes    []byte
}

// A filmConn is a connection and its last state.
type filmConn struct {
	artifacts.Conn
	last artifacts.State
}

// A filmSpell is a time during which a fault was active.
type filmSpell struct {
	fault       *Fault
	begun, over time.Duration
}

// A window keeps the last elements added, up to a number.
type window[T any] struct {
	all   []T
	first int
}

func (w *window[T]) kept() []T { return w.all[w.first:] }

func (w *window[T]) add(v T) { w.all = append(w.all, v) }

// drop discards the oldest one.
func (w *window[T]) drop() {
	var none T
	w.all[w.first] = none
	w.first++
	if w.first > len(w.all)/2 && w.first > 1000 {
		w.all = append([]T(nil), w.kept()...)
		w.first = 0
	}
}

func newFilm(n *Network) *film { return &film{n: n, scales: map[ends]uint8{}} }

// packet records a packet for the last event of the trace.
func (f *film) packet(kind EventKind, pkt *packet) {
	fr := still{number: f.n.log.trace.total - 1, shot: pkt.shot}
	switch {
	case fr.shot == nil || kind == Sent:
		before := -1
		if fr.shot != nil && pkt.way.from.host == nil {
			before = fr.shot.number
		}
		fr.shot = &shot{number: fr.number, before: before, src: pkt.src, dst: pkt.dst, bytes: f.bytesOf(pkt)}
		if kind == Sent || kind == Held {
			pkt.shot = fr.shot
		}
		fr.bytes, fr.own = fr.shot.bytes, true
	case kind == Delivered && (pkt.altered || pkt.marked() || pkt.frag.whole != nil || pkt.src != fr.shot.src || pkt.dst != fr.shot.dst):
		fr.bytes, fr.own = f.bytesOf(pkt), true
	case kind == Delivered:
		fr.bytes = fr.shot.bytes
	}
	if fr.own {
		f.bytes += len(fr.bytes)
	}
	f.frames.add(fr)
	for kept := f.frames.kept(); f.bytes > mostFrameBytes && f.bare < len(kept); f.bare++ {
		f.strip(&kept[f.bare])
	}
	if kept := f.frames.kept(); len(kept) > mostFrames {
		f.strip(&kept[0])
		f.frames.drop()
		f.bare = max(f.bare-1, 0)
	}
}

// strip discards the bytes of a packet.
func (f *film) strip(old *still) {
	if old.own {
		f.bytes -= len(old.bytes)
	}
	if old.number == old.shot.number {
		old.shot.bytes = nil
	}
	old.bytes, old.own = nil, false
}

// bytesOf returns a packet as on the wire, or nil if it is not an IP packet.
func (f *film) bytesOf(pkt *packet) []byte {
	h := artifacts.Header{From: pkt.src.Addr(), To: pkt.dst.Addr(), DF: pkt.df, CE: pkt.marked()}
	proto := byte(17)
	whole := pkt.frag.whole
	data, seg := pkt.data, pkt.seg
	if whole != nil {
		data, seg = whole.data, whole.seg
		if whole.number == 0 {
			f.cut++
			whole.number = f.cut
		}
		h.Cut, h.ID, h.Offset, h.DF = true, whole.number, int(pkt.frag.offset), false
	}
	var payload []byte
	switch pkt.proto {
	case protoTCP:
		proto, payload = 6, artifacts.TCP(seg, pkt.src, pkt.dst, f.scale(seg, pkt.src, pkt.dst))
		h.ECT = seg.ECT
	case protoUDP:
		payload = artifacts.UDP(data, pkt.src, pkt.dst)
	case protoICMP:
		proto, payload = f.icmp(pkt)
	default:
		return nil
	}
	if whole != nil {
		return h.Fragment(proto, payload, int(pkt.frag.offset)+pkt.size-pkt.way.header-fragmentExtra(pkt))
	}
	return h.IP(proto, payload)
}

// fragmentExtra is the size of a fragment's header in addition to the IP header.
func fragmentExtra(pkt *packet) int {
	if pkt.way.six {
		return fragmentHeader
	}
	return 0
}

// scale returns by how many bits the sender of a segment shifts its window: the scale in its SYN, if its peer
// sent one too.
func (f *film) scale(s *tcp.Segment, src, dst netip.AddrPort) uint8 {
	way := ends{src, dst}
	if s.Flags&tcp.SYN != 0 {
		if len(f.scales) >= mostScales {
			clear(f.scales)
		}
		delete(f.scales, way)
		if s.HasScale {
			f.scales[way] = s.Scale
		}
		return 0
	}
	if _, both := f.scales[ends{dst, src}]; !both {
		return 0
	}
	return f.scales[way]
}

// icmp returns a message with what it quotes, and its protocol.
func (f *film) icmp(pkt *packet) (proto byte, message []byte) {
	about := artifacts.Header{From: pkt.dst.Addr(), To: pkt.src.Addr()}
	var quoted []byte
	if pkt.seg != nil && pkt.icmp.about == protoTCP {
		about.ECT = pkt.seg.ECT
		quoted = about.IP(6, artifacts.TCP(pkt.seg, pkt.dst, pkt.src, f.scale(pkt.seg, pkt.dst, pkt.src)))
	} else { // the datagram's payload is no longer known
		quoted = about.IP(17, artifacts.UDP(nil, pkt.dst, pkt.src))
	}
	kind, code := pkt.icmp.code.onWire(pkt.way.six)
	message = artifacts.ICMP(kind, code, pkt.icmp.mtu, quoted, pkt.src.Addr(), pkt.dst.Addr())
	if pkt.way.six {
		return 58, message
	}
	return 1, message
}

// onWire returns the type and code of a message (RFC 792; RFC 4443, with the translation of RFC 7915 section
// 4.2).
func (c ICMPCode) onWire(six bool) (kind, code byte) {
	switch {
	case !six && c < 256:
		return 3, byte(c)
	case !six:
		return byte(c >> 8), byte(c)
	}
	switch c {
	case icmpTooBig:
		return 2, 0
	case ICMPTimeExceeded, icmpIncomplete:
		return 3, byte(c)
	case ICMPParameterProblem:
		return 4, 0
	case ICMPProtocolUnreachable:
		return 4, 1
	case ICMPPortUnreachable:
		return 1, 4
	case ICMPHostUnreachable:
		return 1, 3
	case ICMPNetProhibited, ICMPHostProhibited, ICMPAdminProhibited, ICMPPrecedenceViolation, ICMPPrecedenceCutoff:
		return 1, 1
	}
	return 1, 0
}

// conn records the state of a connection, if it has changed.
func (f *film) conn(c *TCPConn) {
	for f.forgot+uint64(len(f.conns.kept())) < c.id { // numbers count from 1
		f.conns.add(filmConn{})
	}
	for ; len(f.conns.kept()) > mostConns; f.forgot++ {
		f.conns.drop()
	}
	if c.id <= f.forgot {
		return
	}
	known := &f.conns.kept()[c.id-f.forgot-1]
	if known.last.Name == "" {
		known.Conn = artifacts.Conn{Host: int(c.host.number) - 1, Local: c.ends.local, Peer: c.ends.remote, Dialled: c.opening.dialled}
	}
	i := c.tcp().Info()
	s := artifacts.State{Conn: int(c.id), Name: i.State.String(), Cwnd: i.Cwnd, SSThresh: i.SSThresh, InFlight: i.InFlight, MSS: i.MSS,
		SRTT: i.SRTT, RTO: i.RTO, SendQueue: i.SendQueue, ReceiveQueue: i.ReceiveQueue, SendWindow: i.SendWindow, Again: i.Retransmits}
	if i.SSThresh == infiniteThreshold {
		s.SSThresh = -1
	}
	if c.gone {
		s.Name = tcp.StateClosed.String()
	}
	if s == known.last {
		return
	}
	known.last = s
	s.At = time.Duration(f.n.clock.at)
	f.states.add(s)
	if len(f.states.kept()) > mostStates {
		f.states.drop()
	}
}

// infiniteThreshold is the slow start threshold before the first loss.
const infiniteThreshold = 1<<31 - 1

// begins notes that a fault begins.
func (f *film) begins(x *Fault) {
	if len(f.spells) < mostSpells {
		f.spells = append(f.spells, filmSpell{x, time.Duration(f.n.now()), -1})
	}
}

// ends notes that it ends.
func (f *film) ends(x *Fault) {
	for i := len(f.spells) - 1; i >= 0; i-- {
		if s := &f.spells[i]; s.fault == x {
			if s.over < 0 {
				s.over = time.Duration(f.n.now())
			}
			return
		}
	}
}
