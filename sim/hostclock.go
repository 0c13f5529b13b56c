package sim

import (
	"fmt"
	"time"
)

// A Clock is the clock of a host, as a program on it would read it: see [Host.Clock]. It is right until
// [Clock.Step] or [Clock.Drift] say otherwise.
//
// The program under test reads it where it has a field for a clock, such as [crypto/tls.Config]'s Time. A call of
// [time.Now] cannot be told from which host it comes: it returns the network's time, and so do timers.
//
// As a computer does, a host has two clocks. The wall clock, [Clock.Now], says which day and hour it is, and steps
// when it is set; the monotonic one, [Clock.Uptime], measures how long something took, and does not. Both
// drift. What the wall clock says has no monotonic reading beside it (as with [time.Time.Round](0)): the difference
// of two such times shows a step between them.
type Clock struct {
	host *Host
	made moment

	ahead   int64 // of the wall clock, at since, in ns
	uptime  int64 // at since
	since   int64 // the instant of the last change
	ppm     int64
	stepped *Fault // the last one of each kind
	drifts  *Fault
}

// The range of [Clock.Drift], in millionths: from half as fast as real time to twice.
const (
	slowestClock = -500_000
	fastestClock = 1_000_000
)

// Clock returns the clock of h. It goes on while the host is off, or paused.
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

// Now is what the wall clock of h says: that of [Host.Clock].
func (h *Host) Now() time.Time {
	h.must("Now")
	return h.Clock().Now()
}

// read brings ahead and uptime to an instant. The lock is held.
func (c *Clock) read(now int64) {
	passed := now - c.since
	gained := passed/1_000_000*c.ppm + passed%1_000_000*c.ppm/1_000_000
	c.ahead, c.uptime, c.since = c.ahead+gained, c.uptime+passed+gained, now
}

// reading is what the clock says at the present instant, by a copy that is brought there: a drift is not
// rounded at each reading. The lock is held.
func (c *Clock) reading(stepped bool) Clock {
	for _, f := range []*Fault{c.drifts, c.stepped} {
		if f != nil && (f != c.stepped || stepped) {
			f.hit(c.host.n.now())
		}
	}
	at := *c
	at.read(c.host.n.now())
	return at
}

// Now returns the time of the wall clock, in UTC.
func (c *Clock) Now() time.Time {
	return get(c.host.n, func() time.Time {
		r := c.reading(true)
		return c.host.n.clock.start.Round(0).UTC().Add(time.Duration(r.since + r.ahead))
	})
}

// Uptime returns the time of the monotonic clock: how long the network has been running, as the host measures it.
// Steps do not change it.
func (c *Clock) Uptime() time.Duration {
	return time.Duration(get(c.host.n, func() int64 { return c.reading(false).uptime }))
}

// Timer returns a timer that fires when the monotonic clock will have advanced by d, if its drift stays as it is. A
// timer of a clock that runs slow fires late.
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

// fault begins what is wrong with the clock.
func (c *Clock) fault(what string) *Fault {
	return c.host.n.fault(&c.host.node, what, "reading of the clock")
}

// Step sets the wall clock forward by some time, or if that is negative back, as an administrator or NTP does.
func (c *Clock) Step(by time.Duration) {
	if by == 0 {
		panic("sim: Clock.Step(0s): the step must not be 0")
	}
	c.host.n.do(func() {
		c.read(c.host.n.now())
		c.ahead += int64(by)
		c.stepped = c.fault(fmt.Sprintf("clock steps by %v", by))
	})
}

// Drift has the clocks gain so many millionths (ppm) from now on, microseconds in each second, or if that is negative lose
// them: from -500000 to 1000000. A crystal has up to 100, one that NTP disciplines less than 1.
func (c *Clock) Drift(ppm int) {
	if ppm < slowestClock || ppm > fastestClock {
		panic(fmt.Sprintf("sim: Clock.Drift(%d): must be from %d to %d millionths", ppm, slowestClock, fastestClock))
	}
	c.host.n.do(func() {
		c.read(c.host.n.now())
		c.ppm, c.drifts = int64(ppm), nil
		if ppm == 0 {
			c.host.n.note(&c.host.node, nil, "clock keeps time")
		} else {
			c.drifts = c.fault(fmt.Sprintf("clock drifts by %d ppm", ppm))
		}
	})
}

// Set corrects the wall clock, as NTP does when it finds a server again: it shows the network's time. Its
// drift stays.
func (c *Clock) Set() {
	c.host.n.do(func() {
		c.read(c.host.n.now())
		c.ahead, c.stepped = 0, nil
		c.host.n.note(&c.host.node, nil, "clock is set")
	})
}
