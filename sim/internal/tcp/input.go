package tcp

// Input handles a segment that arrived. It keeps s.Payload, but not s.
func (c *Conn) Input(now Time, s *Segment) { c.InputPart(now, s, false) }

// InputPart is like Input for one part of a joined segment (see Joined). If more is true, the next part must follow at once, and the
// effects of this part wait for the last one.
func (c *Conn) InputPart(now Time, s *Segment, more bool) {
	c.now = now
	c.segsIn++
	c.flag &^= morePart
	if more {
		c.flag |= morePart
	}
	c.input(s)
	c.flag &^= laterPart
	if more {
		c.flag |= laterPart
	}
}

func (c *Conn) input(s *Segment) {
	if c.predicted(s) {
		c.inputPredicted(s)
		return
	}
	if c.state == SynSent {
		c.irs = s.ISS // not known yet: take the number of the host that answers
	}
	if !c.Knows(s) {
		s = c.translate(s)
	}
	switch c.state {
	case StateClosed:
		c.answerWithReset(s)
	case SynSent:
		c.inputSynSent(s)
	case SynReceived:
		c.inputSynReceived(s)
	case TimeWait:
		c.inputTimeWait(s)
	default:
		c.inputSynchronized(s)
	}
}

// predicted reports whether s is the usual segment for a bulk receiver: it carries the next data, within the window, and nothing else that
// is new, and c has nothing outstanding and nothing to send. This is header prediction (RFC 1122 section 4.2.2.20 (f),
// tcp_rcv_established). For such a segment most of inputSynchronized has no effect.
func (c *Conn) predicted(s *Segment) bool {
	return s.Seq == c.rcvNxt && s.Ack == c.una && c.una == c.end && c.state == Established && c.tx.empty() &&
		len(s.Payload) > 0 && s.Seq+uint64(len(s.Payload)) <= c.rcvMax && s.Flags|PSH == ACK|PSH && s.SACKLen == 0 &&
		s.Window == c.wnd && c.ooo == nil && c.rec.tlpHigh == 0 && c.Knows(s) && !c.stale(s)
}

// inputPredicted is inputSynchronized for a predicted segment.
func (c *Conn) inputPredicted(s *Segment) {
	c.noteTimestamp(s)
	c.wl1 = max(c.wl1, s.Seq)
	c.softErr = OK
	c.probes = 0
	c.lastAck = c.now
	c.measureEcho(len(s.Payload))
	c.receiveInOrder(s, s.Payload, false)
	if c.flag&morePart == 0 {
		c.checkSpace()
		c.checkAck()
	}
}

// answerWithReset sends the RST that a host sends when it has no such connection.
func (c *Conn) answerWithReset(s *Segment) {
	if s.Flags&RST != 0 {
		return
	}
	out := c.out.NewSegment()
	if !c.Knows(s) {
		s = c.restore(s)
	}
	ResetFor(s, out)
	out.ipHeader = c.cfg.ipHeader
	c.segsOut++
	c.out.Send(c, out)
}

// inputSynSent follows RFC 9293 section 3.10.7.3.
func (c *Conn) inputSynSent(s *Segment) {
	if s.Flags&ACK != 0 && (s.Ack == 0 || s.Ack > c.nxt || c.echoesNoSYN(s)) {
		// The peer knows an earlier connection on the same ports. The RST ends that connection, and the SYN is soon sent again.
		if c.retries == 0 {
			c.setTimer(timerRTO, twoJiffies)
		}
		c.answerWithReset(s)
		return
	}
	if s.Flags&RST != 0 {
		if s.Flags&ACK != 0 {
			c.die(Refused)
		}
		return
	}
	if s.Flags&SYN == 0 {
		return
	}
	c.maxWnd = s.Window
	c.agreeOnECN(s)
	c.handshakeOptions(s)
	c.rcvNxt = s.Seq + 1
	c.rcvWup, c.copied = c.rcvNxt, c.rcvNxt
	c.rcvMax = c.rcvWup + uint64(c.rcvWnd)
	c.wnd, c.wl1 = s.Window, s.Seq
	if s.Flags&ACK == 0 {
		// Simultaneous open. The timer of the SYN keeps running (tcp_send_synack).
		c.state = SynReceived
		c.transmit(c.tx.head, Original, false)
		return
	}
	c.acceptOurSYN(s)
	c.established()
	c.lastData = c.now
	c.sendAck()
	c.push()
}

