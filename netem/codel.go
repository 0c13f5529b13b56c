package netem

import (
	"fmt"
	"time"
)

// CoDel is a first-in-first-out queue. When all packets have waited for more than Target during an Interval,
// it drops packets, more and more often until they no longer wait that long (RFC 8289, as Linux's
// include/net/codel_impl.h computes it). The packet being sent does not count.
type CoDel struct {
	Target   time.Duration // 0 means 5 ms
	Interval time.Duration // 0 means 100 ms; more than Target
	Packets  int           // most packets that wait; 0 means 1000
	ECN      bool          // marks packets instead of dropping them, if their senders understand that (ECT)
}

func (q CoDel) defaults() CoDel {
	q.Target = orDefault(q.Target, 5*time.Millisecond)
	q.Interval = orDefault(q.Interval, 100*time.Millisecond)
	q.Packets = orDefault(q.Packets, 1000)
	return q
}

func orDefault[T int | time.Duration](v, other T) T {
	if v == 0 {
		return other
	}
	return v
}

func (q CoDel) invalid(*Config) string {
	d := q.defaults()
	switch {
	case d.Target < 0 || d.Interval > time.Minute || d.Interval <= d.Target:
		return "Target must be positive, and Interval above Target and at most 1m"
	case d.Packets < 0:
		return "Packets must not be negative"
	}
	return ""
}

func (q CoDel) discipline(c *Config) discipline {
	return &codel{cfg: q.defaults(), mtu: c.mtu()}
}

// String returns the queue as Go writes it.
func (q CoDel) String() string {
	return fmt.Sprintf("CoDel{Target: %v, Interval: %v, Packets: %d, ECN: %v}", q.Target, q.Interval, q.Packets, q.ECN)
}

type codel struct {
	cfg  CoDel
	mtu  int
	wait lineup
	law  codelLaw
}

func (c *codel) enter(w waiter, _ time.Duration, r *room) {
	if c.wait.len() >= c.cfg.Packets {
		r.drop(w)
		return
	}
	c.wait.push(w)
}

func (c *codel) leave(now time.Duration, r *room) (waiter, bool) {
	return c.law.leave(&c.cfg, &c.wait, 0, c.mtu, now, r)
}

func (c *codel) backlog() (packets, bytes int) { return c.wait.len(), c.wait.bytes }
func (c *codel) empty() []waiter               { return c.wait.empty() }

// codelLaw is struct codel_vars.
type codelLaw struct {
	count, lastCount uint32
	dropping         bool
	inverseRoot      uint16        // 1/sqrt(count), in units of 2^-16
	firstAbove       time.Duration // when all will have waited too long for an Interval; 0 if they have not
	dropNext         time.Duration
}

// leave is codel_dequeue: the next packet that is not dropped. others is the number of bytes that wait
// elsewhere.
func (l *codelLaw) leave(cfg *CoDel, wait *lineup, others, mtu int, now time.Duration, r *room) (waiter, bool) {
	w, ok := wait.pop()
	if !ok {
		l.firstAbove, l.dropping = 0, false
		return w, false
	}
	drop := l.above(cfg, &w, others+wait.bytes, mtu, now)
	switch {
	case l.dropping && !drop:
		l.dropping = false
	case l.dropping:
		for l.dropping && now >= l.dropNext {
			l.count++
			l.newton()
			if cfg.ECN && w.mark() {
				l.dropNext = l.control(cfg, l.dropNext)
				return w, true
			}
			r.drop(w)
			if w, ok = wait.pop(); !ok || !l.above(cfg, &w, others+wait.bytes, mtu, now) {
				l.dropping = false
			} else {
				l.dropNext = l.control(cfg, l.dropNext)
			}
		}
	case drop:
		if !cfg.ECN || !w.mark() {
			r.drop(w)
			if w, ok = wait.pop(); ok {
				l.above(cfg, &w, others+wait.bytes, mtu, now)
			}
		}
		l.dropping = true
		// If it was below for a short time only, the rate of drops that was enough before is a good start.
		if delta := l.count - l.lastCount; int32(delta) > 1 && now-l.dropNext < 16*cfg.Interval {
			l.count = delta
			l.newton()
		} else {
			l.count, l.inverseRoot = 1, 1<<16-1
		}
		l.lastCount = l.count
		l.dropNext = l.control(cfg, now)
	}
	if !ok {
		l.firstAbove = 0
	}
	return w, ok
}

// above is codel_should_drop: all have waited for more than Target for an Interval.
func (l *codelLaw) above(cfg *CoDel, w *waiter, total, mtu int, now time.Duration) bool {
	switch {
	case now-w.entered < cfg.Target || total <= mtu:
		l.firstAbove = 0
	case l.firstAbove == 0:
		l.firstAbove = now + cfg.Interval
	default:
		return now > l.firstAbove
	}
	return false
}

// newton is codel_Newton_step: a step towards 1/sqrt(count).
func (l *codelLaw) newton() {
	root := uint64(l.inverseRoot) << 16
	value := 3<<32 - uint64(l.count)*(root*root>>32)
	value >>= 2
	value = value * root >> (32 - 2 + 1)
	l.inverseRoot = uint16(value >> 16)
}

// control is codel_control_law: an Interval over sqrt(count) later.
func (l *codelLaw) control(cfg *CoDel, at time.Duration) time.Duration {
	return at + time.Duration(uint64(cfg.Interval)*uint64(l.inverseRoot)>>16)
}
