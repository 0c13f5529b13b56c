package exact_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// How long a goroutine of the process holds a lock decides nothing in a bubble that wants it too.
func TestALockThatOthersHoldDoesNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	type outcome struct {
		order    [20]int
		schedule exact.Schedule
	}
	for _, lock := range []struct {
		name string
		by   func() (outside, inside sync.Locker)
	}{
		{"Mutex", func() (outside, inside sync.Locker) { mu := new(sync.Mutex); return mu, mu }},
		{"RWMutex, written", func() (outside, inside sync.Locker) { mu := new(sync.RWMutex); return mu, mu.RLocker() }},
	} {
		t.Run(lock.name, func(t *testing.T) {
			run := func(held time.Duration) (o outcome) {
				outside, mu := lock.by()
				if held > 0 {
					outside.Lock()
					time.AfterFunc(held, outside.Unlock)
				}
				require.NoError(t, sim.Try(t, func(*sim.Network) error {
					var all sync.WaitGroup
					next := 0
					say := func(i int) { o.order[next] = i; next++ }
					for i := range 10 {
						all.Go(func() {
							mu.Lock()
							say(i)
							mu.Unlock()
							runtime.Gosched()
							say(i)
						})
					}
					all.Wait()
					o.schedule = exact.Now()
					return nil
				}))
				return o
			}
			require.Equal(t, run(0), run(50*time.Millisecond))
		})
	}
}

// Nor does time go on meanwhile, also if others wait for a lock of the bubble's own.
func TestTimeStandsWhileOthersHoldALock(t *testing.T) {
	sim.NeedExact(t)
	var outside sync.Mutex
	outside.Lock()
	time.AfterFunc(100*time.Millisecond, outside.Unlock)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var mine sync.Mutex
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				mine.Lock()
				defer mine.Unlock()
				time.Sleep(time.Second)
			})
		}
		time.Sleep(time.Millisecond) // the others wait, and one of them for the clock
		outside.Lock()
		require.Equal(t, time.Millisecond, n.Elapsed())
		outside.Unlock()
		all.Wait()
		require.Equal(t, 3*time.Second, n.Elapsed())
	})
}
