package sim

import (
	"fmt"
	"slices"
	"time"
)

// A Clock is the clock of a host, as a program on it would read it: see [Host.Clock]. It is right until
// [Clock.Step] or [Clock.Drift] change it.
//
// The program under test reads it where it has a field for a clock, such as [crypto/tls.Config]'s Time.
// [time.Now] cannot know which host calls it: it returns the network's time, and so do timers.
//
// Like a computer, a host has two clocks. The wall clock, [Clock.Now], gives the date and time, and steps
// when it is set. The monotonic clock, [Clock.Uptime], measures how long something took, and does not step.
// Both drift. A time from the wall clock has no monotonic reading (as with [time.Time.Round](0)), so the
// difference of two such times shows a step between them.
type Clock struct {
	host *Host
	made moment

	gained int64 // by the wall clock, up to the instant since, in ns
	uptime int64 // at the instant since
	since  int64 // instant of the last change
	ppm    int64
	steps  []clockStep
	drifts []clockDrift // all so far
}

// A clockStep is a fault's step of the wall clock, while it lasts.
type clockStep struct {
	fault *Fault
	by    int64
}

// A clockDrift is a fault's drift.
type clockDrift struct {
	fault  *Fault
	ppm    int64
	lasts  bool
	onWall bool // the wall clock shows it, since nobody has set the clock later
}

// The range of [Clock.Drift], in millionths: from half as fast as real time to twice.
const (
	slowestClock = -500_000
	fastestClock = 1_000_000
)

// Clock returns the clock of h. It runs on while the host is off or paused.
func (h *Host) Clock() *Clock {
	h.must("Clock")
	fresh := &Clock{host: h}
	return get(h.n, func() *Clock {
		if h.clock == nil {
			fresh.made, h.clock = h.n.moment(), fresh
		}
		h.n.reveal(h.clock.made)
		return h.clock
	})
}

// Now returns the time of h's wall clock, as [Clock.Now] of [Host.Clock] does.
func (h *Host) Now() time.Time {
	h.must("Now")
	return h.Clock().Now()
}

// read advances gained and uptime to an instant. The lock is held.
func (c *Clock) read(now int64) {
	passed := now - c.since
	gained := passed/1_000_000*c.ppm + passed%1_000_000*c.ppm/1_000_000
	c.gained, c.uptime, c.since = c.gained+gained, c.uptime+passed+gained, now
}

// reading returns what the clocks show at the present instant. It advances a copy, so that no drift is
// rounded at each reading. It counts the reading for the faults that show in the wall clock or the other one.
// The lock is held.
func (c *Clock) reading(wall bool) Clock {
	now := c.host.n.now()
	for _, d := range c.drifts {
		if d.onWall || !wall {
			d.fault.hit(now)
		}
	}
	if wall {
		for _, s := range c.steps {
			s.fault.hit(now)
		}
	}
	at := *c
	at.read(now)
	return at
}

// ahead returns how far the wall clock is ahead, as of the last reading.
func (c *Clock) ahead() int64 {
	ahead := c.gained
	for _, s := range c.steps {
		ahead += s.by
	}
	return ahead
}

// Now returns the time of the wall clock, in UTC.
func (c *Clock) Now() time.Time {
	return get(c.host.n, func() time.Time {
		r := c.reading(true)
		return c.host.n.clock.start.Round(0).UTC().Add(time.Duration(r.since + r.ahead()))
	})
}

// Uptime returns the time of the monotonic clock: how long the network has been running, as the host measures
// it. Steps do not change it.
func (c *Clock) Uptime() time.Duration {
	return time.Duration(get(c.host.n, func() int64 { return c.reading(false).uptime }))
}

// Timer returns a timer that fires when the monotonic clock will have advanced by d, if its drift stays as it
// is. A timer of a slow clock fires late.
func (c *Clock) Timer(d time.Duration) *time.Timer {
	return time.NewTimer(get(c.host.n, func() time.Duration {
		c.reading(false)
		if d <= 0 {
			return d
		}
		rate := 1_000_000 + c.ppm
		whole, rest := int64(d)/rate, int64(d)%rate
		return time.Duration(after(whole*1_000_000, (rest*1_000_000+rate-1)/rate))
	}))
}

