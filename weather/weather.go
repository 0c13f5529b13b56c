package weather

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/internal/storm"
	"github.com/squall-sim/squall/sim"
)

// A Func is a test in a storm. It creates its hosts and links, calls s.Begin, does what is tested,
// and checks what must hold in any weather. After s.Settle it checks what must hold again when all
// faults have ended. t is a [testing.T] or, while storms are tried, a recorder of failures, so
// every function that f calls must accept a [testing.TB]. Inside f the rules of [sim.Test] apply.
type Func func(t testing.TB, n *sim.Network, s *Storm)

// shrinkTime is how much real time is spent on shrinking a storm; with -short a fifth of
// it.
var shrinkTime = 30 * time.Second

// Test runs f in storms drawn from seeds: 1 to Config.Storms, or those that the environment sets
// (SQUALL_SEED, SQUALL_SEEDS, see [sim.Test]). A seed draws the same storm in every run, as long as
// f creates the same hosts and links. A run can fail in the same ways as a [sim.Test].
//
//	func TestPayments(t *testing.T) {
//		weather.Test(t, weather.Config{}, func(t testing.TB, n *sim.Network, s *weather.Storm) {
//			bank, shop := n.Host("bank"), n.Host("shop")
//			n.Link(shop, bank, netem.Config{Delay: 20 * time.Millisecond})
//			...
//			n.Always("nobody pays twice", func() error { ... })
//			s.Begin()
//			...
//			s.Settle()
//			if paid != 10 {
//				t.Errorf("%d of 10 were paid", paid)
//			}
//		})
//	}
//
// The first storm that fails ends the test; with SQUALL_SEEDS, each seed is a subtest, and all are
// run. The storm is shrunk in up to Config.Tries runs (and 30 s of real time, 6 s with -short). A
// smaller storm must fail in the same way: with the same first failure, in which numbers may
// differ. Then it is run once more, with the report of sim.Test and its SQUALL_ARTIFACTS. The
// failure contains the command that repeats this run alone:
//
//	SQUALL_WEATHER='4s 100ms drop-data server client, 20s 1s crash server' SQUALL_SEED=7 go test -run '^TestPayments$' ...
//
// The storm is kept as testdata/weather/TestPayments/7.storm. Storms kept there are run first the
// next time, each with its seed; if one passes, the test says so. With SQUALL_SEED or SQUALL_SEEDS
// they are not run, and with SQUALL_SEEDS none is kept. With SQUALL_FAULTS a storm is neither
// shrunk nor kept. The test fails if a file is damaged, has another version, or names hosts that no
// longer exist.
//
// Each condition of [Storm.Sometimes] must have been true once in the whole call of Test. This is
// judged if Test has run at least Config.Storms storms and none failed. In a squall sweep it is
// judged over all seeds, at the end. A sweep does not shrink storms; squall replay does.
//
// Storms are tried in one process. A panic on a goroutine that the program started ends it, and the
// storm is then not shrunk. Variables outside f keep what one run leaves in them for the next. Test
// panics if c is invalid.
func Test(t *testing.T, c Config, f Func, opts ...sim.Option) {
	t.Helper()
	c = c.complete()
	seeds := make([]uint64, c.Storms)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	w := &search{c: c, f: f, trials: sim.NewTrials(t, "weather.Test", seeds, opts...), test: t.Name(), known: map[string]uint64{}}
	seeds, subtests := w.trials.Seeds()
	w.subtests = subtests
	if text := os.Getenv(variable); text != "" {
		is, err := readLine(text)
		if err != nil {
			t.Fatalf("weather: %s=%s: %v", variable, text, err)
		}
		w.show(t, seeds[0], is)
		return
	}
	if !subtests && os.Getenv("SQUALL_SEED") == "" && !w.runKept(t) {
		return
	}
	for i, seed := range seeds {
		if subtests {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Helper()
				w.run(t, seed, "")
			})
		} else if w.run(t, seed, ofOthers(i, len(seeds))); t.Failed() {
			return
		}
	}
	if swept() {
		w.tally.tell(t, c.Storms)
		return
	}
	if never := w.tally.never(); len(never) > 0 && len(seeds) >= c.Storms && !t.Failed() {
		t.Errorf("weather: in %d storms this never happened (Storm.Sometimes): %s. Draw more storms (Config.Storms), or longer ones with more faults (For, Faults, Longest), "+
			"or make the test do more during the storm", len(seeds), strings.Join(never, ", "))
	}
}

