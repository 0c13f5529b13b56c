package tcp

// A sackCache remembers the blocks of the last acknowledgement. The next acknowledgement repeats them, and so costs only the work for new
// blocks.
type sackCache struct {
	blocks [4]Block
	n      int
}

// A sackScan collects what an acknowledgement reports while segments are marked.
type sackScan struct {
	flag        ackResult
	firstSent   Time   // when the first and the last of the newly selectively acknowledged segments were sent
	lastSent    Time   //
	any         bool   // firstSent and lastSent are valid
	reorder     uint64 // lowest segment that filled a gap late; nxt: none
	prior       uint32 // number of deliveries when the newest delivered segment was sent
	priorOrder  uint32
	hasPrior    bool
	priorFacked uint64
}

// noteDelivered keeps the newest transmission among the delivered segments.
func (k *sackScan) noteDelivered(s *txSegment) {
	if !k.hasPrior || sentAfter(s.order, k.priorOrder) {
		k.hasPrior = true
		k.prior, k.priorOrder = s.delivered, s.order
	}
}

// tagSacks marks the segments that s acknowledges selectively
// (tcp_sacktag_write_queue).
func (c *Conn) tagSacks(s *Segment, priorUna uint64, k *sackScan) {
	blocks := s.SACK[:min(int(s.SACKLen), len(s.SACK))]
	ep := c.episode()
	if dup := c.checkDSACK(blocks, s.Ack, priorUna, k); dup {
		c.tagDuplicate(blocks[0], k)
		blocks = blocks[1:]
	}
	var sorted sackCache
	for _, b := range blocks {
		if b.Start >= b.End || b.End > c.nxt || b.Start <= c.una {
			continue
		}
		i := sorted.n
		for ; i > 0 && sorted.blocks[i-1].Start > b.Start; i-- {
			sorted.blocks[i] = sorted.blocks[i-1]
		}
		sorted.blocks[i] = b
		sorted.n++
	}
	for _, b := range sorted.blocks[:sorted.n] {
		for at := b.Start; at < b.End; {
			until := b.End
			if old, ok := ep.cache.covering(at); ok {
				at = old.End
				continue
			} else if next := ep.cache.after(at); next < until {
				until = next
			}
			c.tagRange(at, until, k)
			at = until
		}
	}
	if sorted.n > 0 {
		ep.cache = sorted
	}
	if k.reorder < c.highestSacked() {
		c.checkReordering(k.reorder)
	}
}

// covering returns the block that contains seq.
func (q *sackCache) covering(seq uint64) (Block, bool) {
	for _, b := range q.blocks[:q.n] {
		if b.Start <= seq && seq < b.End {
			return b, true
		}
	}
	return Block{}, false
}

// after returns the start of the first block after seq.
func (q *sackCache) after(seq uint64) uint64 {
	for _, b := range q.blocks[:q.n] {
		if b.Start > seq {
			return b.Start
		}
	}
	return ^uint64(0)
}

// tagRange marks the segments that lie in [start, end).
func (c *Conn) tagRange(start, end uint64, k *sackScan) {
	for i := c.tx.find(start); i != c.tx.tail; i++ {
		s := c.tx.at(i)
		if s.end() > end {
			return
		}
		if s.seq < start || s.flag&(txSacked|txMerged) != 0 {
			continue
		}
		c.tagSegment(i, s, k)
	}
}

// tagSegment marks one segment as delivered (tcp_sacktag_one).
func (c *Conn) tagSegment(i uint32, s *txSegment, k *sackScan) {
	r := &c.rec
	c.rackAdvance(s)
	if s.flag&txRetrans != 0 {
		if s.flag&txLost != 0 {
			s.flag &^= txLost | txRetrans
			r.lost--
			r.retrans--
		}
	} else {
		if s.flag&txEverRetrans == 0 {
			if s.seq < c.highestSacked() {
				k.reorder = min(k.reorder, s.seq)
			}
			if s.end() <= r.highSeq {
				k.flag |= origAcked
			}
			if !k.any {
				k.firstSent = s.sent
			}
			k.lastSent, k.any = s.sent, true
		}
		if s.flag&txLost != 0 {
			s.flag &^= txLost
			r.lost--
		}
	}
	k.noteDelivered(s)
	s.flag |= txSacked
	k.flag |= dataSacked
	ep := c.episode()
	if r.sacked == 0 {
		ep.highestSack = 0
	}
	r.sacked++
	r.delivered++
	ep.highestSack = max(ep.highestSack, s.end())
	c.tx.unlink(i)
}

