package mux

// What a stream holds unread is a list of chunks. There are three sizes, so that a stream with a few
// bytes does not take 64 KiB, and a session keeps a few of each for the next.
const (
	smallChunk = 512
	midChunk   = 8 << 10
	slab       = 64<<10 + 4*headerLen // a full frame, its header, and what may surround it
)

type chunk struct {
	next *chunk
	mem  []byte
	r, w int // what is unread is mem[r:w]
}

// spares are chunks for reuse. Of each size, the last one used is reused first, because its
// memory is in the processor's cache.
type spares struct {
	small, mid, large *chunk
	kept              [3]int8
}

// class returns the list for chunks of a size, its length, and how many it can
// keep.
func (s *spares) class(size int) (list **chunk, kept *int8, most int8) {
	switch size {
	case smallChunk:
		return &s.small, &s.kept[0], 32
	case midChunk:
		return &s.mid, &s.kept[1], 8
	}
	return &s.large, &s.kept[2], 3
}

func (s *spares) get(size int) *chunk {
	list, kept, _ := s.class(size)
	c := *list
	if c == nil {
		return &chunk{mem: make([]byte, size)}
	}
	*list = c.next
	*kept--
	*c = chunk{mem: c.mem[:cap(c.mem)]}
	return c
}

func (s *spares) put(c *chunk) {
	list, kept, most := s.class(cap(c.mem))
	if *kept < most {
		c.next = *list
		*list = c
		*kept++
	}
}

// buffer holds the data that has arrived on a stream and was not read.
type buffer struct {
	head, tail *chunk
	n          int
}

// append copies p.
func (b *buffer) append(p []byte, s *spares) {
	for len(p) > 0 {
		if b.tail == nil || b.tail.w == len(b.tail.mem) {
			// A chunk is at most as large as what is unread by then, or the smallest that
			// takes p: what is not in use stays in proportion.
			size := smallChunk
			switch need := max(len(p), b.n); {
			case need > 3*midChunk:
				size = slab
			case need > smallChunk:
				size = midChunk
			}
			b.push(s.get(size))
		}
		k := copy(b.tail.mem[b.tail.w:], p)
		b.tail.w += k
		b.n += k
		p = p[k:]
	}
}

// push adds a chunk, which the buffer then owns. Nothing is appended beyond the end of mem.
func (b *buffer) push(c *chunk) {
	if b.tail == nil {
		b.head = c
	} else {
		b.tail.next = c
	}
	b.tail = c
	b.n += c.w - c.r
}

// advance takes n bytes off the first chunk.
func (b *buffer) advance(n int, s *spares) {
	c := b.head
	c.r += n
	b.n -= n
	if c.r == c.w {
		if b.head = c.next; b.head == nil {
			b.tail = nil
		}
		s.put(c)
	}
}

// drop empties the buffer. If a reader is copying from the first chunk, that is left to the garbage
// collector.
func (b *buffer) drop(reading bool, s *spares) (n int) {
	n = b.n
	for c := b.head; c != nil; {
		next := c.next
		if !reading || c != b.head {
			s.put(c)
		}
		c = next
	}
	*b = buffer{}
	return n
}
