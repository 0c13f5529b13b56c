package netem

import (
	"strconv"
	"strings"
	"time"
)

// BitRate is a rate in bits per second, as in 10*[Mbit].
type BitRate int64

// The units are decimal, as line rates are: a Mbit is 10^6 bit/s.
const (
	Bit  BitRate = 1
	Kbit BitRate = 1e3 * Bit
	Mbit BitRate = 1e6 * Bit
	Gbit BitRate = 1e9 * Bit
)

// String returns the exact rate in the largest unit that it reaches: "1.5Mbit/s", "999bit/s".
func (r BitRate) String() string {
	unit, name := Bit, "bit/s"
	switch {
	case r >= Gbit || r <= -Gbit:
		unit, name = Gbit, "Gbit/s"
	case r >= Mbit || r <= -Mbit:
		unit, name = Mbit, "Mbit/s"
	case r >= Kbit || r <= -Kbit:
		unit, name = Kbit, "Kbit/s"
	}
	s := strconv.FormatInt(int64(r/unit), 10)
	if part := r % unit; part != 0 {
		digits := strconv.FormatInt(int64(unit+max(part, -part)), 10)[1:]
		s += "." + strings.TrimRight(digits, "0")
	}
	return s + name
}

// line sends bits at a rate, one packet after another. It is busy until the instant free + frac/rate
// nanoseconds. The fraction makes any number of packets sent back to back take exactly their bits over the
// rate.
type line struct {
	rate BitRate
	free time.Duration
	frac uint64
}

// endOfTime, after 146 years, keeps instants from overflowing, on a line that is overloaded for so long and
// with delays.
const endOfTime = time.Duration(1 << 62)

// send returns when the last bit of a packet handed over now is sent, rounded up to a nanosecond. Without a
// rate a packet takes no time, but it still waits for those before it.
func (l *line) send(size int, now time.Duration) time.Duration {
	l.ready(now)
	return l.do(workOf(size))
}

// ready has the line begin no earlier than now.
func (l *line) ready(now time.Duration) {
	if now > l.free || now == l.free && l.frac == 0 {
		l.free, l.frac = now, 0
	}
}

// workOf returns the work of a packet's bits, in ns times bit/s: below 2^49, since maxMTU bounds the size.
func workOf(size int) uint64 { return uint64(size) * 8 * uint64(time.Second) }

// do returns when some more work is done, rounded up to a nanosecond.
func (l *line) do(work uint64) time.Duration {
	if l.rate > 0 {
		rate := uint64(l.rate)
		l.free += time.Duration(work / rate)
		l.frac += work % rate
		if l.frac >= rate {
			l.frac -= rate
			l.free++
		}
		l.free = min(l.free, endOfTime)
	}
	if l.frac > 0 {
		return l.free + 1
	}
	return l.free
}

// left returns how much of a packet's work is not done at an instant before that of its last bit, which is
// frac/rate ns after end.
func (l *line) left(size int, end time.Duration, frac uint64, now time.Duration) uint64 {
	work, rate := workOf(size), uint64(l.rate)
	if rate == 0 || uint64(end-now) > work/rate {
		return work
	}
	return min(work, uint64(end-now)*rate+frac)
}

// setRate changes the rate of later packets. A fraction of the old rate means nothing at a new one, so it is
// rounded up.
func (l *line) setRate(r BitRate) {
	if r == l.rate {
		return
	}
	if l.frac > 0 {
		l.free, l.frac = l.free+1, 0
	}
	l.rate = r
}
