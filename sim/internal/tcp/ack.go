package tcp

import "time"

// An ackResult describes what an acknowledgement did.
type ackResult uint16

const (
	hasData      ackResult = 1 << iota // the segment carries data
	windowUpdate                       // it may have changed the send window
	dataAcked                          // it acknowledges data
	synAcked                           // it acknowledges our SYN
	retransAcked                       // some of the acknowledged data was sent more than once
	unaAdvanced                        // una moved
	dataSacked                         // it selectively acknowledges data that was not acknowledged before
	origAcked                          // something arrived that was sent before the timeout and not since
	dsacking                           // it reports a duplicate
	dsackOfProbe                       // the duplicate is the tail loss probe
	reneging                           // the peer dropped data that it had acknowledged selectively
	setTimer                           // restart the retransmission timer
	lostRetrans                        // a retransmission was lost
	maybeDelayed                       // the peer may have delayed this acknowledgement
	echoesCE                           // ECE: the peer has seen a mark, and has not yet seen our CWR

	acked  = dataAcked | synAcked
	notDup = hasData | windowUpdate | acked
)

// stamp returns the timestamp for an instant. Linux's timestamp clock ticks in milliseconds. The result is never 0, because 0 means no
// timestamp.
func stamp(t Time) Time { return t.Truncate(time.Millisecond) + time.Millisecond }

// echoedBefore reports whether the timestamp that the peer echoed last is older than t.
func (c *Conn) echoedBefore(t Time) bool {
	return c.has&timestampsOK != 0 && c.rcvEcho != 0 && c.rcvEcho < t
}

// echoRTT returns the round-trip time according to timestamps, at least 1 ms (tcp_rtt_tsopt_us).
func (c *Conn) echoRTT() Time { return max(stamp(c.now)-c.rcvEcho, time.Millisecond) }

// handleAck processes the acknowledgement in s (tcp_ack). It returns false if s must be discarded.
func (c *Conn) handleAck(s *Segment) bool {
	priorUna, priorPackets := c.una, c.tx.packets()
	r := &c.rec
	delivered, lost := r.delivered, r.lostTotal
	k := sackScan{reorder: c.nxt, priorFacked: c.highestSacked()}
	ack := s.Ack

	if int64(ack) < int64(priorUna) {
		if int64(ack)+int64(c.oldest()) < int64(priorUna) {
			c.challengeAck()
			return false
		}
		if s.SACKLen > 0 {
			c.tagSacks(s, priorUna, &k)
			what := c.fastRetransmitAlert(priorUna, false, &k.flag)
			c.controlOnAck(r.delivered-delivered, r.lostTotal-lost, k.flag)
			c.resendAfterAck(what)
		}
		return true
	}
	if ack > c.nxt {
		c.challengeAck()
		return false
	}
	if ack > priorUna {
		k.flag |= unaAdvanced
		c.retries = 0
	}
	if s.Len() > 0 {
		k.flag |= hasData
	}
	if s.Flags&ECE != 0 && c.ecn&ecnOK != 0 {
		k.flag |= echoesCE
	}
	c.updateWindow(s, &k)
	c.una = ack
	if s.SACKLen > 0 && c.has&sackOK != 0 {
		c.tagSacks(s, priorUna, &k)
	}
	c.softErr = OK
	c.probes = 0
	c.lastAck = c.now

	if priorPackets == 0 {
		c.ackedWithNothingSent(ack, &k)
		return true
	}
	c.cleanQueue(priorUna, &k)
	if k.hasPrior {
		c.updateReorderingWindow(k.prior)
	}
	if k.flag&(acked|dataSacked) != 0 || k.flag&notDup == 0 {
		c.flag |= progress
	}
	c.processProbeAck(ack, k.flag)
	what := resendNone
	if k.flag&notDup == 0 || k.flag&(dataSacked|dsacking|echoesCE) != 0 || c.cc.state != caOpen {
		dup := k.flag&(unaAdvanced|notDup|dsacking) == 0
		what = c.fastRetransmitAlert(priorUna, dup, &k.flag)
	}
	if k.flag&setTimer != 0 && !c.scheduleProbe(true) {
		c.rearmRTO()
	}
	c.controlOnAck(r.delivered-delivered, r.lostTotal-lost, k.flag)
	c.resendAfterAck(what)
	return true
}

// oldest returns how far below una an acknowledgement may be (RFC 5961 section 5.2): at most one window, and never below the first byte.
func (c *Conn) oldest() uint64 {
	acked := c.una // bytes_acked counts our SYN if we dialled
	if c.flag&passive != 0 {
		acked--
	}
	return min(uint64(c.maxWnd), acked)
}

// ackedWithNothingSent handles an acknowledgement when nothing is outstanding. The acknowledgement may open a closed window.
func (c *Conn) ackedWithNothingSent(ack uint64, k *sackScan) {
	if k.flag&dsacking != 0 {
		c.fastRetransmitAlert(c.una, false, &k.flag)
	}
	if c.nxt < c.end {
		n, fin, _ := c.headSize()
		if c.takes(n, fin, n) {
			c.backoff, c.probedSince = 0, 0
			if c.timer == timerWindow {
				c.clearTimer()
			}
		} else {
			c.setTimer(timerWindow, c.clampProbe())
		}
	}
	c.processProbeAck(ack, k.flag)
}

// mayUpdateWindow reports whether s may carry a new window (tcp_may_update_window).
func (c *Conn) mayUpdateWindow(s *Segment) bool {
	return s.Ack > c.una || s.Seq > c.wl1 || s.Seq == c.wl1 && (s.Window > c.wnd || s.Window == 0)
}

