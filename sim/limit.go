package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/stacks"
)

const (
	defaultLimit = 2 * 365 * 24 * time.Hour
	maxLimit     = 100 * 365 * 24 * time.Hour

	// overtime is how much virtual time a test has to end after its network was closed: time to notice
	// errors, and to wait for its goroutines as patiently as Test itself does.
	overtime = 2 * time.Hour

	month = 30 * 24 * time.Hour
)

// Limit sets how much virtual time a test may take. At that instant the test fails with its whole report and
// the goroutines that still run or wait. So a loop that retries forever ends, and so does a test that waits
// for something that never happens. The network is then closed. The test is abandoned if it does not end
// within another two hours of virtual time, or if time stops because it asks the closed network again and
// again without ever waiting. Its goroutines stop where they are, and the tests after it run.
//
// The default is two years, 17520 h. That is longer than a certificate, a token or a subscription usually
// lasts, so a test can see what happens after it ends. It is also short enough that a loop with a pause of a
// minute reaches it within seconds. A loop with shorter pauses takes longer than go test waits by default.
// After half a minute of real time a notice on standard error names the goroutines that are making progress,
// and the report comes before go test's own deadline (-timeout). With a limit a little longer than the test
// should take, it fails at once.
//
// Limit panics unless d is positive and at most 100 years, 876000 h. It has no effect on the wall clock
// ([New]).
func Limit(d time.Duration) Option {
	if d <= 0 || d > maxLimit {
		panic(fmt.Sprintf("sim: Limit(%v): must be more than 0 and at most %v", d, maxLimit))
	}
	return func(o *options) { o.limit = d }
}

// expire is called in the bubble when the time is up: at the limit, and again if the test has not ended after
// overtime.
func (n *Network) expire() {
	n.stopIfDead()
	// Goroutines that wake at this very instant come first. A look without that would be too early, and might
	// miss them: the runtime takes a goroutine that helps the garbage collector out of its bubble.
	quiet := make(chan struct{})
	turn(n, func() struct{} {
		if n.closed {
			close(quiet)
		} else {
			n.clock.expired = quiet
			n.requestStep()
		}
		return struct{}{}
	})
	<-quiet
	if problem := own(turn(n, n.timeIsUp)); problem != "" {
		n.harness.run.Load().abandon(problem)
		<-forever
	}
}

// timeIsUp closes the network. The second time it returns the problem for which to abandon the test.
func (n *Network) timeIsUp() (problem string) {
	if n.closed {
		problem = fmt.Sprintf("sim: the test hangs: %s\n"+
			"The test did not end within another %v of virtual time, so it was abandoned.", n.ending(), overtime)
		if left := stacks.Describe(othersInBubble()); !strings.Contains(problem, strings.TrimSuffix(left, "\n")) {
			problem += " These goroutines are left:\n" + left
		}
		return problem
	}
	limit := n.conf.limit
	left := othersInBubble()
	n.catchUp(min(n.now(), after(n.clock.active, int64(time.Hour)))) // so that the report shows keep-alive, if that was all
	why := fmt.Sprintf("virtual time reached its limit, %v (sim.Limit), before the test ended", limit)
	switch quiet := n.now() - n.clock.active; {
	case quiet < int64(time.Hour) || !n.calls.pending.empty() || !allWait(left):
		// The program does something, perhaps at this very instant.
	case n.lookahead.idleTill > 0 && quiet >= int64(month):
		why = fmt.Sprintf("every goroutine was blocked, and nothing but keep-alive happened for 30 days of virtual time or was still to come.\n"+
			"The network was last used at %v; the limit of virtual time (sim.Limit) is %v", time.Duration(n.clock.active), limit)
	default:
		why = fmt.Sprintf("every goroutine was blocked and no event was scheduled.\n"+
			"The network was last used at %v; the limit of virtual time (sim.Limit) is %v", time.Duration(n.clock.active), limit)
	}
	n.end(why, left)
	return ""
}

// end closes the network of a test that does not end, with the reason and the goroutines that were left at
// that moment. The lock is held.
func (n *Network) end(why string, left []stacks.Goroutine) {
	held, list := stacks.LocksAmong(left), stacks.Describe(left)
	if held != "" || list != "" {
		why += "."
	}
	if held != "" {
		why += "\n" + held
	}
	if list != "" {
		why += "\nGoroutines of the test at that instant:\n" + strings.TrimSuffix(list, "\n")
	}
	n.shutdown(why)
}

// ending says why the network was closed. The lock is held.
func (n *Network) ending() string {
	switch {
	case n.over.why == "" && n.watch.rules.broken:
		return fmt.Sprintf("the network was closed at %v because a rule of Always was broken (see above)", n.over.at)
	case n.over.why == "":
		return fmt.Sprintf("the network was closed at %v", n.over.at)
	}
	return fmt.Sprintf("the network was closed at %v because %s", n.over.at, n.over.why)
}

// allWait reports whether no goroutine of the program runs or sleeps.
func allWait(gs []stacks.Goroutine) bool {
	for _, g := range gs {
		waits := strings.Contains(g.State, "(durable)") && !strings.HasPrefix(g.State, "sleep") || g.Locked() && !g.Locker().Simulator()
		if !waits && !g.Serves() {
			return false
		}
	}
	return true
}

// othersInBubble lists the goroutines of the bubble except the caller, unless the caller is in a call of the
// program and does a step for the engine.
func othersInBubble() []stacks.Goroutine {
	self, bubble := stacks.This()
	var others []stacks.Goroutine
	for _, g := range stacks.InBubble(bubble) {
		if g.ID == self {
			if g.Serves() {
				continue
			}
			g.State = "wait (durable)"
		}
		others = append(others, g)
	}
	return others
}
