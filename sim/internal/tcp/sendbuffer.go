package tcp

// A sendBuffer holds bytes that were written and never sent. Segments are slices of its blocks, not copies. Blocks are only ever appended
// to, so data that was sent does not change before the peer's program has read it.
type sendBuffer struct {
	full  [][]byte // full blocks, oldest first
	tail  []byte   // the block that is being filled
	whole []byte   // the same block, from its first byte on
	size  int32    // size of the next block
	joint []byte   // a block for segments that span two others

	queue  []skb  // the bytes, divided into buffers as in Linux; the last one is still being filled
	front  int    // index of the first buffer that is left
	pushed uint64 // end of the data that was last marked to be pushed (pushed_seq)

	smallEnd uint64  // end of the last buffer that did not fill its segments, for Nagle's algorithm
	writes   []int32 // lengths of the writes that were appended and not yet pushed
	appended int32   // sum of writes
}

// A skb is a buffer of the kernel's send queue (sk_buff). Its bounds matter. Its first segment decides whether it fits the window, its last
// segment carries PSH, and a retransmission cuts it again as a whole.
type skb struct {
	end  uint64
	push bool // TCPHDR_PSH
}

// enqueued returns the number of buffers that wait.
func (b *sendBuffer) enqueued() int {
	if b == nil {
		return 0
	}
	return len(b.queue) - b.front
}

// lastSize returns how many of the bytes that were never sent, from nxt to end, are in the last buffer.
func (b *sendBuffer) lastSize(nxt, end uint64) int {
	switch k := b.enqueued(); k {
	case 0:
		return 0
	case 1:
		return int(end - nxt)
	default:
		return int(end - b.queue[len(b.queue)-2].end)
	}
}

// enqueue adds bytes up to the sequence number end to the last buffer, or to a new buffer after it.
func (b *sendBuffer) enqueue(end uint64, fresh bool) {
	if !fresh {
		b.queue[len(b.queue)-1] = skb{end: end} // the buffer has a new end, without PSH
		return
	}
	if b.front > 0 && len(b.queue) == cap(b.queue) {
		b.queue = b.queue[:copy(b.queue, b.queue[b.front:])]
		b.front = 0
	}
	b.queue = append(b.queue, skb{end: end})
}

// push marks the last buffer, which ends at end (tcp_mark_push).
func (b *sendBuffer) push(end uint64) {
	b.queue[len(b.queue)-1].push = true
	b.pushed = end
}

// dequeue removes the first buffer.
func (b *sendBuffer) dequeue() {
	if b.front++; b.front == len(b.queue) {
		b.queue, b.front = b.queue[:0], 0
	}
}

// grow moves up to n bytes from the second buffer into the first (tcp_grow_skb).
func (b *sendBuffer) grow(n int) {
	if b.enqueued() < 2 {
		return
	}
	first, next := &b.queue[b.front], &b.queue[b.front+1]
	if end := first.end + uint64(n); end < next.end {
		first.end = end
		return
	}
	next.push = next.push || first.push
	b.dequeue()
}

const (
	minBlock = 512
	maxBlock = 64 << 10
)

// append adds a copy of p, which begins at the sequence number end. mss is the payload of a full segment.
func (b *sendBuffer) append(p []byte, mss int, end uint64, out Output) {
	for len(p) > 0 {
		if len(b.tail) == cap(b.tail) {
			if len(b.tail) > 0 {
				b.full = append(b.full, b.tail)
			}
			b.retire(end, out)
			size := b.nextSize(len(p), mss)
			b.whole = out.NewBlock(size)
			b.tail = b.whole[:0:size]
		}
		n := CopyBytes(b.tail[len(b.tail):cap(b.tail)], p)
		b.tail = b.tail[:len(b.tail)+n]
		p = p[n:]
		end += uint64(n)
	}
}

// retire gives up the block that is being filled.
func (b *sendBuffer) retire(end uint64, out Output) {
	if b.whole != nil {
		out.RetireBlock(b.whole, end)
	}
	b.tail, b.whole = nil, nil
}

