package tcp

// enterQuickAck makes c send the next n acknowledgements without delay (tcp_incr_quickack).
func (c *Conn) enterQuickAck(n int) {
	quick := int(c.rcvWnd) / (2 * int(max(c.rcvMSS, 1)))
	if quick == 0 {
		quick = 2
	}
	c.quick = max(c.quick, uint8(min(quick, n)))
}

// ackAtOnce answers an unacceptable segment without delay, because the peer needs the answer (tcp_enter_quickack_mode).
func (c *Conn) ackAtOnce() {
	c.quickAcks(maxQuickAcks)
	c.ack |= ackScheduled
}

// reportDuplicate makes the next acknowledgement report the duplicate b (RFC 2883).
func (c *Conn) reportDuplicate(b Block) {
	if c.has&sackOK == 0 || c.cfg.NoDSACK {
		return
	}
	c.outOfOrder().dsack = b
}

// extendDuplicate is like reportDuplicate for a further duplicate part of the same segment.
func (c *Conn) extendDuplicate(b Block) { c.reportDuplicate(c.outOfOrder().dsack.extended(b)) }

// sackBlocks returns how many blocks the next segment reports. With timestamps there is room for three, otherwise for four.
func (c *Conn) sackBlocks() int {
	if c.ooo == nil || c.has&sackOK == 0 {
		return 0
	}
	n := c.ooo.n
	if c.ooo.dsack.Start != c.ooo.dsack.End {
		n++
	}
	if c.has&timestampsOK != 0 {
		return min(n, 3)
	}
	return min(n, 4)
}

// addSacks puts the selective acknowledgements into s.
func (c *Conn) addSacks(s *Segment) {
	n := c.sackBlocks()
	if n == 0 {
		return
	}
	o := c.ooo
	s.SACKLen = uint8(n)
	i := 0
	if o.dsack.Start != o.dsack.End {
		s.SACK[0] = o.dsack
		o.dsack = Block{}
		i = 1
	}
	copy(s.SACK[i:n], o.blocks[:o.n])
	c.freeOutOfOrder()
}

// checkAck sends a pending acknowledgement, or delays it (__tcp_ack_snd_check).
func (c *Conn) checkAck() {
	if c.ack&ackScheduled == 0 {
		return
	}
	full := c.rcvNxt-c.rcvWup > uint64(c.rcvMSS) && (c.Readable() == 0 || c.freeWindow() >= c.rcvWnd)
	if full || c.quick > 0 && c.ack&pingpong == 0 || c.ack&ackNow != 0 {
		c.sendAck()
		return
	}
	if c.ooo == nil || len(c.ooo.segs) == 0 {
		c.delayAck()
		return
	}
	o := c.ooo
	if c.has&sackOK == 0 || o.held >= compressMax {
		c.sendAck()
		return
	}
	if o.sent < compressAfter {
		o.sent++
		c.sendAck()
		return
	}
	o.held++
	if o.at != Never {
		return
	}
	rtt8 := c.tune.rtt8
	if c.rtt.srtt8 > 0 && (rtt8 == 0 || c.rtt.srtt8 < rtt8) {
		rtt8 = c.rtt.srtt8
	}
	o.at = c.now + min(compressDelay, rtt8/8*compressRTT/100)
}

// delayAck starts the timer of the delayed acknowledgement (tcp_send_delayed_ack).
func (c *Conn) delayAck() {
	ato := c.ato
	if ato > c.cfg.DelayedAckMin {
		top := delayedAckCap
		if c.ack&(pingpong|ackPushed) != 0 {
			top = c.cfg.DelayedAckMax
		}
		if c.rtt.srtt8 > 0 {
			top = min(top, max(c.rtt.srtt8>>3, c.cfg.DelayedAckMin))
		}
		ato = min(ato, top)
	}
	ato = min(ato, c.cfg.DelayedAckMax)
	at := c.now + ato
	if c.ack&ackTimer != 0 {
		if c.ackAt <= c.now+ato/4 {
			c.sendAck()
			return
		}
		at = min(at, c.ackAt)
	}
	c.ack |= ackTimer
	c.ackAt = at
}

// onAckTimer sends the delayed acknowledgement (tcp_delack_timer_handler). If the timer fires, the guess about the program's behaviour was
// wrong.
func (c *Conn) onAckTimer() {
	c.ackAt = Never
	c.ack &^= ackTimer
	if c.ack&ackScheduled == 0 {
		return
	}
	if c.ack&pingpong == 0 {
		c.ato = min(2*c.ato, c.rtt.rto)
	} else {
		c.ack &^= pingpong
		c.ato = c.cfg.DelayedAckMin
	}
	c.sendAck()
}

// ackSent updates the state after an acknowledgement was sent (tcp_event_ack_sent).
func (c *Conn) ackSent() {
	if c.ooo != nil {
		c.ooo.at, c.ooo.held = Never, 0
	}
	if c.quick > 0 && c.ack&ackScheduled != 0 {
		if c.quick--; c.quick == 0 {
			c.ato = c.cfg.DelayedAckMin
		}
	}
	c.ack &= pingpong
	c.ackAt = Never
}

// ackAfterRead sends an acknowledgement or a window update if one is due after the program has read n bytes (tcp_cleanup_rbuf).
func (c *Conn) ackAfterRead(n int) {
	if c.ack&ackScheduled != 0 {
		if c.rcvNxt-c.rcvWup > uint64(c.rcvMSS) ||
			n > 0 && c.rmem == 0 && (c.ack&ackPushed2 != 0 || c.ack&ackPushed != 0 && c.ack&pingpong == 0) {
			c.sendAck()
			return
		}
	}
	if n == 0 || c.flag&readShut != 0 {
		return
	}
	now := c.receiveWindow()
	if 2*now <= c.wndClamp {
		if w := c.freeWindow(); w > 0 && w >= 2*now {
			c.sendAck()
		}
	}
}

// challengeAck answers a segment that might be forged (RFC 5961), at most twice a second.
func (c *Conn) challengeAck() {
	if !c.outOfWindowLimited() {
		c.sendAck()
	}
}

func (c *Conn) outOfWindowLimited() bool {
	if c.lastOutOfWindow != 0 && c.now+1-c.lastOutOfWindow < outOfWindowPause {
		return true
	}
	c.lastOutOfWindow = c.now + 1
	return false
}
