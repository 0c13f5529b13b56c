package tcp

import "math/bits"

// A receiveQueue holds payloads in order until the program reads them.
type receiveQueue struct {
	items [][]byte
	head  int32 // index of the first item
	off   int32 // bytes of the first item that were read

	spare *outOfOrder // for the next gap
}

const (
	firstItems = 2       // room for this many payloads at first
	keepItems  = 1 << 12 // the most that an empty queue keeps room for, until trim
)

func (q *receiveQueue) add(p []byte) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items = q.items[:n]
		q.head = 0
	}
	if len(q.items) == cap(q.items) {
		q.items = append(make([][]byte, 0, max(4*len(q.items), firstItems)), q.items...)
	}
	q.items = append(q.items, p)
}

func (q *receiveQueue) empty() bool { return q == nil || int(q.head) == len(q.items) }

// received returns the receive queue, which it creates if necessary.
func (c *Conn) received() *receiveQueue {
	if c.rcvq == nil {
		c.rcvq = new(receiveQueue)
	}
	return c.rcvq
}

// firstLen returns how much is left of the first payload.
func (q *receiveQueue) firstLen() int {
	if q.empty() {
		return 0
	}
	return len(q.items[q.head]) - int(q.off)
}

// read copies data to p. It also returns how much of the receive buffer became free.
func (q *receiveQueue) read(p []byte) (n int, freed int32) {
	if q == nil {
		return 0, 0
	}
	for n < len(p) && !q.empty() {
		item := q.items[q.head]
		k := CopyBytes(p[n:], item[q.off:])
		n += k
		if q.off += int32(k); int(q.off) == len(item) {
			freed += trueSize(len(item))
			q.items[q.head] = nil
			q.head++
			q.off = 0
		}
	}
	if q.empty() {
		if cap(q.items) > keepItems {
			q.items = nil
		}
		q.items, q.head = q.items[:0], 0
	}
	return n, freed
}

// peek copies to p the data that read would return.
func (q *receiveQueue) peek(p []byte) (n int) {
	if q == nil {
		return 0
	}
	off := q.off
	for _, item := range q.items[q.head:] {
		n += CopyBytes(p[n:], item[off:])
		off = 0
	}
	return n
}

// trueSize returns how much of the receive buffer a received segment with n bytes of payload uses. Linux counts the sk_buff and the block
// of memory that holds the packet with its headers and its skb_shared_info: a power of two, or a special size for small packets.
func trueSize(n int) int32 {
	if n == 0 {
		return 0 // a FIN
	}
	block := n + packetOverhead
	if block <= smallHead {
		return smallHead + skbSize
	}
	if block > 4096 {
		return int32(block + skbSize)
	}
	return int32(1<<bits.Len(uint(block-1)) + skbSize)
}

const (
	packetOverhead = 52 + 64 + 320 // headers, headroom, skb_shared_info
	skbSize        = 256
	smallHead      = 576 // SKB_SMALL_HEAD_CACHE_SIZE
)

// outOfOrder holds payloads beyond a gap, ordered by sequence number and without overlap. It also holds the blocks that they form, the
// newest first.
type outOfOrder struct {
	segs   []oooSegment
	blocks [4]Block
	n      int
	dsack  Block // a duplicate to report in the next acknowledgement, unless empty

	// Acknowledgements that only report this state are held back after the first few, and sent as one (RFC 5681 allows it).
	at   Time  // when the held acknowledgements are sent; Never: none is held
	held uint8 // number of acknowledgements held
	sent uint8 // number sent since data last arrived in order
}

type oooSegment struct {
	seq  uint64
	data []byte
	fin  bool
}

func (s *oooSegment) end() uint64 {
	e := s.seq + uint64(len(s.data))
	if s.fin {
		e++
	}
	return e
}

// find returns the index of the first segment that ends after seq.
func (o *outOfOrder) find(seq uint64) int {
	lo, hi := 0, len(o.segs)
	for lo < hi {
		if mid := (lo + hi) / 2; o.segs[mid].end() <= seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// insert adds a segment. It returns by how much the receive buffer fills, and the range that was already there, if any.
func (o *outOfOrder) insert(n oooSegment) (grown int32, dup Block) {
	i := o.find(n.seq)
	if i < len(o.segs) && o.segs[i].seq <= n.seq {
		old := o.segs[i].end()
		if old >= n.end() {
			return 0, Block{n.seq, n.end()}
		}
		dup = Block{n.seq, old}
		n.data = n.data[old-n.seq:]
		n.seq = old
		i++
	}
	j := i
	for ; j < len(o.segs) && o.segs[j].end() <= n.end(); j++ {
		dup = dup.extended(Block{o.segs[j].seq, o.segs[j].end()})
		grown -= trueSize(len(o.segs[j].data))
	}
	if j < len(o.segs) && o.segs[j].seq < n.end() {
		dup = dup.extended(Block{o.segs[j].seq, n.end()})
		keep := o.segs[j].seq - n.seq
		n.data, n.fin = n.data[:min(keep, uint64(len(n.data)))], false
		if len(n.data) == 0 {
			return grown, dup
		}
	}
	grown += trueSize(len(n.data))
	if i == j {
		o.segs = append(o.segs, oooSegment{})
		copy(o.segs[i+1:], o.segs[i:])
	} else {
		k := copy(o.segs[i+1:], o.segs[j:])
		clear(o.segs[i+1+k:])
		o.segs = o.segs[:i+1+k]
	}
	o.segs[i] = n
	return grown, dup
}

// extended returns b extended by c if the two touch, or c if b is empty (tcp_dsack_extend).
func (b Block) extended(c Block) Block {
	switch {
	case b.Start == b.End:
		return c
	case c.Start > b.End || c.End < b.Start:
		return b
	}
	return Block{min(b.Start, c.Start), max(b.End, c.End)}
}

// place returns the index of the first block that b touches, or the number of blocks if it touches none.
func (o *outOfOrder) place(b Block) int {
	for i, old := range o.blocks[:o.n] {
		if old.Start <= b.End && b.Start <= old.End {
			return i
		}
	}
	return o.n
}

// addBlock makes [start, end), joined with the blocks that it touches, the first block to report.
func (o *outOfOrder) addBlock(b Block) {
	kept := 0
	for _, old := range o.blocks[:o.n] {
		if old.Start <= b.End && b.Start <= old.End {
			b.Start, b.End = min(b.Start, old.Start), max(b.End, old.End)
			continue
		}
		o.blocks[kept] = old
		kept++
	}
	kept = min(kept, len(o.blocks)-1)
	copy(o.blocks[1:], o.blocks[:kept])
	o.blocks[0] = b
	o.n = kept + 1
}

// removeBlocks removes the blocks below seq.
func (o *outOfOrder) removeBlocks(seq uint64) {
	kept := 0
	for _, b := range o.blocks[:o.n] {
		if b.Start >= seq {
			o.blocks[kept] = b
			kept++
		}
	}
	o.n = kept
}
