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
)

// A watchdog looks at a bubble from outside, on the real clock. When the bubble is frozen, it
// moves the clock (see ballast). When virtual time stands still in a way that it cannot help, or as
// good as (see spinning), it fails the test and abandons the bubble. The runtime
// notices nothing of either, and the test would hang until its timeout.
type watchdog struct {
	run   *bubbleRun
	begin *time.Timer // most tests are over before
	done  chan struct{}
	all   sync.WaitGroup
}

func newWatchdog(run *bubbleRun) *watchdog {
	d := &watchdog{run: run, done: make(chan struct{})}
	d.all.Add(1)
	d.begin = time.AfterFunc(looksFirst, func() {
		defer d.all.Done()
		d.all.Go(d.watchSteps)
		d.watchClock()
	})
	return d
}

// stop ends d, once all that is under way is over.
func (d *watchdog) stop() {
	close(d.done)
	if d.begin.Stop() {
		d.all.Done()
	}
	d.all.Wait()
}

// Real times.
const (
	stepsEvery = time.Second

	looksOften = 200 * time.Microsecond // at a test that was frozen; until then it is waited for without sleep,
	looksFirst = time.Millisecond       // at others at first,
	looksRare  = 16 * time.Millisecond  // and later
	looksBusy  = time.Second            // at a crowd of which some always run

	// Who has waited for a sync.Mutex for a millisecond is handed it at once when he has missed it once,
	// and not before. So everybody who waits in a frozen bubble has waited for that long.
	lockStarves = 1100 * time.Microsecond

	// A lock may be held by somebody outside the bubble. While somebody runs there, the watchdog
	// waits for so long before it takes the lock for one of the bubble's own.
	lockPatience = 50 * time.Millisecond

	// What waits for a channel made outside may be answered from there: it is given up
	// when nobody runs there, or after all.
	foreignPatience = 4 * time.Second
	busyPatience    = 30 * time.Second
)

