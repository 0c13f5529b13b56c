package sim

import (
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// A watchdog watches a bubble from outside, on the real clock. When the bubble is frozen, it moves the clock
// (see ballast). When virtual time stands still in a way that it cannot help, or almost does (see spinning),
// it fails the test and abandons the bubble. The runtime notices neither, and the test would hang until its
// timeout.
type watchdog struct {
	run   *bubbleRun
	begin *time.Timer // most tests end before that
	done  chan struct{}
	all   sync.WaitGroup
}

func newWatchdog(run *bubbleRun) *watchdog {
	d := &watchdog{run: run, done: make(chan struct{})}
	d.all.Add(1)
	d.begin = time.AfterFunc((&clockWatch{pause: looksFirst}).wait(), func() {
		defer d.all.Done()
		d.all.Add(1)
		go func() { // not by d.all.Go, with which goroutines of a program begin as well: see nobodyInTheProcess
			defer d.all.Done()
			d.watchSteps()
		}()
		d.watchClock()
	})
	return d
}

// stop ends d, once everything in progress is over.
func (d *watchdog) stop() {
	close(d.done)
	if d.begin.Stop() {
		d.all.Done()
	}
	d.all.Wait()
}

// Real times.
const (
	looksOften = 200 * time.Microsecond // at a test that was frozen before; until then it waits without sleeping
	looksFirst = time.Millisecond       // at other tests at first
	looksRare  = 16 * time.Millisecond  // and at other tests later
	looksBusy  = time.Second            // at a crowd of which some always run
	looksExact = 100 * time.Millisecond // in exact mode, where no bubble freezes because of its own locks. What remains to be found takes seconds, and looks as frequent as elsewhere would take an eighth of the processor's time of scenarios/async

	// A goroutine that has waited for a sync.Mutex for a millisecond gets it directly once it has failed to
	// get it, and not before. So every goroutine that waits in a frozen bubble has waited for that long.
	lockStarves = 1100 * time.Microsecond

	// A goroutine that holds a lock outside all tests and does not run cannot be detected. It has this long
	// to release the lock before the watchdog first moves the clock because of that lock.
	lockFirst = 20 * time.Millisecond

	// A goroutine that waits for a channel made outside may get an answer from there. Its test is given up
	// when no goroutine runs there (see foreignPatience), or after this time.
	busyPatience = 30 * time.Second
)

// Real times that are variables for their tests.
var (
	stepsEvery      = time.Second
	foreignPatience = 4 * time.Second
)

func (d *watchdog) watchSteps() {
	tick := time.NewTicker(stepsEvery)
	defer tick.Stop()
	var spin spinning
	for {
		select {
		case <-d.done:
			return
		case <-tick.C:
		}
		if b := d.run.scheduled.Load(); b != nil {
			b.Unstick()
		}
		if n := d.run.network.Load(); n != nil && spin.since(n) {
			d.barkAtSpin(n, spin)
			return
		}
	}
}

func (d *watchdog) watchClock() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	w := clockWatch{d: d, patience: looksFirst}
	for {
		select {
		case <-d.done:
			return
		case <-timer.C:
		}
		if !w.watch() {
			return
		}
		timer.Reset(w.wait())
	}
}

// A clockWatch is what watchClock remembers.
type clockWatch struct {
	d        *watchdog
	pause    time.Duration   // until the next look
	patience time.Duration   // until the next dump, even if a goroutine runs
	steps    uint64          // of the network at the last look
	still    time.Time       // since when that number has not changed
	since    time.Time       // when the goroutines of last were first seen waiting
	last     string          // waiting goroutines
	own      map[string]bool // locks that became free only when the clock moved
}

// wait returns the time until the next look. Each look wakes a processor.
func (w *clockWatch) wait() time.Duration {
	if exact.Enabled {
		return max(w.pause, looksExact)
	}
	return w.pause
}

// watch looks at the bubble, and again as long as it moves the bubble's clock. It returns false once the bubble has been abandoned.
func (w *clockWatch) watch() (alive bool) {
	n := w.d.run.network.Load()
	if n == nil { // not yet
		w.relax()
		return true
	}
	if n.harness.dead.Load() {
		return false
	}
	for w.look(n) && !n.harness.dead.Load() {
		for began := time.Now(); !nobodyRuns() && time.Since(began) < looksOften; {
			runtime.Gosched()
		}
	}
	return true
}

// oneAtATime prevents a watchdog from moving a clock while another one looks.
var oneAtATime sync.Mutex

