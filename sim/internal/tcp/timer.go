package tcp

import (
	"math/bits"
	"time"
)

// A timerKind is the purpose of the retransmission timer.
type timerKind uint8

const (
	timerOff     timerKind = iota
	timerRTO               // retransmission timeout
	timerProbe             // tail loss probe
	timerReorder           // RACK's reordering window
	timerWindow            // probe of a closed window
)

func (c *Conn) setTimer(k timerKind, d Time) {
	c.timer = k
	c.rtxAt = c.now + min(d, c.cfg.RTOMax)
}

func (c *Conn) clearTimer() {
	c.timer = timerOff
	c.rtxAt = Never
}

// rtoLeft returns the time until the timeout of the first segment, counted from its last transmission.
func (c *Conn) rtoLeft() Time {
	if c.tx.empty() {
		return c.rtt.rto
	}
	return c.tx.front().sent + c.rtt.rto - c.now
}

// rearmRTO starts the retransmission timer again (tcp_rearm_rto). If the timer had another purpose in the meantime, that time counts.
func (c *Conn) rearmRTO() {
	if c.tx.empty() {
		c.clearTimer()
		return
	}
	d := c.rtt.rto
	if c.timer == timerReorder || c.timer == timerProbe {
		d = max(c.rtoLeft(), 1)
	}
	c.setTimer(timerRTO, d)
}

// NextTimer returns the instant of the earliest timer, or Never.
func (c *Conn) NextTimer() Time { return min(c.AckTimer(), c.rtxAt, c.keepAt) }

// AckTimer returns the instant of the earliest timer that only sends an acknowledgement, or Never.
func (c *Conn) AckTimer() Time {
	if c.ooo != nil {
		return min(c.ackAt, c.ooo.at)
	}
	return c.ackAt
}

// SendTimer returns the instant of a timer that only sends segments and sets further timers, or Never. That timer does not end c.
func (c *Conn) SendTimer() Time {
	if c.timer == timerProbe || c.timer == timerReorder {
		return c.rtxAt
	}
	return Never
}

// EndTimer returns the instant of the earliest of the other timers, which may end c, or Never.
func (c *Conn) EndTimer() Time {
	if c.SendTimer() != Never {
		return c.keepAt
	}
	return min(c.rtxAt, c.keepAt)
}

// KeepsAlive reports whether c has nothing under way and no work except keep-alive, if that. fails is the earliest instant at which c ends
// if no probe is answered from this moment on, or Never. every is the shortest time between two probes.
func (c *Conn) KeepsAlive() (fails, every Time, ok bool) {
	if c.state != Established && c.state != CloseWait && (c.state != FinWait2 || c.flag&orphan != 0) {
		return 0, 0, false
	}
	if c.rtxAt != Never || c.AckTimer() != Never || !c.tx.empty() || c.nxt < c.end || c.appended() > 0 {
		return 0, 0, false
	}
	fails, every = c.cfg.keepsAlive(c.keepAt, c.probes)
	return fails, every, true
}

// keepsAlive returns the results of [Conn.KeepsAlive] for a connection whose timer is due at the instant at, after this number of probes.
func (cfg *Config) keepsAlive(at Time, probes uint8) (fails, every Time) {
	k := cfg.KeepAlive
	switch {
	case at == Never:
		return Never, Never
	case cfg.UserTimeout > 0:
		return at, min(k.Idle, k.Interval)
	default:
		return at + Time(k.Count-int(probes))*k.Interval, min(k.Idle, k.Interval)
	}
}

// Lookahead returns how long after the instant at, at least, no timer can end c that is set from then on: by Push, by an acknowledgement or
// data, or by a timer that only sends.
func (c *Conn) Lookahead(at Time) Time {
	wait := c.cfg.RTOInitial
	if c.rtt.srtt8 != 0 {
		wait = c.rtt.srtt8 >> 2 // of a tail loss probe
	}
	wait = min(wait, c.rtt.rto, c.cfg.RTOMax)
	if c.retries > 0 || c.cfg.UserTimeout > 0 && c.rec.retransStamp != 0 {
		// The rest of a timeout may be set anew at any moment, and this timeout may be the last.
		wait = min(wait, max(c.rec.retransStamp+c.silenceLimit(c.cfg.Retries2)-stamp(at), 0))
	}
	if c.probedSince != 0 && c.cfg.UserTimeout > 0 {
		wait = min(wait, max(c.probedSince+c.cfg.UserTimeout-at, 0))
	}
	return wait
}

// Timeout runs all timers that are due at now.
func (c *Conn) Timeout(now Time) {
	c.now = now
	if c.ooo != nil && c.ooo.at <= now {
		c.sendAck()
	}
	if c.ackAt <= now {
		c.onAckTimer()
	}
	if c.rtxAt <= now {
		c.rtxAt = Never
		k := c.timer
		switch k {
		case timerRTO:
			c.timer = timerOff
			c.onRTO()
		case timerProbe:
			c.sendProbe()
		case timerReorder:
			c.onReorderTimer()
		case timerWindow:
			c.timer = timerOff
			c.onWindowTimer()
		}
	}
	if c.keepAt <= now {
		c.keepAt = Never
		c.onKeepTimer()
	}
}

