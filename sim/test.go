package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// Test runs f on a network in a bubble of virtual time (see [testing/synctest]). Time advances only when
// every goroutine of the test is blocked, and then immediately.
//
// # Environment
//
// The network is a function of the seed. As long as the program sends the same, the network behaves the same
// in every run, on any number of processors and under the race detector. The seed is 1, or the one that the
// option [Seed] sets, unless the environment sets another. These are environment variables because a flag
// unknown to one package would break go test ./... :
//
//	SQUALL_SEED=7       run with seed 7
//	SQUALL_SEEDS=1000   run with seeds 1 to 1000, each as a subtest
//	SQUALL_SEEDS=1-1000,4711
//	                    run with these seeds
//	SQUALL_CHECK=1      run everything twice and compare the traces
//	SQUALL_CHECK=schedules
//	                    in exact mode (see [Exact]): run everything twice, with goroutines in turn and at
//	                    random, and compare the traces: a race decides what differs
//	SQUALL_CHECK=0      do not even run a failed test a second time
//	SQUALL_ARTIFACTS=/tmp/squall
//	                    a failed test leaves a folder there: report.html, a page with diagrams of packets and
//	                    connections; a HOST.pcapng for each host; trace.jsonl; and its faults as story.go.
//	                    A relative path starts at the package's folder. Where CI=true this is the default, in
//	                    the folder for temporary files; the report names it. The default records the second
//	                    run (see below), so that passing tests cost no more; a test that hangs leaves nothing.
//	                    SQUALL_ARTIFACTS=off turns it off
//	SQUALL_ARTIFACTS_ALL=1
//	                    with SQUALL_ARTIFACTS: a test that passes leaves a folder too
//	SQUALL_FAULTS=2,5   of a test's faults, in the order in which they are made, only the second and the fifth
//	                    happen (see squall shrink); with "none" no fault happens
//
// A test that runs with many seeds reports its progress on standard error every few seconds. At its end it
// groups the seeds whose failures look alike. The first three failing seeds get a whole report, and so does a
// later one that fails in a new way or whose second run fails differently. The others get a line with the
// command that prints their report.
//
// The second run happens in a process of its own, at another GOMAXPROCS. With SQUALL_CHECK=1 there is one
// such process for each test binary, which runs the same tests in the same order. The check compares every
// packet, event and payload, but not what the program makes of them. Two runs that agree do not prove that a
// third would. [MayDiffer] exempts a test whose runs may differ; t.Setenv("SQUALL_CHECK", "") exempts several
// calls of Test. docs/replay.md lists the causes of such differences and their remedies. In exact mode there
// are hardly any: see [Exact].
//
// # Randomness
//
// While f runs, cryptographic randomness is seeded too: crypto/rand, and the keys, nonces and signatures of
// TLS (see [testing/cryptotest.SetGlobalRandom]). So TLS and WebSocket replay, and every test draws the same
// values from one seed. A parallel test (t.Parallel) seeds only crypto/rand, which covers the masks of
// WebSocket, but not TLS. Goroutines that draw at one instant do so in the runtime's order. math/rand and
// math/rand/v2 are not seeded where the program gives them no source of its own; [Network.Rand] is.
//
// # How a test ends
//
// When f and its t.Cleanup functions have returned, Test closes the network and lets the clock run for
// another hour, so that blocked goroutines can end. It names those that remain and fails the test. A failed
// test reports the last events of the hosts concerned, the faults and impairments that never fired ([Strict]
// fails a test for them), its seed, a command that repeats it, and whether a second run had the same trace.
//
// A test never hangs silently. It fails when it takes more virtual time than [Limit] allows. After 25 s of
// real time Test prints the goroutines that are making progress to standard error. Some seconds before go
// test's own deadline (-timeout) a test that still runs fails with its report. A test that cannot end is
// abandoned, so that the tests after it run.
//
// # What stops time
//
// Time also advances while goroutines wait for a lock of package sync and all others are blocked: the lock's
// holder waits for the network, or sleeps. The bubble's own clock would stand still then. net/http does this
// when it uploads over HTTP/2. A watchdog on the real clock notices and moves the bubble's clock to its next
// timer, so everything happens when it would on a real network. Each such step takes about a millisecond of
// real time. A lock that is never released brings the test to its limit of virtual time; the report names the
// goroutines that wait for it and the one that seems to hold it.
//
// Anything else that stops virtual time fails the test and names the goroutines responsible. Waiting for a
// channel made outside the test fails it after some seconds of real time. A loop that asks the network again
// and again without ever waiting fails it after half a minute, or at once if the network is closed; such a
// loop immediately redials a refused address, or accepts from a closed listener. The test is abandoned, and
// the tests after it run.
//
// The program must not use the operating system's own network, but nothing can keep net.Dial, net.Listen,
// http.Get, httptest.NewServer or a library without a dialer from reaching it. A test that waits for that
// network, so that virtual time stands still, fails after 10 s of real time. The report notes requests to
// http.DefaultTransport and, where Go's own resolver is used, to net.DefaultResolver, with the line that
// makes them. They fail the test if they are for a host of the simulated network. The failure says what to
// write instead.
//
// A panic of f, of a process ([Host.Run]) or of a function of [Network.After] fails the test in the same way,
// with its stack. A panic on a goroutine that the program starts itself ends the process, as in any Go
// program: nothing can recover it.
//
// Inside f use its own t, as in any bubble, and not the caller's; t.Run, t.Parallel and t.Deadline are not
// available. A failure reported to the caller's t, for example by the methods of a testify suite that f
// calls, still counts, unless that t had failed before Test was called. To make a suite use f's t, begin f
// with "defer s.SetT(s.T()); s.SetT(t)". The network cannot fix what the program under test decides by racing
// goroutines, by select or by map order; a second run shows where that matters.
func Test(t *testing.T, f func(t *testing.T, n *Network), opts ...Option) {
	t.Helper()
	r, seeds, _ := prepare(t, "Test", f, opts)
	if len(seeds) == 1 && os.Getenv(seedsVariable) == "" {
		r.run(t, seeds[0])
		return
	}
	r.sweep(t, seeds)
}