// updateWindow adopts the peer's window (RFC 9293 section 3.10.7.4, as in tcp_ack_update_window).
func (c *Conn) updateWindow(s *Segment, k *sackScan) {
	w := s.Window
	if !c.mayUpdateWindow(s) {
		return
	}
	k.flag |= windowUpdate
	c.wl1 = s.Seq
	if c.wnd == w {
		return
	}
	c.wnd = w
	if c.nxt < c.end {
		c.restartAfterIdle()
	}
	if w > c.maxWnd {
		c.maxWnd = w
		c.syncMSS()
	}
}

// cleanQueue removes the segments below una and measures the round-trip time (tcp_clean_rtx_queue).
func (c *Conn) cleanQueue(priorUna uint64, k *sackScan) {
	r := &c.rec
	priorSacked := r.sacked
	reorder := c.nxt
	var first, last Time
	timed := false
	n := 0
	sack := c.has&sackOK != 0
	for !c.tx.empty() {
		s := c.tx.front()
		if s.end() > c.una {
			if s.seq >= c.una || !c.cutAtUna() {
				break
			}
			continue
		}
		if s.flag&txMerged != 0 {
			c.tx.pop()
			continue
		}
		if s.flag&(txRetrans|txEverRetrans) != 0 {
			if s.flag&txRetrans != 0 {
				r.retrans--
			}
			k.flag |= retransAcked
		} else if s.flag&txSacked == 0 {
			if !timed {
				first = s.sent
			}
			last, timed = s.sent, true
			reorder = min(reorder, s.seq)
			if s.end() <= r.highSeq {
				k.flag |= origAcked
			}
		}
		if s.flag&txSacked != 0 {
			r.sacked--
		} else if sack {
			r.delivered++
			if !c.spuriousRetrans(s) {
				c.rackAdvance(s)
			}
		}
		if s.flag&txLost != 0 {
			r.lost--
		}
		k.noteDelivered(s)
		if s.flag&txSYN != 0 {
			k.flag |= synAcked
			r.retransStamp = 0
		} else {
			k.flag |= dataAcked
		}
		n++
		c.tx.pop()
	}
	if r.hint != none && !c.tx.contains(r.hint) {
		r.hint = none
	}
	if !c.tx.empty() && c.tx.front().flag&txSacked != 0 {
		k.flag |= reneging
	}
	if c.tx.empty() {
		c.idle()
	}

	seqRTT, ccRTT := Time(-1), Time(-1)
	if timed && k.flag&retransAcked == 0 {
		seqRTT, ccRTT = c.now-first, c.now-last
		if n == 1 && priorSacked == 0 && c.una-priorUna < uint64(c.mss) && k.prior+1 == r.delivered &&
			k.flag&(dataSacked|dsacking|synAcked) == 0 {
			k.flag |= maybeDelayed
		}
	}
	sackRTT := Time(-1)
	if k.any {
		sackRTT = c.now - k.firstSent
		ccRTT = c.now - k.lastSent
	}
	updated := c.updateRTT(seqRTT, sackRTT, &ccRTT, k.flag)

	if k.flag&acked != 0 {
		k.flag |= setTimer
		if !sack {
			c.removeRenoSacks(n)
			if k.flag&retransAcked != 0 {
				k.flag &^= origAcked
			}
		} else if reorder < k.priorFacked {
			c.checkReordering(reorder)
		}
	} else if !c.tx.empty() && updated && sackRTT >= 0 && sackRTT > c.now-c.tx.front().sent {
		// The newly acknowledged data was sent before the first segment was last sent again. Restart the timer: otherwise it could fire
		// while the loss is being repaired. Data sent later does not restart it, because it would postpone the timeout for as long as the
		// recovery lasts.
		k.flag |= setTimer
	}
	if ccRTT >= 0 && c.cfg.ctrl == cubic {
		c.cubic().sample(c, ccRTT)
	}
}

// idle drops state that a connection does not need while nothing is outstanding.
func (c *Conn) idle() {
	if c.ep != nil {
		c.ep.cache.n = 0
	}
	if c.snd != nil && c.nxt == c.end && c.snd.appended == 0 {
		c.snd.retire(c.end, c.out)
		c.snd.retireJoint(c.end, c.out)
		c.snd.full, c.snd.size = nil, 0
	}
}

// trim also drops state that the next exchange would have to create again.
func (c *Conn) trim() {
	if !c.tx.empty() || c.nxt < c.end || c.appended() > 0 {
		return
	}
	c.snd = nil
	c.tx.buf = nil
	if c.rcvq.empty() {
		c.rcvq = nil
	}
	c.ep = nil
	c.rec.undoMarked = false
	if c.cub != nil && c.cub.lastMax == 0 && c.cub.epoch == Never {
		c.cub = nil // it served only slow start; see cubic
	}
}

// updateRTT takes a sample of the round-trip time by Karn's rule, or else from timestamps (tcp_ack_update_rtt). It reports whether there
// was a sample.
func (c *Conn) updateRTT(seqRTT, sackRTT Time, ccRTT *Time, flag ackResult) bool {
	if seqRTT < 0 {
		seqRTT = sackRTT
	}
	if seqRTT < 0 && c.has&timestampsOK != 0 && c.rcvEcho != 0 && flag&acked != 0 {
		seqRTT = c.echoRTT()
		*ccRTT = seqRTT
	}
	if seqRTT < 0 {
		return false
	}
	if m := c.rtt.min(); flag&maybeDelayed == 0 || m == 0 || *ccRTT <= m {
		c.rtt.updateMin(c.now, *ccRTT)
	}
	c.rtt.sample(seqRTT, c.cfg.RTOMin, c.una, c.nxt)
	c.rtt.setRTO(c.cfg.RTOMax)
	c.backoff = 0
	return true
}
