package tcp

// transmitAgain sends segment i once more (__tcp_retransmit_skb). What the peer
// has of it already is cut off. What is too long now, because selective
// acknowledgements take room that they did not take before or because the window
// has shrunk, stays behind as a segment of its own; otherwise small segments behind
// it are added. It returns the segment's index, and false if it lies beyond a
// window that has shrunk: then nothing was sent.
func (c *Conn) transmitAgain(i uint32, kind Kind) (uint32, bool) {
	s := c.tx.at(i)
	if s.seq < c.una && len(s.data) > 0 {
		skip := min(c.una-s.seq, uint64(len(s.data)))
		s.data = s.data[skip:]
		s.seq += skip
	}
	room := c.currentMSS()
	if s.seq < c.wndEnd() {
		room = min(room, int(c.wndEnd()-s.seq))
	} else if s.seq != c.una {
		return i, false
	}
	if len(s.data) > room {
		i = c.split(i, room)
	} else {
		c.collapse(i, room)
	}
	c.tx.at(i).flag |= txEverRetrans
	c.retransTotal++
	c.transmit(i, kind)
	return i, true
}

// retransmit sends segment i again and counts it as under way (tcp_retransmit_skb). It
// returns what transmitAgain does.
func (c *Conn) retransmit(i uint32) (uint32, bool) {
	r := &c.rec
	i, ok := c.transmitAgain(i, Retransmission)
	if !ok {
		return i, false
	}
	s := c.tx.at(i)
	if s.flag&txRetrans == 0 {
		s.flag |= txRetrans
		r.retrans++
	}
	if r.retransStamp == 0 {
		r.retransStamp = stamp(s.sent)
	}
	ep := c.episode()
	ep.undoRetrans = max(ep.undoRetrans, 0) + 1
	return i, true
}

// split cuts segment i behind its first n bytes (tcp_fragment). Both parts were sent
// when it was, and are lost or acknowledged as it is. It returns the index of the
// first part; the second one follows.
func (c *Conn) split(i uint32, n int) uint32 {
	r := &c.rec
	i = c.tx.insert(i, &r.hint)
	s, t := c.tx.at(i), c.tx.at(i+1)
	*t = *s
	s.data = s.data[:n]
	s.flag &^= txFIN | txPush
	t.data = t.data[n:]
	t.seq += uint64(n)
	if t.flag&txLinked != 0 {
		c.tx.linkBehind(i, i+1)
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
	return i
}

// collapse moves following small segments into segment i as long as they fit into
// room, the payload that segment i may have (tcp_retrans_try_collapse).
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
		if t.flag&(txSacked|txSYN) != 0 || s.flag&txFIN != 0 || len(t.data) > room || t.end() > c.wndEnd() {
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

// absorb makes segment j a part of s, the one before it.
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
		var ok bool
		if i, ok = c.retransmit(i); !ok {
			return
		}
		if g.reducing() {
			c.episode().prrOut++
		}
		if i == c.tx.head && c.timer != timerReorder {
			rearm = true
		}
	}
	if rearm {
		c.setTimer(timerRTO, c.rtt.rto)
	}
}
