package sim

import (
	"iter"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The clock of a bubble advances when none of its goroutines counts as running. A goroutine that waits for a
// sync.Mutex counts, because a goroutine outside might hold the mutex. If none does, the bubble is frozen:
// the holder of the mutex waits for the clock, and the clock for the waiting goroutine.
//
// A ballast moves the clock of such a bubble to its next timer, as if goroutines that wait for a mutex did
// not count. It consists of weights. A weight is a coroutine (see [iter.Pull]) that belongs to the bubble and
// is entered from outside. Weights rely on two properties of the runtime, which ballast_test.go checks:
//
//   - Leaving a coroutine makes one goroutine less count as running. Entering it makes one more count if the
//     caller is in a bubble of its own, and none if the caller is in no bubble (coroswitch_m). So the first
//     entry of a weight, from outside all bubbles, makes up for one goroutine that waits for a mutex. From
//     then on a helper in another bubble keeps the weight inside, where it waits in a way that counts, and
//     the sum is right again.
//   - When no goroutine counts any more, the runtime at once makes the bubble's root move the clock. The root
//     does so even if a goroutine counts again before it gets there.
//
// So for k waiting goroutines the ballast takes k weights out. The last one starts the root, and the same
// thread puts it back immediately, with k-1 goroutines that stand in for the other weights. Go runs on one
// processor meanwhile, so the root runs after that, and the goroutines that it wakes find the count correct.
//
// A weight can never be removed: if it ended, the count would stay too low. The root makes up for one weight,
// since it still counts when it leaves the bubble. Every further weight stays behind as two goroutines after
// a test in which several goroutines waited at once.
//
// Only one goroutine, outside the bubble, uses the state machine of all this.
type ballast struct {
	t       *testing.T
	state   atomic.Int32
	weights []*weight

	// A coroutine of the bubble that makes weights.
	enter func() (struct{}, bool)
	stop  func()

	wanted []*weight
	made   chan struct{}
	goOn   chan struct{}
	jobs   chan func() // for the helpers' bubble; nil if there is none
	noHelp chan struct{}
}

const (
	ballastIdle int32 = iota
	ballastUsed
	ballastOver
)

// All channels of weights are made outside the bubble, so that waiting for them counts.
type weight struct {
	next   func() (struct{}, bool)
	lift   chan struct{} // makes it come out; closing the channel ends it
	down   chan struct{} // it is out
	raise  chan struct{} // makes it go in again
	up     chan struct{} // it is in
	quick  bool          // it goes in again at once
	extras int           // with this many goroutines that wait
	until  chan struct{} // for this channel
	gate   chan chan struct{}
}

func newBallast(t *testing.T) *ballast { return &ballast{t: t} }

// prepare is called in the bubble.
func (b *ballast) prepare() {
	b.enter, b.stop = iter.Pull(b.makeWeights)
	b.enter()
}

// end is called in the bubble, before it ends.
func (b *ballast) end() {
	for !b.state.CompareAndSwap(ballastIdle, ballastOver) {
		runtime.Gosched()
	}
	stopped := make(chan struct{})
	go func() { // the test's own goroutine may be locked to a thread, which a coroutine does not allow
		defer close(stopped)
		b.stop()
	}()
	<-stopped
}

func (b *ballast) makeWeights(yield func(struct{}) bool) {
	gate := make(chan chan struct{}) // of the bubble: waiting for it does not count
	defer close(gate)
	for yield(struct{}{}) {
		for _, w := range b.wanted {
			w.gate = gate
			w.next, _ = iter.Pull(w.hang)
			go w.standIn(gate)
		}
		b.made <- struct{}{}
		<-b.goOn // it counts meanwhile
	}
}

// hang is the coroutine of a weight.
func (w *weight) hang(yield func(struct{}) bool) {
	for yield(struct{}{}) {
		for range w.extras {
			w.gate <- w.until
		}
		w.extras = 0
		w.up <- struct{}{}
		if _, lifted := <-w.lift; !lifted {
			return
		}
	}
}

// standIn is a goroutine that counts when another weight asks for it.
func (*weight) standIn(gate chan chan struct{}) {
	for until := range gate {
		<-until
	}
}

// swing is the helper of a weight.
func (w *weight) swing() {
	for {
		if _, alive := w.next(); !alive {
			return
		}
		if !w.quick {
			w.down <- struct{}{}
			<-w.raise
		}
		w.quick = false
	}
}

// ticked is the outcome of a tick.
type ticked uint8

const (
	tickDone ticked = iota
	tickNotNow
	tickNever // the bubble is about to end
)

// tick moves the clock of the frozen bubble, in which that many goroutines count, to the next timer, if it is
// still frozen at the last moment. If the count fell below zero, the runtime would end the process.
func (b *ballast) tick(count int, still func() bool) ticked {
	if !b.state.CompareAndSwap(ballastIdle, ballastUsed) {
		return tickNever
	}
	defer b.state.Store(ballastIdle)
	// On one processor no other goroutine gets in between: neither the root, nor the garbage collector, which
	// would make the first entry count if it were at the stack of a weight. It takes some ten microseconds,
	// there and back.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b.add(count - len(b.weights))
	others, last := b.weights[:count-1], b.weights[count-1]
	b.hold(func() {
		// If the helper was about to be preempted when it entered the weight, it still is when it leaves: the
		// runtime forgets that only when the helper has waited for something else.
		last.lift <- struct{}{}
		<-last.down
		last.raise <- struct{}{}
		<-last.up
	})
	for _, w := range others {
		w.lift <- struct{}{}
		<-w.down
	}
	raise := func() {
		for _, w := range others {
			w.raise <- struct{}{}
			<-w.up
		}
	}
	// Gosched begins a time slice, of ten milliseconds, in which no goroutine is preempted. On a busy machine
	// the last look takes much of it: then the look is repeated in a fresh slice, a few times.
	for tries := 0; ; tries++ {
		runtime.Gosched()
		began := time.Now()
		if !still() {
			raise()
			return tickNotNow
		}
		if time.Since(began) < 4*time.Millisecond || tries == 4 {
			break
		}
	}
	last.quick, last.extras, last.until = true, len(others), make(chan struct{})
	last.lift <- struct{}{}
	<-last.up
	raise()
	close(last.until)
	return tickDone
}

// add makes weights.
func (b *ballast) add(count int) {
	if count <= 0 {
		return
	}
	if b.jobs == nil {
		b.made, b.goOn = make(chan struct{}), make(chan struct{})
		b.jobs, b.noHelp = make(chan func()), make(chan struct{})
		go b.help()
	}
	b.wanted = nil
	for range count {
		b.wanted = append(b.wanted, &weight{
			lift: make(chan struct{}), down: make(chan struct{}, 1), raise: make(chan struct{}), up: make(chan struct{}, 1),
		})
	}
	b.hold(func() {
		for _, w := range b.wanted {
			w.next()
			b.jobs <- w.swing
			<-w.up
		}
	})
	b.weights = append(b.weights, b.wanted...)
	b.wanted = nil
}

// hold calls f while the maker of weights counts in the bubble, so that its clock stands.
func (b *ballast) hold(f func()) {
	left := make(chan struct{})
	b.jobs <- func() {
		b.enter()
		close(left)
	}
	<-b.made
	f()
	b.goOn <- struct{}{}
	<-left
}

// help runs the helpers' bubble. It never becomes idle, as it waits for b.jobs.
func (b *ballast) help() {
	defer close(b.noHelp)
	defer func() { recover() }() // weights that stay behind do so too
	synctest.Test(b.t, func(*testing.T) {
		for f := range b.jobs {
			go f()
		}
	})
}

// heavy reports whether weights are left in the bubble.
func (b *ballast) heavy() bool { return len(b.weights) > 0 }

// drop is called when the bubble is over, or was abandoned.
func (b *ballast) drop(over bool) {
	if b.jobs == nil {
		return
	}
	if over && b.heavy() {
		close(b.weights[0].lift)
	}
	close(b.jobs)
	<-b.noHelp
}