// look looks at the bubble, and reports whether it moved the bubble's clock.
func (w *clockWatch) look(n *Network) (moved bool) {
	now := time.Now()
	// The race detector must not learn here what the program has done: the ballast would tell
	// it to whoever calls synctest.Wait.
	hush()
	steps := n.harness.steps.Load()
	unhush()
	if steps != w.steps {
		w.steps, w.still = steps, now
	}
	quiet := nobodyRuns()
	if !quiet && now.Sub(w.still) < w.patience {
		w.relax()
		return false
	}
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	dump := stacks.Dump()
	took := time.Since(now)
	s := lookAt(dump, n.harness.bubbleID)
	who := s.waiting()
	if who != w.last || who == "" {
		w.last, w.since = who, now
	}
	waited := now.Sub(w.since)
	stood := min(waited, now.Sub(w.still))
	switch {
	case s.frozen():
		switch {
		case s.outside: // a goroutine that may hold the lock
			w.pause = looksFirst
			return false
		case exact.Enabled && waited >= foreignPatience:
			w.d.run.abandon(elsewhereText(s.locked))
			return false
		case s.shared && waited >= foreignPatience:
			w.d.run.abandon(sharedText(s.locked))
			return false
		case s.shared, exact.Enabled: // where who waits for a lock of its own bubble does not count: this one is held elsewhere
			w.pause = looksFirst
			return false
		}
		least := time.Duration(lockStarves)
		if w.unknown(s.locked) {
			least = lockFirst
		}
		if waited < least {
			w.pause = least - waited
			return false
		}
		n.harness.frozen.Add(1)
		switch w.d.run.ballast.tick(len(s.locked), func() bool {
			again := lookAt(stacks.Dump(), n.harness.bubbleID)
			return again.frozen() && !again.outside && !again.shared && again.waiting() == who
		}) {
		case tickNotNow:
			w.pause = looksFirst
			return false
		case tickDone:
			w.take(s.locked)
		case tickNever:
			w.d.run.abandon("sim: the test hangs: it has ended, but these goroutines in its bubble still wait for a lock:\n" + stacks.Describe(s.locked))
		}
		w.pause, w.patience, w.still = looksOften, looksFirst, time.Now()
		return true
	case len(s.machine) > 0 && !s.busy && stood >= outsidePatience:
		w.d.run.abandon(outsideText(s.machine, stacks.InBubble(n.harness.bubbleID)))
	case len(s.foreign) > 0 && !s.busy && (stood >= busyPatience || stood >= foreignPatience && !s.outside):
		w.d.bark(n, s)
	default:
		if !quiet {
			w.patience = min(2*w.patience, looksBusy)
		}
		w.relax()
		w.pause = max(w.pause, 20*took) // it stops everybody
	}
	return false
}

func (w *clockWatch) relax() { w.pause = min(max(2*w.pause, looksOften), looksRare) }

// lockPattern finds the address of a lock in the stack of a goroutine that waits for it. The runtime marks
// values of which it is not sure with a question mark.
var lockPattern = regexp.MustCompile(`sync\.\(\*\w+\)\.\w+\((0x[0-9a-f]+)[,)]|sync\.runtime_Semacquire\w*\((0x[0-9a-f]+)[,)]`)

// lockOf returns the address of the lock for which a goroutine waits, or "" if it is not known.
func lockOf(g stacks.Goroutine) string {
	if m := lockPattern.FindStringSubmatch(g.Text); m != nil {
		return m[1] + m[2]
	}
	return ""
}

// unknown reports whether a goroutine waits for a lock because of which the clock has not moved before.
func (w *clockWatch) unknown(gs []stacks.Goroutine) bool {
	return slices.ContainsFunc(gs, func(g stacks.Goroutine) bool { return !w.own[lockOf(g)] })
}

// take records the locks because of which the clock has moved.
func (w *clockWatch) take(gs []stacks.Goroutine) {
	if w.own == nil {
		w.own = map[string]bool{}
	}
	for _, g := range gs {
		w.own[lockOf(g)] = true
	}
}

// shares reports whether goroutines of two bubbles wait for one lock. Unless sure is set, it also does if
// they may.
func shares(a, b []stacks.Goroutine, sure bool) bool {
	for _, g := range a {
		for _, h := range b {
			if x, y := lockOf(g), lockOf(h); x == y && x != "" || !sure && (x == "" || y == "") {
				return true
			}
		}
	}
	return false
}

func sharedText(locked []stacks.Goroutine) string {
	return "sim: virtual time stands still: tests that run in parallel wait for the same lock, and the test that holds it waits for its own clock:\n" +
		stacks.Describe(locked) + "Do not share the lock between tests, or do not run them in parallel. The test was abandoned."
}

func elsewhereText(locked []stacks.Goroutine) string {
	return "sim: virtual time stands still: these goroutines wait for a lock that is held outside the test and not released:\n" + stacks.Describe(locked) + "The test was abandoned."
}

