package sweep

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/internal/sometimes"
)

// A Result holds the findings of sweeps, grouped by cause.
type Result struct {
	Seeds    Seeds   `json:"seeds"`
	Run      string  `json:"run,omitempty"`
	Shards   int     `json:"shards"`            // the number of shards
	Missing  []Shard `json:"missing,omitempty"` // shards that have not begun or are not done
	Complete bool    `json:"complete"`
	Runs     int     `json:"runs"` // tests times seeds
	Failed   int     `json:"failed"`
	Causes   []Cause `json:"causes"`
	Never    []Never `json:"never,omitempty"` // only in a complete sweep

	Packages []string `json:"packages"`
	Heading  Heading  `json:"-"` // of the first shard
}

// A Cause is a group of failures that are alike.
type Cause struct {
	Package string   `json:"package"`
	Test    string   `json:"test"`
	Text    string   `json:"text"`
	Count   int      `json:"count"`
	First   uint64   `json:"first"` // first seed
	Seeded  bool     `json:"seeded"`
	Seeds   []uint64 `json:"seeds"`  // the first 20 seeds
	Output  string   `json:"output"` // output of one of the failures
}

const seedsShown = 20

// A Never is a condition that a test of package weather wants to see in some storm (Storm.Sometimes), and that held in none of the sweep's
// storms.
type Never struct {
	Package string `json:"package"`
	Test    string `json:"test"`
	Name    string `json:"name"`
}

func (x Never) text(storms uint64) string {
	return fmt.Sprintf("in %d storms this never happened (Storm.Sometimes): %q. Run more seeds, or see weather.Config", storms, x.Name)
}

// Found reports whether the sweep has found anything wrong.
func (r *Result) Found() bool { return r.Failed > 0 || len(r.Never) > 0 }

// judge finds the conditions that never held. It considers only tests that passed, in at least as many storms as the test demands.
func (r *Result) judge(ledgers []*ledger) {
	all := map[testKey]sometimes.Seen{}
	for _, l := range ledgers {
		for test, s := range l.seen {
			sometimes.Add(all, test, s)
		}
	}
	for test, s := range all {
		failed := slices.ContainsFunc(r.Causes, func(c Cause) bool { return c.Package == test.pkg && c.Test == test.test })
		for name, seen := range s.Names {
			if !seen && !failed && r.Seeds.Count() >= uint64(s.Storms) {
				r.Never = append(r.Never, Never{test.pkg, test.test, name})
			}
		}
	}
	slices.SortFunc(r.Never, func(a, b Never) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Test, b.Test), cmp.Compare(a.Name, b.Name))
	})
}

// fold makes one result from the ledgers of one sweep.
func fold(ledgers []*ledger, complete bool) *Result {
	h := ledgers[0].heading
	r := &Result{Seeds: h.Seeds, Run: h.Run, Shards: max(h.Shard.Count, 1), Complete: complete, Heading: h}
	for pkg := range h.Binaries {
		r.Packages = append(r.Packages, pkg)
	}
	slices.Sort(r.Packages)
	var all []Finding
	for _, l := range ledgers {
		l.mu.Lock()
		r.Runs += l.runs
		all = append(all, l.findings...)
		l.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Test, b.Test), cmp.Compare(a.Seed, b.Seed))
	})
	all = slices.CompactFunc(all, func(a, b Finding) bool { return a.Package == b.Package && a.Test == b.Test && a.Seed == b.Seed })
	place := map[causeKey]int{}
	for _, f := range all {
		key := causeKey{f.Package, f.Test, f.Cause}
		i, known := place[key]
		if !known {
			i = len(r.Causes)
			place[key] = i
			r.Causes = append(r.Causes, Cause{Package: f.Package, Test: f.Test, Text: f.Cause, First: f.Seed, Seeded: f.Seeded})
		}
		c := &r.Causes[i]
		c.Count++
		if len(c.Seeds) < seedsShown {
			c.Seeds = append(c.Seeds, f.Seed)
		}
		c.Output = cmp.Or(c.Output, f.Output)
	}
	r.Failed = len(all)
	slices.SortStableFunc(r.Causes, func(a, b Cause) int { return cmp.Compare(b.Count, a.Count) })
	return r
}