// acceptOurSYN measures the round-trip time of the handshake and removes the SYN from the queue.
func (c *Conn) acceptOurSYN(s *Segment) {
	c.rcvEcho = s.TSEcr
	head := c.tx.front()
	rtt := Time(-1)
	if head.flag&txEverRetrans == 0 {
		rtt = c.now - head.sent
	}
	if c.has&timestampsOK != 0 && c.rcvEcho == c.rec.retransStamp {
		c.rec.undoMarked = false // the first SYN had arrived: there was no loss
	}
	if c.has&sackOK == 0 && c.flag&passive == 0 && head.flag&txEverRetrans != 0 {
		// A timeout of the SYN is like any other timeout: see holdState.
		c.cc.state, c.rec.highSeq = caLoss, 1
	}
	c.rec.retransStamp = 0
	c.una = 1
	c.tx.pop()
	c.rec.delivered++
	ccRTT := rtt
	c.updateRTT(rtt, -1, &ccRTT, synAcked)
	c.retries, c.backoff = 0, 0
	c.flag |= progress
	c.clearTimer()
}

// inputSynReceived waits for the acknowledgement of our SYN-ACK
// (tcp_check_req).
func (c *Conn) inputSynReceived(s *Segment) {
	if s.Flags&(SYN|RST|ACK) == SYN && s.Seq+1 == c.rcvNxt {
		if c.flag&passive != 0 && !c.outOfWindowLimited() {
			c.repeatSynAck()
		} else if c.flag&passive == 0 {
			c.challengeAck()
		}
		return
	}
	dialled := c.flag&passive == 0
	wrong := s.Flags&ACK != 0 && s.Ack != 1
	if wrong && !dialled && s.Flags&RST == 0 {
		c.answerWithReset(s)
		return
	}
	simultaneous := dialled && s.Flags&(SYN|ACK) == SYN|ACK && s.Seq+1 == c.rcvNxt
	switch {
	case !simultaneous && !c.inWindow(s):
		if dialled {
			c.refuse(s)
		} else if s.Flags&RST == 0 && (s.Len() > 0 && s.Flags&SYN == 0 || !c.outOfWindowLimited()) {
			c.sendAck()
		}
		return
	case s.Flags&RST != 0 && s.Seq != c.rcvNxt:
		c.challengeAck() // RFC 5961 section 3.2
		return
	case s.Flags&RST != 0 && dialled:
		c.die(Reset)
		return
	case s.Flags&RST != 0:
		c.die(OK)
		return
	case s.Flags&SYN != 0 && dialled && !simultaneous:
		c.challengeAck()
		return
	case s.Flags&SYN != 0 && !simultaneous:
		c.answerWithReset(s)
		c.die(OK)
		return
	case wrong:
		c.answerWithReset(s)
		return
	}
	if s.Flags&ACK == 0 {
		return
	}
	c.wnd, c.wl1 = s.Window, s.Seq
	c.maxWnd = max(c.maxWnd, c.wnd)
	c.noteTimestamp(s)
	c.acceptOurSYN(s)
	c.syncMSS()
	closing := c.flag&finQueued != 0
	if !dialled {
		c.lastOutOfWindow = 0 // the kernel creates the socket only at this point
	}
	c.established()
	if closing {
		c.state = FinWait1
	}
	if simultaneous {
		c.ack |= ackScheduled | ackNow
	}
	c.processText(s)
}

// inWindow is the acceptability test of RFC 9293 section 3.4, as in tcp_sequence. A window that we have since reduced still counts (RFC
// 7323 section 2.4): the peer has sent data up to its edge, and its acknowledgements have sequence numbers from there. A segment may end
// beyond the window only if the program has read everything.
func (c *Conn) inWindow(s *Segment) bool {
	end := s.Seq + uint64(s.Len())
	edge := int64(max(c.rcvMax, c.rcvNxt))
	return int64(end) >= int64(c.rcvWup) && int64(s.Seq) <= edge && (int64(end) <= edge || c.rcvq.empty())
}

