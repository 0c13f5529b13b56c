package sim

import "net/netip"

import "github.com/squall-sim/squall/sim/internal/tcp"

// A pool keeps what the network makes many of, for reuse: at most mostPooled packets and segments. If there
// were more at one instant, as when ten thousand hosts send at once, the excess is not kept for as long as
// the network lives.
type pool struct {
	packets  []*packet
	letters  []*letter
	payloads [2]slab // of small payloads, and of those that fit a link
	segments segmentPool
	blocks   blockPool
}

const mostPooled = 1 << 13 // a flight of the largest window has 3,000 segments

// packet returns a packet from one address and port to another.
func (p *pool) packet(f *flow, proto protocol, src, dst netip.AddrPort) *packet {
	pkt := taken(&p.packets)
	pkt.flow, pkt.way, pkt.proto, pkt.src, pkt.dst = f, f.path, proto, src, dst
	return pkt
}

// taken returns an object for reuse, or a new one.
func taken[T any](from *[]*T) *T {
	last := len(*from) - 1
	if last < 0 {
		return new(T)
	}
	t := (*from)[last]
	(*from)[last] = nil
	*from = (*from)[:last]
	return t
}

// free ends a packet.
func (p *pool) free(pkt *packet) {
	if pkt.seg != nil {
		p.segments.put(pkt.seg)
	}
	*pkt = packet{} // even for those who still hold it; see nextWaiter
	if len(p.packets) < mostPooled {
		p.packets = append(p.packets, pkt)
	}
}

func (p *pool) freeLetter(l *letter) {
	*l = letter{}
	p.letters = append(p.letters, l)
}

// smallPayload is the length up to which payloads are allocated many at a time, in bytes.
const smallPayload = 256

// payload returns memory for the payload of a datagram or of a short write over TCP. It is not reused, since copies
// of a packet share it, but many are allocated at once: a payload in use keeps at most 16 times as much memory from
// the garbage collector.
func (p *pool) payload(n int) []byte {
	const large = 2048
	switch {
	case n <= smallPayload:
		return p.payloads[0].cut(n, 16*smallPayload)
	case n <= large:
		return p.payloads[1].cut(n, 16*large)
	}
	return make([]byte, n)
}

// A slab is memory that is given out piece by piece.
type slab []byte

func (s *slab) cut(n, size int) []byte {
	if len(*s) < n {
		*s = make([]byte, size)
	}
	b := (*s)[:n:n]
	*s = (*s)[n:]
	return b
}

// copyOf returns a copy that has a segment of its own.
func (p *pool) copyOf(pkt *packet) *packet {
	c := p.packet(pkt.flow, pkt.proto, pkt.src, pkt.dst)
	seg := c.seg
	*c = *pkt
	if pkt.seg != nil {
		if seg == nil {
			seg = p.segments.get()
		}
		*seg = *pkt.seg
		c.seg = seg
	}
	c.copied = true
	return c
}

// A segmentPool keeps segments for reuse.
type segmentPool []*tcp.Segment

func (p *segmentPool) get() *tcp.Segment {
	s := taken((*[]*tcp.Segment)(p))
	*s = tcp.Segment{}
	return s
}

func (p *segmentPool) put(s *tcp.Segment) {
	if s.Payload = nil; len(*p) < mostPooled {
		*p = append(*p, s)
	}
}
