package tcp

import "math"

// SetMTU tells c how large a packet, in bytes and with its IP header, is known to pass to
// the peer: the MTU of the interface, or less if that was learned of the path (RFC 1191). It
// counts for segments that are sent from now on (tcp_current_mss).
func (c *Conn) SetMTU(mtu int) {
	if mtu == int(c.mtu) {
		return
	}
	c.mtu = uint16(min(mtu, math.MaxUint16))
	if c.state >= SynReceived && c.state != TimeWait {
		c.syncMSS()
	}
}

// Outstanding says whether an ICMP message about the segment of c with sequence number seq
// can be genuine: that segment was sent and is not acknowledged (tcp_v4_err).
func (c *Conn) Outstanding(seq uint64) bool {
	return c.state != StateClosed && c.una <= seq && seq <= c.nxt
}

// TooBig tells c of an ICMP "fragmentation needed" or "packet too big" message for
// the segment of c with sequence number seq: packets of more than mtu bytes, IP
// header included, do not pass. What is outstanding and too large is cut and sent
// again at once (RFC 1191, tcp_v4_mtu_reduced). Without such a message, and Linux
// does not probe by default, a smaller MTU on the path is a black hole.
func (c *Conn) TooBig(now Time, seq uint64, mtu int) {
	c.now = now
	if !c.synchronized() || c.state == TimeWait || !c.Outstanding(seq) || mtu >= int(c.mtu) {
		return
	}
	c.SetMTU(mtu)
	if !c.splitQueue() {
		return
	}
	g, r := &c.cc, &c.rec
	if g.state != caLoss {
		// Not a sign of congestion: the window stays.
		r.highSeq = c.nxt
		g.ssthresh = g.currentSSThresh()
		r.undoMarked = false
		g.state = caLoss
	}
	c.retransmitLost()
}

// splitQueue cuts segments that are too large and marks the pieces as lost. It is
// false if there are none.
func (c *Conn) splitQueue() bool {
	mss := int(c.mss)
	old := c.tx
	large := false
	for i := old.head; i != old.tail; i++ {
		large = large || len(old.at(i).data) > mss
	}
	if !large {
		return false
	}
	r := &c.rec
	c.tx = txQueue{first: none, last: none}
	r.lost, r.retrans, r.hint = 0, 0, none
	if c.has&sackOK != 0 {
		r.sacked = 0
	}
	add := func(s txSegment) *txSegment {
		_, t := c.tx.add()
		s.prev, s.next = none, none
		s.flag &^= txLinked
		*t = s
		switch {
		case s.flag&txSacked != 0:
			r.sacked++
		case s.flag&txLost != 0:
			r.lost++
		}
		if s.flag&txRetrans != 0 {
			r.retrans++
		}
		return t
	}
	for i := old.head; i != old.tail; i++ {
		s := *old.at(i)
		if s.flag&txMerged != 0 {
			continue
		}
		if s.seq < c.una {
			skip := min(c.una-s.seq, uint64(len(s.data)))
			s.data = s.data[skip:]
			s.seq += skip
		}
		if len(s.data) <= mss {
			add(s)
			continue
		}
		if s.flag&txSacked == 0 {
			s.flag = s.flag&^txRetrans | txLost
		}
		for len(s.data) > mss {
			piece := s
			piece.data = s.data[:mss]
			piece.flag &^= txFIN | txPush
			add(piece)
			s.data = s.data[mss:]
			s.seq += uint64(mss)
		}
		add(s)
	}
	c.relink()
	return true
}

// relink orders by time what is neither delivered nor thought lost. It is in the
// order of the first transmission, but for retransmissions.
func (c *Conn) relink() {
	q := &c.tx
	for i := q.head; i != q.tail; i++ {
		s := q.at(i)
		if s.flag&txSacked != 0 || s.flag&txLost != 0 && s.flag&txRetrans == 0 {
			continue
		}
		q.touch(i)
		for s.prev != none && sentAfter(q.at(s.prev).order, s.order) {
			q.swapBack(i)
		}
	}
}

// swapBack exchanges segment i with the one before it in the order of time.
func (q *txQueue) swapBack(i uint32) {
	s := q.at(i)
	p := s.prev
	t := q.at(p)
	q.unlink(p)
	t.flag |= txLinked
	t.prev, t.next = i, s.next
	if s.next != none {
		q.at(s.next).prev = p
	} else {
		q.last = p
	}
	s.next = p
}
