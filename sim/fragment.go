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
	data    []byte       // of a datagram,
	seg     *tcp.Segment // or the segment; it goes back to no pool, since copies of fragments may be late
	size    int          // of the payload of IP, in bytes
	waiting *reassembly  // of what has arrived, nil if there is nothing
	memory  int          // bytes that it takes when it is together again
	number  uint32       // in a film
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
	var all []*packet
	header := pkt.way.header
	if pkt.way.six {
		header += fragmentHeader
	}
	room := (mtu - header) &^ 7
	end := int(pkt.frag.offset) + pkt.size - pkt.way.header
	for at := int(pkt.frag.offset); at < end; at += room {
		f := n.pool.packet(pkt.flow, pkt.proto, pkt.src, pkt.dst)
		*f = *pkt
		f.frag.whole, f.frag.offset, f.size = w, uint16(at), header+min(room, end-at)
		f.df = pkt.way.six // routers do not cut it further
		all = append(all, f)
	}
	n.pool.free(pkt)
	return all
}

// A reassembly is what has arrived of a datagram at its host.
type reassembly struct {
	whole   *whole
	got     []span // in order, none twice
	bytes   int
	expires int64
	last    record // of the fragment that came last
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

// A reassembler holds the fragments that a host waits with, in the order in which it gives them up.
type reassembler struct {
	host    *Host
	waiting []*reassembly
	timer   plan
}

// reassembler is what puts the fragments that come to h together.
func (h *Host) reassembler() *reassembler {
	if h.fragments == nil { // few hosts ever see one
		h.fragments = &reassembler{host: h, timer: plan(never)}
	}
	return h.fragments
}

// take handles a fragment. With the last one missing it makes pkt the whole packet and
// returns true; else it ends pkt.
func (r *reassembler) take(now int64, pkt *packet) bool {
	n, w := r.host.n, pkt.frag.whole
	a := w.waiting
	if a == nil {
		a = &reassembly{whole: w, expires: now + ipfragTime}
		if pkt.way.six {
			a.expires = now + ip6fragTime
		}
		w.waiting = a
		at := len(r.waiting)
		for at > 0 && r.waiting[at-1].expires > a.expires {
			at--
		}
		r.waiting = slices.Insert(r.waiting, at, a)
		n.queue.schedule(r, classTimer, socketID(r.host, netip.AddrPort{}, protoUDP))
	}
	s := pkt.span()
	i, _ := slices.BinarySearchFunc(a.got, s, func(x, y span) int { return cmp.Compare(x.from, y.from) })
	switch {
	case i > 0 && a.got[i-1].to > s.from, i < len(a.got) && a.got[i].from < s.to:
		n.drop(now, pkt, nil, "fragment arrived before")
		return false
	}
	a.got = slices.Insert(a.got, i, s)
	a.bytes += s.to - s.from
	if a.bytes == w.size {
		r.forget(a)
		w.memory = a.memory(pkt.way.header)
		pkt.data, pkt.frag.offset, pkt.size = w.data, 0, pkt.way.header+w.size
		if w.seg != nil {
			pkt.seg = n.pool.segments.get()
			*pkt.seg = *w.seg
		}
		return true
	}
	pkt.describe(&a.last, now, Dropped)
	n.pool.free(pkt)
	return false
}

func (r *reassembler) forget(a *reassembly) {
	a.whole.waiting = nil
	i := slices.Index(r.waiting, a)
	r.waiting = slices.Delete(r.waiting, i, i+1)
}

// lose forgets all, as a host does that loses its memory.
func (r *reassembler) lose() {
	for _, a := range r.waiting {
		a.whole.waiting = nil
	}
	r.waiting = nil
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
		r.host.n.log.trace.add(a.last, "fragments missing")
	}
	r.host.n.queue.schedule(r, class, socketID(r.host, netip.AddrPort{}, protoUDP))
}
