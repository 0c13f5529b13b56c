package interop

import (
	"context"
	"time"
)

const (
	ms      = time.Millisecond
	transit = 40 * ms // one way, as in the contract's own worlds
)

// sleep returns false if ctx was done first.
func sleep(ctx context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		return false
	}
}
