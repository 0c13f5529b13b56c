package sim

import (
	"fmt"
	"math"
	"math/bits"
	"net"
	"slices"
	"syscall"
	"time"
)

// A cpu is the processors of a host, which all current pieces of work share.
type cpu struct {
	host  *Host
	event plan
	at    int64 // instant up to which the work is counted
	jobs  []*job
	q     waitq // one for all: pieces that finish at one instant wake together

	cores     int // 0: one for each piece of work
	slowdown  int
	crowded   *Fault // fault that limits cores, or nil
	throttled *Fault // likewise for slowdown
}

// A job is a piece of work.
type job struct {
	left  uint64 // in workUnits of a nanosecond at full speed
	done  bool
	ended bool // its process has ended
}

// Remaining work is counted in small units, so that rounding when the speed changes does not add up to a
// nanosecond.
const workUnits = 1 << 12

// longestWork is the longest piece of work.
const longestWork = 24 * time.Hour

// Work takes the time that a piece of work takes on h. d is the time on one processor of its own at full
// speed. By default a host has a processor for each piece of work. [HostLimits] gives it fewer, which pieces
// of work at one instant share evenly, and makes them slow. Nothing is done while the host is paused.
//
// A program under test calls Work through a hook where it would be computing, or its handler in a test calls
// it. The error is [net.ErrClosed] if the host crashes meanwhile or the network ends, and ENETDOWN if the
// host is already down. Work panics if d is negative or longer than 24 hours.
func (h *Host) Work(d time.Duration) error {
	h.must("Work")
	h.n.mustSimulate("Work")
	if d < 0 || d > longestWork {
		panic(fmt.Sprintf("sim: host %s: Work(%v): must be from 0 to %v", h.name, d, longestWork))
	}
	j := &job{left: uint64(d) * workUnits}
	begun := false
	_, err := await(h.n, func() (none struct{}, _ error, _ *waitq) {
		if !begun {
			begun = true
			switch {
			case h.n.closed:
				return none, net.ErrClosed, nil
			case h.dead:
				return none, syscall.ENETDOWN, nil
			}
			h.cpu.add(j)
		}
		switch {
		case j.done:
			return none, nil, nil
		case j.ended || h.n.closed:
			return none, net.ErrClosed, nil
		}
		return none, nil, &h.cpu.q
	})
	return err
}

func (c *cpu) add(j *job) {
	c.count(c.host.n.now())
	if c.throttled != nil {
		c.throttled.hit(c.at)
	}
	if c.crowded != nil && c.crowded != c.throttled && len(c.jobs) >= c.cores {
		c.crowded.hit(c.at)
	}
	if paused := c.host.pause.faults; paused != nil {
		paused.hit(c.at)
	} else if j.left == 0 {
		j.done = true
		return
	}
	c.jobs = append(c.jobs, j)
	c.arrange()
}

// arrange makes the engine wake the host's work when the next piece is done.
func (c *cpu) arrange() {
	c.host.n.queue.schedule(c, classDeadline, 3<<60|uint64(c.host.number))
	c.host.n.wakeAt(c.next(classDeadline))
}

// share returns the fraction of full speed of each piece: by/of.
func (c *cpu) share() (by, of uint64) {
	by, of = 1, uint64(c.slowdown)
	if active := uint64(len(c.jobs)); c.cores > 0 && active > uint64(c.cores) {
		by, of = uint64(c.cores), of*active
	}
	return by, of
}

// count counts the work done up to an instant.
func (c *cpu) count(now int64) {
	passed := uint64(now - c.at)
	c.at = now
	if c.host.pause.faults != nil || len(c.jobs) == 0 {
		return
	}
	by, of := c.share()
	done := scale(passed, by*workUnits, of, 0)
	for _, j := range c.jobs {
		j.left -= min(j.left, done)
	}
}

// scale returns (v*by+more)/of, rounded down, or the largest number if that is larger.
func scale(v, by, of, more uint64) uint64 {
	hi, lo := bits.Mul64(v, by)
	lo, carry := bits.Add64(lo, more, 0)
	if hi += carry; hi >= of {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, of)
	return q
}

// plan implements timed.
func (c *cpu) plan(uint64) *plan { return &c.event }

// next implements timed.
func (c *cpu) next(uint64) int64 {
	if len(c.jobs) == 0 || c.host.pause.faults != nil || c.host.n.closed {
		return never
	}
	least := c.jobs[0].left
	for _, j := range c.jobs {
		least = min(least, j.left)
	}
	by, of := c.share()
	wait := scale(least, of, by*workUnits, by*workUnits-1)
	return after(c.at, int64(min(wait, math.MaxInt64)))
}

// observable implements timed.
func (c *cpu) observable() int64 { return c.next(classDeadline) }

// due implements timed.
func (c *cpu) due(now int64, _ uint64) {
	c.count(now)
	c.jobs = slices.DeleteFunc(c.jobs, func(j *job) bool {
		j.done = j.left == 0
		return j.done
	})
	c.q.notify(c.host.n, c.host)
	c.arrange()
}

// end ends all work with the processes that do it.
func (c *cpu) end() {
	for _, j := range c.jobs {
		j.ended = true
	}
	c.jobs = nil
	c.q.release()
}
