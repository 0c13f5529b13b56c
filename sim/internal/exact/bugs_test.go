package exact_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A bug is a small program with one of the classic faults of concurrency. run says whether it struck.
type bug struct {
	name  string
	run   func() bool
	hangs bool // goroutines that it leaves cannot end
}

// together runs functions on goroutines of their own, and says whether all ended within a second of the test's time.
func together(fs ...func()) bool {
	done := make(chan struct{})
	var all sync.WaitGroup
	for _, f := range fs {
		all.Go(f)
	}
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
		return true
	case <-time.After(time.Second):
		return false
	}
}

// panics says whether f panics.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

var bugs = []bug{
	{name: "lost update: two critical sections", run: lostUpdate},
	{name: "lost update: atomic load, atomic store", run: lostAtomic},
	{name: "AB-BA: channels as locks", run: crossedChannels},
	{name: "AB-BA: sync.Mutex", run: crossedMutexes, hangs: true},
	{name: "check, then act: two initialisations", run: checkThenAct},
	{name: "missed wake-up", run: missedWakeUp, hangs: true},
	{name: "send on a closed channel", run: sendOnClosed},
	{name: "double close", run: doubleClose},
	{name: "order: used before it is set", run: usedBeforeSet},
	{name: "late cancel: a result is there and select takes the cancellation", run: lateCancel},
	{name: "published before initialised", run: publishedEarly},
	{name: "five philosophers", run: philosophers, hangs: true},
	{name: "RWMutex: what was read is stale once it is locked", run: staleRead},
	{name: "notification dropped: send with default before anyone waits", run: droppedNotification, hangs: true},
	{name: "ABA: compare and swap of a slot that was used again", run: aba},
	{name: "reference count: taken again after it was zero", run: resurrected},
	{name: "two waiters, one Signal too few", run: oneSignal, hangs: true},
}

func lostUpdate() bool {
	var mu sync.Mutex
	n := 0
	add := func() {
		mu.Lock()
		old := n
		mu.Unlock()
		mu.Lock()
		n = old + 1
		mu.Unlock()
	}
	together(add, add)
	return n != 2
}

func lostAtomic() bool {
	var n atomic.Int64
	add := func() { n.Store(n.Load() + 1) }
	together(add, add)
	return n.Load() != 2
}

func crossedChannels() bool {
	a, b := make(chan struct{}, 1), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	take := func(first, second chan struct{}) func() {
		return func() {
			first <- struct{}{}
			select {
			case second <- struct{}{}:
				<-second
			case <-ctx.Done():
			}
			<-first
		}
	}
	return !together(take(a, b), take(b, a))
}

func crossedMutexes() bool {
	var a, b sync.Mutex
	take := func(first, second *sync.Mutex) func() {
		return func() {
			first.Lock()
			second.Lock()
			second.Unlock()
			first.Unlock()
		}
	}
	return !together(take(&a, &b), take(&b, &a))
}

func checkThenAct() bool {
	var mu sync.Mutex
	made, cache := 0, map[string]int{}
	get := func() {
		mu.Lock()
		_, ok := cache["k"]
		mu.Unlock()
		if !ok {
			mu.Lock()
			made++
			cache["k"] = made
			mu.Unlock()
		}
	}
	together(get, get, get)
	return made != 1
}

func missedWakeUp() bool {
	var mu sync.Mutex
	var ready atomic.Bool
	cond := sync.NewCond(&mu)
	return !together(
		func() {
			if !ready.Load() { // without the lock
				mu.Lock()
				cond.Wait()
				mu.Unlock()
			}
		},
		func() {
			ready.Store(true)
			cond.Broadcast()
		})
}

func sendOnClosed() bool {
	var closed atomic.Bool
	c := make(chan int, 1)
	var struck atomic.Bool
	together(
		func() {
			if !closed.Load() {
				struck.Store(panics(func() { c <- 1 }))
			}
		},
		func() {
			closed.Store(true)
			close(c)
		})
	return struck.Load()
}

