//go:build unix

package speed

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The guard of speed. Each row of the README's table is work that squall does, beside a reference that does the
// same work. What is compared is their ratio, never a time: pairs of short runs, interleaved, whose median hardly
// moves on a busy machine, since both of a pair meet the same neighbours. What a run costs is the time on
// processors that the process has used, on one at a time (GOMAXPROCS 1): time on the wall is other people's too,
// and with more processors a part of it is the scheduler's search for work.
const (
	baselineFile = "testdata/baseline.json"

	pairsOfRuns  = 25                   // in a repetition, whose figure is their median
	shortestRun  = 8 * time.Millisecond // of processor time; a run does as many units as that takes
	repetitions  = 3                    // a row has become slow if it is in each of them
	tooSlow      = 1.25                 // times the ratio of the baseline
	muchFaster   = 0.75                 // times it: the baseline should be written again, or a later loss goes unseen
	writtenAfter = 5                    // repetitions, whose median goes into the baseline
)

var update = flag.Bool("update", false, "write the baseline and the README's table")

// A row is a line of the README's table.
type speedRow struct {
	name          string // what is measured
	reference     string // against what
	squall, other job
	units         int // of a run; 0: as many as shortestRun takes
	pairs         int // in a repetition; 0: pairsOfRuns
}

// A job does so many units of work, and has m measure them.
type job func(t *testing.T, m *meter, units int)

// A meter measures what lies between begin and end: the time on processors, or what grow and grown
// have the heap grow by.
type meter struct{ cost float64 }

// begin has the collector do first what the preparations have left it: whether it comes in the middle of a run, and looks at all
// connections there, would hang on a few bytes.
func (m *meter) begin() {
	runtime.GC()
	m.cost = -cpuTime()
}

func (m *meter) end() { m.cost += cpuTime() }

func (m *meter) grow()  { m.cost = -float64(heapNow()) }
func (m *meter) grown() { m.cost += float64(heapNow()) }

// cpuTime is what the process has used of processors, in nanoseconds.
func cpuTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// cost is what a unit costs, in one run.
func (j job) cost(t *testing.T, units int) float64 {
	var m meter
	runtime.GC() // so that no run pays for the garbage of another
	j(t, &m, units)
	return m.cost / float64(units)
}

// unitsOf finds out how many units a run should do.
func (r *speedRow) unitsOf(t *testing.T, j job) int {
	units := max(r.units, 1)
	for r.units == 0 {
		took := j.cost(t, units) * float64(units)
		if took >= float64(shortestRun) {
			break
		}
		units = int(float64(units)*min(20, max(1.5, 1.2*float64(shortestRun)/max(took, 1)))) + 1
	}
	return units
}

