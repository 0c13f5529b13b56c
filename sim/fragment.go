package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// fragment is which part of a packet a fragment is; zero for a packet that is whole.
type fragment struct {
	whole  *whole
	offset uint16 // in the payload of IP
}

// A whole is a packet that travels in fragments (RFC 791 section 3.2, RFC 8200 section 4.5). Each fragment is
// a packet of its own: it is lost, delayed and counted by itself.
type whole struct {
	data   []byte       // of a datagram,
	seg    *tcp.Segment // or the segment; it goes back to no pool, since copies of fragments may be late
	size   int          // of the payload of IP, in bytes
	memory int          // bytes that it takes when it is together again
	came   []span       // its parts, as they came to the last one that put it together
	number uint32       // in a film
}

// describe fills what a record says of the payload of the fragment that begins at offset and
// has length bytes of IP's payload.
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

// fragments cuts a packet, which may be a fragment itself, for a link that takes no
// more than mtu bytes. All but the last carry a multiple of eight bytes.
func (n *Network) fragments(pkt *packet, mtu int) []*packet {
	w := pkt.frag.whole
	if w == nil {
		w = &whole{data: pkt.data, seg: pkt.seg, size: pkt.size - pkt.way.header}
		pkt.data, pkt.seg = nil, nil
	}
	begin := int(pkt.frag.offset)
	return n.cut(pkt, w, evenly(begin, begin+pkt.size-pkt.way.header, mtu-pkt.way.fragmentHeaders()))
}

// evenly are the parts of a payload of IP for packets with so much room.
func evenly(begin, end, room int) (parts []span) {
	room &^= 7
	for at := begin; at < end; at += room {
		parts = append(parts, span{at, min(at+room, end)})
	}
	return parts
}

// fragmentHeaders are the bytes of a fragment that are none of the payload of IP.
func (p *path) fragmentHeaders() int {
	if p.six {
		return p.header + fragmentHeader
	}
	return p.header
}

// cut makes a fragment of each part of what pkt carries, which ends.
func (n *Network) cut(pkt *packet, w *whole, parts []span) []*packet {
	all := make([]*packet, len(parts))
	for i, s := range parts {
		f := n.pool.packet(pkt.flow, pkt.proto, pkt.src, pkt.dst)
		*f = *pkt
		f.frag.whole, f.frag.offset, f.size = w, uint16(s.from), pkt.way.fragmentHeaders()+s.to-s.from
		f.df = pkt.way.six // routers do not cut it further
		all[i] = f
	}
	n.pool.free(pkt)
	return all
}

// joined says that a packet came in fragments and was put together by a box on its way.
func (pkt *packet) joined() bool {
	return pkt.frag.whole != nil && pkt.span() == span{0, pkt.frag.whole.size}
}

// fits says that a link that takes mtu bytes takes all fragments in which it came.
func (w *whole) fits(headers, mtu int) bool {
	return !slices.ContainsFunc(w.came, func(s span) bool { return headers+s.to-s.from > mtu })
}

// staysWhole says that p answers what a box has put together as one packet: it sends that back, or it does not take a fragment of IPv6 as it came, of
// which the sender is to learn (ip6_forward).
func (pkt *packet) staysWhole(p *pipe) bool {
	return p.trouble.rejects() != nil && p.trouble.holds() == nil || pkt.way.six && !pkt.frag.whole.fits(pkt.way.fragmentHeaders(), p.mtu)
}

// apart makes fragments again of what a box has put together: those that came, or, of IPv4 if the next link does not take them, as large ones as
// it does (ip_do_fragment).
func (n *Network) apart(pkt *packet) []*packet {
	w, headers, mtu := pkt.frag.whole, pkt.way.fragmentHeaders(), pkt.pipes[pkt.hop].mtu
	if pkt.seg != nil { // the whole's is the one
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
	got     []span // in order, none twice
	bytes   int
	corrupt bool // there is a bit error in one of them
	expires int64
	last    record  // of the fragment that came last
	first   *packet // the fragment with the first bytes, which is what the sender is told about; nil if it did not come
}

// A span is a part of the payload of IP, from the first byte to the one behind the last.
type span struct{ from, to int }

// span is the part that a fragment carries.
func (pkt *packet) span() span {
	length := pkt.size - pkt.way.header
	if pkt.way.six {
		length -= fragmentHeader
	}
	return span{int(pkt.frag.offset), int(pkt.frag.offset) + length}
}

// A reassembler holds the fragments that a host or a box waits with, in the order in which it gives them up.
type reassembler struct {
	n       *Network
	id      uint64 // among what has timers
	at      *node
	waiting []*reassembly
	of      map[*whole]*reassembly
	timer   plan
}

func (d *node) newReassembler(id uint64) *reassembler {
	return &reassembler{n: d.n, id: id, at: d, of: map[*whole]*reassembly{}, timer: plan(never)}
}

// why is the reason for which fragments end, with the box at which they do.
func (r *reassembler) why(what string) string {
	if r.at.host == nil {
		return what + " at " + r.at.name
	}
	return what
}

// reassembler is what puts the fragments that come to h together.
func (h *Host) reassembler() *reassembler {
	if h.fragments == nil { // few hosts ever see one
		h.fragments = h.newReassembler(socketID(h, netip.AddrPort{}, protoUDP))
	}
	return h.fragments
}

// take handles a fragment. With the last one missing it makes pkt the whole packet and
// returns true; else it ends pkt.
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

// end ends what has arrived but for the packet that came last.
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

// lose forgets all, as a host does that loses its memory.
func (r *reassembler) lose() {
	for _, a := range r.waiting {
		a.end(r.n)
	}
	r.waiting = nil
	clear(r.of)
}

// memory is what the fragments take together. Those behind the first that fit the room
// left in its buffer are copied into it (skb_try_coalesce).
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

// due implements timed: those that have waited for too long are given up.
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

// tell tells the sender of a first fragment, which ends, that others did not come. Of IPv4 only its receiver does (ip_expire, ip6frag_expire_frag_queue).
func (r *reassembler) tell(now int64, first *packet) {
	if receiver := first.hop == len(first.pipes); !receiver && !first.way.six || !r.at.mayTell(now, first) || !r.at.affords(now, first) {
		r.n.pool.free(first)
		return
	}
	r.n.unreachable(now, first, icmpIncomplete, 0)
}
