package sim

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// A bubbleRun is one run of a test in its bubble, seen from outside. The bubble runs on a goroutine of its
// own, so that the test can go on without a bubble that cannot end: abandon fails the test and leaves the
// bubble as it is.
type bubbleRun struct {
	end       sync.Mutex // held while the end is reported
	network   atomic.Pointer[Network]
	scheduled atomic.Pointer[exact.Bubble] // in exact mode
	abandoned atomic.Bool
	given     chan []string // to abandon: the problems
	ballast   *ballast
	over      bool // synctest.Test has ended
}

func newBubbleRun(t *testing.T) *bubbleRun {
	return &bubbleRun{given: make(chan []string, 1), ballast: newBallast(t)}
}

// abandon ends the run without its bubble, because of some problems that the test then reports. Any goroutine
// may call it, inside the bubble or outside; only the first call counts. Goroutines left in the bubble stop
// where they next call the network, or when the bubble's clock next moves. A goroutine that does neither runs
// on next to later tests.
func (b *bubbleRun) abandon(problems ...string) {
	if b.abandoned.Swap(true) {
		return
	}
	if n := b.network.Load(); n != nil {
		n.harness.dead.Store(true) // before the send below: the receiver of the problems reads it
	}
	b.given <- problems
}

// run calls synctest.Test. It returns when that has returned, or when the bubble was abandoned or hangs, with
// the problems.
func (b *bubbleRun) run(t *testing.T, f func(*testing.T)) (problems []string) {
	t.Helper()
	beforeBubbles()
	type end struct {
		returned bool
		panicked any
	}
	ended := make(chan end, 1)
	var inside *testing.T
	go func() {
		var e end
		defer func() {
			e.panicked = recover()
			ended <- e
		}()
		synctest.Test(t, func(t *testing.T) {
			inside = t
			f(t)
		})
		e.returned = true
	}()
	select {
	case e := <-ended:
		b.over = true
		if b.leftWeights(e.panicked) {
			e.panicked, e.returned = nil, !inside.Failed()
		}
		switch {
		case e.panicked == nil && !e.returned:
			t.FailNow() // as synctest.Test does for a test that failed
		case e.panicked == nil:
		case isDeadlock(e.panicked):
			return []string{"sim: the test hangs: goroutines that will never run again are left in its bubble"}
		default:
			panic(e.panicked)
		}
		return nil
	case problems = <-b.given:
		return problems
	}
}

// drop releases the weights that moved the clock, once the watchdog has ended.
func (b *bubbleRun) drop() {
	b.ballast.drop(b.over)
	if n := b.network.Load(); n != nil && b.over && b.ballast.heavy() {
		n.harness.self.Store(nil) // the bubble's timers stay behind with its last weights
	}
}

// leftWeights reports whether the bubble ended well except for the weights that moved its clock.
func (b *bubbleRun) leftWeights(panicked any) bool {
	return b.ballast.heavy() && isDeadlock(panicked) && len(stacks.InBubble(b.network.Load().harness.bubbleID)) == 0
}

// isDeadlock reports whether a panic of synctest.Test is about blocked goroutines that remain.
func isDeadlock(panicked any) bool { return strings.HasPrefix(fmt.Sprint(panicked), "deadlock:") }

// stopIfDead blocks the calling goroutine forever if its bubble was abandoned. It waits for something outside
// the bubble, so the bubble's clock stops too.
func (n *Network) stopIfDead() {
	if n.harness.dead.Load() {
		<-forever
	}
}

var forever = make(chan struct{})
