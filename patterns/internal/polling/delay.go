package polling

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Jitter draws a duration from 0 to max, both included. It is called
// concurrently.
type Jitter func(max time.Duration) time.Duration

// NoJitter always draws 0: waits have their nominal length and delays their
// longest. For tests that compute times.
func NoJitter(time.Duration) time.Duration { return 0 }

// Seeded returns a Jitter whose draws are uniform and repeat for the same seed.
func Seeded(seed uint64) Jitter {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0x6c6f6e67706f6c6c))
	return func(max time.Duration) time.Duration {
		if max <= 0 {
			return 0
		}
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.Uint64N(uint64(max) + 1))
	}
}

// OrSeededByClock is the default of a Jitter field. Processes start at different
// nanoseconds; a simulation starts at the same one each time, and so repeats.
func OrSeededByClock(j Jitter) Jitter {
	if j == nil {
		return Seeded(uint64(time.Now().UnixNano()))
	}
	return j
}

// Backoff bounds the delays of a client after failed polls. The n-th failure in a
// row is followed by a delay drawn from Floor to Base<<(n-1), at most Max ("full
// jitter", with a floor so that no draw makes a hot loop). Zero fields have the
// defaults given.
type Backoff struct {
	Floor time.Duration // 100 ms
	Base  time.Duration // 1 s
	Max   time.Duration // 30 s
	// RetryAfterMax is the longest Retry-After that is honoured: 5 min. A server's
	// Retry-After replaces the draw; up to Base is added to it at random, since it
	// is in whole seconds.
	RetryAfterMax time.Duration
}

// WithDefaults fills the zero fields of b. It is no method, nor are the next two, since
// Backoff is part of the API of two packages.
func WithDefaults(b Backoff) Backoff {
	b.Floor = cmp.Or(b.Floor, 100*time.Millisecond)
	b.Base = cmp.Or(b.Base, time.Second)
	b.Max = cmp.Or(b.Max, 30*time.Second)
	b.RetryAfterMax = cmp.Or(b.RetryAfterMax, 5*time.Minute)
	return b
}

// CheckBackoff finds what is wrong with the field Backoff of a client.
func CheckBackoff(c *fields.Check, b Backoff) {
	c.Duration("Backoff.Floor", b.Floor)
	c.Duration("Backoff.Base", b.Base)
	c.Duration("Backoff.Max", b.Max)
	c.Duration("Backoff.RetryAfterMax", b.RetryAfterMax)
	if b := WithDefaults(b); b.Floor > b.Max {
		c.Bad("Backoff.Floor is %v: want at most Backoff.Max, %v", b.Floor, b.Max)
	}
}

// DelayAfter is the delay after the n-th failure in a row.
func DelayAfter(b Backoff, n int, j Jitter) time.Duration {
	ceiling := b.Base
	for range n - 1 {
		if ceiling >= b.Max {
			break
		}
		ceiling *= 2
	}
	ceiling = max(min(ceiling, b.Max), b.Floor)
	return ceiling - j(ceiling-b.Floor)
}

// Honour is the delay that a server asked for, within b's bounds.
func Honour(b Backoff, retryAfter time.Duration, j Jitter) time.Duration {
	return max(min(retryAfter, b.RetryAfterMax), b.Floor) + j(b.Base)
}

// Sleep waits for d, or until ctx is done.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
