package patterntest

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/storm"
	"github.com/squall-sim/squall/sim"
)

// stormSeeds are the seeds of the storms that Delivery draws unless the environment
// sets others.
var stormSeeds = []uint64{1, 2, 3, 4}

// A drawnStorm can be played by the contract that draws it, printed, and shrunk.
type drawnStorm[S any] interface {
	size() string         // what happens in it, counted
	code() string         // of its story, as Go
	smaller() iter.Seq[S] // simpler storms, those that leave out most first
}

// shrinkTime is how much real time is spent on shrinking a failing storm.
var shrinkTime = 30 * time.Second

// A judge plays a storm on a network. folder is for what the server keeps on disk. A nil result
// means that there is nothing to judge.
type judge[S drawnStorm[S]] func(n *sim.Network, folder string, s S) performed

// search draws a storm from each seed. The first that fails is shrunk and ends the
// search; the returned text describes it.
func search[S drawnStorm[S]](t *testing.T, draw func(seed uint64) S, play judge[S], seeds []uint64) string {
	t.Helper()
	for nth, seed := range seeds {
		s := draw(seed)
		if found := play.try(t, seed, s); found.err != nil {
			return fmt.Sprintf("storm %d fails; %d before it passed, %d were not tried.\n%s",
				seed, nth, len(seeds)-nth-1, play.shrink(t, seed, s, found))
		}
	}
	return ""
}

// found is the outcome of a storm.
type found struct {
	breaches []Breach
	err      error // the breaches, or something else that is wrong, with the network's report
	trace    uint64
}

// same reports whether another storm broke the same promise.
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
		w := play(n, folder, s)
		if w != nil {
			f.breaches = w.Verdict()
		}
		f.trace = n.Trace().Hash()
		var all []error
		for _, b := range f.breaches {
			all = append(all, errors.New(strings.TrimSuffix(b.String()+"\n"+w.around(b), "\n")))
		}
		return errors.Join(all...)
	}, sim.Seed(seed))
	return f
}

// shrink looks for the smallest storm that fails in the same way, and describes it. As long as a
// simpler storm fails, it continues from that one.
func (play judge[S]) shrink(t *testing.T, seed uint64, s S, first found) string {
	t.Helper()
	patience := shrinkTime
	if testing.Short() {
		patience /= 5
	}
	last := first
	least, did := storm.Shrink(s, S.smaller, func(s S) bool {
		f := play.try(t, seed, s)
		if !first.same(f) {
			return false
		}
		last = f
		return true
	}, storm.Limit{Until: time.Now().Add(patience)})

	var b strings.Builder
	b.WriteString(last.err.Error())
	fmt.Fprintf(&b, "\nThe story, reduced to %s from %s in %d tries. With sim.Seed(%d) it fails the same way anywhere:\n\n%s\n\n",
		least.size(), s.size(), did.Tries, seed, indent(least.code()))
	switch second := play.try(t, seed, least); {
	case second.trace == last.trace:
		b.WriteString("A second run had the same trace.")
	case first.same(second):
		b.WriteString("A second run had another trace and failed the same way.")
	default:
		b.WriteString("A second run had another trace and did not fail the same way: the failure depends on goroutines that race.")
	}
	return b.String()
}

func indent(code string) string { return "\t" + strings.ReplaceAll(code, "\n", "\n\t") }
