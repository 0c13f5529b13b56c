package sim

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// exploreVariable names the breakages of one run of [Explore], as its report does.
const exploreVariable = "SQUALL_EXPLORE"

// An Exploration says what [Explore] tries. The zero value tries everything, one breakage in each run.
type Exploration struct {
	Kinds []Breakage                         // what breaks at each packet; nil: everything
	Where func(what Breakage, at Place) bool // only where it returns true; nil: everywhere
	After time.Duration                      // only at packets sent this long after the network was made, or later: once everything is set up
	Pairs int                                // most pairs of breakages to try in addition; 0: none
	Runs  int                                // most single breakages to try; 0: 20,000
}

const defaultRuns = 20_000

// Explore runs f as [Test] does. Then it runs f again for each packet that a host sent and each [Breakage]:
//
//   - the packet is lost, duplicated or overtaken;
//   - its connection is reset;
//   - its sender or receiver crashes just before or after it;
//   - the two hosts are disconnected for a second, a minute or to the end of the test.
//
// A run fails if f's own t fails or if the network reports a failure, as with Test. So f should check what
// must hold whatever breaks, such as that nothing happens twice, and not that all goes well.
//
//	func TestPayment(t *testing.T) {
//		sim.Explore(t, sim.Exploration{}, func(t *testing.T, n *sim.Network) {
//			...
//			if bank.Charged() > 1 {
//				t.Errorf("charged %d times", bank.Charged())
//			}
//		})
//	}
//
// Because runs repeat, a place is exact: up to the packet, a run is equal to the one in which nothing breaks.
// Explore compares the two; a difference fails the test, unless it has [MayDiffer]. If there are more
// breakages than Runs allows, Explore spreads its runs evenly over them.
//
// With Pairs it combines the breakages that failed nothing. The second breakage is at a packet that was sent
// after the first, in the run with the first alone. Pairs whose second breakage is at the very next packet go
// first, then those at the packet after that, and so on; within each group the order is that of the first
// breakage. Where several first breakages lead to the same packets, only one of them is combined.
//
// The report groups the failures by what failed. For the first of each group it says what broke and what was
// different then. It gives the Go expression of the fault and a command that repeats that run alone:
//
//	SQUALL_EXPLORE='Lost server phone Data 1' SQUALL_SEED=1 go test -run '^TestPayment$' ...
//
// Where a test calls Explore several times, the command says which call it means ('2: Lost ...'), and nothing
// breaks in the others.
//
// Explore spreads the runs over the processors. Each worker is a process of the same test binary that runs
// the test function up to Explore. So f must make everything it needs itself: what one run leaves in
// variables outside f, the next one finds. With several seeds (SQUALL_SEEDS) Explore explores each. Breakages
// come on top of the faults that f injects itself. A crash takes a second, and whatever runs on a host
// without [Host.Run] or [Host.ServeHTTP] does not come back.
func Explore(t *testing.T, x Exploration, f func(t *testing.T, n *Network), opts ...Option) {
	t.Helper()
	x.mustBeValid()
	r, seeds, o := prepare(t, "Explore", f, opts)
	e := &exploration{Exploration: x, mayDiffer: o.mayDiffer, r: r}
	if len(seeds) == 1 && os.Getenv(seedsVariable) == "" {
		e.run(t, seeds[0])
		return
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Helper() // failures are at the call of Explore
			e.run(t, seed)
		})
	}
}

// mustBeValid panics if x makes no sense.
func (x Exploration) mustBeValid() {
	for _, w := range x.Kinds {
		if w < 1 || int(w) >= len(breakageWords) {
			panic(fmt.Sprintf("sim: Explore: Exploration.Kinds has %d: they must be constants from Lost to Disconnected", uint8(w)))
		}
	}
	for _, c := range []struct {
		name  string
		value int
	}{{"Pairs", x.Pairs}, {"Runs", x.Runs}} {
		if c.value < 0 {
			panic(fmt.Sprintf("sim: Explore: Exploration.%s is %d: it must be 0 or more", c.name, c.value))
		}
	}
	if x.After < 0 {
		panic(fmt.Sprintf("sim: Explore: Exploration.After is %v: it must be 0 or more", x.After))
	}
}

// An exploration is a call of Explore.
type exploration struct {
	Exploration
	r         *runner
	mayDiffer bool
}

