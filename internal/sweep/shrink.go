package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Shrinking describes a test that fails with a seed and should fail with fewer faults.
type Shrinking struct {
	In       string // as in Config
	Package  string // pattern of go list for one package
	Run      string // the test, as in go test -run
	Seed     uint64
	Build    []string      // as in Config
	Exact    *Exact        // as in Config
	Short    bool          // -short
	Timeout  time.Duration // of each run
	Progress func(runs, faults int)
}

// A Shrunk is the result of a Shrinking.
type Shrunk struct {
	Package, Test string
	Cause         string  // the reason for the failure, the same before and after
	Before        int     // number of faults that happen in the whole run
	Faults        []Fault // faults that suffice by themselves, in the order in which they begin
	Numbers       []int   // their numbers, for SQUALL_FAULTS
	Runs          int
}

// Variable returns the setting of SQUALL_FAULTS for a run with these faults alone.
func (s *Shrunk) Variable() string { return onlyFaults(s.Numbers) }

// A Fault is one that happened in a run, as package sim records it in the folder of a test.
type Fault struct {
	Number int           `json:"number"`
	Name   string        `json:"name"`
	Code   string        `json:"code"` // Go code; empty: a function of the program
	Begun  time.Duration `json:"begun"`
	Over   time.Duration `json:"over"` // negative: it lasted to the end
	Part   bool          `json:"part"` // another fault is made of it
}

// Shrink runs a failing test repeatedly with some of its faults left out. It ends when leaving out any one of the remaining faults changes
// or removes the failure. It tries to leave out the earliest faults first, so that the remaining ones begin late.
func Shrink(ctx context.Context, c Shrinking) (*Shrunk, error) {
	dir, err := os.MkdirTemp("", "squall-shrink")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	all, err := build(ctx, &Config{Packages: []string{c.Package}, In: c.In, Build: c.Build, Exact: c.Exact}, dir)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("%s has %d packages with tests: want one", c.Package, len(all))
	}
	return shrink(ctx, c, all[0])
}

// shrink is Shrink after the tests are compiled.
func shrink(ctx context.Context, c Shrinking, b binary) (*Shrunk, error) {
	s := &shrinking{Shrinking: c, b: b}
	first, faults, err := s.look(ctx, nil, true)
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, fmt.Errorf("no test that takes seeds and is selected by -run %q fails with seed %d", c.Run, c.Seed)
	}
	s.want = first
	out := &Shrunk{Package: b.pkg, Test: first.Test, Cause: first.Cause}
	var kept []int
	for _, f := range faults {
		if !slices.Contains(kept, f.Number) {
			kept = append(kept, f.Number)
		}
		if !f.Part {
			out.Before++
		}
	}
	if kept, err = fewest(kept, func(some []int) (bool, error) { return s.fails(ctx, some) }); err != nil {
		return nil, err
	}
	again, faults, err := s.look(ctx, kept, false)
	switch {
	case err != nil:
		return nil, err
	case again == nil || again.Cause != first.Cause:
		return nil, fmt.Errorf("%s fails with %s in one run and not in the next: it does not repeat (docs/replay.md)", first.Test, onlyFaults(kept))
	}
	slices.Sort(kept)
	out.Numbers, out.Runs = kept, s.runs
	for _, f := range faults {
		if !f.Part {
			out.Faults = append(out.Faults, f)
		}
	}
	return out, nil
}

type shrinking struct {
	Shrinking
	b    binary
	want *Finding
	runs int
}

const faultsVariable = "SQUALL_FAULTS"

// onlyFaults returns the setting of SQUALL_FAULTS for the given faults alone.
func onlyFaults(numbers []int) string {
	if len(numbers) == 0 {
		return faultsVariable + "=none"
	}
	var text []string
	for _, n := range numbers {
		text = append(text, strconv.Itoa(n))
	}
	return faultsVariable + "=" + strings.Join(text, ",")
}

// fails reports whether the test fails with these faults as it fails with all.
func (s *shrinking) fails(ctx context.Context, some []int) (bool, error) {
	if s.Progress != nil {
		s.Progress(s.runs, len(some))
	}
	f, err := s.run(ctx, onlyFaults(some))
	return f != nil && f.Test == s.want.Test && f.Cause == s.want.Cause, err
}

// look calls run with all faults or some, and also returns the faults that happened.
func (s *shrinking) look(ctx context.Context, some []int, all bool) (*Finding, []Fault, error) {
	dir, err := os.MkdirTemp("", "squall-shrink")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	faults := faultsVariable + "="
	if !all {
		faults = onlyFaults(some)
	}
	f, err := s.run(ctx, faults, "SQUALL_ARTIFACTS="+dir, "SQUALL_ARTIFACTS_ALL=")
	if f == nil || err != nil {
		return f, nil, err
	}
	happened, err := faultsIn(dir, *f)
	return f, happened, err
}

// run runs the test. It returns how the test failed, or nil.
func (s *shrinking) run(ctx context.Context, env ...string) (found *Finding, err error) {
	s.runs++
	seeds := Seeds{s.Seed, s.Seed}
	heard := newListener(seeds, func(test string, seed uint64, seeded, failed bool, output string) {
		if failed && seeded && found == nil {
			found = &Finding{Package: s.b.pkg, Test: test, Seed: seed, Seeded: true, Cause: causeOf(output)}
		}
	})
	p := sweeping{Config: Config{Run: s.Run, Exact: s.Exact, Short: s.Short, Timeout: s.Timeout}}
	words, died := p.process(ctx, s.b, seeds, heard, env...)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if guilty := heard.cut(); died != nil && found == nil && len(guilty) > 0 {
		found = &guilty[0]
		found.Cause = "the process ended: " + deathIn(words, died)
	} else if died != nil && found == nil {
		return nil, fmt.Errorf("the test process of %s ended (%w):\n%s", s.b.pkg, died, words)
	}
	return found, nil
}

// faultsIn returns the faults of a failed run, which the run has left in a folder.
func faultsIn(dir string, f Finding) (faults []Fault, err error) {
	left := false
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "result.json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var result struct {
			Test   string
			Seed   uint64
			Faults []Fault
		}
		if err := json.Unmarshal(text, &result); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if result.Test == f.Test && result.Seed == f.Seed {
			left, faults = true, append(faults, result.Faults...)
		}
		return nil
	})
	switch {
	case err != nil || left:
	case strings.Contains(f.Cause, "sim: Explore: "):
		err = fmt.Errorf("%s calls sim.Explore, whose runs have only the breakages that its report names: there is nothing to leave out. "+
			"The report has a command for each failure", f.Test)
	default:
		err = errors.New("the test process ended before it reported its faults: " + f.Cause)
	}
	return faults, err
}

// fewest leaves out as many elements of a list as possible, and returns the remaining list, from which no further element can be left out.
// It tries halves first, then smaller and smaller parts.
func fewest(all []int, fails func([]int) (bool, error)) ([]int, error) {
	kept := slices.Clone(all)
	for size := len(kept); size > 0; {
		before := len(kept)
		for i := 0; i < len(kept); {
			without := slices.Concat(kept[:i], kept[min(i+size, len(kept)):])
			fail, err := fails(without)
			if err != nil {
				return nil, err
			}
			if fail {
				kept = without
			} else {
				i += size
			}
		}
		switch {
		case size > 1:
			size /= 2
		case len(kept) == before: // every remaining element is needed
			size = 0
		}
	}
	return kept, nil
}
