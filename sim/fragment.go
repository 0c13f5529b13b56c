package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A fragment says which part of a packet this is; zero for a whole packet.
type fragment struct {
	whole  *whole
	offset uint16 // in IP's payload
}

// A whole is a packet that travels in fragments (RFC 791 section 3.2, RFC 8200 section 4.5). Each fragment is
// a packet of its own: it is lost, delayed and counted by itself.
type whole struct {
	data   []byte       // of a datagram,
	seg    *tcp.Segment // or a segment; it returns to no pool, since copies of fragments may be late
	size   int          // of IP's payload, in bytes
	memory int          // bytes that it takes when reassembled
	came   []span       // its parts, as they arrived where it was last reassembled
	number uint32       // in a film
}

// describe fills in what a record says about the payload of the fragment that begins at offset and has length
// bytes of IP's payload.
func (w *whole) describe(r *record, offset, length int) {
	header := udpHeader
	r.flags, r.seq, r.ack, r.segment = 0, 0, 0, tcp.Original
	if s := w.seg; s != nil {
		header = w.size - len(s.Payload)
		r.flags, r.seq, r.ack, r.segment = s.Flags, s.Seq+uint64(max(offset-header, 0)), s.Ack, s.Kind
	}
	r.length = uint16(max(offset+length-header, 0) - max(offset-header, 0))
}

// How long the fragments of a datagram wait for the rest: Linux's net.ipv4.ipfrag_time and net.ipv6.ip6frag_time.
const (
	ipfragTime  = int64(30e9)
	ip6fragTime = int64(60e9) // RFC 8200 section 4.5
)

// fragments cuts a packet, which may be a fragment itself, for a link of that MTU. All but the last fragment
// carry a multiple of eight bytes.
func (n *Network) fragments(pkt *packet, mtu int) []*packet {
	w := pkt.frag.whole
	if w == nil {
		w = &whole{data: pkt.data, seg: pkt.seg, size: pkt.size - pkt.way.header}
		pkt.data, pkt.seg = nil, nil
	}
	begin := int(pkt.frag.offset)
	return n.cut(pkt, w, evenly(begin, begin+pkt.size-pkt.way.header, mtu-pkt.way.fragmentHeaders()))
}

// evenly returns the parts of IP's payload for packets with that much room.
func evenly(begin, end, room int) (parts []span) {
	room &^= 7
	for at := begin; at < end; at += room {
		parts = append(parts, span{at, min(at+room, end)})
	}
	return parts
}

// fragmentHeaders returns the bytes of a fragment that are not part of IP's payload.
func (p *path) fragmentHeaders() int {
	if p.six {
		return p.header + fragmentHeader
	}
	return p.header
}

// cut makes a fragment of each part of what pkt carries, and ends pkt.
func (n *Network) cut(pkt *packet, w *whole, parts []span) []*packet {
	all := make([]*packet, len(parts))
	for i, s := range parts {
		f := n.pool.packet(pkt.flow, pkt.proto, pkt.src, pkt.dst)
		*f = *pkt
		f.frag.whole, f.frag.offset, f.size = w, uint16(s.from), pkt.way.fragmentHeaders()+s.to-s.from
		f.df = pkt.way.six // routers must not fragment it further
		all[i] = f
	}
	n.pool.free(pkt)
	return all
}

// joined reports whether a packet came in fragments that a box on its way reassembled.
func (pkt *packet) joined() bool {
	return pkt.frag.whole != nil && pkt.span() == span{0, pkt.frag.whole.size}
}

// fits reports whether a link of that MTU takes all fragments in which the packet came.
func (w *whole) fits(headers, mtu int) bool {
	return !slices.ContainsFunc(w.came, func(s span) bool { return headers+s.to-s.from > mtu })
}

// staysWhole reports whether p answers a reassembled packet as a whole: p rejects it, or does not take an
// IPv6 fragment as it came, which its sender must learn (ip6_forward).
func (pkt *packet) staysWhole(p *pipe) bool {
	return p.trouble.rejects() != nil && p.trouble.holds() == nil || pkt.way.six && !pkt.frag.whole.fits(pkt.way.fragmentHeaders(), p.mtu)
}

// apart makes fragments again of what a box has reassembled: the ones that came or, for IPv4 if the next link
// does not take them, as large ones as it does take (ip_do_fragment).
func (n *Network) apart(pkt *packet) []*packet {
	w, headers, mtu := pkt.frag.whole, pkt.way.fragmentHeaders(), pkt.pipes[pkt.hop].mtu
	if pkt.seg != nil { // the whole packet has the segment
		n.pool.segments.put(pkt.seg)
	}
	pkt.data, pkt.seg = nil, nil
	if w.fits(headers, mtu) {
		return n.cut(pkt, w, w.came)
	}
	return n.cut(pkt, w, evenly(0, w.size, mtu-headers))
}

// A reassembly is what has arrived of a datagram at its host, or at a box.
type reassembly struct {
	whole   *whole
	got     []span // in order, without overlaps
	bytes   int
	corrupt bool // one of them has a bit error
	expires int64
	last    record  // of the fragment that arrived last
	first   *packet // the fragment with the first bytes, which is quoted to the sender; nil if it did not arrive
}

// A span is a part of IP's payload, from its first byte to the one after its last.
type span struct{ from, to int }