// prepare returns the runner of f for a function of that name, its seeds and its options.
func prepare(t *testing.T, function string, f func(t *testing.T, n *Network), opts []Option) (*runner, []uint64, options) {
	t.Helper()
	mustBeOutside(function)
	warmUp()
	prepareExact(t)
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	byDefault := uint64(1)
	if o.seedSet {
		byDefault = o.seed
	}
	seeds, err := Seeds(byDefault)
	if err != nil {
		t.Fatal(err)
	}
	check, err := whatToCheck()
	if err != nil {
		t.Fatal(err)
	}
	faults, err := faultsWanted()
	if err != nil {
		t.Fatal(err)
	}
	if faults != nil {
		opts = append(slices.Clone(opts), func(o *options) { o.faults = faults })
	}
	if o.mayDiffer && (check == checkAll || check == checkOrders) {
		check = checkFailed
	}
	nth, call := nthCall(t)
	r := &runner{f: f, opts: opts, check: check, nth: nth, call: call, name: t.Name(), pkg: thisPackage(), dir: thisDir}
	r.keep = r.keeping()
	return r, seeds, o
}

// Try runs f once, on a network in a bubble, as [Test] does, but does not fail t. It returns the error of f
// and anything else Test would have failed for, with the report that Test would have printed. Use it for
// searches, where a failing run is a result and not the end: cases drawn at random, or made smaller step by
// step. The seed is 1, or the one that the option [Seed] sets, whatever the environment says. t only lends
// the bubble its name.
func Try(t *testing.T, f func(n *Network) error, opts ...Option) error {
	t.Helper()
	mustBeOutside("Try")
	warmUp()
	prepareExact(t)
	o := options{seed: 1}
	for _, opt := range opts {
		opt(&o)
	}
	r := &runner{opts: opts, name: t.Name(), pkg: thisPackage(), dir: thisDir}
	var wrong []error
	out := outcome{seed: o.seed}
	r.once(t, &out, func(_ *testing.T, n *Network) {
		if err := f(n); err != nil {
			wrong = append(wrong, err)
		}
	}, func(*testing.T) {
		for _, p := range out.problems {
			wrong = append(wrong, errors.New(p))
		}
		if len(wrong) > 0 {
			out.report = out.network().report(r.command(o.seed))
		}
	})
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w\n\n%s", errors.Join(wrong...), out.report)
}

// mustBeOutside panics in a bubble, which cannot contain another one.
func mustBeOutside(function string) {
	if stacks.ThisBubble() != "" {
		panic("sim: " + function + " is called inside Test, Try or synctest.Test: it makes a bubble of its own, and one bubble cannot hold another")
	}
}

// A runner runs one call of Test.
type runner struct {
	f    func(t *testing.T, n *Network)
	opts []Option
	name string // of the calling test
	nth  int    // call of Test by that test, from 1, over all rounds of -count and -cpu
	call int    // the same within its round
	pkg  string
	dir  string

	check checkMode
	found *causes  // by a sweep
	env   []string // more variables that repeat the same run, NAME=value
	keep  *keeper  // nil if the run leaves no artifacts
	notes bool     // its decisions are recorded
}

// An outcome is the result of one run.
type outcome struct {
	seed     uint64
	trace    *Trace         // as soon as there is a network
	schedule exact.Schedule // in exact mode, of a run that has ended
	decided  []uint64       // by that schedule, for a comparison
	returned bool           // the test function returned
	problems []string       // what went wrong in the network, and with the end of the run
	failed   bool           // because of these, or of what the test function reported to its t
	report   string         // of the network, if it failed
	held     bool           // the report is held until the second run is over: see runner.holds
	second   rerun          // if there was one
	left     *leftover      // artifacts, or nil
}

