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
				d.begin()
				return open
			}
			d = newDriver(true, step, func() bool { return false }, func() {})
			defer func() {
				mu.Lock()
				open = false
				d.stop()
				mu.Unlock()
				time.Sleep(2) // for the workers to end
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
		var mu sync.Mutex
		var d driver
		closed := false
		d = newDriver(true, func() bool {
			mu.Lock()
			defer mu.Unlock()
			d.begin()
			if closed {
				return false
			}
			done <- time.Since(start)
			return true
		}, func() bool { return false }, func() {})
		defer func() {
			mu.Lock()
			closed = true
			d.stop()
			mu.Unlock()
			time.Sleep(2)
		}()
		for range 100 {
			mu.Lock()
			d.request()
			mu.Unlock()
			require.Zero(t, <-done)
		}
	})
}

func TestAlarmRingsAtItsInstant(t *testing.T) {
	const stopped = -1
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		rang := make(chan time.Duration, 1)
		var d driver
		d = newDriver(true, func() bool { return false }, func() bool {
			if d.alarmAt == stopped {
				return false
			}
			d.alarmAt = never
			rang <- time.Since(start)
			return true
		}, func() {})
		defer func() { d.alarmAt = stopped; d.stop(); time.Sleep(2) }()

		d.at(int64(3*time.Second), 0)
		d.at(int64(2*time.Second), 0)
		require.Equal(t, 2*time.Second, <-rang)

		d.at(int64(5*time.Second), int64(2*time.Second))
		d.at(never, int64(2*time.Second))
		time.Sleep(time.Hour)
		require.Empty(t, rang)
	})
}