// onRTO handles the retransmission timeout (tcp_retransmit_timer).
func (c *Conn) onRTO() {
	if c.tx.empty() {
		return
	}
	switch {
	case c.state == SynReceived && c.flag&passive != 0:
		c.onSynAckTimeout()
		return
	case c.state == SynSent || c.state == SynReceived:
		c.onSynTimeout()
		return
	case c.wnd == 0 && c.flag&orphan == 0:
		// The peer has closed the window over data that is under way. The timeouts then serve as probes. They are no reason to give up
		// while the peer answers.
		if c.rtxProbeTimedOut() {
			c.failTimeout()
			return
		}
		c.enterLoss()
	case c.timedOut():
		c.failTimeout()
		return
	default:
		c.enterLoss()
		c.retries = min(c.retries, 254) + 1
		c.rtoTotal++
	}
	c.retransmit(c.tx.head, 1)
	c.doubleRTO()
	c.setTimer(timerRTO, c.clampRTO())
}

// rtxProbeTimedOut is timedOut for timeouts that only probe a window that the peer has closed over data under way
// (tcp_rtx_probe0_timed_out). It gives up a peer that has been silent for twice the longest timeout.
func (c *Conn) rtxProbeTimedOut() bool {
	since, limit := c.rec.retransStamp, 2*c.cfg.RTOMax
	if since == 0 {
		since = stamp(c.tx.front().sent)
	}
	probing := stamp(c.now) - since
	if user := c.cfg.UserTimeout; user > 0 && probing > user {
		return true
	}
	return c.now-c.lastAck > limit && probing > limit
}

func (c *Conn) doubleRTO() {
	c.backoff = min(c.backoff, 254) + 1
	c.rtt.rto = min(2*c.rtt.rto, c.cfg.RTOMax)
}

// onSynTimeout repeats the SYN: a few times after the same interval, then after doubling intervals.
func (c *Conn) onSynTimeout() {
	limit := c.cfg.SynRetries
	if c.state == SynSent {
		limit += c.cfg.SynLinearTimeouts
	}
	if int(c.retries) >= limit || c.cfg.UserTimeout > 0 && c.timedOut() {
		c.failTimeout()
		return
	}
	c.retries++
	c.rtoTotal++
	c.rec.undoMarked = true
	c.transmitAgain(c.tx.head, 1, Retransmission)
	if c.state != SynSent || int(c.rtoTotal) > c.cfg.SynLinearTimeouts {
		c.doubleRTO()
	}
	c.setTimer(timerRTO, c.clampRTO())
}

// clampRTO returns the retransmission timeout, or less if the user timeout ends earlier (tcp_clamp_rto_to_user_timeout).
func (c *Conn) clampRTO() Time {
	if c.cfg.UserTimeout <= 0 {
		return c.rtt.rto
	}
	return min(c.rtt.rto, max(c.rec.retransStamp+c.cfg.UserTimeout-stamp(c.now), time.Millisecond))
}

// onSynAckTimeout repeats the SYN-ACK, or silently drops the attempt (reqsk_timer_handler).
func (c *Conn) onSynAckTimeout() {
	if int(c.retries) >= c.cfg.SynAckRetries {
		c.die(OK)
		return
	}
	c.retries++
	c.rec.undoMarked = true
	c.repeatSynAck()
}

func (c *Conn) repeatSynAck() {
	c.transmitAgain(c.tx.head, 1, Retransmission)
	c.setTimer(timerRTO, min(c.cfg.RTOInitial<<min(c.retries, 30), c.cfg.RTOMax))
}

// failTimeout gives up. The peer is not notified (tcp_write_err).
func (c *Conn) failTimeout() {
	code := TimedOut
	if c.softErr != OK {
		code = c.softErr
	}
	c.die(code)
}

// timedOut reports whether the peer has been silent for too long (tcp_write_timeout).
func (c *Conn) timedOut() bool {
	limit := c.cfg.Retries2
	if c.flag&orphan != 0 {
		limit = c.orphanRetries(c.rtt.rto < c.cfg.RTOMax)
	}
	return c.retries > 0 && stamp(c.now)-c.rec.retransStamp >= c.silenceLimit(limit)
}

// silenceLimit returns how long after the first retransmission c gives up a peer that acknowledges nothing: the user timeout, or the time
// that the given number of doublings would take (retransmits_timed_out).
func (c *Conn) silenceLimit(doublings int) Time {
	if c.cfg.UserTimeout > 0 {
		return c.cfg.UserTimeout
	}
	return c.modelTimeout(doublings)
}

// orphanRetries returns the limit for a connection that the program has closed (tcp_orphan_retries). alive means that the timeout has not
// reached its maximum. After that the limit is 0 by default. If the parameter was set, the limit is then 0 only if an ICMP message has
// given a reason.
func (c *Conn) orphanRetries(alive bool) int {
	if !alive && (c.softErr != OK || c.cfg.orphansUnset) {
		return 0
	}
	return c.cfg.OrphanRetries
}

