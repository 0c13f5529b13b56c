package sim

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// A monitor watches a run from outside, on the real clock, so that no test ends without a word. It reports a
// test that takes long, and fails one that would still run when go test's own deadline ends the process. The
// watchdog finds tests that cannot go on.
type monitor struct {
	run      *bubbleRun
	name     string
	seed     uint64
	command  func() string
	began    time.Time
	notices  []time.Duration // when to report it
	deadline time.Time       // of go test, minus the time for a report; zero: none

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// monitoring holds the settings of monitors, as a variable for their tests.
var monitoring = struct {
	every   time.Duration   // of real time: how often monitors look
	notices []time.Duration // real times at which to report a running test; a test that is merely long is seldom reported
	ahead   time.Duration   // how long before go test's deadline to give a test up
	part    time.Duration   // or this fraction of the time left when it begins
	limit   time.Duration   // of real time, instead of go test's deadline; 0: none
	out     io.Writer
}{
	every:   time.Second,
	notices: []time.Duration{25 * time.Second, 5 * time.Minute, 30 * time.Minute, 3 * time.Hour},
	ahead:   5 * time.Second,
	part:    4,
	out:     os.Stderr,
}

func startMonitor(t *testing.T, run *bubbleRun, seed uint64, command func() string) *monitor {
	m := &monitor{run: run, name: t.Name(), seed: seed, command: command, began: time.Now(), notices: monitoring.notices}
	if at, ok := deadlineOf(t); ok {
		m.deadline = at.Add(-min(monitoring.ahead, time.Until(at)/monitoring.part))
	}
	if monitoring.limit > 0 {
		m.deadline = m.began.Add(monitoring.limit)
	}
	m.mu.Lock() // on a busy machine the first look may come before the network exists
	defer m.mu.Unlock()
	m.timer = time.AfterFunc(monitoring.every, m.look)
	return m
}

// deadlineOf is t.Deadline, which panics for a T that package testing did not make. A benchmark that runs
// Test has no other T.
func deadlineOf(t *testing.T) (at time.Time, ok bool) {
	defer func() { recover() }()
	return t.Deadline()
}

// stop ends m, once a look that is in progress is over.
func (m *monitor) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	m.timer.Stop()
}

func (m *monitor) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.run.network.Load()
	if m.over {
		return
	}
	m.timer.Reset(monitoring.every)
	if n == nil {
		return
	}
	n.harness.pulse.seconds.Add(1)
	switch took := time.Since(m.began); {
	case !m.deadline.IsZero() && time.Now().After(m.deadline):
		m.over = true
		m.timer.Stop()
		m.giveUp(n)
	case len(m.notices) > 0 && took >= m.notices[0]:
		m.notices = m.notices[1:]
		fmt.Fprintf(monitoring.out, "\nsim: %s, seed %d, has been running for %v of real time. %s\n"+
			"If the test is only long, do nothing; sim.Limit bounds its virtual time. To repeat it: %s\n\n",
			m.name, m.seed, took.Round(time.Second), m.activity(n), m.command())
	}
}

// giveUp abandons the bubble before go test ends the process. The report goes to standard error at once: what
// the test reports is printed only when its parents have ended as well.
func (m *monitor) giveUp(n *Network) {
	what := fmt.Sprintf("sim: %s, seed %d, is still running after %v, and go test's deadline (-timeout) is near. %s",
		m.name, m.seed, time.Since(m.began).Round(time.Second), m.activity(n))
	report := ""
	n.peek(func() { report = n.reportAt(n.lastSeen(), m.command()) })
	fmt.Fprintf(monitoring.out, "\n%s\n%s\n", what, report)
	n.harness.told.Store(true)
	m.run.abandon("sim: the test was abandoned: it was still running when go test's deadline (-timeout) was near. Its report is above, on standard error")
}