// retireJoint gives up the block for segments that span two blocks.
func (b *sendBuffer) retireJoint(end uint64, out Output) {
	if b.joint != nil {
		out.RetireBlock(b.joint[:cap(b.joint)], end)
		b.joint = nil
	}
}

// join returns room for a segment that spans two blocks.
func (b *sendBuffer) join(n int, end uint64, out Output) []byte {
	if b.size < maxBlock {
		return make([]byte, 0, n)
	}
	if len(b.joint)+n > cap(b.joint) {
		b.retireJoint(end, out)
		b.joint = out.NewBlock(maxBlock)[:0]
	}
	at := len(b.joint)
	b.joint = b.joint[:at+n]
	return b.joint[at : at : at+n]
}

// nextSize returns the size of a new block for n bytes: as large as needed, and twice the size of the previous block if there was one.
// Large blocks hold a whole number of segments.
func (b *sendBuffer) nextSize(n, mss int) int {
	size := max(int(b.size), n)
	b.size = int32(min(max(2*size, minBlock), maxBlock))
	if size >= maxBlock {
		size = maxBlock / mss * mss
	}
	return size
}

// cut takes the first n bytes, which must be there. No byte after the sequence number end was cut before.
func (b *sendBuffer) cut(n int, end uint64, out Output) []byte {
	if len(b.full) == 0 {
		p := b.tail[:n]
		b.tail = b.tail[n:]
		return p
	}
	if p := b.full[0]; len(p) > n {
		b.full[0] = p[n:]
		return p[:n]
	}
	if p := b.full[0]; len(p) == n {
		b.drop()
		return p
	}
	p := b.join(n, end, out)
	for len(p) < n && len(b.full) > 0 {
		k := min(n-len(p), len(b.full[0]))
		p = append(p, b.full[0][:k]...)
		if b.full[0] = b.full[0][k:]; len(b.full[0]) == 0 {
			b.drop()
		}
	}
	k := n - len(p)
	p = append(p, b.tail[:k]...)
	b.tail = b.tail[k:]
	return p
}

func (b *sendBuffer) drop() {
	copy(b.full, b.full[1:])
	b.full[len(b.full)-1] = nil
	b.full = b.full[:len(b.full)-1]
}

// A txSegment is a segment that was sent and is not acknowledged.
type txSegment struct {
	seq        uint64
	data       []byte
	sent       Time   // last transmission
	order      uint32 // position of that transmission among all transmissions
	delivered  uint32 // number of segments delivered by then
	prev, next uint32 // neighbours in that order; none at the ends
	flag       txFlags
}

// end returns the sequence number after the segment.
func (s *txSegment) end() uint64 {
	n := s.seq + uint64(len(s.data))
	if s.flag&(txSYN|txFIN) != 0 {
		n++
	}
	return n
}

type txFlags uint16

const (
	txSYN txFlags = 1 << iota
	txFIN
	txSacked
	txLost        // thought lost
	txRetrans     // sent again, and that transmission is thought to be under way
	txEverRetrans // ever sent again
	txMerged      // empty: its bytes were moved into the segment before
	txPush        // TCPHDR_PSH of the buffer that it ends
	txJoined      // lies in the same buffer as the segment before
	txLinked      // is in the list ordered by time
)

const none = ^uint32(0)

// A txQueue is the retransmission queue. It is a ring ordered by sequence number whose segments keep their index. It is also a list ordered
// by the time of the last transmission, for RACK. The list does not contain segments that were acknowledged selectively or marked as lost.
type txQueue struct {
	buf         []txSegment // its length is a power of two
	head, tail  uint32      // index of the first segment; index after the last
	first, last uint32      // ends of the list ordered by time
	merged      uint32      // number of segments with txMerged
}

const (
	firstTx = 1       // room for this many segments at first
	keepTx  = 1 << 13 // the most that it keeps room for when nothing is outstanding, until trim
)

func (q *txQueue) empty() bool             { return q.head == q.tail }
func (q *txQueue) at(i uint32) *txSegment  { return &q.buf[i&uint32(len(q.buf)-1)] }
func (q *txQueue) packets() int            { return int(q.tail - q.head - q.merged) }
func (q *txQueue) front() *txSegment       { return q.at(q.head) }
func (q *txQueue) contains(i uint32) bool  { return i-q.head < q.tail-q.head }
func (q *txQueue) before(a, b uint32) bool { return int32(a-b) < 0 }

