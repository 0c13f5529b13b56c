package exact_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// Memory of more than 256 KB is cleared in pieces, and in between the runtime gives way to the collector. That is none of the program's affairs, and
// lets none of its other goroutines run.
func TestLargeObjectsDoNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	run := func() (s exact.Schedule) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					var kept [2][]byte
					for i := range 20 {
						kept[i%2] = make([]byte, 8<<20)
						runtime.Gosched()
					}
					runtime.KeepAlive(kept)
				})
			}
			all.Wait()
			s = exact.Now()
			return nil
		}))
		return s
	}
	quiet := run()
	collectAllTheTime(t)
	for range 3 {
		require.Equal(t, quiet, run())
	}
}

// collectAllTheTime has the collector run until the test ends, outside of all bubbles.
func collectAllTheTime(t *testing.T) {
	done := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		collector.Wait()
	})
}

// The collector stops a goroutine to look at its stack, which may be one that is about to wait for a lock of the bubble, or has just got it. It runs,
// for all that: if no other does, the clock does not move, and nobody is woken.
func TestACollectorThatStopsWhoGetsALockDoesNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	run := func() (s exact.Schedule) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			var all sync.WaitGroup
			var mu sync.Mutex
			var held atomic.Int64
			for range 4 {
				all.Go(func() {
					for range 40_000 {
						mu.Lock()
						held.Add(1)                      // a place to be preempted, if others are ready
						time.Sleep(2 * time.Millisecond) // who has waited for one is handed the lock
						mu.Unlock()
					}
				})
			}
			all.Wait()
			s = exact.Now()
			return nil
		}))
		return s
	}
	quiet := run()
	collectAllTheTime(t)
	for range 3 {
		require.Equal(t, quiet, run())
	}
}