// with is the runner of one run.
func (e *exploration) with(sees *observer, breaks []brokenPlace) *runner {
	r := *e.r
	r.opts = append(slices.Clone(r.opts), func(o *options) { o.sees, o.breaks = sees, breaks })
	if words := brokenWords(r.call, breaks); words != "" {
		r.env = []string{exploreVariable + "=" + words}
	}
	return &r
}

// run explores one seed.
func (e *exploration) run(t *testing.T, seed uint64) {
	t.Helper()
	if w := thisExplorer(e.r); w != nil {
		w.work(t, e, seed)
		t.SkipNow() // the rest of the test is not for a worker
	}
	if words := os.Getenv(exploreVariable); words != "" {
		call, breaks, err := readBroken(words)
		if err != nil {
			t.Fatalf("sim: %s=%s: %v: want a breakage and its packet (from, to, kind, number), such as Lost server phone Data 1, or several separated by commas; "+
				"for a test's second call of Explore, 2: Lost server phone Data 1", exploreVariable, words, err)
		}
		if call != e.r.call { // nothing breaks in the test's other calls
			e.r.run(t, seed)
			return
		}
		sees := new(observer)
		e.with(sees, breaks).run(t, seed)
		if met := sees.fired; met < len(breaks) && !t.Failed() && !t.Skipped() {
			t.Errorf("sim: %s=%s: %d of %d breakages happened. The run has no such packet: the place is misspelt, or the program does not send it",
				exploreVariable, words, met, len(breaks))
		}
		return
	}
	whole := new(observer)
	e.with(whole, nil).run(t, seed)
	if t.Failed() || t.Skipped() || recordsRuns || os.Getenv(replayFile) != "" || os.Getenv(workerVariable) != "" { // a worker of another call
		return
	}
	start := time.Now()
	found := e.explore(t, seed, whole)
	found.took = time.Since(start)
	found.report(t, e, seed)
}

// A trial is a run in which something breaks.
type trial struct {
	Breaks []brokenPlace
	at     []observedPacket // the packets, as in the run without the last breakage
}

// explore tries everything at one seed.
func (e *exploration) explore(t *testing.T, seed uint64, whole *observer) *findings {
	t.Helper()
	singles := e.singles(whole)
	f := &findings{packets: whole.all, places: len(singles), said: whole.said}
	singles = spread(singles, cmp.Or(e.Runs, defaultRuns))
	f.add(singles, e.tryAll(t, seed, singles))
	if e.Pairs > 0 {
		pairs := e.pairs(f)
		f.pairs = len(pairs)
		pairs = pairs[:min(len(pairs), e.Pairs)]
		f.add(pairs, e.tryAll(t, seed, pairs))
	}
	return f
}

// singles returns the breakages of single packets, in the order of the packets.
func (e *exploration) singles(whole *observer) (all []trial) {
	for _, p := range whole.packets {
		for _, w := range e.breakagesAt(p) {
			all = append(all, trial{[]brokenPlace{{w, p.At}}, []observedPacket{p}})
		}
	}
	return all
}

// breakagesAt returns the breakages to try at a packet.
func (e *exploration) breakagesAt(p observedPacket) (all []Breakage) {
	for w := Lost; int(w) < len(breakageWords) && p.When >= e.After; w++ {
		if p.Kinds&(1<<w) != 0 && (e.Kinds == nil || slices.Contains(e.Kinds, w)) && (e.Where == nil || e.Where(w, p.At)) {
			all = append(all, w)
		}
	}
	return all
}

// pairs returns the pairs of breakages, the nearest first.
func (e *exploration) pairs(f *findings) (all []trial) {
	seen := map[uint64]bool{}
	var firsts []tried
	for _, one := range f.tried {
		if one.Met && !one.Failed && !seen[one.Outcome] {
			seen[one.Outcome] = true
			firsts = append(firsts, one)
		}
	}
	for distance := range mostAfter {
		for _, first := range firsts {
			if distance >= len(first.After) {
				continue
			}
			p := first.After[distance]
			for _, w := range e.breakagesAt(p) {
				all = append(all, trial{[]brokenPlace{first.Breaks[0], {w, p.At}}, []observedPacket{first.at[0], p}})
			}
		}
	}
	return all
}

// spread returns at most that many elements of a list, evenly spread.
func spread(all []trial, most int) []trial {
	if len(all) <= most {
		return all
	}
	some := make([]trial, most)
	for i := range some {
		some[i] = all[i*len(all)/most]
	}
	return some
}
