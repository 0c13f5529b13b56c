package tcp

// transmitAgain sends up to segs segments again, starting with segment i, as far as they lie in one buffer (__tcp_retransmit_skb). It cuts
// off data that the peer already has. It cuts a segment again that has become too long, because selective acknowledgements take room that
// they did not take before, or because the path or the window has shrunk. A small segment takes the following ones along. It returns the
// index of the first segment and the number of segments sent, which is zero if the segment lies beyond a window that has shrunk.
func (c *Conn) transmitAgain(i uint32, segs int, kind Kind) (first uint32, n int) {
	s := c.tx.at(i)
	if s.seq < c.una && len(s.data) > 0 {
		skip := min(c.una-s.seq, uint64(len(s.data)))
		s.data = s.data[skip:]
		s.seq += skip
	}
	mss := c.currentMSS()
	most, room := segs*mss, mss
	if s.seq < c.wndEnd() {
		if w := int(c.wndEnd() - s.seq); most > w {
			if most = w / mss * mss; most == 0 {
				most = w
			}
			room = min(room, w)
		}
	} else if s.seq != c.una {
		return i, 0
	}
	i, n = c.cutAgain(i, mss, most)
	if s = c.tx.at(i); n == 1 && s.flag&txJoined == 0 && len(s.data) < room && !c.joinedBehind(i) {
		c.collapse(i, room)
	}
	for k := range uint32(n) {
		c.tx.at(i + k).flag |= txEverRetrans
		c.retransTotal++
		c.transmit(i+k, kind, n > 1 && int(k) == n-1)
	}
	return i, n
}

// joinedBehind reports whether the segment after i lies in the same buffer.
func (c *Conn) joinedBehind(i uint32) bool {
	return i+1 != c.tx.tail && c.tx.at(i+1).flag&txJoined != 0
}

// sameFate is the set of flags that all segments of a buffer have in common.
const sameFate = txSacked | txLost | txRetrans | txEverRetrans | txMerged | txSYN

// buffer counts the segments from i on that lie in one buffer, and their bytes. fits is true if the buffer consists of segments of mss.
func (c *Conn) buffer(i uint32, mss int) (count uint32, size int, fits bool) {
	s := c.tx.at(i)
	count, size, fits = 1, len(s.data), len(s.data) <= mss
	for c.joinedBehind(i + count - 1) {
		t := c.tx.at(i + count)
		if (t.flag^s.flag)&sameFate != 0 {
			t.flag &^= txJoined
			break
		}
		fits = fits && size == int(count)*mss && len(t.data) <= mss
		size += len(t.data)
		count++
	}
	return count, size, fits
}

// cutAtUna makes the acknowledged part of the first segment a segment of its own, if the rest of its buffer then needs fewer segments
// (tcp_tso_acked).
func (c *Conn) cutAtUna() bool {
	i := c.tx.head
	s := c.tx.front()
	mss := len(s.data)
	count, size, _ := c.buffer(i, mss)
	done := int(c.una - s.seq)
	if count == 1 || (size-done+mss-1)/mss == int(count) {
		return false
	}
	i, _ = c.cutBuffer(i, count, size, mss, done)
	c.tx.at(i + 1).flag &^= txJoined
	return true
}

// cutAgain splits the buffer that begins with segment i into two buffers, its first most bytes and the rest (tcp_fragment), both in
// segments of mss. It returns the index of the first segment, and the number of segments below most.
func (c *Conn) cutAgain(i uint32, mss, most int) (first uint32, n int) {
	c.tx.at(i).flag &^= txJoined
	count, size, fits := c.buffer(i, mss)
	if size > most && most%mss != 0 {
		fits = false
	}
	if !fits {
		i, count = c.cutBuffer(i, count, size, mss, most)
	}
	for at := 0; n < int(count) && at < most; n++ {
		at += len(c.tx.at(i + uint32(n)).data)
	}
	if n = max(n, 1); n < int(count) {
		c.tx.at(i + uint32(n)).flag &^= txJoined
	}
	return i, n
}

// cutBuffer divides the size bytes of count segments, starting with segment i, into segments of mss again, so that one of them ends at
// most. It returns the index of the first segment, and the number of segments.
func (c *Conn) cutBuffer(i, count uint32, size, mss, most int) (uint32, uint32) {
	model, lastFlags := *c.tx.at(i), c.tx.at(i+count-1).flag
	data := model.data
	if count > 1 {
		data = make([]byte, 0, size)
		for k := range count {
			data = append(data, c.tx.at(i+k).data...)
		}
	}
	for k, seq := uint32(0), model.seq; ; k++ {
		n := min(len(data), mss)
		if left := int(model.seq) + most - int(seq); left > 0 {
			n = min(n, left)
		}
		if k == count {
			i = c.addBehind(i, k-1)
			count++
		}
		s := c.tx.at(i + k)
		s.flag = s.flag&^(txFIN|txPush) | txJoined
		if k == 0 {
			s.flag &^= txJoined
		}
		s.seq, s.data = seq, data[:n]
		seq += uint64(n)
		if data = data[n:]; len(data) > 0 {
			continue
		}
		s.flag |= lastFlags & (txFIN | txPush)
		for j := k + 1; j < count; j++ {
			c.absorb(s, i+j)
			c.tx.at(i + j).seq = s.end()
		}
		return i, k + 1
	}
}

