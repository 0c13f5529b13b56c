package sim

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// Exact reports whether squall test built this process. In this exact mode the seed decides more than the
// network. It also decides which goroutine of a [Test] runs next, which ready case a select takes, and the
// order of maps and of timers at one instant. It decides what every source of random numbers returns,
// including math/rand and crypto/rand. Two runs of a seed therefore do the same, whatever the program's
// goroutines do among themselves, and other seeds order them differently. docs/exact.md describes what is
// exact and what is not.
//
// The variable SQUALL_SCHED sets how the next goroutine is chosen:
//
//	SQUALL_SCHED=random:0.05  any of those that are ready. A running goroutine is preempted with that probability
//	                          where it uses a channel, a lock, an atomic variable or a go statement.
//	                          This is the default
//	SQUALL_SCHED=slow:0.05    like random, but a preempted goroutine continues after 1 ns to 1 ms of virtual time,
//	                          as if it had computed: anything that arrives meanwhile finds its work half done
//	SQUALL_SCHED=pct:3        the one with the highest priority. Priorities are drawn when a goroutine starts and
//	                          change that many times: finds rare orders
//	SQUALL_SCHED=fifo         the one that has been ready longest; nothing is preempted
//
// go test builds the same tests without any of this, and Exact returns false.
func Exact() bool { return exact.Enabled }

// NeedExact skips the test, and says why, unless it runs in exact mode (see [Exact]).
func NeedExact(t testing.TB) {
	t.Helper()
	if !exact.Enabled {
		t.Skip("sim: this test needs exact mode: go tool squall test, or go run github.com/squall-sim/squall/cmd/squall test, instead of go test")
	}
}

// enrol makes the runtime schedule the bubble of the calling goroutine, the bubble's first.
func (r *runner) enrol(run *bubbleRun, seed uint64) (goroutines int) {
	if !exact.Enabled {
		return 0
	}
	if !exact.Enrol(seed, schedule.policy) {
		panic("sim: exact mode cannot schedule the goroutines of this bubble: it has others already")
	}
	run.scheduled.Store(exact.ThisBubble())
	r.noteDecisions()
	return exact.Goroutines()
}

// schedule is how goroutines are chosen, as the environment sets it.
var schedule struct {
	once   sync.Once
	policy exact.Policy
	other  exact.Policy // of the second process, if orders are compared
	wrong  error
}

// prepareExact reads the environment and tests the scheduler, once in a process.
func prepareExact(t *testing.T) {
	t.Helper()
	if !exact.Enabled {
		return
	}
	schedule.once.Do(func() {
		if schedule.policy, schedule.other, schedule.wrong = policiesWanted(); schedule.wrong != nil {
			schedule.wrong = fmt.Errorf("sim: %w", schedule.wrong)
			return
		}
		if first, second := selfTest(t), selfTest(t); first != second {
			schedule.wrong = fmt.Errorf("sim: exact mode does not work here: two trials of it differed, %+v and %+v. Use go test, and please report the version of Go", first, second)
		}
	})
	if schedule.wrong != nil {
		t.Fatal(schedule.wrong)
	}
}

// selfTested is the outcome of a small program that would hardly do the same twice by itself.
type selfTested struct {
	schedule exact.Schedule
	order    [8]int
	maps     int
	drawn    int
}

// selfTest runs that program.
func selfTest(t *testing.T) (r selfTested) {
	synctest.Test(t, func(*testing.T) {
		if !exact.Enrol(1, schedule.policy) {
			return
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		done := make(chan int, len(r.order))
		for i := range len(r.order) {
			all.Go(func() {
				mu.Lock()
				defer mu.Unlock()
				done <- i
			})
		}
		all.Wait()
		for i := range r.order {
			r.order[i] = <-done
		}
		keys := map[*int]int{}
		for i := range 10 {
			keys[new(int)] = i
		}
		for _, i := range keys {
			r.maps = 10*r.maps + i
		}
		a, b := make(chan int, 32), make(chan int, 32)
		for range cap(a) {
			a <- 0
			b <- 1
		}
		for range cap(a) {
			select {
			case x := <-a:
				r.drawn = 2*r.drawn + x
			case x := <-b:
				r.drawn = 2*r.drawn + x
			}
		}
		r.schedule = exact.Now()
	})
	return r
}

// Interleaving describes, in exact mode (see [Exact]), the order in which the goroutines of the test have run so far: a
// hash of the schedule, the number of turns, and how often a goroutine had to be stopped in real time. The report of a
// failed test has the same text. Two runs with one seed return the same. Call it inside [Test]; elsewhere, and without
// exact mode, it returns "".
func (n *Network) Interleaving() string {
	if exact.Goroutines() == 0 {
		return ""
	}
	return interleaving(exact.Now())
}

// scheduleText describes the schedule of a run for its report, or is "".
func scheduleText(s exact.Schedule) string {
	if !exact.Enabled {
		return ""
	}
	return fmt.Sprintf("exact mode (%v): %s", schedule.policy, interleaving(s))
}

func interleaving(s exact.Schedule) string {
	text := fmt.Sprintf("schedule %016x of %d turns", s.Hash, s.Turns)
	if s.Forced > 0 {
		text += fmt.Sprintf(". It may differ from run to run: %s a goroutine had to be stopped, in a system call for a second or running for ten seconds without waiting", count.Of(int(s.Forced), "time", "times"))
	}
	return text
}