// Step sets the wall clock forward by a time, or back if it is negative, as an administrator or NTP does.
func (c *Clock) Step(by time.Duration) {
	f := c.stepping("Clock.Step", by)
	c.host.n.do(f.beginNow)
}

// StepClock is [Clock.Step] as a fault: it sets the wall clock forward by a time, or back if it is negative.
// When the fault is over, the clock steps by as much in the other direction. [Clock.Set] ends the fault.
// StepClock panics if by is 0.
func StepClock(h *Host, by time.Duration) *Fault {
	h.must("StepClock")
	return h.Clock().stepping("StepClock", by).enlisted()
}

func (c *Clock) stepping(function string, by time.Duration) *Fault {
	if by == 0 {
		panic("sim: " + function + "(0s): the step must not be 0")
	}
	f := c.host.n.newFault(fmt.Sprintf("clock steps by %v", by), &c.host.node, nil, expression{"StepClock", []any{c.host, by}})
	f.miss = "reading of the clock"
	f.begin = func() { c.steps = append(c.steps, clockStep{f, int64(by)}) }
	f.end = func() { c.steps = slices.DeleteFunc(c.steps, func(s clockStep) bool { return s.fault == f }) }
	return f
}

// Drift makes both clocks run fast by ppm millionths from now on (microseconds in each second), or slow if
// ppm is negative. The range is -500000 to 1000000. A crystal drifts by up to 100, one that NTP disciplines
// by less than 1. Drift replaces all drifts in effect; 0 only ends them.
func (c *Clock) Drift(ppm int) {
	f := c.drifting("Clock.Drift", ppm)
	c.host.n.do(func() {
		c.read(c.host.n.now())
		for i := range c.drifts {
			if d := &c.drifts[i]; d.lasts {
				d.lasts = false
				d.fault.over()
			}
		}
		c.ppm = 0
		if ppm == 0 {
			c.host.n.note(&c.host.node, nil, "clock keeps time")
		} else {
			f.beginNow()
		}
	})
}

// DriftClock is [Clock.Drift] as a fault: the clocks gain or lose as long as it lasts. What they have gained
// stays, until [Clock.Set]. If several such faults overlap, the one that began last decides. DriftClock
// panics if ppm is 0, or not in the range of Drift.
func DriftClock(h *Host, ppm int) *Fault {
	h.must("DriftClock")
	if ppm == 0 {
		panic("sim: DriftClock(0): must be from -500000 to 1000000 millionths, and not 0")
	}
	return h.Clock().drifting("DriftClock", ppm).enlisted()
}

func (c *Clock) drifting(function string, ppm int) *Fault {
	if ppm < slowestClock || ppm > fastestClock {
		panic(fmt.Sprintf("sim: %s(%d): must be from %d to %d millionths", function, ppm, slowestClock, fastestClock))
	}
	f := c.host.n.newFault(fmt.Sprintf("clock drifts by %d ppm", ppm), &c.host.node, nil, expression{"DriftClock", []any{c.host, ppm}})
	f.miss = "reading of the clock"
	f.begin = func() {
		c.read(c.host.n.now())
		c.drifts = slices.DeleteFunc(c.drifts, func(d clockDrift) bool { return d.fault == f }) // it begins again
		c.drifts = append(c.drifts, clockDrift{f, int64(ppm), true, true})
		c.ppm = int64(ppm)
	}
	f.end = func() {
		c.read(c.host.n.now())
		c.ppm = 0
		for i := range c.drifts {
			d := &c.drifts[i]
			if d.lasts = d.lasts && d.fault != f; d.lasts {
				c.ppm = d.ppm
			}
		}
	}
	return f
}

// Set corrects the wall clock, as NTP does when it finds a server again: the clock shows the network's time.
// Its drift stays.
func (c *Clock) Set() {
	c.host.n.do(func() {
		c.read(c.host.n.now())
		c.gained = 0
		for _, s := range c.steps {
			s.fault.over()
		}
		c.steps = nil
		for i := range c.drifts {
			c.drifts[i].onWall = c.drifts[i].lasts
		}
		c.host.n.note(&c.host.node, nil, "clock is set")
	})
}
