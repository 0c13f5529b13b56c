package exact_test

import (
	"reflect"
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
		{"RWMutex, read", func() (outside, inside sync.Locker) { mu := new(sync.RWMutex); return mu.RLocker(), mu }},
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

// Nor what it has done before: an operation is one place at which a goroutine may be preempted, whatever it finds.
func TestWhatOthersDidBeforeDoesNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	for _, used := range []struct {
		name string
		by   func(before bool) (inside func())
	}{
		{"a Once that is done", func(before bool) func() {
			var once sync.Once
			if before {
				once.Do(func() {})
			}
			return func() { once.Do(func() {}) }
		}},
		{"a function that has been called once", func(before bool) func() {
			value := sync.OnceValue(func() int { return 1 })
			if before {
				value()
			}
			return func() { value() }
		}},
		{"a Map with many keys", func(before bool) func() {
			var m sync.Map
			if before {
				for i := range 5000 {
					m.Store(-1-i, i)
				}
			}
			return func() {
				m.Store(1, 1)
				m.LoadOrStore(2, 2)
				m.CompareAndSwap(1, 1, 3)
				m.Load(1)
				m.Delete(2)
			}
		}},
		{"a Pool that has something", func(before bool) func() {
			pool := sync.Pool{New: func() any { return new(int) }}
			if before {
				pool.Put(new(int))
			}
			return func() { pool.Put(pool.Get()) }
		}},
		{"a type that reflect knows", func(before bool) func() {
			know := func() {
				reflect.FuncOf([]reflect.Type{reflect.TypeFor[outcome](), reflect.TypeFor[exact.Schedule]()}, nil, false)
			}
			if before {
				know()
			}
			return know
		}},
	} {
		t.Run(used.name, func(t *testing.T) {
			run := func(before bool) (s exact.Schedule) {
				use := used.by(before)
				require.NoError(t, sim.Try(t, func(*sim.Network) error {
					var all sync.WaitGroup
					for range 10 {
						all.Go(func() {
							for range 20 {
								use()
							}
						})
					}
					all.Wait()
					s = exact.Now()
					return nil
				}))
				return s
			}
			require.Equal(t, run(false), run(true))
		})
	}
}