func (d *watchdog) watchSteps() {
	tick := time.NewTicker(stepsEvery)
	defer tick.Stop()
	var last uint64
	var spin spinning
	for {
		select {
		case <-d.done:
			return
		case <-tick.C:
		}
		n := d.run.network.Load()
		if n == nil {
			continue
		}
		if now := n.steps.Load(); now != last {
			last = now
			if spin.since(n, now) {
				d.barkAtSpin(n, spin)
				return
			}
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
		n := d.run.network.Load()
		if n != nil && n.dead.Load() {
			return
		}
		for n != nil && w.look(n) && !n.dead.Load() {
			for began := time.Now(); !nobodyRuns() && time.Since(began) < looksOften; {
				runtime.Gosched()
			}
		}
		timer.Reset(w.pause)
	}
}

// clockWatch is what watchClock remembers.
type clockWatch struct {
	d        *watchdog
	pause    time.Duration // until the next look
	patience time.Duration // until the next dump, though somebody runs
	steps    uint64        // of the network at the last look
	still    time.Time     // since when there were no more
	since    time.Time     // when those of last were first seen to wait
	last     string        // who waits
	own      map[string]bool
}

// oneAtATime keeps a watchdog from moving a clock while another one looks.
var oneAtATime sync.Mutex

// look looks at the bubble, and says whether it moved its clock.
func (w *clockWatch) look(n *Network) (moved bool) {
	now := time.Now()
	// The race detector must not learn here what the program has done: the ballast would tell
	// it to whoever calls synctest.Wait.
	hush()
	steps := n.steps.Load()
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
	dump := stackDump()
	took := time.Since(now)
	s := lookAt(dump, n.bubbleID)
	who := s.waiting()
	if who != w.last || who == "" {
		w.last, w.since = who, now
	}
	waited := now.Sub(w.since)
	stood := min(waited, now.Sub(w.still))
	switch {
	case s.frozen():
		if s.outside && waited < lockPatience && !w.allOwn(s.locked) {
			w.pause = looksFirst
			return false
		}
		if waited < lockStarves {
			w.pause = lockStarves - waited
			return false
		}
		w.take(s.locked)
		n.frozen.Add(1)
		if !w.d.run.ballast.tick(len(s.locked)) {
			w.d.run.abandon("sim: the test hangs: it has ended, and goroutines are left in its bubble that wait for a lock:\n" + describe(s.locked))
		}
		w.pause, w.patience, w.still = looksOften, looksFirst, time.Now()
		return true
	case len(s.machine) > 0 && !s.busy && stood >= outsidePatience:
		w.d.run.abandon(outsideText(s.machine, bubbleGoroutines(n.bubbleID)))
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

// lockPattern finds the address of a lock in the stack of a goroutine that waits for it.
var lockPattern = regexp.MustCompile(`sync\.runtime_Semacquire\w*\((0x[0-9a-f]+)`)

// allOwn says that all locks that goroutines wait for are known to be the bubble's own.
func (w *clockWatch) allOwn(gs []goroutine) bool {
	for _, g := range gs {
		if m := lockPattern.FindStringSubmatch(g.text); m == nil || !w.own[m[1]] {
			return false
		}
	}
	return true
}

// take notes that the locks that goroutines wait for are the bubble's own.
func (w *clockWatch) take(gs []goroutine) {
	if w.own == nil {
		w.own = map[string]bool{}
	}
	for _, g := range gs {
		if m := lockPattern.FindStringSubmatch(g.text); m != nil {
			w.own[m[1]] = true
		}
	}
}

// nobodyRuns says that the goroutine that calls is the only one in the process that runs, or could
// run. It costs little and may be wrong.
func nobodyRuns() bool {
	s := []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"},
	}
	metrics.Read(s)
	return s[0].Value.Uint64() <= 1 && s[1].Value.Uint64() == 0 && s[2].Value.Uint64() == 0
}

// scene is what a stack dump shows of a bubble and of those who could help it.
type scene struct {
	locked  []goroutine // those of the bubble that wait for a lock of package sync,
	foreign []goroutine // for a channel made outside the bubble,
	machine []goroutine // and for the machine's network
	busy    bool        // somebody else in it counts as running
	outside bool        // somebody outside the bubble runs
}

// frozen says that the clock of the bubble stands still, because of locks alone.
func (s *scene) frozen() bool {
	return !s.busy && len(s.foreign)+len(s.machine) == 0 && len(s.locked) > 0
}

// waiting tells one scene from another by who waits; it is empty if somebody is busy.
func (s *scene) waiting() string {
	var b strings.Builder
	if !s.busy {
		for _, g := range slices.Concat(s.locked, s.foreign, s.machine) {
			b.WriteString(g.id + " ")
		}
	}
	return b.String()
}

// lookAt makes a scene of a stack dump, which begins with the goroutine that took it.
func lookAt(dump, bubble string) scene {
	var s scene
	_, dump, _ = strings.Cut(dump, "\n\n")
	for entry := range strings.SplitSeq(dump, "\n\n") {
		m := headerPattern.FindStringSubmatch(entry)
		if m == nil {
			continue
		}
		g := goroutine{id: m[1], state: m[2], text: entry}
		runs := g.state == "running" || g.state == "runnable"
		switch {
		case m[3] != bubble:
			if (runs || g.state == "syscall") && !g.serves() {
				s.outside = true
			}
		case strings.Contains(g.state, "(durable)"):
		case strings.Contains(entry, ownPackage+".(*weight).hang("):
			s.busy = s.busy || runs
		case g.locked():
			s.locked = append(s.locked, g)
		case strings.Contains(entry, ownPackage+".(*weight)."): // its turn is not over
			s.busy = true
		case g.state == "chan receive", g.state == "chan send", g.state == "select":
			s.foreign = append(s.foreign, g)
		case g.state == "IO wait":
			s.machine = append(s.machine, g)
		default:
			s.busy = true
		}
	}
	return s
}

// locked says that a goroutine waits for a lock of package sync.
func (g goroutine) locked() bool {
	if strings.HasPrefix(g.state, "sync.") {
		return !strings.Contains(g.state, "(durable)")
	}
	return g.state == "semacquire" && strings.HasPrefix(g.stack(), "sync.runtime_Semacquire")
}

// bark gives up a test that waits for a channel made outside the bubble.
func (d *watchdog) bark(n *Network, s scene) {
	states := map[string]bool{}
	for _, g := range s.foreign {
		states[g.state] = true
	}
	d.run.abandon(fmt.Sprintf(`sim: virtual time stands still. All goroutines of the test are blocked, and %s in a way
that stops the bubble's clock (%s): for something made outside of the test, so what they wait for never comes.
Make the channel inside the test, or do not wait for what is outside of it; see "Frozen time" in the README. The test was abandoned.
%s%s`, countOf(len(s.foreign), "of them waits", "of them wait"), strings.Join(slices.Sorted(maps.Keys(states)), ", "), advice(bubbleGoroutines(n.bubbleID)), stacksOf(s.foreign)))
}