func doubleClose() bool {
	var closed atomic.Bool
	c := make(chan int)
	var struck atomic.Bool
	stop := func() {
		if !closed.Load() {
			closed.Store(true)
			if panics(func() { close(c) }) {
				struck.Store(true)
			}
		}
	}
	together(stop, stop)
	return struck.Load()
}

func usedBeforeSet() bool {
	var conn atomic.Pointer[int]
	var struck atomic.Bool
	together(
		func() {
			started := make(chan struct{})
			go func() {
				close(started)
				conn.Store(new(int))
			}()
			<-started
			struck.Store(conn.Load() == nil)
		})
	return struck.Load()
}

func lateCancel() bool {
	result := make(chan int, 1)
	ctx, cancel := context.WithCancel(context.Background())
	lost := false
	together(
		func() { result <- 1 },
		func() {
			for len(result) == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		},
		func() {
			time.Sleep(2 * time.Millisecond)
			select {
			case <-result:
			case <-ctx.Done():
				lost = true
			}
		})
	return lost
}

func publishedEarly() bool {
	var ready, data atomic.Int64
	var struck atomic.Bool
	together(
		func() {
			ready.Store(1)
			data.Store(42)
		},
		func() {
			if ready.Load() == 1 && data.Load() != 42 {
				struck.Store(true)
			}
		})
	return struck.Load()
}

func philosophers() bool {
	var forks [5]sync.Mutex
	var all []func()
	for i := range forks {
		all = append(all, func() {
			left, right := &forks[i], &forks[(i+1)%len(forks)]
			for range 3 {
				left.Lock()
				right.Lock()
				right.Unlock()
				left.Unlock()
			}
		})
	}
	return !together(all...)
}

func staleRead() bool {
	var mu sync.RWMutex
	seats, sold := 1, 0
	buy := func() {
		mu.RLock()
		free := seats > 0
		mu.RUnlock()
		if free {
			mu.Lock()
			seats--
			sold++
			mu.Unlock()
		}
	}
	together(buy, buy)
	return sold != 1
}

func droppedNotification() bool {
	wake := make(chan struct{})
	var work atomic.Bool
	return !together(
		func() {
			if !work.Load() {
				<-wake
			}
		},
		func() {
			work.Store(true)
			select {
			case wake <- struct{}{}:
			default:
			}
		})
}

func aba() bool {
	// A stack of slots: head is the index of the first, next that of the one below.
	var head atomic.Int64
	next := [4]atomic.Int64{{}, {}, {}, {}}
	head.Store(1)
	next[1].Store(2)
	next[2].Store(3)
	next[3].Store(0)
	var popped [4]atomic.Int64
	pop := func() int64 {
		for {
			top := head.Load()
			below := next[top].Load()
			if top == 0 || head.CompareAndSwap(top, below) {
				popped[top].Add(1)
				return top
			}
		}
	}
	push := func(i int64) {
		for {
			top := head.Load()
			next[i].Store(top)
			if head.CompareAndSwap(top, i) {
				popped[i].Add(-1)
				return
			}
		}
	}
	together(
		func() { pop() },
		func() {
			first := pop()
			pop()
			push(first)
		},
		func() { pop() })
	for i := 1; i < 4; i++ {
		if popped[i].Load() > 1 {
			return true
		}
	}
	return false
}

func resurrected() bool {
	var refs atomic.Int64
	var freed atomic.Bool
	var struck atomic.Bool
	refs.Store(1)
	together(
		func() {
			if refs.Add(-1) == 0 {
				freed.Store(true)
			}
		},
		func() {
			if refs.Load() > 0 {
				refs.Add(1)
				struck.Store(freed.Load())
				refs.Add(-1)
			}
		})
	return struck.Load()
}

func oneSignal() bool {
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	items := 0
	take := func() {
		mu.Lock()
		for items == 0 {
			cond.Wait()
		}
		items--
		mu.Unlock()
	}
	return !together(take, take, func() {
		for range 2 {
			mu.Lock()
			items++
			if items == 1 { // "only then does anyone wait"
				cond.Signal()
			}
			mu.Unlock()
		}
	})
}