func (o *outcome) network() *Network { return o.trace.n }

func (r *runner) run(t *testing.T, seed uint64) {
	t.Helper()
	o := &outcome{seed: seed}
	before := t.Failed()
	// synctest.Test ends the goroutine of a test that failed.
	defer func() {
		if p := recover(); p != nil {
			panic(p)
		}
		if o.trace != nil {
			r.compare(t, o)
		}
		if o.held { // there was no second run, or none that could tell
			r.tellHeld(t, o)
		}
		if o.left != nil {
			r.leave(t, o)
		}
	}()
	ended := r.once(t, o, r.f, func(inner *testing.T) {
		inner.Helper()
		r.tell(inner, t, before, o)
	})
	if !ended {
		if o.network().harness.dead.Load() {
			o.trace = nil // a second run would take as long
			if r.keep != nil && r.keep.late {
				o.left = nil
			}
		}
		t.FailNow()
	}
}

// tell reports on t, which the test function got, what is wrong with a run that has ended. outer is the t
// with which Test was called; it may have failed before the run.
func (r *runner) tell(t, outer *testing.T, before bool, o *outcome) {
	t.Helper()
	n := o.network()
	for _, p := range o.problems {
		t.Error(p)
	}
	byOuter := !before && outer.Failed() && !t.Failed()
	if !o.returned && !t.Failed() && !t.Skipped() {
		t.Error("sim: the test function ended by FailNow or Skip of another t than the one it was given, or by runtime.Goexit.\n" +
			"Inside sim.Test use the t that it passes; in a testify suite begin with: defer s.SetT(s.T()); s.SetT(t)")
	}
	o.failed = t.Failed() || byOuter
	if o.failed && !n.harness.told.Load() {
		o.report = n.report(r.command(o.seed))
	}
	if r.keep.wants(o) {
		o.report += r.collect(o)
	}
	switch remarks := n.remarks(); {
	case n.harness.told.Load():
	case o.failed && r.holds(o):
	case byOuter:
		outer.Log(o.report) // t passed, so what it logs may be left out
	case o.failed:
		t.Log(o.report)
		if text := scheduleText(o.schedule); text != "" {
			t.Log("sim: " + text)
		}
	case remarks != "":
		t.Log("sim: " + remarks)
	}
}

// compare compares the run with a second one, if that was asked for.
func (r *runner) compare(t *testing.T, o *outcome) {
	t.Helper()
	switch {
	case reportTrace(r, o):
	case recordRun(r, o):
	case o.failed && r.check != checkNone:
		o.second = r.rerun(o)
		o.second.text = r.again(o)
		if !o.held || r.tellHeld(t, o) {
			t.Log(o.second.text)
		}
		if o.left != nil && r.keep.late {
			t.Log(o.fromSecond(o.second.record))
		}
		if r.check == checkOrders {
			r.compareOrders(t, o)
		}
	case r.check == checkAll:
		if wrong := r.checkRun(o); wrong != "" {
			t.Error(wrong)
			t.Log("sim: to repeat it: SQUALL_CHECK=1 " + r.command(o.seed))
		}
	case r.check == checkOrders:
		r.compareOrders(t, o)
	}
}

// oneBubble is held by the bubble that runs in exact mode.
var oneBubble sync.Mutex

