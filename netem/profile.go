package netem

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Profile is a rate that varies. Its phases follow each other from the start of the network on, again and
// again. Packets wait while the rate is 0.
type Profile []Phase

// Phase is a part of a [Profile]: the rate changes linearly from From to To, for as long as it Lasts (1 ns to
// 24 h). If From equals To, the rate is constant. A slope is made of 256 steps.
type Phase struct {
	Lasts    time.Duration
	From, To BitRate // not negative
}

// Sine returns a profile that swings between two rates like a sine, beginning in the middle and upwards. A
// period has 64 steps and is at least 64 ns.
func Sine(low, high BitRate, period time.Duration) Profile {
	const steps = 64
	p := make(Profile, steps)
	for i := range p {
		swing := math.Sin(2 * math.Pi * (float64(i) + 0.5) / steps)
		rate := low + BitRate(math.Round(float64(high-low)*(1+swing)/2))
		p[i] = Phase{Lasts: period*time.Duration(i+1)/steps - period*time.Duration(i)/steps, From: rate, To: rate}
	}
	return p
}

const (
	maxPhases  = 1 << 16
	slopeSteps = 256
)

func (p Profile) invalid(int) string {
	if len(p) == 0 || len(p) > maxPhases {
		return fmt.Sprintf("must have 1 to %d phases", maxPhases)
	}
	some := false
	for i, f := range p {
		switch {
		case f.Lasts < 1 || f.Lasts > maxDelay:
			return fmt.Sprintf("phase %d: Lasts must be in [1ns,24h]", i)
		case f.From < 0 || f.To < 0:
			return fmt.Sprintf("phase %d: rates must not be negative", i)
		case f.From != f.To && f.Lasts < slopeSteps:
			return fmt.Sprintf("phase %d: a slope must last at least %dns", i, slopeSteps)
		}
		some = some || f.From > 0 || f.To > 0
	}
	if !some {
		return "one rate must be above 0"
	}
	return ""
}

func (p Profile) depart(s *shaperState, size int, now time.Duration) time.Duration {
	l, work := &s.line, workOf(size)
	if now > l.free {
		l.free, l.frac = now, 0
	}
	for looks := 0; l.free < endOfTime; looks++ {
		if looks == slopeSteps*len(p) { // a packet of several rounds: skip whole ones
			round := p.work()
			rounds := (work - 1) / round
			if rounds > uint64(endOfTime/s.period) {
				return endOfTime
			}
			l.free += time.Duration(rounds) * s.period
			work -= rounds * round
		}
		rate, ends := p.at(s, l.free)
		l.setRate(rate)
		if rate > 0 {
			room := uint64(ends - l.free)
			if work/uint64(rate) < room {
				return l.do(work)
			}
			work -= min(work, room*uint64(rate)-l.frac)
		}
		l.free, l.frac = ends, 0
		if work == 0 {
			return l.free
		}
	}
	return endOfTime
}

// at returns the rate at an instant, which is never before the last one asked for, and when that rate ends.
func (p Profile) at(s *shaperState, now time.Duration) (rate BitRate, ends time.Duration) {
	if s.period == 0 {
		for _, f := range p {
			s.period += f.Lasts
		}
	}
	s.began += (now - s.began) / s.period * s.period
	for now-s.began >= p[s.phase].Lasts {
		s.began += p[s.phase].Lasts
		s.phase = (s.phase + 1) % len(p)
	}
	f := p[s.phase]
	if f.From == f.To {
		return f.From, s.began + f.Lasts
	}
	i := int((now - s.began) / max(1, f.Lasts/slopeSteps)) // it, or one of those before it
	i = min(i, slopeSteps-1)
	for i > 0 && s.began+f.stepEnd(i-1) > now {
		i--
	}
	return f.step(i), s.began + f.stepEnd(i)
}

// step returns the rate of a step of a slope: the rate in its middle.
func (f Phase) step(i int) BitRate {
	hi, lo := bits.Mul64(uint64(max(f.From, f.To)-min(f.From, f.To)), uint64(2*i+1))
	part, _ := bits.Div64(hi, lo, 2*slopeSteps)
	if f.To < f.From {
		return f.From - BitRate(part)
	}
	return f.From + BitRate(part)
}

// stepEnd returns when a step ends, from the beginning of its phase.
func (f Phase) stepEnd(i int) time.Duration { return f.Lasts * time.Duration(i+1) / slopeSteps }

// work returns what is sent in a round, in ns times bit/s.
func (p Profile) work() uint64 {
	var sum uint64
	add := func(d time.Duration, rate BitRate) {
		hi, lo := bits.Mul64(uint64(d), uint64(rate))
		var carry uint64
		if sum, carry = bits.Add64(sum, lo, 0); hi > 0 || carry > 0 {
			sum = math.MaxUint64
		}
	}
	for _, f := range p {
		if f.From == f.To {
			add(f.Lasts, f.From)
			continue
		}
		for i, began := 0, time.Duration(0); i < slopeSteps; i++ {
			add(f.stepEnd(i)-began, f.step(i))
			began = f.stepEnd(i)
		}
	}
	return sum
}

// String returns a profile of up to 4 phases as Go writes it, and of a longer one the number of phases.
func (p Profile) String() string {
	if len(p) > 4 {
		return fmt.Sprintf("Profile of %d phases", len(p))
	}
	text := "Profile{"
	for i, f := range p {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("{Lasts: %v, From: %v, To: %v}", f.Lasts, f.From, f.To)
	}
	return text + "}"
}
