package exact_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// Tests that are parallel do not run side by side: what they share would have one decide who runs in the other.
func TestOneBubbleRunsAtATime(t *testing.T) {
	sim.NeedExact(t)
	var running atomic.Int32
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim.Test(t, func(t *testing.T, _ *sim.Network) {
				running.Add(1)
				defer running.Add(-1)
				for range 10_000 {
					time.Sleep(time.Millisecond)
					require.EqualValues(t, 1, running.Load())
				}
			})
		})
	}
}
