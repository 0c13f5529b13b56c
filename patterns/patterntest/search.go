package patterntest

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/squall-sim/squall/sim"
)

// stormSeeds are those of the storms that Delivery draws unless the environment says
// otherwise.
var stormSeeds = []uint64{1, 2, 3, 4}

// weather puts a system through storms. The first that finds something is made smaller
// and ends the search.
func weather(t *testing.T, newSystem NewSystem) {
	t.Helper()
	seeds, err := sim.Seeds(stormSeeds...)
	if err != nil {
		t.Fatal(err)
	}
	for nth, seed := range seeds {
		s := drawn(seed)
		found := try(t, newSystem, seed, s)
		if found.err == nil {
			continue
		}
		t.Errorf("Storm %d, the %s of %d, finds something.\n%s", seed, ordinal(nth+1), len(seeds), shrink(t, newSystem, seed, s, found))
		return
	}
}

// found is what a storm did to a system.
type found struct {
	breaches []Breach
	err      error // the breaches, or something else that is wrong, with the network's report
	trace    uint64
}

// same says whether another storm found the same promise broken.
func (f found) same(other found) bool {
	if len(f.breaches) == 0 || len(other.breaches) == 0 {
		return f.err != nil && other.err != nil && len(f.breaches) == len(other.breaches)
	}
	return slices.ContainsFunc(other.breaches, func(b Breach) bool { return b.Promise == f.breaches[0].Promise })
}

// try plays a storm in a bubble of its own.
func try(t *testing.T, newSystem NewSystem, seed uint64, s storm) (f found) {
	t.Helper()
	f.err = sim.Try(t, func(n *sim.Network) error {
		f.breaches = Judge(n, newSystem(n), t.TempDir(), s.story("a storm"))
		f.trace = n.Trace().Hash()
		var all []error
		for _, b := range f.breaches {
			all = append(all, errors.New(b.String()))
		}
		return errors.Join(all...)
	}, sim.Seed(seed))
	return f
}

// shrink looks for the smallest storm that finds the same, and says what it found.
func shrink(t *testing.T, newSystem NewSystem, seed uint64, s storm, first found) string {
	t.Helper()
	least, last, tries := s, first, 0
	quiet := &silence{name: t.Name()}
	withFlags(map[string]string{"rapid.checks": "1", "rapid.seed": strconv.FormatUint(seed, 10), "rapid.nofailfile": "true"}, func() {
		rapid.Check(quiet, func(rt *rapid.T) {
			s := storms.Draw(rt, "storm")
			tries++
			if f := try(t, newSystem, seed, s); first.same(f) {
				least, last = s, f // the last one of all is the smallest
				rt.Fatal("broken")
			}
		})
	})

	var b strings.Builder
	b.WriteString(last.err.Error())
	fmt.Fprintf(&b, "\nThe story, made as small as it goes: %s instead of %s, after %d tries. With sim.Seed(%d) it does the same anywhere:\n\n%s\n\n",
		least.size(), s.size(), tries, seed, indent(least.code()))
	switch second := try(t, newSystem, seed, least); {
	case second.trace == last.trace:
		b.WriteString("A second run had the same trace.")
	case first.same(second):
		b.WriteString("A second run had another trace and found the same.")
	default:
		b.WriteString("A second run had another trace and did not find the same: goroutines that race each other decide something.")
	}
	return b.String()
}

func (s storm) size() string {
	events := 0
	for _, b := range s.bursts {
		events += b.count
	}
	return counted(s.clients, "client") + ", " + counted(len(s.strikes), "fault") + " and " + counted(events, "event")
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func indent(code string) string { return "\t" + strings.ReplaceAll(code, "\n", "\n\t") }

func ordinal(n int) string {
	switch {
	case n%10 == 1 && n%100 != 11:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2 && n%100 != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n%100 != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

// withFlags runs f with other values of some flags: rapid takes its settings from nowhere
// else.
func withFlags(values map[string]string, f func()) {
	flags.Lock()
	defer flags.Unlock()
	for name, value := range values {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			panic(fmt.Sprintf("patterntest: flag %s: %v", name, err))
		}
		defer flag.Set(name, before)
	}
	f()
}

var flags sync.Mutex

// silence is a test to rapid, whose failure is only noted.
type silence struct {
	name   string
	failed bool
}

func (*silence) Helper()                 {}
func (s *silence) Name() string          { return s.name }
func (*silence) Logf(string, ...any)     {}
func (*silence) Log(...any)              {}
func (*silence) Skipf(string, ...any)    {}
func (*silence) Skip(...any)             {}
func (*silence) SkipNow()                {}
func (s *silence) Errorf(string, ...any) { s.failed = true }
func (s *silence) Error(...any)          { s.failed = true }
func (s *silence) Fatalf(string, ...any) { s.failed = true }
func (s *silence) Fatal(...any)          { s.failed = true }
func (s *silence) FailNow()              { s.failed = true }
func (s *silence) Fail()                 { s.failed = true }
func (s *silence) Failed() bool          { return s.failed }

var _ rapid.TB = (*silence)(nil)