// modelTimeout returns the time that n doublings from RTOMin would take (tcp_model_timeout): 924.6 s for 15.
func (c *Conn) modelTimeout(n int) Time {
	base, top := c.cfg.RTOMin, c.cfg.RTOMax
	doublings := bits.Len64(uint64(top/base)) - 1
	if n <= doublings {
		return (2<<n - 1) * base
	}
	return (2<<doublings-1)*base + Time(n-doublings)*top
}

// windowProbeDelay returns the time to the next probe of a closed window (tcp_probe0_when).
func (c *Conn) windowProbeDelay() Time {
	base := max(c.rtt.rto, c.cfg.RTOMin)
	limit := bits.Len64(uint64(c.cfg.RTOMax / c.cfg.RTOMin))
	return min(base<<min(int(c.backoff), limit), c.cfg.RTOMax)
}

// clampProbe returns that time, or less if the user timeout ends earlier (tcp_clamp_probe0_to_user_timeout).
func (c *Conn) clampProbe() Time {
	d := c.windowProbeDelay()
	if c.cfg.UserTimeout > 0 && c.probedSince != 0 {
		d = min(d, max(c.probedSince+c.cfg.UserTimeout-c.now, timerSlack))
	}
	return d
}

// onWindowTimer probes a closed window. As long as the peer answers, the window may stay closed for ever (RFC 9293 section 3.8.6.1), unless
// the program has set a user timeout.
func (c *Conn) onWindowTimer() {
	if !c.tx.empty() || c.nxt == c.end {
		c.probes, c.probedSince = 0, 0
		return
	}
	if c.probedSince == 0 {
		c.probedSince = c.now
	} else if user := c.cfg.UserTimeout; user > 0 && c.now-c.probedSince >= user {
		c.failTimeout()
		return
	}
	limit := c.cfg.Retries2
	if c.flag&orphan != 0 {
		alive := c.windowProbeDelay() < c.cfg.RTOMax
		limit = c.orphanRetries(alive)
		if !alive && int(c.backoff) >= limit {
			c.failTimeout()
			return
		}
	}
	if int(c.probes) >= limit {
		c.failTimeout()
		return
	}
	c.wakeup(WindowProbe)
	if !c.tx.empty() || c.nxt == c.end {
		c.probes, c.probedSince = 0, 0
		c.backoff = 0
		return
	}
	c.probes++
	if int(c.backoff) < c.cfg.Retries2 {
		c.backoff++
	}
	c.setTimer(timerWindow, c.clampProbe())
}

// onKeepTimer handles keep-alive, FIN_WAIT2 and TIME_WAIT.
func (c *Conn) onKeepTimer() {
	if c.state == TimeWait || c.state == FinWait2 && c.flag&orphan != 0 {
		c.die(OK)
		return
	}
	c.trim()
	k := c.cfg.KeepAlive
	if k.Off || !c.synchronized() {
		return
	}
	if !c.tx.empty() || c.nxt < c.end {
		c.keepAt = c.now + k.Idle
		return
	}
	silence := c.now - c.lastHeard()
	if silence < k.Idle {
		c.keepAt = c.now + k.Idle - silence
		return
	}
	giveUp := int(c.probes) >= k.Count
	if user := c.cfg.UserTimeout; user > 0 {
		giveUp = c.probes > 0 && silence >= user
	}
	if giveUp {
		c.sendReset()
		c.failTimeout()
		return
	}
	c.sendProbeSegment(KeepAliveProbe)
	c.probes++
	c.keepAt = c.now + k.Interval
}

// finTime returns how long a closed connection waits for the peer's FIN (tcp_fin_time). If this exceeds TIME_WAIT, the excess counts twice
// and the rest not at all: Linux waits that long with a socket, and then once more with the small structure that replaces the socket in
// TIME_WAIT (tcp_rcv_state_process, tcp_keepalive_timer).
func (c *Conn) finTime() Time {
	least := c.rtt.rto<<2 - c.rtt.rto>>1
	d := max(c.cfg.FinTimeout, least)
	if more := d - c.cfg.TimeWait; more > 0 {
		return more + max(more, least)
	}
	return d
}

// revertBackoff undoes one doubling when an ICMP message shows that the route, not congestion, is to blame (tcp_ld_RTO_revert, RFC 6069).
func (c *Conn) revertBackoff(seq uint64) {
	if seq != c.una || c.retries == 0 || c.backoff == 0 || c.tx.empty() || c.timer != timerRTO {
		return
	}
	c.backoff--
	rto := c.cfg.RTOInitial
	if c.rtt.srtt8 > 0 {
		rto = min(c.rtt.srtt8>>3+c.rtt.rttvar, c.cfg.RTOMax)
	}
	c.rtt.rto = min(rto<<min(c.backoff, 30), c.cfg.RTOMax)
	left := c.tx.front().sent + c.rtt.rto - c.now
	if left > 0 {
		c.setTimer(timerRTO, left)
	} else {
		c.onRTO()
	}
}
