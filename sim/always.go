package sim

import (
	"fmt"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// notAlways is the trace's text for a broken rule, before its name.
const notAlways = "rule broken: "

// Rules are what a test demands of every instant.
type rules struct {
	all    []rule
	owed   bool // something has reached the program since the last look at them
	broken bool // one of them is broken, which has ended the network
}

// A rule is one demand of [Network.Always].
type rule struct {
	name  string
	check func() error
	by    moment
}

// Always demands that check returns nil for the rest of the test. It calls check after everything that the
// program gets from the network: data, a connection, an error, an answer of a name server. It does so once
// every goroutine is blocked, and again at the end of the test. The first error fails the test and ends the
// network at that instant, so that the report shows the state of that moment. Always does not see what the
// program does by its own timers alone until the program next gets something from the network.
//
// Checks run one after the other, on goroutines of their own. A check should only look. What it reads needs a
// lock or the like, as between any goroutines of the program. It must not take a lock that the program holds
// while it waits for the network. Always panics if name is empty or check is nil, or on the wall clock, where
// nothing says when the program is quiet.
func (n *Network) Always(name string, check func() error) {
	switch {
	case name == "":
		panic("sim: Always: the name is empty")
	case check == nil:
		panic(fmt.Sprintf("sim: Always(%q): check must not be nil", name))
	case !n.clock.virtual:
		panic(fmt.Sprintf("sim: Always(%q): the network is on the wall clock; it must be that of a test", name))
	}
	n.do(func() { n.watch.rules.all = append(n.watch.rules.all, rule{name: name, check: check, by: n.moment()}) })
}

// oweRules makes the network check the rules as soon as the program is quiet. The lock is held.
func (n *Network) oweRules() {
	if len(n.watch.rules.all) > 0 {
		n.watch.rules.owed = true
		n.requestStep()
	}
}

// payRules checks them, if oweRules asked for it. The lock is held, except while a goroutine starts.
func (n *Network) payRules() (paid bool) {
	if !n.watch.rules.owed || !exact.Rests() {
		return false
	}
	n.watch.rules.owed = false
	n.wakeAt(atOnce) // the rest of this instant comes afterwards
	by := n.watch.rules.all[0].by
	caller := n.unlockToWake()
	n.launch(by, n.lookAtRules)
	n.lockAgain(caller)
	return true
}

// lookAtTheEnd runs the checks once more. It starts them as the earlier ones were started, so that the race
// detector too sees them one after the other.
func (n *Network) lookAtTheEnd() {
	over := func() bool { return get(n, func() bool { return len(n.watch.rules.all) == 0 || n.closed }) }
	for range 1000 { // a second, in case goroutines that the test leaves compute that long
		if over() || exact.Rests() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if over() || !exact.Rests() {
		return
	}
	done := make(chan struct{})
	n.launch(get(n, n.moment), func() {
		defer close(done)
		n.lookAtRules()
	})
	<-done
}

// lookAtRules runs each check until one fails. Call it without the lock.
func (n *Network) lookAtRules() {
	for i := 0; ; i++ {
		r := n.rule(i)
		if !r.is {
			return
		}
		var err error
		exact.Promptly(func() { err = r.check() })
		if err != nil {
			n.do(func() { n.breakRule(i, err.Error()) })
		}
	}
}

// A numberedRule is a rule with its number, or nothing if there is no rule of that number.
type numberedRule struct {
	rule
	is bool
}

func (n *Network) rule(i int) numberedRule {
	return get(n, func() (r numberedRule) {
		if i < len(n.watch.rules.all) && !n.closed {
			r = numberedRule{n.watch.rules.all[i], true}
			n.reveal(r.by)
		}
		return r
	})
}

// breakRule fails the test because of a rule and ends the network, so that the report shows the state at that
// instant. The lock is held.
func (n *Network) breakRule(i int, why string) {
	if n.closed {
		return
	}
	r := &n.watch.rules.all[i]
	n.watch.rules.broken = true
	n.note(nil, nil, notAlways+r.name)
	n.log.failures = append(n.log.failures, fmt.Sprintf("at %v of virtual time the rule %q was broken: %s\n"+
		"This ended the network, so other calls may fail with \"use of closed network connection\".",
		time.Duration(n.now()), r.name, why))
	n.shutdown("")
}
