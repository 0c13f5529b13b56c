package tcp

import "math"

// SetMTU tells c the size of the largest packet, in bytes and with its IP header, that is known to reach the peer: the MTU of the
// interface, or a smaller one learned for the path (RFC 1191). It applies to segments sent afterwards (tcp_current_mss).
func (c *Conn) SetMTU(mtu int) {
	if mtu == int(c.mtu) {
		return
	}
	c.mtu = uint16(min(mtu, math.MaxUint16))
	if c.state >= SynReceived && c.state != TimeWait {
		c.syncMSS()
	}
}

// Outstanding reports whether an ICMP message about c's segment with sequence number seq can be genuine: that segment was sent and is not
// acknowledged (tcp_v4_err).
func (c *Conn) Outstanding(seq uint64) bool {
	return c.state != StateClosed && c.una <= seq && seq <= c.nxt
}

// TooBig tells c about an ICMP "fragmentation needed" or "packet too big" message for its segment with sequence number seq: packets of more
// than mtu bytes, IP header included, do not pass. Outstanding segments that are too large are cut and sent again at once (RFC 1191,
// tcp_v4_mtu_reduced). Without such a message a smaller MTU on the path is a black hole, because Linux does not probe the path by default.
func (c *Conn) TooBig(now Time, seq uint64, mtu int) {
	c.now = now
	if !c.synchronized() || c.state == TimeWait || !c.Outstanding(seq) || mtu >= int(c.mtu) {
		return
	}
	c.SetMTU(mtu)
	g, r := &c.cc, &c.rec
	if !c.markTooBig() {
		return
	}
	if g.state != caLoss {
		// This is no sign of congestion: the window stays.
		r.highSeq = c.nxt
		g.ssthresh = g.currentSSThresh()
		r.undoMarked = false
		g.state = caLoss
	}
	c.retransmitLost()
}

// markTooBig marks the buffers with segments that are too large as lost (tcp_simple_retransmit). It returns false if it marked none.
func (c *Conn) markTooBig() bool {
	mss := c.currentMSS()
	large := false
	for i := c.tx.head; i != c.tx.tail; i++ {
		s := c.tx.at(i)
		if large = len(s.data) > mss || large && s.flag&txJoined != 0; large {
			c.markLost(i)
			c.tx.unlink(i)
		}
	}
	return c.rec.lost > 0
}
