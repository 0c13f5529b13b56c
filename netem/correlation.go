package netem

import (
	"fmt"
	"math"
	"time"
)

// Correlation makes the fates of successive packets alike, by a coefficient in [0,1) for each impairment;
// zero leaves it independent. With probability rho a packet draws what the packet before it drew, otherwise
// anew. So each impairment keeps its rate, the jitter keeps its distribution, and packets k apart have
// correlation rho^k. The copies of Duplicate draw independently. Loss models have correlations of their own.
type Correlation struct {
	Jitter    float64 // of the offsets from Delay
	Duplicate float64 // of which packets Duplicate picks
	Reorder   float64 // of which packets Reorder picks
	Corrupt   float64 // of which packets Corrupt picks

	// Biased draws as tc-netem's generator does instead, for comparisons with it: see [BiasedCorrelated].
	// Duplicate, Reorder and Corrupt then happen at rates other than the configured ones, as losses do.
	// Jitter is hardly correlated at all, since tc takes its number modulo the range of the jitter in
	// nanoseconds, or the length of a table.
	Biased bool
}

// The purposes of correlated draws.
const (
	alikeJitter = iota
	alikeDuplicate
	alikeReorder
	alikeCorrupt
	purposes
)

// alike draws the correlated numbers of a pipe. It is nil if there are none.
type alike struct {
	rho     [purposes]float64
	biased  bool
	started bool
	last    [purposes]uint64 // of the packet before
	now     [purposes]uint64 // of this packet
}

var alikeLanes = [purposes]uint64{laneJitter, laneDuplicate, laneReorder, laneCorrupt}

func (c Correlation) coefficients() [purposes]float64 {
	return [purposes]float64{c.Jitter, c.Duplicate, c.Reorder, c.Corrupt}
}

// step draws for one packet, whatever happens to it.
func (a *alike) step(d draws) {
	again := draws(d.lane(laneAlike))
	for k, rho := range a.rho {
		u := d.lane(alikeLanes[k])
		switch {
		case rho == 0:
		case a.biased:
			if !a.started {
				a.last[k] = again.lane(uint64(k))
			}
			a.last[k] = uint64(tcCorrelated(uint32(u>>32), uint32(a.last[k]>>32), rho)) << 32
			u = a.last[k]
		case a.started && again.happens(uint64(k), thresholdOf(rho)):
			u = a.last[k]
		default:
			a.last[k] = u
		}
		a.now[k] = u
	}
	a.started = true
}

// tcCorrelated is get_crandom of the kernel's net/sched/sch_netem.c: a mean of a fresh number and the last
// one, weighted by rho. Its mean is that of the fresh numbers, its variance is smaller.
func tcCorrelated(fresh, last uint32, rho float64) uint32 {
	weight := uint64(math.RoundToEven(rho*math.MaxUint32)) + 1
	return uint32((uint64(fresh)*(1<<32-weight) + uint64(last)*weight) >> 32)
}

// tcOffset is tabledist of the same file, which takes the number modulo the size that it needs.
func tcOffset(d Distribution, u uint64, jitter time.Duration) time.Duration {
	rnd := u >> 32
	switch d := d.(type) {
	case Shape:
		if d == Uniform {
			return time.Duration(rnd%uint64(2*jitter)) - jitter
		}
		if d < Exponential {
			return scaled(d.table()[rnd%(1<<tableBits)], jitter)
		}
	case Table:
		return scaled(d[rnd%uint64(len(d))], jitter)
	}
	return d.Offset(u, jitter)
}

func (c Correlation) invalid() (field string, value any, allowed string) {
	names := [purposes]string{"Jitter", "Duplicate", "Reorder", "Corrupt"}
	for k, rho := range c.coefficients() {
		switch {
		case c.Biased && !isProbability(rho):
			return names[k], rho, "correlation must be in [0,1]"
		case !c.Biased && !(rho >= 0 && rho < 1):
			return names[k], rho, "correlation must be in [0,1)"
		}
	}
	if c == (Correlation{Biased: true}) {
		return "Biased", true, "needs a correlation"
	}
	return "", nil, ""
}

// BiasedCorrelated is tc-netem's "loss random P% CORR%", with p and rho in [0,1]. The kernel compares p with
// a moving average, whose values gather around one half. So the rate is not p: "20% 75%" loses 0.115 % of the
// packets, "1% 25%" 0.0002 %, "80% 75%" 99.89 %; only 50 % stays 50 %. [Correlated] has the rate that it is
// given.
func BiasedCorrelated(p, rho float64) LossModel { return biasedCorrelated{p, rho} }

type biasedCorrelated struct{ p, rho float64 }

func (c biasedCorrelated) invalid() string {
	switch {
	case !isProbability(c.p):
		return probabilityRange
	case !isProbability(c.rho):
		return "correlation must be in [0,1]"
	}
	return ""
}

func (c biasedCorrelated) lose(s *lossState, d draws) bool {
	fresh := uint32(d.lane(laneLoss) >> 32)
	if s.seen == 0 {
		s.last = uint32(d.lane(laneLossState) >> 32)
	}
	s.seen++
	s.last = tcCorrelated(fresh, s.last, c.rho)
	return c.p > 0 && uint32(math.RoundToEven(c.p*math.MaxUint32)) >= s.last
}

// String returns the model as Go writes it.
func (c biasedCorrelated) String() string { return fmt.Sprintf("BiasedCorrelated(%v, %v)", c.p, c.rho) }
