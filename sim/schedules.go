package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// With SQUALL_CHECK=schedules in exact mode the two processes run the goroutines of each test in different
// orders: the first takes those that are ready in turn, the second at random. If nothing that the network can
// see depends on the order, both have the same trace. Their schedules differ, of course, and are not
// compared.

const schedulesValue = "schedules" // of SQUALL_CHECK

// comparesOrders reports whether this process is the first of the two. Tests change the variable.
var comparesOrders = os.Getenv(checkVariable) == schedulesValue

// The orders of the first process and, unless SQUALL_SCHED sets another, of the second. This much preemption
// finds what several processors may do between two statements. With less of it, or none, most tests that race
// in this way pass (docs/replay.md has a count).
const (
	inTurn   = "fifo"
	atRandom = "random:0.3"
)

// policiesWanted returns how goroutines are chosen in this process, and in the one that it is compared with,
// as the environment says.
func policiesWanted() (own, other exact.Policy, err error) {
	text := os.Getenv(exact.Variable)
	if !comparesOrders {
		own, err = exact.ParsePolicy(text)
		return own, own, err
	}
	if text == inTurn {
		return own, other, fmt.Errorf("%s=%s with %s=%s: the first run takes goroutines in turn already: want random:P or pct:D for the second run, or nothing for %s",
			exact.Variable, text, checkVariable, schedulesValue, atRandom)
	}
	if text == "" {
		text = atRandom
	}
	if other, err = exact.ParsePolicy(text); err == nil {
		own, err = exact.ParsePolicy(inTurn)
	}
	return own, other, err
}

// policyFor returns the environment that tells a second process how to choose goroutines; plain mode ignores
// it.
func policyFor(p exact.Policy) string { return exact.Variable + "=" + p.String() }

// checkOrder compares a run with that of the second process, whose goroutines ran in another order, and
// returns what depends on that, or "".
func (r *runner) checkOrder(o *outcome) string {
	other, err := second.run(runKey{r.name, r.nth, o.seed})
	switch {
	case err != nil:
		return fmt.Sprintf("sim: there was no run of seed %d in another order to compare with: %v", o.seed, err)
	case other.hash == o.trace.Hash() && other.failed == o.failed:
		return ""
	}
	took := policyFor(schedule.other)
	here, there := "behaves in one way", "in another"
	if other.failed != o.failed {
		here, there = passesOrFails(o.failed), passesOrFails(other.failed)
	}
	text := fmt.Sprintf("sim: goroutines of the test race: with seed %d the test %s when goroutines that are ready at one instant run in turn (%s), and %s with %s. ",
		o.seed, here, policyFor(schedule.policy), there, took)
	again := r.rerun(o, took)
	switch {
	case !again.came:
		return text + fmt.Sprintf("Another run with %s did not finish (%v):\n%s", took, again.err, tail(again.output, 20))
	case again.same && again.failed == o.failed:
		return text + fmt.Sprintf("The difference cannot be shown: another run of this test alone with %s was like the first", took)
	case again.same:
		return text + fmt.Sprintf("The traces are the same. Another run with %s ended like this:\n%s", took, tail(again.output, 20))
	}
	difference, at := firstDifference(o.trace, again.lines)
	text += difference
	if at >= 0 {
		when := fmt.Sprintf("%s=%d", replayAt, at)
		for _, p := range []exact.Policy{schedule.policy, schedule.other} {
			if calls := r.rerun(o, when, replayOrdered+"=1", policyFor(p)).calls; calls != "" {
				text += fmt.Sprintf("\nWith %s. %s", policyFor(p), strings.TrimSuffix(calls, "\n"))
			}
		}
	}
	return text
}

// compareOrders fails the test if something depends on the order of its goroutines.
func (r *runner) compareOrders(t *testing.T, o *outcome) {
	t.Helper()
	if wrong := r.checkOrder(o); wrong != "" {
		t.Error(wrong)
		t.Logf("sim: to repeat it: %s=%s %s", checkVariable, schedulesValue, r.commandBy(schedule.other, o.seed))
	}
}

func passesOrFails(failed bool) string {
	if failed {
		return "fails"
	}
	return "passes"
}
