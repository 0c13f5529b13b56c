package tcp

import "time"

// A rackState holds what RACK (RFC 8985) knows about the most recently sent of the delivered segments.
type rackState struct {
	rtt      Time
	order    uint32 // position of its transmission among all transmissions
	advanced bool

	// The reordering window in quarters of the minimum RTT. Duplicates reported by the peer raise it (RFC 8985 section 6.2 step 4).
	steps         uint8
	persist       uint8 // number of recoveries for which a raised window stays
	dsackSeen     bool
	lastDelivered uint32
}

const (
	rackPersist   = 16                    // TCP_RACK_RECOVERY_THRESH
	timerSlack    = 2 * time.Millisecond  // TCP_TIMEOUT_MIN_US
	maxReordering = 300                   // tcp_max_reordering
	renegeDelay   = 10 * time.Millisecond // tcp_check_sack_reneging, at least
)

// sentAfter compares the order of two transmissions. RFC 8985 compares times and, if they are equal, sequence numbers. Here the order of
// the transmissions is known.
func sentAfter(a, b uint32) bool { return int32(a-b) > 0 }

// rackAdvance updates the state after a segment was delivered.
func (c *Conn) rackAdvance(s *txSegment) {
	r := &c.rack
	rtt := c.now - s.sent
	if m := c.rtt.min(); s.flag&(txRetrans|txEverRetrans) != 0 && (m == 0 || rtt < m) {
		return // more likely the first transmission was delivered than the last
	}
	r.advanced = true
	r.rtt = rtt
	if sentAfter(s.order, r.order) {
		r.order = s.order
	}
}

// reorderingWindow returns how much later than the newest delivered segment another segment may arrive (tcp_rack_reo_wnd).
func (c *Conn) reorderingWindow() Time {
	if !c.rec.reordSeen {
		if c.cc.state >= caRecovery || c.rec.sacked >= uint32(c.rec.reordering) {
			return 0
		}
	}
	w := c.rtt.srtt8 >> 3
	if m := c.rtt.min(); m != 0 {
		w = min(w, m/4*Time(c.rack.steps))
	}
	return w
}

// updateReorderingWindow adapts the window to the duplicates that the peer reported. prior is the number of deliveries when the segment
// acknowledged by this acknowledgement was sent.
func (c *Conn) updateReorderingWindow(prior uint32) {
	r := &c.rack
	if prior == 0 {
		return
	}
	if prior < r.lastDelivered {
		r.dsackSeen = false // less than a round trip has passed since the last change
	}
	if r.dsackSeen {
		r.steps = min(r.steps, 254) + 1
		r.dsackSeen = false
		r.lastDelivered = c.rec.delivered
		r.persist = rackPersist
	} else if r.persist == 0 {
		r.steps = 1
	}
}

// detectLoss marks segments that were sent so long before the newest delivered segment that they must be lost. It returns the time that the
// oldest of the remaining segments has left.
func (c *Conn) detectLoss() Time {
	window := c.reorderingWindow()
	var wait Time
	for i := c.tx.first; i != none; {
		s := c.tx.at(i)
		next := s.next
		if s.flag&txLost == 0 || s.flag&txRetrans != 0 {
			if !sentAfter(c.rack.order, s.order) {
				break
			}
			left := c.rack.rtt + window - (c.now - s.sent)
			if left <= 0 {
				c.markLost(i)
				c.tx.unlink(i)
			} else {
				wait = max(wait, left)
			}
		}
		i = next
	}
	return wait
}

// rackMarkLost runs RACK after an acknowledgement. It reports whether it set a timer.
func (c *Conn) rackMarkLost() bool {
	if !c.rack.advanced {
		return false
	}
	c.rack.advanced = false
	wait := c.detectLoss()
	if wait == 0 {
		return false
	}
	c.setTimer(timerReorder, min(wait+timerSlack, c.rtt.rto))
	return true
}

// onReorderTimer runs when the reordering window has passed.
func (c *Conn) onReorderTimer() {
	before, lost := c.inFlight(), c.rec.lostTotal
	c.detectLoss()
	if c.inFlight() != before {
		if c.cc.state != caRecovery {
			c.enterRecovery(0)
			c.reduceCwnd(1, c.rec.lostTotal != lost, false)
		}
		c.retransmitLost()
	}
	if c.timer != timerRTO {
		c.rearmRTO()
	}
}

// scheduleProbe sets the timer of a tail loss probe if a probe is allowed. restart says that the retransmission timer would start anew at
// this moment (tcp_schedule_loss_probe).
func (c *Conn) scheduleProbe(restart bool) bool {
	if c.cfg.NoTailLossProbe || c.tx.empty() || c.has&sackOK == 0 || c.cc.state != caOpen && c.cc.state != caCWR {
		return false
	}
	var wait Time
	switch {
	case c.rtt.srtt8 == 0:
		wait = c.cfg.RTOInitial
	case c.tx.packets() == 1:
		wait = c.rtt.srtt8>>2 + c.cfg.RTOMin // the peer may delay its acknowledgement
	default:
		wait = c.rtt.srtt8>>2 + timerSlack
	}
	rto := c.rtt.rto
	if !restart {
		rto = c.rtoLeft()
	}
	if rto > 0 {
		wait = min(wait, rto)
	}
	c.setTimer(timerProbe, wait)
	return true
}

// sendProbe sends new data, or the last segment again (tcp_send_loss_probe).
func (c *Conn) sendProbe() {
	if c.rec.tlpHigh == 0 {
		c.rec.tlpRetrans = false
		sent := false
		if n, fin, _ := c.headSize(); c.nxt < c.end && c.takes(n, fin, c.currentMSS()) {
			sent = c.writePending(pushProbe)
		} else if !c.tx.empty() {
			_, n := c.transmitAgain(c.tx.lastLive(), 1, TailLossProbe)
			sent = n > 0
			c.rec.tlpRetrans = sent
		}
		if sent {
			c.rec.tlpHigh = c.nxt
			c.timer = timerOff // the timeout counts from this moment
		}
	}
	c.rearmRTO()
}

// processProbeAck ends the episode of a tail loss probe. If the probe repaired a loss, it reduces the window (tcp_process_tlp_ack).
func (c *Conn) processProbeAck(ack uint64, flag ackResult) {
	if c.rec.tlpHigh == 0 || ack < c.rec.tlpHigh {
		return
	}
	switch {
	case !c.rec.tlpRetrans, flag&dsackOfProbe != 0:
		c.rec.tlpHigh = 0
	case ack > c.rec.tlpHigh:
		c.startReduction()
		c.cc.state = caCWR
		c.endReduction()
		c.tryKeepOpen()
	case flag&(unaAdvanced|notDup|dataSacked) == 0:
		c.rec.tlpHigh = 0
	}
}
