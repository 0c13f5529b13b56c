package sim

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// A bubbleRun is one run of a test in its bubble, as seen from outside. The bubble has a
// goroutine of its own, so that the test can go on without it when it cannot end: abandon
// fails the test and leaves the bubble as it is.
type bubbleRun struct {
	end       sync.Mutex // while the end is reported
	network   atomic.Pointer[Network]
	scheduled atomic.Pointer[exact.Bubble] // in exact mode
	abandoned atomic.Bool
	given     chan []string // to abandon: for what
	ballast   *ballast
	over      bool // synctest.Test has ended
}

func newBubbleRun(t *testing.T) *bubbleRun {
	return &bubbleRun{given: make(chan []string, 1), ballast: newBallast(t)}
}

// abandon has the run end without its bubble, for some problems, which the test reports.
// Any goroutine may call it, in the bubble or outside; only the first call counts. What is
// left of the bubble is stopped where it next calls the network, or when its clock next
// moves; a goroutine that does nothing of the kind runs on beside the tests that follow.
func (b *bubbleRun) abandon(problems ...string) {
	if b.abandoned.Swap(true) {
		return
	}
	if n := b.network.Load(); n != nil {
		n.harness.dead.Store(true) // first: the receiver of the problems looks at it
	}
	b.given <- problems
}

// run calls synctest.Test and returns when that has returned, or when the bubble was
// abandoned or hangs, and then for what.
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

// drop lets go of what moved the clock, when the watchdog has ended.
func (b *bubbleRun) drop() {
	b.ballast.drop(b.over)
	if n := b.network.Load(); n != nil && b.over && b.ballast.heavy() {
		n.harness.self.Store(nil) // the bubble's timers stay behind with its last weights
	}
}

// leftWeights says that the bubble ended well, but for the weights that moved its clock.
func (b *bubbleRun) leftWeights(panicked any) bool {
	return b.ballast.heavy() && isDeadlock(panicked) && len(bubbleGoroutines(b.network.Load().harness.bubbleID)) == 0
}

// isDeadlock says that a panic of synctest.Test is about goroutines that are left, and blocked.
func isDeadlock(panicked any) bool { return strings.HasPrefix(fmt.Sprint(panicked), "deadlock:") }

// stopIfDead stops the calling goroutine for good if its bubble was abandoned. What it waits
// for is from outside, so the bubble's clock stops as well.
func (n *Network) stopIfDead() {
	if n.harness.dead.Load() {
		<-forever
	}
}

var forever = make(chan struct{})
