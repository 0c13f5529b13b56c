package tcp

import "math"

// wndEnd is the first sequence number that the peer does not take yet.
func (c *Conn) wndEnd() uint64 { return c.una + uint64(c.wnd) }

// unsent is the number of bytes that wait to be sent for the first time.
func (c *Conn) unsent() int {
	n := int(c.end - c.nxt)
	if n > 0 && c.flag&finQueued != 0 {
		n--
	}
	return n
}

// currentMSS is the payload of a full segment now: the SACK option takes some.
func (c *Conn) currentMSS() int {
	m := int(c.mss)
	if n := c.sackBlocks(); n > 0 {
		m -= sackOptionBase + sackBlockSize*n
	}
	return m
}

// headSize is the payload of the next new segment, and whether a FIN goes with it.
func (c *Conn) headSize() (n int, fin bool) {
	n = c.unsent()
	if m := c.currentMSS(); n > m {
		return m, false
	}
	return n, c.flag&finQueued != 0
}

// headFits reports that the peer's window takes the next new segment.
func (c *Conn) headFits() bool {
	n, fin := c.headSize()
	end := c.nxt + uint64(n)
	if fin {
		end++
	}
	return end <= c.wndEnd()
}

// push sends new data as far as the windows allow, and starts probing a closed
// window (__tcp_push_pending_frames).
func (c *Conn) push() {
	if c.nxt == c.end || !c.canSend() {
		return
	}
	c.writePending(false)
	if c.tx.empty() && c.nxt < c.end && c.timer == timerOff {
		c.setTimer(timerWindow, max(c.rtt.rto, c.cfg.RTOMin))
	}
}

// canSend reports a state in which data and a FIN may be sent.
func (c *Conn) canSend() bool {
	switch c.state {
	case Established, CloseWait, FinWait1, Closing, LastAck:
		return true
	}
	return false
}

// writePending sends new segments (tcp_write_xmit). force ignores Nagle's algorithm.
func (c *Conn) writePending(force bool) {
	g := &c.cc
	sent := uint32(0)
	for c.nxt < c.end && c.inFlight() < int(g.cwnd) {
		n, fin := c.headSize()
		if !c.headFits() {
			// Linux builds pairs of segments, and cuts the second one to fit.
			room := int(c.wndEnd() - c.nxt)
			if sent%2 == 0 || room <= 0 || c.flag&nagle != 0 {
				break
			}
			n, fin = min(n, room), false
		}
		if !force && c.nagleHolds(n, fin) {
			break
		}
		c.sendNew(n, fin, Original)
		sent++
	}
	limited := c.inFlight() >= int(g.cwnd)
	if sent > 0 || limited {
		c.validateCwnd(limited)
	}
	if sent == 0 {
		return
	}
	if g.reducing() {
		c.episode().prrOut += sent
	}
	c.scheduleProbe(false)
}

// nagleHolds says that a segment of n bytes waits for the acknowledgement of an
// earlier small one (Minshall's form of Nagle's algorithm, tcp_nagle_check).
func (c *Conn) nagleHolds(n int, fin bool) bool {
	return c.flag&nagle != 0 && !fin && n < c.currentMSS() && !c.tx.empty() &&
		c.snd.smallEnd > c.una && c.snd.smallEnd <= c.nxt
}

// sendNew sends the next n bytes, and the FIN behind them if fin.
func (c *Conn) sendNew(n int, fin bool, kind Kind) {
	wasEmpty := c.tx.empty()
	i, s := c.tx.add()
	s.seq = c.nxt
	if n > 0 {
		s.data = c.snd.cut(n, c.nxt, c.out)
		if n < int(c.mss) {
			c.snd.smallEnd = s.end()
		}
	}
	if fin {
		s.flag |= txFIN
	}
	if c.unsent() == n {
		s.flag |= txPush
	}
	if c.inFlight() == 1 && c.cub != nil {
		c.cub.shift(c.now, c.lastSent)
	}
	c.transmit(i, kind)
	c.nxt = s.end()
	if wasEmpty || c.timer == timerProbe {
		c.rearmRTO()
	}
}

