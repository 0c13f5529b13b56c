package patterntest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/squall-sim/squall/sim"
)

// stormSeeds are those of the storms that Delivery draws unless the environment says
// otherwise.
var stormSeeds = []uint64{1, 2, 3, 4}

// A drawn storm can be played by the contract that draws it, and told to people.
type drawnStorm interface {
	size() string // what happens in it, counted
	code() string // of its story, as Go
}

// A judge plays a storm on a network. folder is for what the server keeps on disk.
type judge[S drawnStorm] func(n *sim.Network, folder string, s S) []Breach

// search draws a storm from each seed. The first that finds something is made smaller
// and ends the search; the text says what it was.
func search[S drawnStorm](t *testing.T, storms *rapid.Generator[S], play judge[S], seeds []uint64) string {
	t.Helper()
	for nth, seed := range seeds {
		s := storms.Example(int(seed))
		if found := play.try(t, seed, s); found.err != nil {
			return fmt.Sprintf("storm %d finds something; %d others found nothing, and %d were not tried.\n%s",
				seed, nth, len(seeds)-nth-1, play.shrink(t, storms, seed, s, found))
		}
	}
	return ""
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
func (play judge[S]) try(t *testing.T, seed uint64, s S) (f found) {
	t.Helper()
	folder, err := os.MkdirTemp("", "squall-storm")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	f.err = sim.Try(t, func(n *sim.Network) error {
		f.breaches = play(n, folder, s)
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
func (play judge[S]) shrink(t *testing.T, storms *rapid.Generator[S], seed uint64, s S, first found) string {
	t.Helper()
	least, last, tries := s, first, 0
	quiet := &silence{name: t.Name()}
	deadline := time.Now().Add(flag.Lookup("rapid.shrinktime").Value.(flag.Getter).Get().(time.Duration))
	checks := "1"
	if testing.Short() {
		checks = "5" // of which rapid makes a fifth
	}
	withFlags(map[string]string{"rapid.checks": checks, "rapid.seed": strconv.FormatUint(seed, 10), "rapid.nofailfile": "true"}, func() {
		rapid.Check(quiet, func(rt *rapid.T) {
			s := storms.Draw(rt, "storm")
			if time.Now().After(deadline) { // rapid looks at it now and then only
				return
			}
			tries++
			if f := play.try(t, seed, s); first.same(f) {
				least, last = s, f // rapid goes on from what is smaller and fails
				rt.Fatal("broken")
			}
		})
	})

	var b strings.Builder
	b.WriteString(last.err.Error())
	fmt.Fprintf(&b, "\nThe story, made as small as it goes: %s instead of %s, after %d tries. With sim.Seed(%d) it does the same anywhere:\n\n%s\n\n",
		least.size(), s.size(), tries, seed, indent(least.code()))
	switch second := play.try(t, seed, least); {
	case second.trace == last.trace:
		b.WriteString("A second run had the same trace.")
	case first.same(second):
		b.WriteString("A second run had another trace and found the same.")
	default:
		b.WriteString("A second run had another trace and did not find the same: goroutines that race each other decide something.")
	}
	return b.String()
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func indent(code string) string { return "\t" + strings.ReplaceAll(code, "\n", "\n\t") }

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
