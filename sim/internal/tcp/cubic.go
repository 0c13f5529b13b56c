package tcp

import "time"

// A cubicState is the state of CUBIC with HyStart as in Linux (net/ipv4/tcp_cubic.c): RFC 9438 with beta = 717/1024 and C = 0.4, in
// integers throughout.
type cubicState struct {
	epoch      Time // when the window was last reduced, moved past idle times; Never: no epoch
	lastUpdate Time
	delayMin   Time
	k          int64 // time until the window is at origin again, in 1/1024 s
	origin     uint32
	lastMax    uint32 // window before the last loss
	lastCwnd   uint32
	perCount   uint32 // segments to acknowledge for an increase by one
	acked      uint32 // segments acknowledged towards the window of a Reno flow
	renoCwnd   uint32

	// HyStart.
	roundStart, lastAck, roundRTT Time
	roundEnd                      uint64
	samples                       uint8
	found                         bool
}

const (
	cubicBeta     = 717              // in 1024ths
	cubicC        = 410              // 0.4 in 1024ths: (t-K)^3 in (1/1024 s)^3 is shifted right by 40
	renoScale     = 15               // 8 * 3(1-beta)/(1+beta), inverted: segments for an increase by one, for a window of 8
	cubicTick     = time.Millisecond // at most one update of the function in this time
	cubicHold     = time.Second / 32 // no update for this long while the window stays the same
	hystartWindow = 16               // segments: HyStart is off in smaller windows
	hystartGap    = 2 * time.Millisecond
	hystartCount  = 8
)

func (c *Conn) cubic() *cubicState {
	if c.cub == nil {
		c.cub = &cubicState{}
		c.cub.reset()
		c.cub.startRound(c.now, c.nxt)
		c.cub.delayMin = c.rtt.min()
		c.cub.found = c.cc.ssthresh < infinite
	}
	return c.cub
}

func (q *cubicState) reset() {
	round := *q
	*q = cubicState{epoch: Never,
		roundStart: round.roundStart, lastAck: round.lastAck, roundRTT: round.roundRTT,
		roundEnd: round.roundEnd, samples: round.samples}
}

func (q *cubicState) startRound(now Time, nxt uint64) {
	q.roundStart, q.lastAck = now, now
	q.roundEnd = nxt
	q.roundRTT = Never
	q.samples = 0
}

// reduce returns the threshold after a loss.
func (q *cubicState) reduce(cwnd uint32) uint32 {
	q.epoch = Never
	if cwnd < q.lastMax {
		// Fast convergence: a flow whose window shrinks makes room for others.
		q.lastMax = uint32(uint64(cwnd) * (1024 + cubicBeta) / (2 * 1024))
	} else {
		q.lastMax = cwnd
	}
	return max(uint32(uint64(cwnd)*cubicBeta/1024), 2)
}

// shift moves the epoch past a time during which nothing was sent.
func (q *cubicState) shift(now, lastSent Time) {
	if q.epoch != Never && now > lastSent {
		q.epoch = min(q.epoch+now-lastSent, now)
	}
}

// update returns how many segments must be acknowledged for the window to grow
// by one (bictcp_update).
func (q *cubicState) update(now Time, cwnd, acked uint32) uint32 {
	q.acked += acked
	if q.lastCwnd == cwnd && now-q.lastUpdate <= cubicHold {
		return q.perCount
	}
	if q.epoch == Never || now/cubicTick != q.lastUpdate/cubicTick {
		q.lastCwnd = cwnd
		q.lastUpdate = now
		q.follow(now, cwnd, acked)
	}

	// Grow at least as fast as Reno.
	per := cwnd * renoScale >> 3
	for q.acked > per {
		q.acked -= per
		q.renoCwnd++
	}
	if q.renoCwnd > cwnd {
		q.perCount = min(q.perCount, cwnd/(q.renoCwnd-cwnd))
	}
	q.perCount = max(q.perCount, 2) // the window grows by at most half in a round trip
	return q.perCount
}

// follow evaluates the cubic function.
func (q *cubicState) follow(now Time, cwnd, acked uint32) {
	if q.epoch == Never {
		q.epoch = now
		q.acked = acked
		q.renoCwnd = cwnd
		if q.lastMax <= cwnd {
			q.k = 0
			q.origin = cwnd
		} else {
			q.k = int64(cubeRoot((1 << 40) / cubicC * uint64(q.lastMax-cwnd)))
			q.origin = q.lastMax
		}
	}
	t := int64((now-q.epoch+q.delayMin)/time.Millisecond) * 1024 / 1000
	off := t - q.k
	if off < 0 {
		off = -off
	}
	off = min(off, 1<<17) // two minutes; the cube then fits into 64 bits
	delta := uint32(min(uint64(cubicC)*uint64(off)*uint64(off)*uint64(off)>>40, infinite))
	target := q.origin + delta
	if t < q.k {
		target = q.origin - min(delta, q.origin)
	}
	if target > cwnd {
		q.perCount = cwnd / (target - cwnd)
	} else {
		q.perCount = 100 * cwnd
	}
	if q.lastMax == 0 {
		q.perCount = min(q.perCount, 20) // no loss yet: grow by 5 % in a round trip
	}
}

// cubeRoot returns the integer cube root.
func cubeRoot(v uint64) uint64 {
	var r uint64
	for bit := uint64(1) << 21; bit > 0; bit >>= 1 {
		if t := r | bit; t <= 2642245 && t*t*t <= v {
			r = t
		}
	}
	return r
}

// sample processes the round-trip time of an acknowledgement. It may end slow start (cubictcp_acked, hystart_update).
func (q *cubicState) sample(c *Conn, rtt Time) {
	if q.epoch != Never && c.now-q.epoch < time.Second {
		return // recovery distorts the sample
	}
	rtt = max(rtt, 1)
	if q.delayMin == 0 || rtt < q.delayMin {
		q.delayMin = rtt
	}
	if q.found || !c.cc.slowStart() || c.cfg.NoHyStart {
		return
	}
	if c.una > q.roundEnd {
		q.startRound(c.now, c.nxt)
	}
	if c.cc.cwnd < hystartWindow {
		return
	}
	// Acknowledgements have followed each other closely for half a round trip.
	if c.now-q.lastAck <= hystartGap {
		q.lastAck = c.now
		if c.now-q.roundStart > (q.delayMin+c.hystartSlack())/2 {
			q.leave(c)
			return
		}
	}
	// The shortest of the first few samples of this round trip has increased.
	q.roundRTT = min(q.roundRTT, rtt)
	if q.samples < hystartCount {
		q.samples++
	} else if q.roundRTT > q.delayMin+min(max(q.delayMin/8, 4*time.Millisecond), 16*time.Millisecond) {
		q.leave(c)
	}
}

func (q *cubicState) leave(c *Conn) {
	q.found = true
	c.cc.ssthresh = c.cc.cwnd
}

// hystartSlack returns the time that four full bursts take at the pacing rate, at most 1 ms (hystart_ack_delay).
func (c *Conn) hystartSlack() Time {
	if c.rtt.srtt8 == 0 {
		return 0
	}
	rate := c.pacingRate()
	if rate == 0 {
		return 0
	}
	return min(time.Millisecond, Time(4*65536*uint64(time.Second)/rate))
}