// transmit puts segment i of the queue on the wire.
func (c *Conn) transmit(i uint32, kind Kind) {
	s := c.tx.at(i)
	s.sent, s.order = c.now, c.segsOut+1
	s.delivered = c.rec.delivered
	c.tx.touch(i)
	out := c.newSegment(ACK)
	out.Kind = kind
	out.Seq = s.seq
	out.Payload = s.data
	if s.flag&txPush != 0 && len(s.data) > 0 {
		out.Flags |= PSH
	}
	if s.flag&txFIN != 0 {
		out.Flags |= FIN
	}
	if s.flag&txSYN != 0 {
		c.synOptions(out)
	} else {
		c.addSacks(out)
	}
	if len(s.data) > 0 {
		// An answer within the delay of an acknowledgement: the program is
		// interactive, and the next one may wait for its answer.
		if c.now-c.lastData < c.ato {
			c.ack |= pingpong
		}
		c.lastSent = c.now
	}
	c.send(out)
}

// newSegment is a segment with the fields that all have in common.
func (c *Conn) newSegment(f Flags) *Segment {
	s := c.out.NewSegment()
	s.ipHeader = c.cfg.ipHeader
	s.ISS, s.IRS = c.iss, c.irs
	s.Flags = f
	if f&ACK != 0 {
		s.Ack = c.rcvNxt
	}
	if c.has&timestampsOK != 0 {
		s.HasTimestamps = true
		s.TSVal = stamp(c.now)
		s.TSEcr = c.tsRecent
	}
	return s
}

// send hands s to the network. A segment with ACK carries the window and settles
// an acknowledgement that is due.
func (c *Conn) send(s *Segment) {
	if s.Flags&ACK != 0 && s.Flags&(SYN|RST) == 0 {
		s.Window = c.selectWindow()
		c.ackSent()
	}
	c.segsOut++
	c.out.Send(c, s)
}

// sendSYN sends the SYN, or the SYN-ACK, for the first time.
func (c *Conn) sendSYN() {
	i, s := c.tx.add()
	s.flag = txSYN
	c.nxt = 1
	c.rec.retransStamp = stamp(c.now)
	c.transmit(i, Original)
	c.setTimer(timerRTO, c.rtt.rto)
}

// synOptions fills in what only a SYN carries.
func (c *Conn) synOptions(s *Segment) {
	s.Flags = SYN
	if c.state == SynReceived {
		s.Flags |= ACK
	} else {
		s.Ack = 0
		s.TSEcr = 0
	}
	s.MSS = c.advMSS
	s.SACKPermitted = c.has&sackOK != 0
	if c.has&scaleOK != 0 {
		s.HasScale, s.Scale = true, c.rcvScale
	}
	s.Window = min(c.rcvWnd, math.MaxUint16)
}

// sendAck sends an acknowledgement without data.
func (c *Conn) sendAck() {
	if c.state == StateClosed {
		return
	}
	s := c.newSegment(ACK)
	s.Seq = c.acceptableSeq()
	c.addSacks(s)
	c.send(s)
}

// acceptableSeq is the sequence number of a segment without data: one that the
// peer accepts even if it has shrunk its window.
func (c *Conn) acceptableSeq() uint64 {
	if c.nxt <= c.wndEnd() || c.nxt-c.wndEnd() < 1<<c.sndScale {
		return c.nxt
	}
	return c.wndEnd()
}

// sendReset sends a RST for an open connection (tcp_send_active_reset).
func (c *Conn) sendReset() {
	s := c.newSegment(RST | ACK)
	s.Seq = c.acceptableSeq()
	s.Window = c.selectWindow()
	c.send(s)
}

// sendProbeSegment sends a segment without data that the peer has to answer,
// because its sequence number is old (tcp_xmit_probe_skb).
func (c *Conn) sendProbeSegment(kind Kind) {
	s := c.newSegment(ACK)
	s.Kind = kind
	s.Seq = c.una - 1
	c.send(s)
}

// wakeup sends a piece of new data that the window takes, or a probe
// (tcp_write_wakeup).
func (c *Conn) wakeup(kind Kind) {
	if c.nxt < c.end && c.nxt < c.wndEnd() {
		n, fin := c.headSize()
		if room := int(c.wndEnd() - c.nxt); n > room {
			n, fin = room, false
		} else if n == room {
			fin = false
		}
		c.sendNew(n, fin, kind)
		return
	}
	c.sendProbeSegment(kind)
}