// addBehind inserts a copy of segment i+k after it, with the same fate, and returns the new index of segment i.
func (c *Conn) addBehind(i, k uint32) uint32 {
	r := &c.rec
	j := c.tx.insert(i+k, &r.hint)
	s, t := c.tx.at(j), c.tx.at(j+1)
	*t = *s
	if t.flag&txLinked != 0 {
		c.tx.linkBehind(j, j+1)
	}
	if t.flag&txSacked != 0 {
		r.sacked++
	}
	if t.flag&txLost != 0 {
		r.lost++
	}
	if t.flag&txRetrans != 0 {
		r.retrans++
	}
	return j - k
}

// retransmit sends up to segs segments again from segment i on, and counts them as under way (tcp_retransmit_skb). It returns what
// transmitAgain returns.
func (c *Conn) retransmit(i uint32, segs int) (first uint32, n int) {
	r := &c.rec
	i, n = c.transmitAgain(i, segs, Retransmission)
	if n == 0 {
		return i, 0
	}
	for k := range uint32(n) {
		if s := c.tx.at(i + k); s.flag&txRetrans == 0 {
			s.flag |= txRetrans
			r.retrans++
		}
	}
	if r.retransStamp == 0 {
		r.retransStamp = stamp(c.now)
	}
	ep := c.episode()
	ep.undoRetrans = max(ep.undoRetrans, 0) + int32(n)
	return i, n
}

// collapse moves the following small segments into segment i as long as they fit into room, the payload that segment i may have
// (tcp_retrans_try_collapse).
func (c *Conn) collapse(i uint32, room int) {
	s := c.tx.at(i)
	if room -= len(s.data); room <= 0 || s.flag&txSYN != 0 || c.tx.tail-i < 2 {
		return
	}
	var joined []byte
	for j := i + 1; j != c.tx.tail; j++ {
		t := c.tx.at(j)
		if t.flag&txMerged != 0 {
			continue
		}
		if t.flag&(txSacked|txSYN) != 0 || c.joinedBehind(j) || s.flag&txFIN != 0 || len(t.data) > room || t.end() > c.wndEnd() {
			break
		}
		if joined == nil {
			joined = append(make([]byte, 0, len(s.data)+room), s.data...)
		}
		joined = append(joined, t.data...)
		room -= len(t.data)
		c.absorb(s, j)
	}
	if joined == nil {
		return
	}
	s.data = joined
	for j := i + 1; j != c.tx.tail && c.tx.at(j).flag&txMerged != 0; j++ {
		c.tx.at(j).seq = s.end()
	}
}

// absorb merges segment j into s, the segment before it.
func (c *Conn) absorb(s *txSegment, j uint32) {
	r := &c.rec
	t := c.tx.at(j)
	s.flag |= t.flag & (txFIN | txPush | txEverRetrans)
	if t.flag&txLost != 0 {
		r.lost--
	}
	if t.flag&txRetrans != 0 {
		r.retrans--
	}
	if c.has&sackOK == 0 && r.sacked > 0 {
		r.sacked--
	}
	c.tx.unlink(j)
	*t = txSegment{prev: none, next: none, flag: txMerged}
	c.tx.merged++
	if r.hint == j {
		r.hint = none
	}
}

// retransmitLost sends lost segments again as far as the congestion window
// allows (tcp_xmit_retransmit_queue).
func (c *Conn) retransmitLost() {
	if c.tx.empty() {
		return
	}
	g, r := &c.cc, &c.rec
	hole := false // a segment that is not lost lies below: start there next time
	rearm := false
	most := 0
	i := r.hint
	if i == none {
		i = c.tx.head
	}
	for ; i != c.tx.tail; i++ {
		s := c.tx.at(i)
		if !hole {
			r.hint = i
		}
		if c.inFlight() >= int(g.cwnd) || r.retrans >= r.lost {
			break
		}
		if s.flag&txMerged != 0 {
			continue
		}
		if s.flag&txLost == 0 {
			hole = hole || s.flag&(txRetrans|txSacked) == 0
			continue
		}
		if s.flag&(txSacked|txRetrans) != 0 {
			continue
		}
		if most == 0 {
			most = c.burst(c.currentMSS())
		}
		var n int
		if i, n = c.retransmit(i, min(int(g.cwnd)-c.inFlight(), most)); n == 0 {
			return
		}
		if g.reducing() {
			c.episode().prrOut += uint32(n)
		}
		if i == c.tx.head && c.timer != timerReorder {
			rearm = true
		}
		i += uint32(n) - 1
	}
	if rearm {
		c.setTimer(timerRTO, c.rtt.rto)
	}
}