// nobodyRuns reports whether the calling goroutine is the only one in the process that runs, or could run. It
// costs little and may be wrong.
func nobodyRuns() bool {
	s := []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"},
	}
	metrics.Read(s)
	return s[0].Value.Uint64() <= 1 && s[1].Value.Uint64() == 0 && s[2].Value.Uint64() == 0
}

// A scene is what a stack dump shows of a bubble and of the goroutines outside that could unblock it.
type scene struct {
	locked  []stacks.Goroutine // goroutines of the bubble that wait for a lock of package sync
	foreign []stacks.Goroutine // for a channel made outside the bubble
	machine []stacks.Goroutine // and for the operating system's network
	busy    bool               // another goroutine of the bubble counts as running
	outside bool               // a goroutine outside the bubble runs, or another test's clock moves
	shared  bool               // another frozen test waits for the same lock, or for an unknown one
}

// frozen reports whether the clock of the bubble stands still because of locks alone.
func (s *scene) frozen() bool {
	return !s.busy && len(s.foreign)+len(s.machine) == 0 && len(s.locked) > 0
}

// waiting identifies a scene by its waiting goroutines; it is empty if another goroutine is running.
func (s *scene) waiting() string {
	var b strings.Builder
	if !s.busy {
		for _, g := range slices.Concat(s.locked, s.foreign, s.machine) {
			b.WriteString(g.ID + " ")
		}
	}
	return b.String()
}

// lookAt makes a scene from a stack dump, which begins with the goroutine that took it.
func lookAt(dump, bubble string) scene {
	var s scene
	others := map[*Network]*scene{} // of tests that run beside this one, or were abandoned
	_, dump, _ = strings.Cut(dump, "\n\n")
	for entry := range strings.SplitSeq(dump, "\n\n") {
		h, ok := stacks.ReadHeader(entry)
		if !ok {
			continue
		}
		g := stacks.Goroutine{ID: h.ID, State: h.State, Text: entry}
		if h.Bubble == bubble {
			s.add(g)
			continue
		}
		if n, ok := bubbles.Load(h.Bubble); ok {
			o := others[n.(*Network)]
			if o == nil {
				o = &scene{}
				others[n.(*Network)] = o
			}
			o.add(g)
			continue
		}
		runs := g.State == "running" || g.State == "runnable"
		calls := g.State == "syscall" && !h.Minutes && !slices.ContainsFunc(waitsInRuntime, func(call string) bool { return strings.Contains(entry, call) })
		s.outside = s.outside || (runs || calls) && !g.Serves()
	}
	for n, o := range others {
		switch dead := n.harness.dead.Load(); {
		case !dead && !o.frozen():
			s.outside = true
		case shares(s.locked, o.locked, dead):
			s.shared = true
		}
	}
	return s
}

// waitsInRuntime are calls in which a goroutine counts as in a system call, forever or for a tenth of a
// second again and again, and holds no lock: those that wait for signals and, with -cpuprofile, for samples.
var waitsInRuntime = []string{"os/signal.signal_recv(", "runtime/pprof.readProfile("}

// add adds a goroutine of the bubble.
func (s *scene) add(g stacks.Goroutine) {
	runs := g.State == "running" || g.State == "runnable"
	switch {
	case strings.Contains(g.State, "(durable)"):
	case strings.Contains(g.Text, stacks.OwnPackage+".(*weight).hang("):
		s.busy = s.busy || runs
	case g.Locked():
		s.locked = append(s.locked, g)
	case strings.Contains(g.Text, stacks.OwnPackage+".(*weight)."): // its turn is not over
		s.busy = true
	case g.State == "chan receive", g.State == "chan send", g.State == "select":
		s.foreign = append(s.foreign, g)
	case g.State == "IO wait":
		s.machine = append(s.machine, g)
	default:
		s.busy = true
	}
}

// bark gives up a test that waits for a channel made outside the bubble.
func (d *watchdog) bark(n *Network, s scene) {
	states := map[string]bool{}
	for _, g := range s.foreign {
		states[g.State] = true
	}
	d.run.abandon(fmt.Sprintf(`sim: virtual time stands still: all goroutines of the test are blocked, and %s for something made
outside the test (%s), which stops the clock of the test, so what they wait for never comes.
Make the channel inside the test, or do not wait there for anything made outside; see docs/frozen-time.md. The test was abandoned.
%s%s`, count.Of(len(s.foreign), "of them waits", "of them wait"), strings.Join(slices.Sorted(maps.Keys(states)), ", "), advice(stacks.InBubble(n.harness.bubbleID)), stacks.Whole(s.foreign)))
}