// ofOthers returns what the message of a failing storm says about the other
// storms.
func ofOthers(before, all int) string {
	switch {
	case all == 1:
		return ""
	case before == 0:
		return fmt.Sprintf("This was the first of %d storms; the others were not tried.", all)
	}
	return fmt.Sprintf("This was storm %d of %d. Those before it found nothing; the others were not tried.", before+1, all)
}

// A search is a call of Test.
type search struct {
	c        Config
	f        Func
	trials   *sim.Trials
	test     string
	subtests bool
	tally    tally
	known    map[string]uint64 // causes of storms that were made smaller, by their first seed
}

// storm returns the weather of a run: the given storm, or one that is drawn if
// is is nil.
func (w *search) storm(seed uint64, is schedule) *Storm {
	return &Storm{c: w.c, seed: seed, given: is != nil, is: is, tally: &w.tally}
}

// try runs f in a storm, and returns why it failed, or nil.
func (w *search) try(t *testing.T, seed uint64, s *Storm) *sim.Failure {
	t.Helper()
	return w.trials.Try(t, seed, func(t testing.TB, n *sim.Network) {
		t.Helper()
		s.play(t, n, w.f)
	})
}

func (s *Storm) play(t testing.TB, n *sim.Network, f Func) {
	t.Helper()
	s.t, s.n = t, n
	f(t, n, s)
	s.end()
}

// show runs f as a test, with its report. A second run in another process gets the storm too; by
// the seed alone it would search again.
func (w *search) show(t *testing.T, seed uint64, is schedule) {
	t.Helper()
	var env []string
	if is != nil {
		env = []string{variable + "=" + line(is)}
	}
	w.trials.Run(t, seed, func(t *testing.T, n *sim.Network) { w.storm(seed, is).play(t, n, w.f) }, env...)
}

// run draws and runs the storm of a seed. If it fails, the message contains
// others, about the earlier storms.
func (w *search) run(t *testing.T, seed uint64, others string) {
	t.Helper()
	s := w.storm(seed, nil)
	failed := w.try(t, seed, s)
	switch {
	case failed == nil && w.trials.Compares():
		w.show(t, seed, s.is)
		return
	case failed == nil:
		return
	case s.wrong != nil:
		t.Fatal(s.wrong)
	}
	if s.is == nil {
		s.is = schedule{} // it failed before the storm began
	}
	if reason := w.leaves(failed); reason != "" {
		t.Errorf("weather: seed %d: %s\nIts storm of %s was not reduced (%s). To reduce it, run the seed alone: SQUALL_SEED=%d.",
			seed, whereAndWhy(failed), count.Of(len(s.is), "fault", "faults"), reason, seed)
		w.show(t, seed, s.is)
		return
	}
	w.known[failed.Cause] = seed
	least, did := w.shrink(t, seed, s.is, failed)
	t.Error(w.tell(t, kept{seed, least}, len(s.is), did, failed) + others)
	w.show(t, seed, least)
}

// leaves returns why a storm is not shrunk, or "" if it is.
func (w *search) leaves(failed *sim.Failure) string {
	first, known := w.known[failed.Cause]
	chosen := os.Getenv("SQUALL_FAULTS")
	switch {
	case known:
		return fmt.Sprintf("the storm of seed %d, which fails the same way, was", first)
	case chosen != "": // by number, and a smaller storm has other numbers
		return fmt.Sprintf("SQUALL_FAULTS=%s selects faults by number", chosen)
	case swept():
		return "this is a sweep"
	}
	return ""
}