// add adds a segment at the end and returns its index and place.
func (q *txQueue) add() (uint32, *txSegment) {
	q.grow()
	i := q.tail
	q.tail++
	s := q.at(i)
	*s = txSegment{prev: none, next: none}
	return i, s
}

// grow makes room for one more segment.
func (q *txQueue) grow() {
	if int(q.tail-q.head) < len(q.buf) {
		return
	}
	bigger := make([]txSegment, max(4*len(q.buf), firstTx))
	for i := q.head; i != q.tail; i++ {
		bigger[i&uint32(len(bigger)-1)] = *q.at(i)
	}
	q.buf = bigger
}

// insert makes a place after segment i and returns the new index of segment i. If hint is not none, insert keeps it pointing at the same
// segment. The segments on the shorter side of the queue move.
func (q *txQueue) insert(i uint32, hint *uint32) uint32 {
	q.grow()
	if i-q.head < q.tail-1-i && q.head-1 != none {
		if *hint != none && *hint-q.head <= i-q.head {
			*hint--
		}
		q.head--
		for j := q.head; j != i; j++ {
			q.move(j+1, j)
		}
		return i - 1
	}
	if *hint != none && *hint != i && q.before(i, *hint) {
		*hint++
	}
	for j := q.tail; j != i+1; j-- {
		q.move(j-1, j)
	}
	q.tail++
	return i
}

// move moves a segment from index from to index to.
func (q *txQueue) move(from, to uint32) {
	s := q.at(to)
	*s = *q.at(from)
	if s.flag&txLinked == 0 {
		return
	}
	if s.prev != none {
		q.at(s.prev).next = to
	} else {
		q.first = to
	}
	if s.next != none {
		q.at(s.next).prev = to
	} else {
		q.last = to
	}
}

// pop removes the first segment.
func (q *txQueue) pop() {
	s := q.front()
	q.unlink(q.head)
	if s.flag&txMerged != 0 {
		q.merged--
	}
	*s = txSegment{}
	q.head++
	if q.empty() && len(q.buf) > keepTx {
		q.buf = nil
	}
}

// find returns the index of the first segment that ends after seq.
func (q *txQueue) find(seq uint64) uint32 {
	lo, hi := q.head, q.tail
	for lo != hi {
		mid := lo + (hi-lo)/2
		if q.at(mid).end() <= seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// touch makes segment i the last in the list ordered by time.
func (q *txQueue) touch(i uint32) {
	q.unlink(i)
	q.linkLast(i, q.at(i))
}

// linkLast is touch for segment i, which is s, if it is not in the list.
func (q *txQueue) linkLast(i uint32, s *txSegment) {
	s.flag |= txLinked
	s.prev, s.next = q.last, none
	if q.last != none {
		q.at(q.last).next = i
	} else {
		q.first = i
	}
	q.last = i
}

// linkBehind puts segment i into the list ordered by time, after prev.
func (q *txQueue) linkBehind(prev, i uint32) {
	s, p := q.at(i), q.at(prev)
	s.flag |= txLinked
	s.prev, s.next = prev, p.next
	if p.next != none {
		q.at(p.next).prev = i
	} else {
		q.last = i
	}
	p.next = i
}

func (q *txQueue) unlink(i uint32) {
	s := q.at(i)
	if s.flag&txLinked == 0 {
		return
	}
	if s.prev != none {
		q.at(s.prev).next = s.next
	} else {
		q.first = s.next
	}
	if s.next != none {
		q.at(s.next).prev = s.prev
	} else {
		q.last = s.prev
	}
	s.flag &^= txLinked
	s.prev, s.next = none, none
}

// lastLive returns the index of the last segment that is not merged away.
func (q *txQueue) lastLive() uint32 {
	i := q.tail - 1
	for q.at(i).flag&txMerged != 0 {
		i--
	}
	return i
}
