package netem

import (
	"fmt"
	"math/bits"
	"time"
)

// PIE is a first-in-first-out queue that drops packets at random as they arrive, so that the rest wait for
// about Target (RFC 8033). Every Update, the drop probability rises with how much longer than Target a packet
// would wait, and with how much longer than at the previous Update. The scaling is that of section 5.1, and
// the safeguards are those of section 5, as in Linux's net/sched/sch_pie.c. The wait is known exactly here,
// and need not be estimated. The packet being sent counts. Two drops in a row require a probability of 0.85.
// So if senders do not slow down at more than twice the rate, packets wait for longer than Target.
type PIE struct {
	Target  time.Duration // 0 means 15 ms
	Update  time.Duration // 0 means 15 ms
	Burst   time.Duration // how long no packet is dropped after idle times; 0 means 150 ms
	Packets int           // most packets that wait; 0 means 1000
	ECN     bool          // marks packets instead of dropping them, up to a probability of 0.1, if their senders understand that (ECT)
}

func (q PIE) defaults() PIE {
	q.Target = orDefault(q.Target, 15*time.Millisecond)
	q.Update = orDefault(q.Update, 15*time.Millisecond)
	q.Burst = orDefault(q.Burst, 150*time.Millisecond)
	q.Packets = orDefault(q.Packets, 1000)
	return q
}

func (q PIE) invalid(*Config) string {
	d := q.defaults()
	switch {
	case d.Target < 0 || d.Target > time.Minute:
		return "Target must be positive and at most 1m"
	case d.Update < time.Millisecond || d.Update > time.Minute:
		return "Update must be in [1ms,1m]"
	case d.Burst < 0 || d.Burst > time.Minute:
		return "Burst must be positive and at most 1m"
	case d.Packets < 0:
		return "Packets must not be negative"
	}
	return ""
}

// String returns the queue as Go writes it.
func (q PIE) String() string {
	return fmt.Sprintf("PIE{Target: %v, Update: %v, Burst: %v, Packets: %d, ECN: %v}", q.Target, q.Update, q.Burst, q.Packets, q.ECN)
}

// pieOne is probability 1, as in Linux (MAX_PROB).
const pieOne = int64(1) << 56

// pieState is struct pie_vars.
type pieState struct {
	begun   bool
	updated time.Duration // the last Update
	burst   time.Duration // what is left of Burst
	old     time.Duration // the wait at the last Update
	prob    int64         // in units of 2^-56
	accu    int64         // the sum of the probabilities since the last drop
}

// admits reports whether a packet enters, and whether it is marked for it. packets and bytes are what waits,
// and free is when the line will have sent all of that.
func (s *pieState) admits(cfg PIE, c *Config, pkt *Packet, packets, bytes int, free, now time.Duration, u uint64) (ok, marked bool) {
	q := cfg.defaults()
	if !s.begun {
		*s = pieState{begun: true, updated: now, burst: q.Burst}
	}
	for now-s.updated >= q.Update {
		if s.prob == 0 && s.old == 0 && free <= s.updated { // nothing changes any more
			s.updated += (now - s.updated) / q.Update * q.Update
			s.burst = q.Burst
			break
		}
		s.updated += q.Update
		s.update(&q, max(0, free-s.updated))
	}
	if packets >= q.Packets {
		return false, false
	}
	if !s.early(&q, c, bytes, u) {
		return true, false
	}
	if q.ECN && pkt.ECT && s.prob <= pieOne/10 {
		return true, true
	}
	s.accu = 0
	return false, false
}

// early is pie_drop_early: whether to drop a packet though there is room.
func (s *pieState) early(q *PIE, c *Config, bytes int, u uint64) bool {
	switch {
	case s.burst > 0:
		return false
	case s.old < q.Target/2 && s.prob < pieOne/5:
		return false
	case bytes < 2*c.mtu():
		return false
	}
	if s.prob == 0 {
		s.accu = 0
	} else {
		s.accu += s.prob
	}
	switch { // drops neither come in clusters nor too far from each other
	case s.accu < pieOne/100*85:
		return false
	case s.accu >= pieOne/2*17:
		s.accu = 0
		return true
	}
	if int64(u>>8) < s.prob {
		s.accu = 0
		return true
	}
	return false
}

// update is pie_calculate_probability, for a wait.
func (s *pieState) update(q *PIE, wait time.Duration) {
	// alpha is 1/8 and beta 5/4 for each second, and less while the probability is small.
	alpha, beta := pieOne/8, pieOne/4*5
	if s.prob < pieOne/10 {
		alpha, beta = alpha/2, beta/2
		for power := int64(100); s.prob < pieOne/power && power <= 1_000_000; power *= 10 {
			alpha, beta = alpha/4, beta/4
		}
	}
	delta := ofSecond(alpha, wait-q.Target) + ofSecond(beta, wait-s.old)
	if delta > pieOne/50 && s.prob >= pieOne/10 {
		delta = pieOne / 50
	}
	if wait > 250*time.Millisecond {
		delta += pieOne / 50
	}
	before := s.prob
	s.prob = min(max(s.prob+delta, 0), pieOne)
	if wait == 0 && s.old == 0 && s.prob > 0 && s.prob-before == delta {
		s.prob -= s.prob/64 + 1
		s.prob = max(s.prob, 0)
	}
	s.burst = max(0, s.burst-q.Update)
	if wait < q.Target/2 && s.old < q.Target/2 && s.prob == 0 {
		s.burst, s.accu = q.Burst, 0
	}
	s.old = wait
}

// ofSecond returns the share of x that d is of a second, rounded towards zero, and within the range of a
// probability.
func ofSecond(x int64, d time.Duration) int64 {
	sign := int64(1)
	if d < 0 {
		sign, d = -1, -d
	}
	hi, lo := bits.Mul64(uint64(x), uint64(d))
	if hi >= uint64(time.Second) {
		return sign * 4 * pieOne
	}
	part, _ := bits.Div64(hi, lo, uint64(time.Second))
	return sign * int64(min(part, uint64(4*pieOne)))
}
