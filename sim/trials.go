package sim

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// Trials are runs of a test for a search, such as [Explore] and package weather make. A run that fails is a
// result, and one failure is shown in the end. As with [Test], the environment can set the seeds.
type Trials struct {
	r     *runner
	seeds []uint64
}

// NewTrials begins a search in the test t. function is the name of the calling function, such as
// "weather.Test". The seeds are those given, unless the environment sets others.
func NewTrials(t *testing.T, function string, seeds []uint64, opts ...Option) *Trials {
	t.Helper()
	r, _, _ := prepare(t, function, nil, opts)
	all, err := Seeds(seeds...)
	if err != nil {
		t.Fatal(err)
	}
	return &Trials{r, all}
}

// Seeds returns the seeds of the search, and whether SQUALL_SEEDS asked for them: then each must be a subtest
// with a name such as "seed=7".
func (x *Trials) Seeds() (seeds []uint64, subtests bool) {
	return x.seeds, os.Getenv(seedsVariable) != ""
}

// Compares reports whether [Trials.Run] must make every run, even one that has not failed, because
// SQUALL_CHECK compares it with one in a second process or because it leaves artifacts.
func (x *Trials) Compares() bool {
	return x.r.check == checkAll || x.r.check == checkOrders || recordsRuns || x.r.keep != nil && x.r.keep.all
}

// A Failure is why a trial failed.
type Failure struct {
	Cause string // where and what failed first, with each number as #; failures of equal Cause are alike
	Where string // where it failed first, such as pay_test.go:33; empty if the network or the search itself reports it
	Text  string // all that failed
	Trace uint64 // hash of the trace
}

// Try runs f on a network in a bubble, as [Test] does. It returns nil, or why f failed. The t that f gets
// records failures without failing the test, and drops what f logs.
func (x *Trials) Try(t *testing.T, seed uint64, f func(t testing.TB, n *Network)) *Failure {
	t.Helper()
	mustBeOutside("Trials.Try")
	r := *x.r
	r.keep = nil
	out := outcome{seed: seed}
	notes := &notes{}
	var failed *Failure
	r.once(t, &out, func(t *testing.T, n *Network) {
		notes.TB = t
		notes.run(func() { f(notes, n) })
	}, func(*testing.T) {
		said, where := notes.failures()
		all := append(said, out.problems...)
		n := out.network()
		if seen(n, func() bool { return n.watch.rules.broken }) { // it came first
			all = append(out.problems[:len(out.problems):len(out.problems)], said...)
			where = ""
		}
		if len(all) > 0 {
			failed = &Failure{Cause: causeOf(where, all[0]), Where: where, Text: strings.Join(all, "\n"), Trace: seen(n, n.log.trace.sum)}
		}
	})
	return failed
}

// causeOf returns a failure without what differs from run to run: where it was, and its first line, or what
// testify says was wrong.
func causeOf(where, text string) string {
	_, what := failure.First("    trial.go:1: " + text) // as it would be printed
	if where != "" {
		what = where + ": " + what
	}
	return failure.Alike(what)
}

// Run runs f as [Test] does with that seed, on t: it fails the test if f fails, with a report, a second run
// and everything else Test does then. env holds additional variables, as NAME=value, for the command that
// repeats the run and for the second run.
func (x *Trials) Run(t *testing.T, seed uint64, f func(t *testing.T, n *Network), env ...string) {
	t.Helper()
	mustBeOutside("Trials.Run")
	r := *x.r
	r.f, r.env = f, env
	r.run(t, seed)
}

// Command returns the command line that repeats a run.
func (x *Trials) Command(seed uint64, env ...string) string {
	r := *x.r
	r.env = env
	return r.command(seed)
}

// notes are the t of a trial.
type notes struct {
	testing.TB // of the bubble, for what has nothing to do with failing

	mu      sync.Mutex
	said    []string
	where   string          // of the first one
	helpers map[string]bool // functions that have called Helper
	failed  bool
	skipped bool
}

// run calls f as package testing calls a test: on a goroutine that FailNow can end.
func (t *notes) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			if p := recover(); p != nil {
				t.note(testPanicked(p))
			} else if !returned && !t.Failed() && !t.Skipped() {
				t.note("sim: the test function ended by FailNow or Skip of another t than the one it was given, or by runtime.Goexit")
			}
		}()
		f()
		returned = true
	}()
	<-done
}

// failures returns why the trial failed by its t, and where the first failure was.
func (t *notes) failures() (said []string, where string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed && len(t.said) == 0 {
		return []string{"the test failed without a message"}, t.where
	}
	return t.said[:len(t.said):len(t.said)], t.where
}

func (t *notes) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail()
	t.said = append(t.said, strings.TrimRight(text, "\n"))
}

// fail records where the test fails for the first time: as in package testing, in the innermost call of the
// program that is not a helper. mu is held.
func (t *notes) fail() {
	if t.failed {
		return
	}
	t.failed = true
	var calls [64]uintptr
	frames := runtime.CallersFrames(calls[:runtime.Callers(2, calls[:])])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if !t.helpers[f.Function] && (stacks.Frame{Function: f.Function, Where: fmt.Sprintf("%s:%d", f.File, f.Line)}).Program() {
			t.where = fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
			return
		}
	}
}

// The following methods of testing.TB concern failing and output.

func (t *notes) Error(args ...any)                 { t.note(fmt.Sprintln(args...)) }
func (t *notes) Errorf(format string, args ...any) { t.note(fmt.Sprintf(format, args...)) }

func (t *notes) Fatal(args ...any) {
	t.note(fmt.Sprintln(args...))
	runtime.Goexit()
}

func (t *notes) Fatalf(format string, args ...any) {
	t.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (t *notes) Fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail()
}

func (t *notes) FailNow() {
	t.Fail()
	runtime.Goexit()
}

func (t *notes) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *notes) Skip(...any)          { t.SkipNow() }
func (t *notes) Skipf(string, ...any) { t.SkipNow() }

func (t *notes) SkipNow() {
	t.mu.Lock()
	t.skipped = true
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *notes) Skipped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.skipped
}

func (t *notes) Log(...any)          {}
func (t *notes) Logf(string, ...any) {}
func (t *notes) Output() io.Writer   { return io.Discard }

func (t *notes) Helper() {
	var caller [1]uintptr
	f, _ := runtime.CallersFrames(caller[:runtime.Callers(2, caller[:])]).Next()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.helpers == nil {
		t.helpers = map[string]bool{}
	}
	t.helpers[f.Function] = true
}