// once runs f in one bubble and records the result in o, whose trace is set as soon as there is a network.
// When the run is over it calls conclude with the t that f got, or with its own if the bubble hangs or was
// abandoned. It reports whether the bubble ended.
func (r *runner) once(t *testing.T, o *outcome, f func(*testing.T, *Network), conclude func(*testing.T)) (ended bool) {
	t.Helper()
	if exact.Enabled {
		// What bubbles share, such as locks of libraries, would let one bubble decide who runs in the other.
		oneBubble.Lock()
		defer oneBubble.Unlock()
	} else { // in exact mode each bubble has its own part of a pool
		pools.beforeBubble()
		defer pools.afterBubble()
	}
	command := func() string { return r.command(o.seed) }
	run := newBubbleRun(t)
	defer run.drop()
	defer newWatchdog(run).stop()
	defer startMonitor(t, run, o.seed, command).stop()
	var problems []string // of the bubble, which may still run after it was abandoned
	given := run.run(t, func(t *testing.T) {
		own := r.enrol(run, o.seed)
		n := newNetwork(true, append(r.opts[:len(r.opts):len(r.opts)], Seed(o.seed)))
		n.harness.own = own
		if !exact.Enabled { // there a lock does not stop the clock
			run.ballast.prepare()
		}
		n.seedCrypto(t)
		n.harness.witness = newWitness()
		if r.keep.films() {
			n.log.film = newFilm(n)
		}
		n.startPulse()
		n.harness.bubbleID = stacks.ThisBubble()
		n.harness.run.Store(run)
		o.trace = n.log.trace
		run.network.Store(n)
		bubbles.Store(n.harness.bubbleID, n)
		t.Cleanup(func() { // after those of f
			defer bubbles.Delete(n.harness.bubbleID)
			problems = append(problems, n.finish()...)
			if !exact.Enabled {
				run.ballast.end()
			}
			o.schedule, o.decided = r.scheduled()
			run.end.Lock()
			defer run.end.Unlock()
			if n.harness.reported.CompareAndSwap(false, true) {
				o.problems = problems
				conclude(t)
			}
		})
		defer func() {
			if p := recover(); p != nil {
				problems = append(problems, testPanicked(p))
			}
		}()
		f(t, n)
		o.returned = true
	})
	run.end.Lock()
	defer run.end.Unlock()
	// Remaining goroutines are among the reasons why a bubble that has reported problems does not end.
	if n := run.network.Load(); len(given) > 0 && !(n.harness.reported.Swap(true) && len(o.problems) > 0) {
		o.problems = append(n.failures(), given...) // otherwise it has ended well
		conclude(t)
	}
	return len(given) == 0
}

// testPanicked describes a panic of the test's own goroutine, the cause first.
func testPanicked(p any) string {
	cause := fmt.Sprint(p)
	if strings.HasPrefix(cause, "sim: ") { // misuse: the stack within the network does not help
		calls, _ := stacks.Goroutine{Text: panicStack()}.Frames()
		calls = slices.DeleteFunc(calls, func(f stacks.Frame) bool { return !f.Program() })
		return cause + "\n" + strings.TrimSuffix(stacks.ListCalls(calls), "\n")
	}
	text := "sim: the test panicked: " + cause
	for _, hint := range [][2]string{
		{"testing: t.Run called inside synctest bubble", "Call sim.Test inside t.Run instead: a network for each subtest."},
		{"testing: t.Parallel called inside synctest bubble", "Call t.Parallel before sim.Test."},
		{"testing: t.Deadline called inside synctest bubble", "It is a time of the real clock; inside sim.Test time is virtual. See sim.Limit."},
	} {
		if strings.HasPrefix(cause, hint[0]) {
			text += "\n" + hint[1]
		}
	}
	return text + "\n\n" + panicStack()
}

// finish ends the network and returns what went wrong with it.
func (n *Network) finish() (problems []string) {
	n.lookAtTheEnd()
	why := text(n, func() string {
		defer n.shutdown("")
		if n.over.why == "" {
			return ""
		}
		return "sim: " + n.ending()
	})
	n.do(func() { n.clock.limit.Stop() })
	left := n.awaitGoroutines()
	n.removeDisks()
	if why != "" {
		problems = append(problems, why)
	}
	problems = append(problems, n.failures()...)
	if len(left) > 0 {
		problems = append(problems, fmt.Sprintf("sim: %s an hour after the network was closed:\n%s%s%s", count.Of(len(left), "goroutine of the test still runs", "goroutines of the test still run"), stacks.UnreadBodies(left), advice(left), stacks.Whole(left)))
	}
	if !n.conf.strict {
		problems = append(problems, n.unfired()...)
	}
	if remarks := n.remarks(); n.conf.strict && remarks != "" {
		problems = append(problems, "sim: sim.Strict fails the test for this:\n"+remarks)
	}
	return problems
}

// failures returns what has failed the test while the network ran.
func (n *Network) failures() []string {
	return ownAll(seen(n, func() (all []string) {
		for _, f := range n.log.failures {
			all = append(all, "sim: "+f)
		}
		return all
	}), own)
}

// nthCall counts the calls of Test by a test: over all rounds of -count and -cpu, and in the current round,
// which ends with the test.
func nthCall(t *testing.T) (overall, inRound int) {
	name := t.Name()
	calls.Lock()
	defer calls.Unlock()
	if calls.inRound[name] == 0 {
		t.Cleanup(func() {
			calls.Lock()
			defer calls.Unlock()
			delete(calls.inRound, name)
		})
	}
	calls.overall[name]++
	calls.inRound[name]++
	return calls.overall[name], calls.inRound[name]
}

var calls = struct {
	sync.Mutex
	overall, inRound map[string]int
}{overall: map[string]int{}, inRound: map[string]int{}}

// warmUp makes package net create the channel that guards its configuration outside any bubble: a channel
// made in one bubble is fatal in the next.
var warmUp = sync.OnceFunc(func() {
	r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server is asked")
	}}
	r.LookupHost(context.Background(), "warm-up.invalid.")
})
