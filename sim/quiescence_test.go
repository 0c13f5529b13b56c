package sim

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Quiescence in a bubble depends on how the runtime keeps a bubble's timers. If a Go release changes that, these
// tests fail.

// newTestQuiescence sets a limit of virtual time first, as a network does: see kickTimers.
func newTestQuiescence(manyTimers bool, s stepper) quiescence {
	time.AfterFunc(maxLimit, func() {})
	return newQuiescence(true, manyTimers, new(sync.Mutex), s)
}

func TestStepRunsWhenAllGoroutinesAreBlocked(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var busy, early, steps atomic.Int32
			var q quiescence
			open, requested := true, false
			step := func() bool {
				if busy.Load() != 0 {
					early.Add(1)
				}
				steps.Add(1)
				mu.Lock()
				defer mu.Unlock()
				requested = false
				return open
			}
			q = newTestQuiescence(false, stepper{step: step, ring: noAlarm})
			defer func() {
				mu.Lock()
				open = false
				q.stop()
				mu.Unlock()
				time.Sleep(2) // for the workers to end
			}()

			// Eight timers fire at one instant. The goroutine of the first kicks while the runtime is still firing
			// the others.
			const goroutines, rounds = 8, 3
			var all sync.WaitGroup
			for range goroutines {
				all.Go(func() {
					for range rounds {
						time.Sleep(10 * time.Millisecond)
						busy.Add(1)
						mu.Lock()
						if !requested {
							requested = true
							q.request(nil)
						}
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
		closed := false
		q := newTestQuiescence(false, stepper{step: func() bool {
			mu.Lock()
			defer mu.Unlock()
			if closed {
				return false
			}
			done <- time.Since(start)
			return true
		}, ring: noAlarm})
		defer func() {
			mu.Lock()
			closed = true
			q.stop()
			mu.Unlock()
			time.Sleep(2)
		}()
		for range 100 {
			mu.Lock()
			q.request(nil)
			mu.Unlock()
			require.Zero(t, <-done)
		}
	})
}

func noAlarm(int) (alive, due bool) { return false, false }

func TestAlarmRingsAtItsInstant(t *testing.T) {
	for _, waits := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			rang := make(chan time.Duration, 10)
			var mu sync.Mutex
			var q quiescence
			stopped := false
			q = newTestQuiescence(waits, stepper{step: func() bool { return false }, ring: func(i int) (alive, due bool) {
				mu.Lock()
				defer mu.Unlock()
				if stopped {
					return false, false
				}
				q.rang(i)
				rang <- time.Since(start)
				return true, false
			}})
			at := func(when, now time.Duration) (next time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(q.alarm(int64(when), int64(now)))
			}
			defer func() {
				mu.Lock()
				stopped = true
				q.stop()
				mu.Unlock()
				time.Sleep(2)
			}()

			at(3*time.Second, 0)
			at(2*time.Second, 0)
			require.Equal(t, 2*time.Second, <-rang)
			if waits { // an alarm that is set is not moved
				require.Equal(t, 3*time.Second, <-rang)
			}

			at(5*time.Second, time.Since(start))
			if !waits {
				at(time.Duration(never), time.Since(start))
				time.Sleep(time.Hour)
				require.Empty(t, rang)
				return
			}
			// There are more alarms than timers, so the last one is moved.
			for _, sec := range []time.Duration{9, 8, 7, 6, 5, 4} {
				at(sec*time.Second, time.Since(start))
			}
			require.Equal(t, 4*time.Second, at(10*time.Second, time.Since(start)), "the next alarm, which comes first")
			for _, sec := range []time.Duration{4, 5} {
				require.Equal(t, sec*time.Second, <-rang)
			}
		})
	}
}
