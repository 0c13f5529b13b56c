package tcp

// Input handles a segment that arrived. It keeps s.Payload, but not s.
func (c *Conn) Input(now Time, s *Segment) { c.InputPart(now, s, false) }

// InputPart is Input for a part of what is handled as one segment (see Joined). If there are more parts they must follow at
// once: what this one brings about waits for the last.
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
		c.irs = s.ISS // not known yet: it is that of whoever answers
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

// predicted says that s is what comes again and again to who receives bulk: the next data within the window, and
// otherwise nothing that is new, to a connection that has nothing under way and nothing to send. That is header
// prediction (RFC 1122 section 4.2.2.20 (f), tcp_rcv_established): most of what follows in inputSynchronized has no effect then.
func (c *Conn) predicted(s *Segment) bool {
	return s.Seq == c.rcvNxt && s.Ack == c.una && c.una == c.end && c.state == Established && c.tx.empty() &&
		len(s.Payload) > 0 && s.Seq+uint64(len(s.Payload)) <= c.rcvMax && s.Flags|PSH == ACK|PSH && s.SACKLen == 0 &&
		s.Window == c.wnd && c.ooo == nil && c.rec.tlpHigh == 0 && c.Knows(s) && !c.stale(s)
}

// inputPredicted is inputSynchronized for a segment that was predicted.
func (c *Conn) inputPredicted(s *Segment) {
	c.noteTimestamp(s)
	c.wl1 = max(c.wl1, s.Seq)
	c.softErr = OK
	c.probes = 0
	c.lastAck = c.now
	c.receiveInOrder(s, s.Payload, false)
	if c.flag&morePart == 0 {
		c.checkSpace()
		c.checkAck()
	}
}

// answerWithReset sends the RST of a host without a connection.
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
		// The peer knows an earlier connection of the same ports. The RST ends that, and
		// the SYN is sent again soon.
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
		// Simultaneous open. The timer of the SYN goes on (tcp_send_synack).
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

// acceptOurSYN measures the handshake and forgets the SYN.
func (c *Conn) acceptOurSYN(s *Segment) {
	c.rcvEcho = s.TSEcr
	head := c.tx.front()
	rtt := Time(-1)
	if head.flag&txEverRetrans == 0 {
		rtt = c.now - head.sent
	}
	if c.has&timestampsOK != 0 && c.rcvEcho == c.rec.retransStamp {
		c.rec.undoMarked = false // the first one had arrived: there was no loss
	}
	if c.has&sackOK == 0 && c.flag&passive == 0 && head.flag&txEverRetrans != 0 {
		// The timeout of the SYN is like any other: see holdState.
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
		c.lastOutOfWindow = 0 // the kernel makes the socket only now
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

// inWindow is the acceptability test of RFC 9293 section 3.4, as tcp_sequence. A window
// that was taken back counts (RFC 7323 section 2.4): the peer has sent up to its edge,
// and its acknowledgements come from there. Only to a program that has read everything a
// segment may end beyond the window.
func (c *Conn) inWindow(s *Segment) bool {
	end := s.Seq + uint64(s.Len())
	edge := int64(max(c.rcvMax, c.rcvNxt))
	return int64(end) >= int64(c.rcvWup) && int64(s.Seq) <= edge && (int64(end) <= edge || c.rcvq.empty())
}

// noteTimestamp remembers the timestamp to echo (RFC 7323 section 4.3).
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
		return // a late acknowledgement says nothing new
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
	if !c.afterAck(s) {
		return
	}
	c.processText(s)
}

// stale says that a later segment than s was taken before, by their timestamps (PAWS, RFC
// 7323 section 5.3, tcp_paws_check).
func (c *Conn) stale(s *Segment) bool {
	return s.HasTimestamps && c.has&timestampsOK != 0 && c.tsRecent-s.TSVal > pawsWindow
}

// inDisorder says that s is but an acknowledgement that repeats the last one and was
// overtaken a short while ago (tcp_disordered_ack_check).
func (c *Conn) inDisorder(s *Segment) bool {
	return s.Flags&ACK != 0 && s.Len() == 0 && s.Seq == c.rcvNxt && s.Ack == c.una && !c.mayUpdateWindow(s) &&
		c.tsRecent-s.TSVal <= c.rtt.rto*12/10
}

// refuse answers a segment outside the window, or one that is too late, with an
// acknowledgement.
func (c *Conn) refuse(s *Segment) {
	if s.Flags&RST != 0 {
		// A RST one below, for a FIN that we count already.
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

// inputHalfDead handles a segment for a connection that the program has closed and that
// only waits for the peer's FIN. Linux keeps next to nothing of it
// (tcp_timewait_state_process).
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
	case s.Flags&FIN == 0 || end != c.rcvNxt+1: // it will not be read
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

// afterAck moves on when our FIN was acknowledged. It is false when the
// connection has ended.
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

// processText takes the data and FIN of s, and sends what has become possible.
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

// receiveLate takes s unless it has data that will not be read (RFC 1122 section
// 4.2.2.13): the program does not, or the peer's stream has ended before.
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

// beyond says that s tells of data that we do not have.
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
		c.keepAt = c.now + c.cfg.TimeWait // the last acknowledgement, once more
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
