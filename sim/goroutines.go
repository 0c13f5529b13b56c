package sim

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// awaitGoroutines lets the clock run until all goroutines of the test have ended, for at most an hour, and
// returns those that remain.
func (n *Network) awaitGoroutines() []stacks.Goroutine {
	var left []stacks.Goroutine
	for _, d := range []time.Duration{time.Second, time.Minute, time.Hour} {
		time.Sleep(d)
		if n.nobodyElse() {
			return nil
		}
		if left = stacks.Others(); len(left) == 0 {
			return nil
		}
	}
	return left
}

// knownRoots are the functions with which goroutines begin that a program in a bubble cannot have started:
// functions of package testing, which it must not call there, and of the harness.
var knownRoots = map[string]bool{
	"runtime.main":                                true,
	"testing.tRunner":                             true,
	"testing.(*B).run1.func1":                     true, // a benchmark that calls Test
	"testing.(*B).launch":                         true,
	"testing/synctest.Test.func1":                 true,
	stacks.OwnPackage + ".(*bubbleRun).run.func1": true,
	stacks.OwnPackage + ".newWatchdog.func1":      true,
	stacks.OwnPackage + ".newWatchdog.func1.1":    true,
	stacks.OwnPackage + ".(*ballast).makeWeights": true,
}

// nobodyElse reports whether the caller's bubble has no goroutine but those that run it. False is always a
// safe answer.
func (n *Network) nobodyElse() bool {
	if exact.Enabled {
		// The scheduler knows. The goroutines outside must not decide what is looked at, which is part of the
		// schedule.
		return n.harness.own > 0 && exact.Goroutines() == n.harness.own
	}
	return nobodyInTheProcess()
}

// nobodyInTheProcess reports whether the process has only the known goroutines, so that the caller's bubble
// has none but those that run it. It costs a tenth of the dump of all stacks that would otherwise end every
// test.
func nobodyInTheProcess() bool {
	all := profileRoom.Swap(nil)
	if all == nil {
		all = new([64]runtime.StackRecord)
	}
	defer profileRoom.Store(all)
	// The runtime fills the room that it is given. There may be some more goroutines than a moment ago.
	count, ok := runtime.GoroutineProfile(all[:min(runtime.NumGoroutine()+8, len(all))])
	if !ok {
		return false
	}
	for i := range all[:count] {
		if !knownRoots[rootOf(all[i].Stack())] {
			return false
		}
	}
	return true
}

var profileRoom atomic.Pointer[[64]runtime.StackRecord] // nil while in use

// rootOf returns the function with which a goroutine began. For a coroutine it is the function given to
// iter.Pull; it is "" if the stack is incomplete.
func rootOf(stack []uintptr) string {
	last := len(stack) - 1
	if outermost(stack, last) != "runtime.goexit" {
		return ""
	}
	root := outermost(stack, last-1)
	if root == "runtime.corostart" { // below it, a function of iter.Pull's that calls the coroutine's
		root = outermost(stack, last-3)
	}
	return root
}

// outermost returns the function at the i-th call of a stack into which the others of that call are inlined,
// or "" if there is no such call.
func outermost(stack []uintptr, i int) string {
	if i < 0 {
		return ""
	}
	if name, ok := callNames.Load(stack[i]); ok {
		return name.(string)
	}
	name := ""
	frames := runtime.CallersFrames(stack[i : i+1])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		name = f.Function
	}
	callNames.Store(stack[i], name)
	return name
}

// callNames caches what outermost has found, by the addresses of the calls: every test asks for the same few.
var callNames sync.Map
