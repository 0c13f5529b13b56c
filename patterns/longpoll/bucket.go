package longpoll

import (
	"context"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// bucket is a token bucket that holds up to two tokens and gains one per
// interval. It stores the instant at which it will be full.
type bucket struct {
	interval time.Duration
	full     time.Time
}

const bucketBurst = 2

// take waits for a token.
func (b *bucket) take(ctx context.Context) error {
	now := time.Now()
	if b.full.Before(now) {
		b.full = now
	}
	wait := b.full.Sub(now) - (bucketBurst-1)*b.interval
	b.full = b.full.Add(b.interval)
	return retry.Sleep(ctx, wait)
}