// noteTimestamp records the timestamp to echo (RFC 7323 section 4.3).
func (c *Conn) noteTimestamp(s *Segment) {
	if !s.HasTimestamps || c.has&timestampsOK == 0 {
		c.rcvEcho = 0
		return
	}
	c.rcvEcho = s.TSEcr
	if s.Seq <= c.rcvWup && s.TSVal >= c.tsRecent {
		c.tsRecent = s.TSVal
	}
}

// inputSynchronized follows RFC 9293 section 3.10.7.4.
func (c *Conn) inputSynchronized(s *Segment) {
	if c.state == FinWait2 && c.flag&orphan != 0 {
		c.inputHalfDead(s)
		return
	}
	if s.Flags&RST == 0 && c.stale(s) && !c.inDisorder(s) {
		if s.Len() > 0 || s.Flags&ACK == 0 || s.Seq >= c.rcvNxt {
			c.refuse(s)
		}
		return // a late acknowledgement brings nothing new
	}
	if !c.inWindow(s) {
		c.refuse(s)
		return
	}
	if s.Flags&RST != 0 {
		if s.Seq == c.rcvNxt {
			c.onReset()
		} else {
			c.challengeAck()
		}
		return
	}
	if s.Flags&SYN != 0 {
		c.challengeAck()
		return
	}
	if s.Flags&ACK == 0 {
		return
	}
	c.noteTimestamp(s)
	if !c.handleAck(s) {
		if c.state != Established {
			c.challengeAck()
		}
		return
	}
	if c.state == Established {
		c.measureEcho(s.Len())
	}
	if !c.afterAck(s) {
		return
	}
	c.processText(s)
}

// stale reports whether the timestamps show that a newer segment than s was accepted before (PAWS, RFC 7323 section 5.3, tcp_paws_check).
func (c *Conn) stale(s *Segment) bool {
	return s.HasTimestamps && c.has&timestampsOK != 0 && c.tsRecent-s.TSVal > pawsWindow
}

// inDisorder reports whether s is a mere acknowledgement that repeats the last one and was overtaken a short while ago
// (tcp_disordered_ack_check).
func (c *Conn) inDisorder(s *Segment) bool {
	return s.Flags&ACK != 0 && s.Len() == 0 && s.Seq == c.rcvNxt && s.Ack == c.una && !c.mayUpdateWindow(s) &&
		c.tsRecent-s.TSVal <= c.rtt.rto*12/10
}

// refuse answers a segment that is outside the window or stale with an acknowledgement.
func (c *Conn) refuse(s *Segment) {
	if s.Flags&RST != 0 {
		// A RST that does not count the peer's FIN has a sequence number one below ours.
		if s.Seq+1 == c.rcvNxt && (c.state == CloseWait || c.state == LastAck || c.state == Closing) {
			c.onReset()
		}
		return
	}
	if s.Flags&SYN != 0 {
		c.challengeAck()
		return
	}
	if s.Len() == 0 && c.outOfWindowLimited() {
		return
	}
	if end := s.Seq + uint64(s.Len()); end != s.Seq && s.Seq < c.rcvNxt {
		c.ackAtOnce()
		c.reportDuplicate(Block{s.Seq, min(end, c.rcvNxt)})
	}
	c.sendAck()
}

// inputHalfDead handles a segment for a connection that the program has closed and that only waits for the peer's FIN. Linux keeps hardly
// any state of such a connection (tcp_timewait_state_process).
func (c *Conn) inputHalfDead(s *Segment) {
	end := s.Seq + uint64(s.Len())
	edge := c.rcvNxt + uint64(c.receiveWindow())
	inside := s.Seq == c.rcvNxt || int64(end) > int64(c.rcvNxt) && int64(s.Seq) < int64(edge) || s.Seq == edge && end == s.Seq
	switch {
	case !inside, s.Flags&RST == 0 && c.stale(s):
		if s.Len() > 0 && s.Flags&SYN == 0 || !c.outOfWindowLimited() {
			c.sendAck()
		}
	case s.Flags&RST != 0:
		c.die(OK)
	case s.Flags&SYN != 0 && int64(s.Seq) >= int64(c.rcvNxt):
		c.answerWithReset(s)
		c.die(OK)
	case s.Flags&ACK == 0 || int64(end) <= int64(c.rcvNxt) || end == s.Seq:
	case s.Flags&FIN == 0 || end != c.rcvNxt+1: // nobody will read it
		c.answerWithReset(s)
		c.die(OK)
	default:
		c.noteTimestamp(s)
		c.rcvNxt++
		c.receiveFIN()
	}
}

