package stream

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"time"
)

// Backoff bounds the delays of a client before it connects again. After the n-th
// connection in a row that did not work, the delay is drawn from half to one and a
// half times d, where d is the reconnection time doubled n-1 times. A connection
// worked if it brought an event or lasted for Min. Zero fields have the defaults
// given.
type Backoff struct {
	// Retry is the reconnection time until a server says another: 3 s.
	Retry time.Duration
	// Min is the least d: 1 s. It stands also if the server says 0.
	Min time.Duration
	// Max is the most d becomes by doubling: 30 s.
	Max time.Duration
	// HintMax is the longest reconnection time and Retry-After that are honoured: 5
	// min. A Retry-After is waited for in full, and up to Min more.
	HintMax time.Duration
}

func (b Backoff) withDefaults() Backoff {
	b.Retry = cmp.Or(b.Retry, 3*time.Second)
	b.Min = cmp.Or(b.Min, time.Second)
	b.Max = cmp.Or(b.Max, 30*time.Second)
	b.HintMax = cmp.Or(b.HintMax, 5*time.Minute)
	return b
}

// delay follows the n-th failure in a row.
func (b Backoff) delay(n int, r *rand.Rand) time.Duration {
	d := max(min(b.Retry, b.HintMax), b.Min)
	for range n - 1 {
		if d >= b.Max {
			break
		}
		d = min(2*d, b.Max)
	}
	return d/2 + uniform(r, d)
}

// after is the delay that a Retry-After asks for.
func (b Backoff) after(d time.Duration, r *rand.Rand) time.Duration {
	return max(min(d, b.HintMax), b.Min) + uniform(r, b.Min)
}

// uniform draws from [0, d), always with one draw.
func uniform(r *rand.Rand, d time.Duration) time.Duration {
	high, _ := bits.Mul64(r.Uint64(), uint64(max(d, 0)))
	return time.Duration(high)
}

// seededByClock is the default of a Rand field. Processes start at different
// nanoseconds; a simulation starts at the same one each time, and so repeats.
func seededByClock() *rand.Rand {
	return rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0x73747265616d))
}