// Merge combines the ledgers of one sweep's shards. names are files, or folders that contain them.
func Merge(names []string) (*Result, error) {
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ok, _ := filepath.Match("sweep-*-of-*.jsonl", e.Name()); ok {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no ledger of a sweep (sweep-NUMBER-of-COUNT.jsonl) in %s", strings.Join(names, ", "))
	}
	var all []*ledger
	for _, name := range files {
		l, err := readOnly(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(all) > 0 {
			same := l.heading
			same.Shard.Number = all[0].heading.Shard.Number
			if d := difference(all[0].heading, same); d != "" {
				return nil, fmt.Errorf("%s and %s belong to different sweeps: %s", files[0], name, d)
			}
		}
		all = append(all, l)
	}
	r := fold(all, true)
	for number := 1; number <= r.Shards; number++ {
		if !slices.ContainsFunc(all, func(l *ledger) bool { return l.heading.Shard.Number == number && l.isDone() }) {
			r.Missing = append(r.Missing, Shard{number, r.Shards})
		}
	}
	if r.Complete = len(r.Missing) == 0; r.Complete {
		r.judge(all)
	}
	return r, nil
}

func readOnly(name string) (*ledger, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := readLedger(f)
	if err == nil && l.heading.Version == 0 {
		err = errors.New("it is empty")
	}
	return l, err
}

// isDone reports whether all seeds of the shard are done.
func (l *ledger) isDone() bool {
	part, ok := l.heading.Shard.of(l.heading.Seeds)
	if !ok {
		return true
	}
	for pkg := range l.heading.Binaries {
		if len(l.missing(pkg, part)) > 0 {
			return false
		}
	}
	return true
}

// WriteText writes the result for a person to read. how is the command that repeats a finding, given the finding's number.
func (r *Result) WriteText(w io.Writer, how string) {
	state := ""
	switch {
	case len(r.Missing) > 0:
		state = fmt.Sprintf("; shards not done: %s", listShards(r.Missing))
	case !r.Complete:
		state = "; not all seeds are done"
	}
	for _, x := range r.Never {
		fmt.Fprintf(w, "%s %s: %s\n", x.Package, x.Test, x.text(r.Seeds.Count()))
	}
	if r.Failed == 0 {
		fmt.Fprintf(w, "No run of %d failed%s.\n", r.Runs, state)
		return
	}
	fmt.Fprintf(w, "%d of %d runs failed, in %s%s:\n", r.Failed, r.Runs, count.Of(len(r.Causes), "way", "ways"), state)
	for i, c := range r.Causes {
		seeds := strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Seeds), " ", ","), "[]")
		if more := c.Count - len(c.Seeds); more > 0 {
			seeds += fmt.Sprintf(" and %d more", more)
		}
		if !c.Seeded {
			seeds = "it takes no seed"
		}
		fmt.Fprintf(w, "\n%d. %s %s: %s, seeds %s\n    %s\n", i+1, c.Package, c.Test, count.Of(c.Count, "time", "times"), seeds, strings.ReplaceAll(c.Text, "\n", "\n    "))
	}
	if how != "" {
		fmt.Fprintf(w, "\n%s\n", how)
	}
}

func listShards(all []Shard) string {
	var b strings.Builder
	for i, s := range all[:min(len(all), seedsShown)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.String())
	}
	if more := len(all) - seedsShown; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// WriteJSON writes the result as a JSON object.
func (r *Result) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(r)
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

// WriteJUnit writes the result in the format that CI systems read. Each package is a suite, and each cause a test case. A package without
// causes has one test case that passed.
func (r *Result) WriteJUnit(w io.Writer) error {
	var all junitSuites
	for _, pkg := range r.Packages {
		suite := junitSuite{Name: pkg}
		for _, c := range r.Causes {
			if c.Package == pkg {
				name := c.Test
				if c.Seeded {
					name = fmt.Sprintf("%s seed %d (%d in all)", c.Test, c.First, c.Count)
				}
				suite.Cases = append(suite.Cases, junitCase{Class: pkg, Name: name, Failure: &junitFailure{c.Text, printable(c.Output)}})
				suite.Failures++
			}
		}
		for _, x := range r.Never {
			if x.Package == pkg {
				suite.Cases = append(suite.Cases, junitCase{Class: pkg, Name: x.Test, Failure: &junitFailure{x.text(r.Seeds.Count()), ""}})
				suite.Failures++
			}
		}
		if len(suite.Cases) == 0 {
			suite.Cases = []junitCase{{Class: pkg, Name: "sweep of seeds " + r.Seeds.String()}}
		}
		suite.Tests = len(suite.Cases)
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	out := xml.NewEncoder(w)
	out.Indent("", "  ")
	if err := out.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// printable replaces characters that XML 1.0 does not allow.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || c == '\r' || c >= ' ' && c != 0xfffe && c != 0xffff {
			return c
		}
		return '\uFFFD'
	}, s)
}