// measure returns what measures a row once.
func (r *speedRow) measure(t *testing.T) (repetition func() (ratio float64)) {
	mine, its := r.unitsOf(t, r.squall), r.unitsOf(t, r.other)
	return func() float64 {
		var ratios []float64
		for i := range cmp.Or(r.pairs, pairsOfRuns) {
			var a, b float64
			if i%2 == 0 {
				a, b = r.squall.cost(t, mine), r.other.cost(t, its)
			} else {
				b, a = r.other.cost(t, its), r.squall.cost(t, mine)
			}
			ratios = append(ratios, a/b)
		}
		return median(ratios)
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// judge compares a row with the baseline, and says what is wrong, if anything, and what is worth knowing. A row that
// is well the first time is not measured again.
func judge(name string, baseline float64, measure func() float64) (wrong, remark string) {
	if baseline == 0 {
		return fmt.Sprintf("%s: %s has no such row", name, baselineFile), ""
	}
	var seen []string
	for range repetitions {
		ratio := measure()
		seen = append(seen, fmt.Sprintf("%.2f", ratio))
		switch {
		case ratio < muchFaster*baseline:
			return "", fmt.Sprintf("%s: %s of the reference's time, %.2f in the baseline: write that again", name, strings.Join(seen, ", "), baseline)
		case ratio <= tooSlow*baseline:
			return "", fmt.Sprintf("%s: %s, %.2f in the baseline", name, strings.Join(seen, ", "), baseline)
		}
	}
	return fmt.Sprintf("%s takes %s times as long as the reference, and %.2f times in the baseline: more than %.0f %% slower, %d times out of %d",
		name, strings.Join(seen, ", "), baseline, 100*(tooSlow-1), repetitions, repetitions), ""
}

// TestSpeed compares all rows with the baseline, with SQUALL_SPEED=1; without, it only runs a unit of each.
// SQUALL_SPEED=1 go test -run TestSpeed -update . writes the baseline and the README's table.
func TestSpeed(t *testing.T) {
	t.Setenv("SQUALL_ARTIFACTS", "off") // recording takes time
	measuring := os.Getenv("SQUALL_SPEED") != ""
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	baseline := readBaseline(t)
	for _, r := range speedRows {
		t.Run(r.name, func(t *testing.T) {
			switch {
			case !measuring:
				r.squall.cost(t, 1)
				r.other.cost(t, 1)
			case *update:
				var ratios []float64
				once := r.measure(t)
				for range writtenAfter {
					ratios = append(ratios, once())
				}
				t.Logf("%.3f", ratios)
				baseline[r.name] = math.Round(100*median(ratios)) / 100
			default:
				wrong, remark := judge(r.name, baseline[r.name], r.measure(t))
				if wrong != "" {
					t.Error(wrong)
				}
				t.Log(remark)
			}
		})
	}
	if measuring && *update {
		writeBaseline(t, baseline)
	}
}

func TestJudgeOfSpeed(t *testing.T) {
	say := func(ratios ...float64) func() float64 {
		return func() float64 {
			require.NotEmpty(t, ratios, "measured once too often")
			r := ratios[0]
			ratios = ratios[1:]
			return r
		}
	}
	for _, well := range [][]float64{{2}, {2.5}, {1.6}, {2.6, 2.5}, {9, 9, 2.5}} {
		wrong, remark := judge("row", 2, say(well...))
		require.Empty(t, wrong, "%v", well)
		require.NotContains(t, remark, "again")
	}
	wrong, _ := judge("row", 2, say(2.6, 2.51, 2.8))
	require.Equal(t, "row takes 2.60, 2.51, 2.80 times as long as the reference, and 2.00 times in the baseline: more than 25 % slower, 3 times out of 3", wrong)
	_, remark := judge("row", 2, say(1.4))
	require.Contains(t, remark, "write that again")
	wrong, _ = judge("row", 0, nil)
	require.Contains(t, wrong, "no such row")
}

// TestReadmeHasTheBaseline holds the README's table and the baseline together.
func TestReadmeHasTheBaseline(t *testing.T) {
	baseline := readBaseline(t)
	require.Len(t, baseline, len(speedRows), "rows of %s", baselineFile)
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), tableBegin+speedTable(baseline)+tableEnd,
		"cd speed && SQUALL_SPEED=1 go test -run TestSpeed -update . writes the README's table and %s", baselineFile)
}

const (
	tableBegin = "<!-- Written by `cd speed && SQUALL_SPEED=1 go test -run TestSpeed -update .` -->\n\n"
	tableEnd   = "\n<!-- End of what is written -->\n"
)

// speedTable is the README's table.
func speedTable(baseline map[string]float64) string {
	table := "| work | against | cost of the reference, times |\n|---|---|---:|\n"
	for _, r := range speedRows {
		table += fmt.Sprintf("| %s | %s | %s |\n", r.name, r.reference, figure(baseline[r.name]))
	}
	return table
}

// figure has two digits, which is what such figures are good for.
func figure(ratio float64) string {
	if ratio >= 10 {
		return fmt.Sprintf("%.0f", ratio)
	}
	if ratio >= 1 {
		return fmt.Sprintf("%.1f", ratio)
	}
	return fmt.Sprintf("%.2f", ratio)
}

func readBaseline(t *testing.T) map[string]float64 {
	text, err := os.ReadFile(baselineFile)
	if os.IsNotExist(err) && *update {
		return map[string]float64{}
	}
	require.NoError(t, err)
	var baseline map[string]float64
	require.NoError(t, json.Unmarshal(text, &baseline))
	return baseline
}

// writeBaseline writes the file and the README's table. Rows that were not measured keep their figures, and those
// that are no more are left out.
func writeBaseline(t *testing.T, baseline map[string]float64) {
	kept := map[string]float64{}
	for _, r := range speedRows {
		kept[r.name] = baseline[r.name]
	}
	text, err := json.MarshalIndent(kept, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(baselineFile, append(text, '\n'), 0o666))
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(readme), tableBegin)
	require.True(t, found, "the README has no %q", tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	require.True(t, found, "the README has no %q", tableEnd)
	require.NoError(t, os.WriteFile("../README.md", []byte(before+tableBegin+speedTable(kept)+tableEnd+after), 0o666))
}
