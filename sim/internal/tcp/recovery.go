package tcp

// A recovery is the sender's view of what was lost (tcp_input.c).
type recovery struct {
	highSeq      uint64 // nxt when recovery began: recovery ends when highSeq is acknowledged
	tlpHigh      uint64 // nxt when a tail loss probe was sent; 0: no probe
	retransStamp Time   // timestamp of the first retransmission; 0: none

	sacked, lost, retrans uint32 // numbers of segments in the queue with txSacked, txLost, txRetrans
	delivered             uint32 // segments, in total
	lostTotal             uint32
	duplicates            uint32 // duplicates that the peer reported, in total
	hint                  uint32 // first segment that may have to be sent again; none: unknown
	reordering            uint16 // by how many segments packets were seen out of order

	undoMarked bool // the reduction of the window may be undone
	tlpRetrans bool // the tail loss probe was a retransmission
	frto       bool // F-RTO, RFC 5682, is testing whether the timeout was spurious
	reordSeen  bool
	reneged    bool // the peer dropped data that it had acknowledged selectively
}

// An episode holds the state that matters only after a real or apparent loss.
type episode struct {
	cache         sackCache
	highestSack   uint64 // end of the highest segment that was acknowledged selectively, if sacked > 0
	undoMarker    uint64 // una when the window was reduced
	undoRetrans   int32  // retransmissions not yet reported as duplicates; -1: there were none
	priorSSThresh uint32 // threshold before the reduction; 0: the reduction must not be undone
	priorCwnd     uint32

	// Proportional rate reduction (RFC 6937): segments since the reduction began.
	prrDelivered, prrOut uint32
}

// episode returns the current episode, or begins one.
func (c *Conn) episode() *episode {
	if c.ep == nil {
		c.ep = new(episode)
	}
	return c.ep
}

// inFlight returns the number of segments thought to be in the network.
func (c *Conn) inFlight() int {
	return c.tx.packets() - int(c.rec.sacked) - int(c.rec.lost) + int(c.rec.retrans)
}

// highestSacked returns the end of the highest data that was acknowledged selectively.
func (c *Conn) highestSacked() uint64 {
	if c.rec.sacked == 0 || c.has&sackOK == 0 {
		return c.una
	}
	return c.ep.highestSack
}

// markLost counts segment i, or its retransmission, as lost.
func (c *Conn) markLost(i uint32) {
	s := c.tx.at(i)
	if s.flag&(txSacked|txMerged) != 0 {
		return
	}
	r := &c.rec
	if r.hint == none && r.retrans >= r.lost || r.hint != none && c.tx.before(i, r.hint) {
		r.hint = i
	}
	if s.flag&txLost == 0 {
		s.flag |= txLost
		r.lost++
		r.lostTotal++
	} else if s.flag&txRetrans != 0 {
		s.flag &^= txRetrans
		r.retrans--
		r.lostTotal++
	}
}

// anyRetransDone reports whether a retransmission may still be under way (tcp_any_retrans_done).
func (c *Conn) anyRetransDone() bool {
	return c.rec.retrans > 0 || !c.tx.empty() && c.tx.front().flag&txEverRetrans != 0
}

// initUndo records where a reduction began (tcp_init_undo).
func (c *Conn) initUndo() {
	r, ep := &c.rec, c.episode()
	r.undoMarked = true
	ep.undoMarker = c.una
	ep.undoRetrans = int32(r.retrans)
	if r.tlpHigh != 0 && r.tlpRetrans {
		ep.undoRetrans++
	}
	if ep.undoRetrans == 0 {
		ep.undoRetrans = -1
	}
}

// enterRecovery begins fast recovery. A reduction that the peer's ECE demands must not be undone.
func (c *Conn) enterRecovery(flag ackResult) {
	c.initUndo()
	c.ep.priorSSThresh = 0
	if !c.cc.reducing() {
		if flag&echoesCE == 0 {
			c.ep.priorSSThresh = c.cc.currentSSThresh()
		}
		c.startReduction()
	}
	c.cc.state = caRecovery
}

// enterLoss handles a retransmission timeout (tcp_enter_loss). Everything that was sent long enough ago is lost, and the window starts
// again from one segment.
func (c *Conn) enterLoss() {
	g, r := &c.cc, &c.rec
	fresh := g.state < caRecovery
	c.markTimeout()
	if g.state <= caDisorder || r.highSeq <= c.una || g.state == caLoss && c.retries == 0 {
		c.initUndo()
		c.ep.priorSSThresh = g.currentSSThresh()
		c.ep.priorCwnd = g.cwnd
		g.ssthresh = c.ssthreshOnLoss()
	}
	c.queueCWR()
	g.cwnd = uint32(c.inFlight() + 1)
	g.count = 0
	g.stamp = c.now
	if g.state <= caDisorder && r.sacked >= uint32(c.cfg.Reordering) {
		r.reordering = min(r.reordering, uint16(c.cfg.Reordering))
	}
	g.state = caLoss
	if c.cub != nil {
		c.cub.reset()
		c.cub.startRound(c.now, c.nxt)
	}
	r.highSeq = c.nxt
	r.tlpHigh = 0
	r.frto = !c.cfg.NoFRTO && (fresh || c.retries > 0)
}

// markTimeout marks the segments that a timeout declares lost (tcp_timeout_mark_lost).
func (c *Conn) markTimeout() {
	r := &c.rec
	head := c.tx.front()
	reneged := head.flag&txSacked != 0
	if reneged {
		r.sacked = 0
		r.reneged = true
	} else if c.has&sackOK == 0 {
		r.sacked = 0
	}
	for i := c.tx.head; i != c.tx.tail; i++ {
		s := c.tx.at(i)
		if reneged {
			s.flag &^= txSacked
		} else if i != c.tx.head && c.has&sackOK != 0 && c.rack.rtt-(c.now-s.sent) > 0 {
			continue // sent too recently
		}
		c.markLost(i)
	}
	r.hint = none
}