// spuriousRetrans reports whether the acknowledgement echoes a timestamp from before the retransmission of s: an earlier transmission
// arrived.
func (c *Conn) spuriousRetrans(s *txSegment) bool {
	return s.flag&(txRetrans|txEverRetrans) != 0 && c.echoedBefore(stamp(s.sent))
}

// checkDSACK recognises a report of a duplicate in the first block (RFC 2883).
func (c *Conn) checkDSACK(b []Block, ack, priorUna uint64, k *sackScan) bool {
	if len(b) == 0 {
		return false
	}
	dup := b[0].Start < ack || len(b) > 1 && b[0].Start >= b[1].Start && b[0].End <= b[1].End
	if !dup || b[0].Start >= b[0].End {
		return false
	}
	r := &c.rec
	n := c.duplicates(b[0], k)
	if n == 0 {
		return false
	}
	if ep := c.ep; r.undoMarked && ep.undoRetrans > 0 && b[0].End <= priorUna && b[0].End > ep.undoMarker {
		ep.undoRetrans = max(0, ep.undoRetrans-int32(n))
	}
	return true
}

// duplicates returns how many segments arrived twice according to a report. It returns 0 if the report is dubious: it covers more than a
// window, or more segments than were retransmitted in total (tcp_dsack_seen). RACK's window grows only if reordering was seen, because
// reordering may be why RACK retransmitted something. A duplicate of a tail loss probe does not make it grow.
func (c *Conn) duplicates(b Block, k *sackScan) uint32 {
	size := b.End - b.Start
	if size > uint64(c.maxWnd) {
		return 0
	}
	r := &c.rec
	n := uint32(1)
	if mss := uint64(c.mss); size > mss {
		n = uint32((size + mss - 1) / mss)
	} else if r.tlpHigh != 0 && b.End == r.tlpHigh {
		k.flag |= dsackOfProbe
	}
	if r.duplicates += n; r.duplicates > c.retransTotal {
		return 0
	}
	if r.reordSeen && k.flag&dsackOfProbe == 0 {
		c.rack.dsackSeen = true
	}
	k.flag |= dsacking
	return n
}

// tagDuplicate handles a duplicate that lies above una.
func (c *Conn) tagDuplicate(b Block, k *sackScan) {
	if b.End <= c.una || b.End > c.nxt {
		return
	}
	r := &c.rec
	for i := c.tx.find(max(b.Start, c.una)); i != c.tx.tail; i++ {
		s := c.tx.at(i)
		if s.end() > b.End {
			return
		}
		if s.seq < b.Start || s.flag&txMerged != 0 || s.flag&(txRetrans|txEverRetrans) == 0 {
			continue
		}
		if r.undoMarked && c.ep.undoRetrans > 0 && s.end() > c.ep.undoMarker {
			c.ep.undoRetrans--
		}
		if s.flag&txSacked != 0 {
			k.reorder = min(k.reorder, s.seq)
		} else if s.seq >= c.una {
			c.tagSegment(i, s, k)
		}
		if s.flag&txRetrans != 0 {
			s.flag &^= txRetrans
			r.retrans--
		}
	}
}

// checkReordering measures how far packets overtake each other (tcp_check_sack_reordering).
func (c *Conn) checkReordering(low uint64) {
	high := c.highestSacked()
	if low >= high {
		return
	}
	if n := high - low; n > uint64(c.rec.reordering)*uint64(c.mss) {
		c.rec.reordering = uint16(min((n+uint64(c.mss)-1)/uint64(c.mss), maxReordering))
	}
	c.rec.reordSeen = true
}
