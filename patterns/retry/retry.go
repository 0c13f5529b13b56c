// Package retry defines how the clients of all patterns reconnect after a failure: how long they
// wait, how they honour a Retry-After, and which answers are worth another attempt. A [Budget]
// also limits how many attempts beyond the first of each call a destination gets. The package
// has no loop, because every pattern has its own:
//
//	for failures := 1; ; failures++ {
//		resp, err := attempt()
//		...
//		delay := backoff.Delay(failures, jitter)
//		if after, ok := retry.After(resp.Header); ok {
//			delay = backoff.Hint(after, jitter)
//		}
//		if err := retry.Sleep(ctx, delay); err != nil {
//			return err
//		}
//	}
//
// It is designed for the moment after an outage, when all clients want to reconnect at once.
// Delays are therefore drawn from their whole range ("full jitter",
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A Retry-After is
// the same for all clients, so a random delay is added to it.
package retry

import (
	"cmp"
	"context"
	"math"
	"time"
)

// Backoff bounds the delays of a client. Zero fields have the defaults given.
type Backoff struct {
	// Min is the shortest delay, so that no draw causes a hot loop. Zero: 100 ms.
	Min time.Duration
	// Base is the longest delay after the first failure. Zero: 1 s. It doubles with
	// every further failure in a row.
	Base time.Duration
	// Max is the longest delay, however many failures there were. Zero: 30 s.
	Max time.Duration
	// RetryAfterMax is the longest Retry-After that is honoured; a longer one is
	// cut to it. Zero: 5 min.
	RetryAfterMax time.Duration
}

// WithDefaults returns b with its zero fields filled in: from own, a pattern's
// defaults, and if those are zero too, from this package's defaults.
func (b Backoff) WithDefaults(own Backoff) Backoff {
	b.Min = cmp.Or(b.Min, own.Min, 100*time.Millisecond)
	b.Base = cmp.Or(b.Base, own.Base, time.Second)
	b.Max = cmp.Or(b.Max, own.Max, 30*time.Second)
	b.RetryAfterMax = cmp.Or(b.RetryAfterMax, own.RetryAfterMax, 5*time.Minute)
	return b
}

// Delay returns the delay after that many failures in a row, at least 1. It is drawn
// from Min to min(Max, Base<<(failures-1)); if that is less than Min, it is Min. With
// [NoJitter] it is the longest of the range. It panics if j is nil.
func (b Backoff) Delay(failures int, j Jitter) time.Duration {
	mustDraw("Delay", j)
	b = b.WithDefaults(Backoff{})
	longest := b.Base
	for range failures - 1 {
		if longest > b.Max/2 {
			longest = b.Max
			break
		}
		longest *= 2
	}
	longest = max(min(longest, b.Max), b.Min)
	return longest - j(longest-b.Min)
}

// Hint returns the delay after an answer that asked for one, see [After]: the answer's
// delay, at least Min and at most RetryAfterMax, plus a random delay of up to Base,
// because other clients got the same answer. It replaces Delay. It panics if j is nil.
func (b Backoff) Hint(after time.Duration, j Jitter) time.Duration {
	mustDraw("Hint", j)
	b = b.WithDefaults(Backoff{})
	after = max(min(after, b.RetryAfterMax), b.Min)
	return after + j(min(b.Base, math.MaxInt64-after))
}

func mustDraw(method string, j Jitter) {
	if j == nil {
		panic("retry: Backoff." + method + ": j is nil: want a function, such as NoJitter")
	}
}

// Sleep waits for d, or until ctx is done, in which case it returns ctx's
// error.
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
