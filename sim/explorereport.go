package sim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/internal/failure"
)

// Findings are what an exploration has found.
type findings struct {
	packets, places int // in the run in which nothing breaks
	pairs           int // pairs to try
	said            map[string]int
	tried           []tried
	took            time.Duration
}

// A tried is a trial and its result.
type tried struct {
	trial
	result
}

func (f *findings) add(trials []trial, results []result) {
	for i, r := range results {
		f.tried = append(f.tried, tried{trials[i], r})
	}
}

// repeats reports whether, up to the place where something broke, a run was the same as the one without that
// breakage.
func (x *tried) repeats() bool {
	if x.died {
		return true
	}
	if len(x.Strikes) != len(x.Breaks) {
		return false
	}
	for i, s := range x.Strikes {
		if s.Prefix != x.at[i].Prefix {
			return false
		}
	}
	return true
}

// mostShown is how many groups of failures the report shows in full.
const mostShown = 10

// report prints the findings on t.
func (f *findings) report(t *testing.T, e *exploration, seed uint64) {
	t.Helper()
	groups, strays := f.judge()
	if len(groups) == 0 {
		t.Log("sim: Explore: no run failed. " + f.coverage())
	} else {
		t.Error(f.tell(e, seed, groups, func(x *tried) string { return e.pageOf(t, seed, x) }))
	}
	switch {
	case len(strays) == 0:
	case e.mayDiffer:
		t.Log(f.tellStrays(e, seed, strays))
	default:
		t.Error(f.tellStrays(e, seed, strays))
	}
}

// judge returns the runs that failed, grouped by failure, those with fewest breakages first, and the runs
// that did not repeat.
func (f *findings) judge() (groups [][]*tried, strays []*tried) {
	number := map[string]int{}
	for i := range f.tried {
		x := &f.tried[i]
		switch {
		case !x.repeats():
			strays = append(strays, x)
		case x.Failed:
			cause := failure.Cause(x.text)
			k, known := number[cause]
			if !known {
				k = len(groups)
				number[cause] = k
				groups = append(groups, nil)
			}
			groups[k] = append(groups[k], x)
		}
	}
	return groups, strays
}