// activity says how far the run has come and which goroutines move.
func (m *monitor) activity(n *Network) string {
	var at time.Duration
	n.peek(func() { at = n.lastSeen() })
	moving, all := moving(n)
	steps := n.harness.steps.Load()
	var b strings.Builder
	fmt.Fprintf(&b, "At least %v of virtual time have passed, in %s of the network.\n", at, count.Of(int(steps), "step", "steps"))
	if list := stacks.Describe(moving); list != "" {
		b.WriteString("Running goroutines:\n" + list)
	} else if list := stacks.Describe(all); list != "" {
		b.WriteString("No goroutine is running. Goroutines of the test:\n" + list)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// moving returns the goroutines of the program that were seen to move, the busiest first, and all of them.
func moving(n *Network) (moving, all []stacks.Goroutine) {
	const enough, patience = time.Second / 2, 2 * time.Second // of real time; on a busy computer no goroutine may move for long
	type seen struct {
		stacks.Goroutine
		moves int
	}
	known := map[string]*seen{}
	began, moved := time.Now(), false
	for looks := 0; looks < 5 || looks < 40 && time.Since(began) < enough || !moved && time.Since(began) < patience; looks++ {
		start := time.Now()
		all = stacks.InBubble(n.harness.bubbleID)
		for _, g := range all {
			if g.Serves() {
				continue
			}
			s := known[g.ID]
			if s == nil {
				s = &seen{Goroutine: g}
				known[g.ID] = s
			} else if g.Stack() != s.Stack() {
				s.moves++
				s.Goroutine = g
			}
			if g.State == "running" || g.State == "runnable" {
				s.moves++
				s.Goroutine = g
			}
			moved = moved || s.moves > 0
		}
		// A look at a crowd takes long, and stops everybody.
		time.Sleep(max(2*time.Millisecond, 2*time.Since(start)))
	}
	movers := slices.Collect(func(yield func(*seen) bool) {
		for _, s := range known {
			if s.moves > 0 && !yield(s) {
				return
			}
		}
	})
	slices.SortFunc(movers, func(a, b *seen) int {
		return cmp.Or(cmp.Compare(b.moves, a.moves), cmp.Compare(a.ID, b.ID))
	})
	for _, s := range movers {
		moving = append(moving, s.Goroutine)
	}
	return moving, all
}

// A pulse tells those outside the bubble the virtual time inside, which they cannot ask for. It beats about
// once in a second of real time: between its first beats virtual time doubles, and later it follows the
// monitor's seconds. In exact mode real time must decide nothing: there the next beat comes after a sixteenth
// of the virtual time that has passed. A pulse also stops the clock of a bubble that was abandoned.
type pulse struct {
	timer   *time.Timer
	every   time.Duration
	last    int64        // the monitor's second at the last beat
	seconds atomic.Int64 // counted by the monitor
	seen    atomic.Int64 // virtual time at the last beat
}

// No timer of a program is due at the same instant, so no program finds the goroutine of a beat among those
// of the test.
const firstBeat = time.Second + 137*time.Nanosecond

func (n *Network) startPulse() {
	self, p := n.harness.self, &n.harness.pulse
	p.every = firstBeat
	p.timer = time.AfterFunc(maxLimit, func() {
		n := self.Load()
		if n == nil {
			return
		}
		n.stopIfDead()
		p := &n.harness.pulse
		p.seen.Store(n.now())
		switch passed := p.seconds.Load() - p.last; {
		case exact.Enabled:
			p.every = max(firstBeat, time.Duration(n.now()/16))
		case passed == 0:
			p.every = min(2*p.every, maxLimit)
		case passed > 1:
			p.every = max(p.every/time.Duration(passed), firstBeat)
		}
		p.last = p.seconds.Load()
		p.timer.Reset(p.every)
	})
	p.timer.Reset(p.every) // now that p.timer is set
}

// lastSeen returns the latest virtual time that is known outside. The lock is held.
func (n *Network) lastSeen() time.Duration {
	if n.closed {
		return n.over.at
	}
	return time.Duration(max(n.clock.at, n.calls.sampled, n.harness.pulse.seen.Load()))
}
