package netem

import (
	"fmt"
	"math/bits"
	"time"
)

// RED is a first-in-first-out queue that drops packets at random before it is full. It drops none while the
// average of the waiting bytes is below Min, more and more of them up to Max, and all above. The algorithm is
// that of Floyd and Jacobson (1993), as Linux's include/net/red.h computes it, without its gentle and
// adaptive forms. The packet being sent counts. Refused without a Rate.
type RED struct {
	Min, Max    int     // average, in bytes; Min at least 1, Max above it
	Limit       int     // most that waits, in bytes; at least Max and the MTU
	Probability float64 // of a drop near Max, in [1e-6,1]; 0 means 0.02, tc's default
	Weight      int     // the average takes 1/2^Weight of the waiting bytes, 1 to 32; 0 means 9, a weight of 0.002
	ECN         bool    // marks packets instead of dropping them, if their senders understand that (ECT)
}

func (q RED) defaults() RED {
	if q.Probability == 0 {
		q.Probability = 0.02
	}
	q.Weight = orDefault(q.Weight, 9)
	return q
}

func (q RED) invalid(c *Config) string {
	switch {
	case q.Min < 1 || q.Max <= q.Min || q.Max > maxBurst:
		return fmt.Sprintf("Min must be at least 1, and Max above it and at most %d", maxBurst)
	case q.Limit < q.Max || q.Limit < c.mtu() || q.Limit > maxBurst:
		return fmt.Sprintf("Limit must be at least Max and the MTU, %d, and at most %d", c.mtu(), maxBurst)
	case q.Probability != 0 && !(q.Probability >= 1e-6 && q.Probability <= 1):
		return "Probability must be 0 (for 0.02) or in [1e-6,1]"
	case q.Weight < 0 || q.Weight > 32:
		return "Weight must be 0 (for 9) or in [1,32]"
	case c.Rate == 0:
		return "needs a Rate to tell how long nothing waits"
	}
	return ""
}

// String returns the queue as Go writes it.
func (q RED) String() string {
	return fmt.Sprintf("RED{Min: %d, Max: %d, Limit: %d, Probability: %v, Weight: %d, ECN: %v}", q.Min, q.Max, q.Limit, q.Probability, q.Weight, q.ECN)
}

// redState is struct red_vars.
type redState struct {
	average uint64 // in units of 2^-Weight bytes
	begun   bool   // count is valid
	count   uint64 // packets since the last drop, while the average is between Min and Max
	random  uint64 // the drop is due when count times the average above Min has reached it
}

// admits reports whether a packet that finds a backlog enters, and whether it is marked for it. idle is how
// long nothing has waited.
func (s *redState) admits(cfg RED, c *Config, pkt *Packet, backlog int, idle time.Duration, u uint64) (ok, marked bool) {
	q := cfg.defaults()
	w := uint(q.Weight)
	if idle > 0 {
		// As if that many small packets had found it empty; Linux's table has the same decay.
		for k := uint64(idle) / max(1, workOf(c.mtu())/uint64(c.Rate)); k > 0 && s.average>>w > 0; k-- {
			s.average -= s.average >> w
		}
	} else {
		s.average += uint64(backlog) - s.average>>w
	}
	switch average := s.average >> w; {
	case average < uint64(q.Min):
		s.begun = false
	case average >= uint64(q.Max):
		s.begun = false
		if !q.ECN || !pkt.ECT {
			return false, false
		}
		marked = true
	case !s.begun:
		s.begun, s.count, s.random = true, 0, q.draw(u)
	default:
		s.count++
		if hi, lo := bits.Mul64(average-uint64(q.Min), s.count); hi == 0 && lo < s.random {
			break
		}
		s.count, s.random = 0, q.draw(u)
		if !q.ECN || !pkt.ECT {
			return false, false
		}
		marked = true
	}
	return backlog+pkt.Size <= q.Limit, marked
}

// draw draws a threshold for the next drop: uniform up to (Max-Min)/Probability.
func (q RED) draw(u uint64) uint64 {
	span, _ := bits.Div64(uint64(q.Max-q.Min)>>1, uint64(q.Max-q.Min)<<63, uint64(thresholdOf(q.Probability)))
	return below(u, span)
}
