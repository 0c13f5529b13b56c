package sim

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The driver rests on how the runtime keeps the timers of a bubble. If a Go release
// changes that, these tests fail.

func TestStepRunsWhenAllGoroutinesAreBlocked(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var busy, early, steps atomic.Int32
			var d driver
			open := true
			step := func() bool {
				if busy.Load() != 0 {
					early.Add(1)
				}
				steps.Add(1)
				mu.Lock()
				defer mu.Unlock()
				d.kicked = false
				return open
			}
			d = newDriver(true, step, func() {}, func() {})
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				open = false
				d.stop()
			}()

			// Eight timers of one instant: the goroutine of the first kicks while the
			// runtime is still firing the others.
			const goroutines, rounds = 8, 3
			var all sync.WaitGroup
			for range goroutines {
				all.Go(func() {
					for range rounds {
						time.Sleep(10 * time.Millisecond)
						busy.Add(1)
						mu.Lock()
						d.request()
						mu.Unlock()
						for range 2000 {
							mu.Lock()
							mu.Unlock() //nolint:staticcheck // something to do that takes a while
						}
						busy.Add(-1)
					}
				})
			}
			all.Wait()
			synctest.Wait()

			require.Zero(t, early.Load(), "steps that ran while a goroutine was busy")
			require.EqualValues(t, rounds, steps.Load(), "one step an instant, whoever asked")
		})
	}
}

func TestStepTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		done := make(chan time.Duration, 1)
		var d driver
		var closed atomic.Bool
		d = newDriver(true, func() bool {
			d.kicked = false
			if closed.Load() {
				return false
			}
			done <- time.Since(start)
			return true
		}, func() {}, func() {})
		defer func() { closed.Store(true); d.stop() }()
		for range 100 {
			d.request()
			require.Zero(t, <-done)
		}
	})
}

func TestAlarmRingsAtItsInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		rang := make(chan time.Duration, 1)
		var d driver
		d = newDriver(true, func() bool { return false }, func() { d.alarmAt = never; rang <- time.Since(start) }, func() {})
		defer d.stop()

		d.at(int64(3*time.Second), 0)
		d.at(int64(2*time.Second), 0)
		require.Equal(t, 2*time.Second, <-rang)

		d.at(int64(5*time.Second), int64(2*time.Second))
		d.at(never, int64(2*time.Second))
		time.Sleep(time.Hour)
		require.Empty(t, rang)
	})
}