// fastRetransmitAlert is the state machine of congestion. It runs for an acknowledgement that is not plain (tcp_fastretrans_alert). dup
// reports whether the acknowledgement is a duplicate.
func (c *Conn) fastRetransmitAlert(priorUna uint64, dup bool, flag *ackResult) resend {
	g, r := &c.cc, &c.rec
	if c.tx.empty() && r.sacked > 0 {
		r.sacked = 0
	}
	if *flag&echoesCE != 0 && c.ep != nil {
		c.ep.priorSSThresh = 0
	}
	if c.checkReneging(flag) {
		return resendNone
	}
	if g.state == caOpen {
		r.retransStamp = 0
	} else if c.una >= r.highSeq {
		switch g.state {
		case caCWR:
			if c.una != r.highSeq {
				c.endReduction()
				g.state = caOpen
			}
		case caRecovery:
			if c.has&sackOK == 0 {
				r.sacked = 0
			}
			if c.tryUndoRecovery() {
				return resendNone
			}
			c.endReduction()
		}
	}

	advanced := *flag&unaAdvanced != 0
	switch g.state {
	case caRecovery:
		if !advanced {
			c.addRenoSack(dup)
		} else if c.tryUndoPartial(priorUna) {
			return resendNone
		}
		if c.tryUndoDSACK() {
			c.tryKeepOpen()
		}
		c.identifyLoss(flag)
		if g.state != caRecovery {
			if r.lost == 0 {
				return resendNone
			}
			c.enterRecovery(*flag)
		}
		return resendLost
	case caLoss:
		again := c.processLoss(*flag, dup)
		c.identifyLoss(flag)
		if g.state != caOpen && *flag&lostRetrans == 0 {
			return again
		}
	}
	if c.has&sackOK == 0 {
		if advanced {
			r.sacked = 0
		}
		c.addRenoSack(dup)
	}
	if g.state <= caDisorder {
		c.tryUndoDSACK()
	}
	c.identifyLoss(flag)
	if r.lost == 0 {
		c.tryToOpen(*flag)
		return resendNone
	}
	c.enterRecovery(*flag)
	return resendLost
}

// A resend says what to send first after an acknowledgement.
type resend uint8

const (
	resendNone resend = iota
	resendLost
	resendNew // F-RTO: new data, to find out whether the timeout was spurious
)

// identifyLoss marks lost segments.
func (c *Conn) identifyLoss(flag *ackResult) {
	if c.tx.empty() {
		return
	}
	if c.has&sackOK == 0 {
		c.newRenoMarkLost(*flag&unaAdvanced != 0)
		return
	}
	before := c.rec.retrans
	if c.rackMarkLost() {
		*flag &^= setTimer
	}
	if before > c.rec.retrans {
		*flag |= lostRetrans
	}
}

// processLoss handles an acknowledgement after a timeout (tcp_process_loss).
func (c *Conn) processLoss(flag ackResult, dup bool) resend {
	r := &c.rec
	recovered := c.una >= r.highSeq
	advanced := flag&unaAdvanced != 0
	if advanced && c.tryUndoLoss(false) {
		return resendNone
	}
	if r.frto {
		if flag&origAcked != 0 && c.tryUndoLoss(true) {
			return resendNone
		}
		if c.nxt > r.highSeq {
			if flag&dataSacked != 0 || dup {
				r.frto = false // the loss was real
			}
		} else if advanced && !recovered {
			r.highSeq = c.nxt
			if c.nxt < c.end && c.wndEnd() > c.nxt {
				return resendNew
			}
			r.frto = false
		}
	}
	if recovered {
		c.tryUndoRecovery()
		return resendNone
	}
	if c.has&sackOK == 0 {
		if c.nxt > r.highSeq && dup {
			c.addRenoSack(dup)
		} else if advanced {
			r.sacked = 0
		}
	}
	return resendLost
}

// resendAfterAck sends the segments that fastRetransmitAlert decided on (tcp_xmit_recovery).
func (c *Conn) resendAfterAck(what resend) {
	if what == resendNone {
		return
	}
	if what == resendNew {
		c.writePending(pushFull)
		if c.nxt > c.rec.highSeq {
			return
		}
		c.rec.frto = false
	}
	c.retransmitLost()
}

// checkReneging handles a peer that asks for a segment that it had acknowledged selectively. The peer gets half a round trip, then c treats
// it as a timeout.
func (c *Conn) checkReneging(flag *ackResult) bool {
	if *flag&reneging == 0 || *flag&unaAdvanced == 0 {
		return false
	}
	c.setTimer(timerRTO, max(c.rtt.srtt8>>4, renegeDelay))
	*flag &^= setTimer
	return true
}

func (c *Conn) tryKeepOpen() {
	state := caOpen
	if c.rec.sacked+c.rec.lost > 0 || c.anyRetransDone() {
		state = caDisorder
	}
	if c.cc.state != state {
		c.cc.state = state
		c.rec.highSeq = c.nxt
	}
}

func (c *Conn) tryToOpen(flag ackResult) {
	if !c.anyRetransDone() {
		c.rec.retransStamp = 0
	}
	if flag&echoesCE != 0 {
		c.enterCWR()
	}
	if c.cc.state != caCWR {
		c.tryKeepOpen()
	}
}