// tell describes everything that failed.
func (f *findings) tell(e *exploration, seed uint64, groups [][]*tried, page func(x *tried) string) string {
	failed := 0
	for _, all := range groups {
		failed += len(all)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sim: Explore: %d of %d runs failed, in %s. %s\n", failed, len(f.tried), count.Of(len(groups), "way", "ways"), f.coverage())
	for i, all := range groups {
		if i == mostShown {
			fmt.Fprintf(&b, "\n... and %d more ways\n", len(groups)-i)
			break
		}
		f.tellGroup(&b, e, seed, all, page(all[0]))
	}
	return b.String()
}

// coverage describes how much was tried.
func (f *findings) coverage() string {
	outcomes, singles, pairs := map[uint64]bool{}, 0, 0
	unmet := 0
	for _, x := range f.tried {
		outcomes[x.Outcome] = true
		if len(x.Breaks) == 1 {
			singles++
		} else {
			pairs++
		}
		if !x.Met {
			unmet++
		}
	}
	text := fmt.Sprintf("Tried %d of %d breakages at %s", singles, f.places, count.Of(f.packets, "packet", "packets"))
	if pairs > 0 {
		text += fmt.Sprintf(", and %d of %d pairs", pairs, f.pairs)
	}
	text += fmt.Sprintf(" in %v (%d a second), with %s", f.took.Round(time.Millisecond), int(float64(len(f.tried))/max(f.took.Seconds(), 1e-3)), count.Of(len(outcomes), "outcome", "different outcomes"))
	if unmet > 0 {
		text += fmt.Sprintf("; %d had no effect because the packet did not arrive", unmet)
	}
	return text + "."
}

// tellGroup describes the runs that failed alike.
func (f *findings) tellGroup(b *strings.Builder, e *exploration, seed uint64, all []*tried, page string) {
	x := all[0]
	why, report := failureOf(x.text)
	fmt.Fprintf(b, "\n%s.\n", f.sentence(x, failure.Reason(why)))
	for _, p := range x.Breaks {
		fmt.Fprintf(b, "    n.Inject(0, 0, %s)\n", expression{"Break", []any{(*Network)(nil), p.What, p.At}}.code(nil))
	}
	fmt.Fprintf(b, "    %s\n", strings.ReplaceAll(e.with(nil, x.Breaks).command(seed), "\n", "\n    "))
	if page != "" {
		fmt.Fprintf(b, "    %s%s\n", toLookAt, page)
	}
	f.tellAlike(b, all)
	b.WriteString(failure.OutputOfRun + "\n" + why)
	if report != "" {
		b.WriteString("\n" + report)
	}
}

// mostAlike is how many runs that failed alike the report lists.
const mostAlike = 20

// tellAlike lists the other runs of a group. One message may stand for several bugs, so those in which other things were sent more
// or less often than in the first run are listed apart.
func (f *findings) tellAlike(b *strings.Builder, all []*tried) {
	first := f.differences(all[0])
	var others []string // in order of appearance, the first's own before all
	runs := map[string][]*tried{}
	for _, y := range all[1:] {
		d := f.differences(y)
		if runs[d] == nil && d != first {
			others = append(others, d)
		}
		runs[d] = append(runs[d], y)
	}
	listed := 0
	list := func(how string, runs []*tried) {
		shown := runs[:min(len(runs), mostAlike-listed)]
		if len(shown) == 0 {
			return
		}
		listed += len(shown)
		fmt.Fprintf(b, "%s failed %s:\n", count.Of(len(runs), "other run", "other runs"), how)
		for _, y := range shown {
			fmt.Fprintf(b, "    %s\n", wordsOf(y.Breaks))
		}
	}
	list("the same way", runs[first])
	for _, d := range others {
		how := "with the same message, but nothing was sent more or less often than without a breakage"
		if d != "" {
			how = "with the same message, but " + d
		}
		list(how, runs[d])
	}
	if more := len(all) - 1 - listed; more > 0 {
		fmt.Fprintf(b, "    ... and %d more\n", more)
	}
}

// sentence says what broke, what was sent more or less often than without that, and what failed.
func (f *findings) sentence(x *tried, why string) string {
	var broke []string
	for i, p := range x.Breaks {
		at := x.at[i]
		subject := fmt.Sprintf("%s from %s to %s at %v", at.What, at.At.From, at.At.To, at.When)
		broke = append(broke, breakageWords[p.What].tell(subject, p.At))
	}
	text := capitalized(strings.Join(broke, ", and "))
	if d := f.differences(x); d != "" {
		text += ": " + d
	}
	return text + "; " + strings.TrimSpace(why)
}

// differences says what was sent more or less often in a run than in the one without breakages.
func (f *findings) differences(x *tried) string {
	if x.died {
		return ""
	}
	words := map[string]int{}
	maps.Copy(words, f.said)
	maps.Copy(words, x.Said)
	var different []string
	for _, w := range slices.Sorted(maps.Keys(words)) {
		if was, is := f.said[w], x.Said[w]; was != is {
			different = append(different, fmt.Sprintf("%s was sent %s instead of %s", w, timesOf(is), timesOf(was)))
		}
	}
	return shortList(different, 3)
}

func timesOf(k int) string {
	switch k {
	case 0:
		return "never"
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", k)
}

func capitalized(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// reportBegins is how the report of a network begins. A rule of Always that is broken also names the time first.
var reportBegins = regexp.MustCompile(`^sim: at \S+ of virtual time, seed `)

// failureOf divides the output of a run into what the test printed and the network's report.
func failureOf(text string) (why, report string) {
	var said, rest strings.Builder
	into := &said
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "--- FAIL: ") {
			continue
		}
		if _, what, ok := failure.Line(line); ok {
			into = &said
			if reportBegins.MatchString(what) {
				into = &rest
			}
		}
		into.WriteString(line)
	}
	return said.String(), rest.String()
}

// tellStrays lists the runs that differed from the one without breakages before anything broke in them.
func (f *findings) tellStrays(e *exploration, seed uint64, strays []*tried) string {
	return fmt.Sprintf("sim: Explore: the test does not repeat: %d of %d runs differed from the run without breakages before anything broke, the first: %s. "+
		"Likely causes: goroutines that race, select, the order of a map, a random source, or what an earlier run left in variables outside "+
		"the test function; see docs/replay.md.\n    %s",
		len(strays), len(f.tried), wordsOf(strays[0].Breaks), e.with(nil, strays[0].Breaks).command(seed))
}