// span returns the part that a fragment carries.
func (pkt *packet) span() span {
	length := pkt.size - pkt.way.header
	if pkt.way.six {
		length -= fragmentHeader
	}
	return span{int(pkt.frag.offset), int(pkt.frag.offset) + length}
}

// A reassembler holds incomplete packets of a host or a box, in the order in which it gives them up.
type reassembler struct {
	n       *Network
	id      uint64 // among the objects that have timers
	at      *node
	waiting []*reassembly
	of      map[*whole]*reassembly
	timer   plan
}

func (d *node) newReassembler(id uint64) *reassembler {
	return &reassembler{n: d.n, id: id, at: d, of: map[*whole]*reassembly{}, timer: plan(never)}
}

// why is the reason that the trace gives when fragments end, with the name of the box.
func (r *reassembler) why(what string) string {
	if r.at.host == nil {
		return what + " at " + r.at.name
	}
	return what
}

// reassembler returns what reassembles the fragments that arrive at h.
func (h *Host) reassembler() *reassembler {
	if h.fragments == nil { // few hosts ever see one
		h.fragments = h.newReassembler(socketID(h, netip.AddrPort{}, protoUDP))
	}
	return h.fragments
}

// take handles a fragment. If it completes the packet, take makes pkt the whole packet and returns true;
// otherwise it ends pkt.
func (r *reassembler) take(now int64, pkt *packet) bool {
	n, w := r.n, pkt.frag.whole
	a := r.of[w]
	if a == nil {
		a = &reassembly{whole: w, expires: now + ipfragTime}
		if pkt.way.six {
			a.expires = now + ip6fragTime
		}
		r.of[w] = a
		at := len(r.waiting)
		for at > 0 && r.waiting[at-1].expires > a.expires {
			at--
		}
		r.waiting = slices.Insert(r.waiting, at, a)
		n.queue.schedule(r, classTimer, r.id)
	}
	s := pkt.span()
	i, _ := slices.BinarySearchFunc(a.got, s, func(x, y span) int { return cmp.Compare(x.from, y.from) })
	switch {
	case i > 0 && a.got[i-1].to > s.from, i < len(a.got) && a.got[i].from < s.to:
		n.drop(now, pkt, nil, r.why("fragment arrived before"))
		return false
	}
	a.got = slices.Insert(a.got, i, s)
	a.bytes += s.to - s.from
	a.corrupt = a.corrupt || pkt.corrupt
	if a.bytes == w.size {
		r.forget(a)
		a.end(n)
		w.memory, w.came = a.memory(pkt.way.header), a.got
		pkt.data, pkt.frag.offset, pkt.size, pkt.corrupt = w.data, 0, pkt.way.fragmentHeaders()+w.size, a.corrupt
		if w.seg != nil {
			pkt.seg = n.pool.segments.get()
			*pkt.seg = *w.seg
		}
		return true
	}
	pkt.describe(&a.last, now, Dropped)
	if s.from == 0 {
		a.first = pkt
	} else {
		n.pool.free(pkt)
	}
	return false
}

// end ends all that has arrived, except for the packet that arrived last.
func (a *reassembly) end(n *Network) {
	if a.first != nil {
		n.pool.free(a.first)
	}
}

func (r *reassembler) forget(a *reassembly) {
	delete(r.of, a.whole)
	i := slices.Index(r.waiting, a)
	r.waiting = slices.Delete(r.waiting, i, i+1)
}

// lose discards everything, as a host does that loses its memory.
func (r *reassembler) lose() {
	for _, a := range r.waiting {
		a.end(r.n)
	}
	r.waiting = nil
	clear(r.of)
}

// memory returns the memory that the fragments take together. Fragments after the first one are copied into
// its buffer as far as they fit (skb_try_coalesce).
func (a *reassembly) memory(header int) int {
	first := header + a.got[0].to
	sum, room := truesize(first, header), headRoom(first)
	for _, s := range a.got[1:] {
		length := s.to - s.from
		if room >= length {
			room -= length
			continue
		}
		room = 0
		sum += truesize(header+length, header)
	}
	return sum
}

// plan implements timed.
func (r *reassembler) plan(uint64) *plan { return &r.timer }

// next implements timed.
func (r *reassembler) next(uint64) int64 {
	if len(r.waiting) == 0 {
		return never
	}
	return r.waiting[0].expires
}

// observable implements timed.
func (r *reassembler) observable() int64 { return r.next(classTimer) }

// due implements timed: it gives up what has waited for too long.
func (r *reassembler) due(now int64, class uint64) {
	for len(r.waiting) > 0 && r.waiting[0].expires <= now {
		a := r.waiting[0]
		r.forget(a)
		a.last.at = now
		r.n.log.trace.add(a.last, r.why("fragments missing"))
		if a.first != nil {
			r.tell(now, a.first)
		}
	}
	r.n.queue.schedule(r, class, r.id)
}

// tell tells the sender of a first fragment that other fragments did not arrive, and ends that fragment. For
// IPv4 only the receiving host does so (ip_expire, ip6frag_expire_frag_queue).
func (r *reassembler) tell(now int64, first *packet) {
	if receiver := first.hop == len(first.pipes); !receiver && !first.way.six || !r.at.mayTell(now, first) || !r.at.affords(now, first) {
		r.n.pool.free(first)
		return
	}
	r.n.unreachable(now, first, icmpIncomplete, 0)
}
