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

// Goroutines of the process that want a lock of the bubble's again and again decide nothing in it, though package sync hands a lock
// to who has waited for a millisecond of real time, and has the others queue behind it.
func TestThoseThatWantALockOutsideDoNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, lock := range []struct {
		name string
		by   func() (outside sync.Locker, inside func(i int) sync.Locker)
	}{
		{"Mutex", func() (sync.Locker, func(int) sync.Locker) {
			mu := new(sync.Mutex)
			return mu, func(int) sync.Locker { return mu }
		}},
		{"RWMutex, written by all", func() (sync.Locker, func(int) sync.Locker) {
			mu := new(sync.RWMutex)
			return mu, func(int) sync.Locker { return mu }
		}},
		{"RWMutex, written outside", func() (sync.Locker, func(int) sync.Locker) {
			mu := new(sync.RWMutex)
			return mu, mixed(mu)
		}},
		{"RWMutex, read outside", func() (sync.Locker, func(int) sync.Locker) {
			mu := new(sync.RWMutex)
			return mu.RLocker(), mixed(mu)
		}},
	} {
		t.Run(lock.name, func(t *testing.T) {
			outside, inside := lock.by()
			require.Equal(t, contend(t, nil, inside), contend(t, outside, inside))
		})
	}
}

// mixed has every third goroutine write and the others read.
func mixed(mu *sync.RWMutex) func(int) sync.Locker {
	return func(i int) sync.Locker {
		if i%3 == 0 {
			return mu
		}
		return mu.RLocker()
	}
}

type contended struct {
	order    [200]int
	schedule exact.Schedule
}

// contend has goroutines of a bubble and others, unless outside is nil, want a lock.
func contend(t *testing.T, outside sync.Locker, inside func(i int) sync.Locker) (c contended) {
	var begun, over atomic.Bool
	var others sync.WaitGroup
	if outside != nil {
		for range 3 {
			others.Go(func() {
				for !over.Load() {
					if !begun.Load() {
						time.Sleep(time.Millisecond)
						continue
					}
					outside.Lock()
					outside.Unlock()
				}
			})
		}
	}
	require.NoError(t, sim.Try(t, func(*sim.Network) error {
		begun.Store(true)
		var all sync.WaitGroup
		var next atomic.Int32
		for i := range 10 {
			all.Go(func() {
				mu, spun := inside(i), 0
				defer func() { runtime.KeepAlive(spun) }()
				for k := range 20 {
					mu.Lock()
					for n := range 500_000 { // some tenths of a millisecond
						spun += n & 1
					}
					if k%5 == 0 {
						runtime.Gosched() // others of the bubble come to wait for it
					}
					c.order[next.Add(1)-1] = i
					mu.Unlock()
				}
			})
		}
		all.Wait()
		c.schedule = exact.Now()
		return nil
	}))
	over.Store(true)
	others.Wait()
	return c
}

// By priorities, too, a goroutine that asks in a loop for what others have to do lets them do it in the end: by itself, and not since it is stopped
// after a time.
func TestALoopInVainEndsByPriorities(t *testing.T) {
	sim.NeedExact(t)
	t.Setenv(exact.Variable, "pct:1")
	for seed := range uint64(10) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			var done atomic.Bool
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					for !done.Load() {
					}
				})
			}
			all.Go(func() { done.Store(true) })
			all.Wait()
			require.Zero(t, exact.Now().Forced, seed)
			return nil
		}, sim.Seed(seed)))
	}
}