// shrink looks for the smallest storm that fails in the same way.
func (w *search) shrink(t *testing.T, seed uint64, is schedule, failed *sim.Failure) (schedule, storm.Shrinking) {
	t.Helper()
	patience := shrinkTime
	if testing.Short() {
		patience /= 5
	}
	tried := map[string]bool{} // and did not fail so
	return storm.Shrink(is, func(s schedule) iter.Seq[schedule] {
		return func(yield func(schedule) bool) {
			for c := range s.Smaller(w.c.simpler()) {
				if !tried[line(c)] && !yield(c) {
					return
				}
			}
		}
	}, func(s schedule) bool {
		f := w.try(t, seed, w.storm(seed, s))
		if f != nil && f.Cause == failed.Cause {
			return true
		}
		tried[line(s)] = true
		return false
	}, storm.Limit{Tries: w.c.Tries, Until: time.Now().Add(patience)})
}

// tell prints the shrunk storm and keeps it.
func (w *search) tell(t *testing.T, k kept, of int, did storm.Shrinking, failed *sim.Failure) string {
	t.Helper()
	s := w.storm(k.seed, k.is)
	again := w.try(t, k.seed, s)
	repeats := again != nil && again.Cause == failed.Cause
	if repeats {
		failed = again // with the numbers of the smaller storm
	}
	var b strings.Builder
	fmt.Fprintf(&b, "weather: seed %d: %s\nThe test fails this way ", k.seed, whereAndWhy(failed)) // the cause first, by which failures are told apart
	if len(s.told) == 0 {
		b.WriteString("without any fault.")
	} else {
		fmt.Fprintf(&b, "with %s (times count from Begin): %s.", count.Of(len(s.told), "fault", "faults"), strings.Join(s.told, ", and "))
	}
	if of > 0 {
		fmt.Fprintf(&b, "\nThe storm had %s; %s reduced it to this.", count.Of(of, "fault", "faults"), count.Of(did.Tries, "try", "tries"))
		if !did.Whole {
			b.WriteString(" More tries may reduce it further (see Config.Tries).")
		}
	}
	b.WriteString("\n")
	if !repeats {
		b.WriteString("The test does not repeat: another run of the same storm did not fail this way. Likely causes: goroutines that race, or what earlier runs left outside the test function.\n")
	}
	for _, code := range s.code {
		fmt.Fprintf(&b, "    %s\n", code)
	}
	fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(w.trials.Command(k.seed, variable+"="+line(k.is)), "\n", "\n    "))
	if !w.subtests && len(k.is) > 0 {
		if path, err := k.keep(w.test, why(failed)); err != nil {
			fmt.Fprintf(&b, "The storm could not be saved: %v\n", err)
		} else {
			fmt.Fprintf(&b, "Saved in %s; it runs first next time.\n", path)
		}
	}
	return b.String()
}

// why returns a failure in one line: the first one, or what testify says was
// wrong.
func why(failed *sim.Failure) string {
	_, what := failure.First("    trial.go:1: " + failed.Text) // as it would be printed
	return what
}

func whereAndWhy(failed *sim.Failure) string {
	if failed.Where == "" {
		return why(failed)
	}
	return failed.Where + ": " + why(failed)
}

// swept reports whether this process is part of a squall sweep, and so has only some of
// the seeds.
func swept() bool { return os.Getenv("SQUALL_SWEEP") != "" }

// runKept runs the storms that are kept, and reports whether none of them
// fails.
func (w *search) runKept(t *testing.T) bool {
	t.Helper()
	for _, path := range keptFiles(w.test) {
		text, err := os.ReadFile(filepath.Join(thisDir, path))
		var k kept
		if err == nil {
			k, err = readKept(string(text))
		}
		if err != nil {
			t.Errorf("weather: %s: %v: fix the file or delete it", path, err)
			return false
		}
		s := w.storm(k.seed, k.is)
		switch failed := w.try(t, k.seed, s); {
		case s.wrong != nil:
			t.Errorf("weather: %s does not fit this test: %v: fix the file or delete it", path, s.wrong)
			return false
		case failed != nil:
			t.Errorf("weather: the test fails in the saved storm %s: %s", path, why(failed))
			w.show(t, k.seed, k.is)
			return false
		default:
			t.Logf("weather: the test passes in the saved storm %s", path)
		}
	}
	return true
}
