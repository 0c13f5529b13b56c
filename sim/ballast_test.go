package sim

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/stacks"
)

// The ballast relies on how the runtime counts the goroutines of a bubble. This test fails if a Go
// release changes that.
func TestBallastMovesTheClockOfAFrozenBubble(t *testing.T) {
	const rounds = 5
	for _, waiters := range []int{1, 2, 5} {
		var took time.Duration
		b, left := tickWhileFrozen(t, func() {
			start := time.Now()
			var mu sync.Mutex
			var all sync.WaitGroup
			for range waiters + 1 {
				all.Go(func() {
					for range rounds {
						mu.Lock()
						time.Sleep(time.Second)
						mu.Unlock()
					}
				})
			}
			all.Wait()
			took = time.Since(start)
		})
		require.Equal(t, time.Duration(rounds*(waiters+1))*time.Second, took)
		require.Len(t, b.weights, waiters)
		require.Equal(t, 2*(waiters-1), left, "a weight ends, the others stay behind")
	}
}

// tickWhileFrozen runs f in a bubble, moves the bubble's clock whenever it is frozen, and returns
// the number of goroutines that remain of the bubble.
func tickWhileFrozen(t *testing.T, f func()) (_ *ballast, left int) {
	t.Helper()
	before := goroutineIDs()
	b := newBallast(t)
	var bubble atomic.Pointer[string]
	over := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(100 * time.Microsecond):
			}
			id := bubble.Load()
			if id == nil {
				continue
			}
			if s := lookAt(stacks.Dump(), *id); s.frozen() {
				b.tick(len(s.locked), func() bool { return true })
			}
		}
	})
	ended := false
	func() {
		defer func() {
			if p := recover(); !ended || p != nil && !isDeadlock(p) {
				panic(p)
			}
		}()
		synctest.Test(t, func(*testing.T) {
			b.prepare()
			_, id := stacks.This()
			bubble.Store(&id)
			f()
			b.end()
			ended = true
		})
	}()
	close(over)
	clock.Wait()
	b.drop(true)
	for tries := 0; tries < 1000; tries++ { // those that end may not be gone yet
		left = 0
		for id := range goroutineIDs() {
			if !before[id] { // not by numbers: one of an earlier test may end meanwhile
				left++
			}
		}
		if left <= 2*max(len(b.weights)-1, 0) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return b, left
}

func goroutineIDs() map[string]bool {
	ids := map[string]bool{}
	for entry := range strings.SplitSeq(stacks.Dump(), "\n\n") {
		h, ok := stacks.ReadHeader(entry)
		if !ok {
			panic("not understood: " + entry)
		}
		ids[h.ID] = true
	}
	return ids
}

// The ballast works when the test's goroutine is locked to its thread, although a coroutine cannot run on such a goroutine.
func TestBallastAndThreads(t *testing.T) {
	tickWhileFrozen(t, func() {
		runtime.LockOSThread()
		time.Sleep(time.Second)
	})
}