// onReset ends the connection (tcp_reset).
func (c *Conn) onReset() {
	switch c.state {
	case CloseWait:
		c.die(BrokenPipe)
	default:
		c.die(Reset)
	}
}

// afterAck changes the state when our FIN was acknowledged. It returns false when the connection has ended.
func (c *Conn) afterAck(s *Segment) bool {
	if c.flag&finQueued == 0 || c.una != c.end {
		return true
	}
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		if c.flag&orphan == 0 {
			return true
		}
		if c.beyond(s) {
			c.answerWithReset(s)
			c.die(OK)
			return false
		}
		c.waitForFIN()
	case Closing:
		c.timeWait()
		return false
	case LastAck:
		c.die(OK)
		return false
	}
	return true
}

// processText processes the data and FIN of s, and sends whatever has become possible.
func (c *Conn) processText(s *Segment) {
	switch c.state {
	case CloseWait, Closing, LastAck:
		if s.Len() > 0 && s.Seq < c.rcvNxt {
			c.receiveLate(s)
		}
	case FinWait1, FinWait2:
		c.receiveLate(s)
	case Established:
		c.receiveData(s)
	}
	if c.state == StateClosed || c.state == TimeWait || c.flag&morePart != 0 {
		return
	}
	c.push()
	c.checkSpace()
	c.checkAck()
}

// receiveLate accepts s unless s has data that nobody will read (RFC 1122 section 4.2.2.13): the program has stopped reading, or the peer's
// stream has already ended.
func (c *Conn) receiveLate(s *Segment) {
	if c.flag&readShut != 0 && c.beyond(s) {
		c.answerWithReset(s)
		c.onReset()
		return
	}
	c.receiveData(s)
}

// waitForFIN limits how long a closed connection waits for the peer's FIN.
func (c *Conn) waitForFIN() {
	c.keepAt = c.now + c.finTime()
	c.lastOutOfWindow = 0
}

// beyond reports whether s ends beyond the data that we have.
func (c *Conn) beyond(s *Segment) bool {
	return s.Len() > 0 && int64(s.Seq)+int64(len(s.Payload)) > int64(c.rcvNxt)
}

// timeWait enters TIME_WAIT.
func (c *Conn) timeWait() {
	c.state = TimeWait
	c.clearTimer()
	c.ackAt = Never
	c.keepAt = c.now + c.cfg.TimeWait
	c.lastOutOfWindow = 0
	c.dropSendState()
	c.dropOutOfOrder()
}

// inputTimeWait follows tcp_timewait_state_process.
func (c *Conn) inputTimeWait(s *Segment) {
	if _, ok := c.Reopens(s); ok {
		c.sendAck() // there is no reader
		return
	}
	if !c.inWindow(s) {
		if s.Flags&RST == 0 {
			c.againInTimeWait(s)
		}
		return
	}
	if s.Flags&RST != 0 {
		if s.Seq == c.rcvNxt {
			c.die(OK)
		}
		return
	}
	if s.Seq == c.rcvNxt && s.Len() == 0 && !c.stale(s) {
		c.keepAt = c.now + c.cfg.TimeWait // wait once more after the last acknowledgement
		return
	}
	c.againInTimeWait(s)
}

func (c *Conn) againInTimeWait(s *Segment) {
	if s.Flags&ACK != 0 {
		c.keepAt = c.now + c.cfg.TimeWait
	}
	if s.Len() > 0 && s.Flags&SYN == 0 || !c.outOfWindowLimited() {
		c.sendAck()
	}
}
