package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/ramdisk"
)

func TestSeeds(t *testing.T) {
	for text, want := range map[string]Seeds{"1000": {1, 1000}, "7-7": {7, 7}, " 1001-2000 ": {1001, 2000}, "0-3": {0, 3}} {
		got, err := ParseSeeds(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "0", "x", "5-4", "-3", "1-2-3", "0-18446744073709551615"} {
		_, err := ParseSeeds(text)
		require.ErrorContains(t, err, "-seeds "+text+": want", text)
	}
}

func TestShards(t *testing.T) {
	for _, c := range []struct {
		text string
		env  map[string]string
		want Shard
		err  string
	}{
		{text: "", want: Shard{1, 1}},
		{text: "3/64", want: Shard{3, 64}},
		{text: "auto/64", env: map[string]string{"JOB_COMPLETION_INDEX": "0"}, want: Shard{1, 64}},
		{text: "auto/64", env: map[string]string{"JOB_COMPLETION_INDEX": "63"}, want: Shard{64, 64}},
		{text: "auto", env: map[string]string{"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_STEP": "1"}, want: Shard{4, 4}},
		{text: "auto", env: map[string]string{"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_MAX": "16", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_STEP": "2"}, want: Shard{3, 4}},
		{text: "auto", env: map[string]string{"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "9", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "1"}, err: "without gaps"},
		{text: "auto", env: map[string]string{"JOB_COMPLETION_INDEX": "3"}, err: "want auto/COUNT"},
		{text: "auto/2", env: map[string]string{"JOB_COMPLETION_INDEX": "2"}, err: "3 is not from 1 to 2"},
		{text: "auto/2", env: map[string]string{"JOB_COMPLETION_INDEX": "x"}, err: "JOB_COMPLETION_INDEX=x: want a number"},
		{text: "auto/2", err: "neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID is set"},
		{text: "0/4", err: "0 is not from 1 to 4"},
		{text: "5/4", err: "5 is not from"},
		{text: "1/0", err: "with a count from 1"},
		{text: "3", err: "want NUMBER/COUNT"},
	} {
		got, err := ParseShard(c.text, func(name string) string { return c.env[name] })
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.text)
			continue
		}
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got)
	}
}

// The shards of a sweep have every seed once, and as many each, but for one.
func TestShardsDivideTheSeeds(t *testing.T) {
	for _, all := range []Seeds{{1, 10}, {0, 0}, {100, 1099}, {5, 11}} {
		for count := 1; count <= 13; count++ {
			at, sizes := all.First, []uint64{}
			for number := 1; number <= count; number++ {
				part, ok := Shard{number, count}.of(all)
				if !ok {
					continue
				}
				require.Equal(t, at, part.First)
				at = part.Last + 1
				sizes = append(sizes, part.Count())
			}
			require.Equal(t, all.Last+1, at)
			require.LessOrEqual(t, slices.Max(sizes)-slices.Min(sizes), uint64(1))
		}
	}
}

func TestMissingSeeds(t *testing.T) {
	l := &ledger{done: map[string][]Seeds{"p": {{5, 6}, {1, 2}, {6, 8}, {10, 10}}}}
	require.Equal(t, []Seeds{{0, 0}, {3, 4}, {9, 9}, {11, 12}}, l.missing("p", Seeds{0, 12}))
	require.Equal(t, []Seeds{{3, 4}}, l.missing("p", Seeds{2, 8}))
	require.Empty(t, l.missing("p", Seeds{5, 8}))
	require.Equal(t, []Seeds{{1, 3}}, l.missing("q", Seeds{1, 3}))
}

// Compiling is the slow part, and one binary serves all tests.
var prey []binary

func TestMain(m *testing.M) {
	if os.Getenv(hunterVariable) != "" {
		os.Exit(hunter())
	}
	dir, err := os.MkdirTemp("", "squall-prey")
	ramdisk.Use() // for ledgers, not for the binaries
	if err == nil {
		prey, err = build(context.Background(), &Config{Packages: []string{"./prey"}}, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// hunt runs a sweep over the prey.
func hunt(t *testing.T, dir string, change func(*Config)) (*Result, error) {
	t.Helper()
	t.Setenv("SQUALL_PREY", "1")
	c := Config{Seeds: Seeds{1, 60}, Shard: Shard{1, 1}, Dir: dir, Jobs: 2, Timeout: time.Minute}
	if change != nil {
		change(&c)
	}
	return runBuilt(context.Background(), c, prey)
}

func requirePrey(t *testing.T, r *Result, seeds int) {
	t.Helper()
	require.True(t, r.Complete)
	require.Equal(t, 4, r.Failed)
	require.Equal(t, seeds, r.Runs, "of the test with seeds; that without is none of them")
	var found []string
	for _, c := range r.Causes {
		require.Equal(t, "TestPrey", c.Test)
		found = append(found, fmt.Sprint(c.Seeds, " ", c.Text))
	}
	slices.Sort(found)
	require.Equal(t, []string{
		"[23 42] prey_test.go:30: seed # is odd", "[31] the process ended: panic: a goroutine of the program's own", "[37] prey_test.go:32: another cause",
	}, found)
}

func TestASweepFindsWhatFails(t *testing.T) {
	dir := t.TempDir()
	r, err := hunt(t, dir, nil)
	require.NoError(t, err)
	requirePrey(t, r, 60)
	require.Contains(t, r.Causes[0].Output, "To repeat it: SQUALL_SEED=23", "the most frequent cause comes first, with the report")

	again, err := hunt(t, dir, nil)
	require.NoError(t, err)
	require.Equal(t, r, again, "what is done is not done again")

	_, err = hunt(t, dir, func(c *Config) { c.Seeds.Last = 59 })
	require.ErrorContains(t, err, "belongs to another sweep (seeds 1-60, now 1-59)")

	merged, err := Merge([]string{dir})
	require.NoError(t, err)
	require.Equal(t, r, merged)

	var text, xmlText, jsonText bytes.Buffer
	r.WriteText(&text, "how")
	require.Contains(t, text.String(), "4 of 60 runs failed, in 3 ways:")
	require.NoError(t, r.WriteJUnit(&xmlText))
	var suites junitSuites
	require.NoError(t, xml.Unmarshal(xmlText.Bytes(), &suites))
	require.Equal(t, 3, suites.Failures)
	require.NoError(t, r.WriteJSON(&jsonText))
	var back Result
	require.NoError(t, json.Unmarshal(jsonText.Bytes(), &back))
	require.Equal(t, r.Causes, back.Causes)
}

// Whoever wants more seeds afterwards waits for those alone.
func TestASweepGrows(t *testing.T) {
	dir := t.TempDir()
	_, err := hunt(t, dir, func(c *Config) { c.Seeds = Seeds{30, 40} })
	require.NoError(t, err)
	part := func(c *Config) { c.Seeds, c.Shard = Seeds{30, 40}, Shard{1, 2} }
	_, err = hunt(t, dir, part)
	require.NoError(t, err)
	var done, all uint64
	r, err := hunt(t, dir, func(c *Config) {
		c.Progress = func(p Progress) {
			if all == 0 {
				done, all = p.Done, p.All
			}
		}
	})
	require.NoError(t, err)
	requirePrey(t, r, 60)
	require.Equal(t, []uint64{11, 60}, []uint64{done, all}, "when it begins")
	whole, err := hunt(t, t.TempDir(), nil)
	require.NoError(t, err)
	for i := range r.Causes {
		r.Causes[i].Output, whole.Causes[i].Output = "", "" // they tell real times
	}
	require.Equal(t, whole, r)

	_, err = hunt(t, dir, func(c *Config) { part(c); c.Seeds.Last = 60 })
	require.ErrorContains(t, err, "belongs to another sweep (seeds 30-40, now 30-60)", "shards of more seeds are others")
}

// While a test hangs, it is told what is run, and for how long.
func TestASweepTellsWhatHangs(t *testing.T) {
	defer func(d time.Duration) { tellsAgain = d }(tellsAgain)
	tellsAgain = 20 * time.Millisecond
	t.Setenv("SQUALL_PREY", "slow")
	var longest Running
	c := Config{Seeds: Seeds{7, 7}, Shard: Shard{1, 1}, Dir: t.TempDir(), Jobs: 2, Timeout: time.Minute, Progress: func(p Progress) {
		if p.Oldest.For > longest.For {
			longest = p.Oldest
		}
	}}
	_, err := runBuilt(context.Background(), c, prey)
	require.NoError(t, err)
	require.Greater(t, longest.For, 250*time.Millisecond)
	longest.For = 0
	require.Equal(t, Running{Package: prey[0].pkg, Seeds: Seeds{7, 7}}, longest)
}

// Wherever a sweep is cut off, the rest of it finds what the whole does. A process that is killed leaves the ledger as it was at some
// byte: so it is cut at every place that differs in kind, in the middle of lines too.
func TestASweepGoesOnWhereItWasCutOff(t *testing.T) {
	dir := t.TempDir()
	whole, err := hunt(t, dir, nil)
	require.NoError(t, err)
	file := LedgerFile(dir, Shard{1, 1})
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, cut := range []int{0, len(lines[0]) / 2, len(lines[0]) + 7, len(text) / 2, len(text) - 1} {
		part := filepath.Join(t.TempDir(), "part")
		require.NoError(t, os.MkdirAll(part, 0o777))
		require.NoError(t, os.WriteFile(LedgerFile(part, Shard{1, 1}), text[:cut], 0o666))
		r, err := hunt(t, part, nil)
		require.NoError(t, err, "cut at byte %d", cut)
		requirePrey(t, r, 60)
		require.Equal(t, whole.Causes[0].Seeds, r.Causes[0].Seeds)
	}
}

// A ledger that ends at any of its bytes says of no range that it is done of which it lacks a finding, also one that was begun with fewer
// seeds and has grown.
func TestALedgerThatEndsAnywhere(t *testing.T) {
	dir := t.TempDir()
	_, err := hunt(t, dir, func(c *Config) { c.Seeds.Last = 40 })
	require.NoError(t, err)
	whole, err := hunt(t, dir, nil)
	require.NoError(t, err)
	requirePrey(t, whole, 60)
	file := LedgerFile(dir, Shard{1, 1})
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(text, []byte(`{"heading"`)))
	ledgerOf := func(text []byte) *ledger {
		require.NoError(t, os.WriteFile(file, text, 0o666))
		l, err := openLedger(file, whole.Heading, false)
		require.NoError(t, err, "cut to %d bytes", len(text))
		require.NoError(t, l.close())
		return l
	}
	all := ledgerOf(text)
	require.True(t, all.isDone())
	for cut := range text {
		l := ledgerOf(text[:cut])
		require.Equal(t, whole.Heading, l.heading)
		for _, f := range all.findings {
			missing := false
			for _, s := range l.missing(f.Package, whole.Heading.Seeds) {
				missing = missing || s.First <= f.Seed && f.Seed <= s.Last
			}
			require.True(t, missing || l.known[findingKey{f.Package, f.Test, f.Seed}], "cut at byte %d: seed %d", cut, f.Seed)
		}
		goesOn, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, bytes.HasSuffix(goesOn, []byte("\n")), "cut at byte %d: the next line begins behind half of one", cut)
	}
}

func TestShardsOfASweepAreMerged(t *testing.T) {
	dir := t.TempDir()
	for _, number := range []int{2, 3} {
		_, err := hunt(t, dir, func(c *Config) { c.Shard = Shard{number, 3} })
		require.NoError(t, err)
	}
	r, err := Merge([]string{dir})
	require.NoError(t, err)
	require.False(t, r.Complete)
	require.Equal(t, []Shard{{1, 3}}, r.Missing)
	_, err = hunt(t, dir, func(c *Config) { c.Shard = Shard{1, 3} })
	require.NoError(t, err)
	r, err = Merge([]string{dir})
	require.NoError(t, err)
	requirePrey(t, r, 60)

	other := t.TempDir()
	_, err = hunt(t, other, func(c *Config) { c.Seeds = Seeds{1, 3} })
	require.NoError(t, err)
	_, err = Merge([]string{dir, other})
	require.ErrorContains(t, err, "belong to different sweeps")
	_, err = Merge([]string{t.TempDir()})
	require.ErrorContains(t, err, "there is no ledger")
}

func TestASweepStopsAtTheFirst(t *testing.T) {
	r, err := hunt(t, t.TempDir(), func(c *Config) { c.StopAtFirst = true; c.Jobs = 1 })
	require.ErrorIs(t, err, errStopped)
	require.Equal(t, 1, r.Failed)
	require.Equal(t, uint64(23), r.Causes[0].First)
}

// A line of the testing package's own begins with a mark, which may come in the middle of what a test says.
func TestListening(t *testing.T) {
	var told []string
	l := newListener(Seeds{1, 9}, func(test string, seed uint64, seeded, failed bool, output string) {
		told = append(told, fmt.Sprintf("%s %d %t %t %q", test, seed, seeded, failed, output))
	})
	l.read(strings.NewReader(strings.ReplaceAll(`^=== RUN   TestA
^=== RUN   TestA/b/seed=3
    a_test.go:5: lost 7 events
without its end^    --- FAIL: TestA/b/seed=3 (0.00s)
^=== RUN   TestA/b/seed=4
^    --- PASS: TestA/b/seed=4 (0.00s)
^=== RUN   TestA/b/seed=10
^    --- FAIL: TestA/b/seed=10 (0.00s)
^--- FAIL: TestA/b (0.00s)
^--- FAIL: TestA (0.00s)
^=== RUN   TestB
    b_test.go:9: plain
^--- FAIL: TestB (1.20s)
^=== RUN   TestA/c/seed=5
    its words
`, "^", mark)))
	require.Equal(t, []string{
		`TestA/b 3 true true "    a_test.go:5: lost 7 events\nwithout its end"`,
		`TestA/b 4 true false ""`,
		`TestA/b/seed=10 0 false true ""`,
		`TestB 0 false true "    b_test.go:9: plain\n"`,
	}, told, "a subtest of that name that no seed of the range has is the test's own")
	require.Equal(t, "TestA/c", l.cut()[0].Test)
	require.Equal(t, uint64(5), l.cut()[0].Seed)
	require.Equal(t, "a_test.go:5: lost # events", causeOf("    a_test.go:5: lost 7 events\n"))
}

// A process that ends with the code of failed tests, though none failed, has not done its seeds: the testing package refuses -run, or TestMain
// does what it likes.
func TestASweepNoticesThatNothingRan(t *testing.T) {
	_, err := hunt(t, t.TempDir(), func(c *Config) { c.Run = "(" })
	require.ErrorContains(t, err, "invalid regexp")
	dir := t.TempDir()
	for range 2 { // when all is done, too
		_, err = hunt(t, dir, func(c *Config) { c.Run = "TestWithoutSeeds|TestThatIsNot" })
		require.ErrorContains(t, err, `no test that takes seeds is selected by -run "TestWithoutSeeds|TestThatIsNot"`)
	}
}

// As long as it is not known how long a seed takes, a range is one: a longer one could run into Timeout, for which a test is blamed that does
// not hang. Afterwards a range takes some seconds.
func TestRangesTakeSeconds(t *testing.T) {
	s := &sweeping{Config: Config{Jobs: 2}, queue: []job{{0, Seeds{1, 1000}}}, left: 1000, pace: map[int]time.Duration{}}
	j, ok := s.next(context.Background())
	require.True(t, ok)
	require.Equal(t, Seeds{1, 1}, j.seeds)
	s.pace[0] = time.Minute
	j, _ = s.next(context.Background())
	require.Equal(t, Seeds{2, 2}, j.seeds)
	s.pace[0] = 100 * time.Millisecond
	j, _ = s.next(context.Background())
	require.Equal(t, Seeds{3, 32}, j.seeds)
}

// A process that a test has left behind has the test's output open, and does not keep the sweep.
func TestASweepDoesNotWaitForWhatATestLeavesBehind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it takes a shell")
	}
	before := lingers
	defer func() { lingers = before }()
	lingers = 100 * time.Millisecond
	dir := t.TempDir()
	file := filepath.Join(dir, "tests")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n(sleep 20; touch late) &\necho done\n"), 0o777))
	words, died := (&sweeping{}).process(t.Context(), binary{dir: dir, file: file}, Seeds{1, 1}, newListener(Seeds{1, 1}, nil))
	require.NoError(t, died)
	require.Equal(t, "done\n", words)
	require.NoFileExists(t, filepath.Join(dir, "late"), "it has been waited for")
}

// What storms must have come to is judged of all processes and shards, once the sweep is complete; and storms that fail for the same are one cause.
func TestASweepOfStorms(t *testing.T) {
	sweep := func(dir, what string, change func(*Config)) *Result {
		t.Helper()
		r, err := hunt(t, dir, func(c *Config) {
			t.Setenv("SQUALL_PREY", what)
			c.Run = "^TestStorms$"
			change(c)
		})
		require.NoError(t, err)
		return r
	}
	snows := []Never{{prey[0].pkg, "TestStorms", "it snows"}}
	dir := t.TempDir()
	r := sweep(dir, "storms", func(*Config) {})
	require.Equal(t, snows, r.Never, "the seventh has been one of another process")
	require.True(t, r.Found())
	require.Zero(t, r.Failed)
	require.Equal(t, snows, sweep(dir, "storms", func(*Config) {}).Never, "the ledger has it")
	var text, junit bytes.Buffer
	r.WriteText(&text, "")
	require.Equal(t, prey[0].pkg+" TestStorms: in 60 storms this never happened (Storm.Sometimes): \"it snows\". Run more seeds, or see weather.Config\n"+
		"No run of 60 failed.\n", text.String())
	require.NoError(t, r.WriteJUnit(&junit))
	require.Contains(t, junit.String(), `failures="1"`)
	require.Contains(t, junit.String(), "it snows")

	require.Empty(t, sweep(t.TempDir(), "storms", func(c *Config) { c.Seeds = Seeds{1, 19} }).Never, "the test demands it of 20")

	dir = t.TempDir()
	for number := range 2 {
		r = sweep(dir, "storms", func(c *Config) { c.Shard = Shard{number + 1, 2} })
		require.Empty(t, r.Never, "a shard does not know")
	}
	r, err := Merge([]string{dir})
	require.NoError(t, err)
	require.Equal(t, snows, r.Never)

	r = sweep(t.TempDir(), "failing storms", func(*Config) {})
	require.Len(t, r.Causes, 1)
	require.Equal(t, []uint64{10, 20, 30, 40, 50, 60}, r.Causes[0].Seeds)
	require.Regexp(t, `^storms_test\.go:\d+: weather: seed #: storms_test\.go:\d+: # things were lost$`, r.Causes[0].Text)
	require.Contains(t, r.Causes[0].Output, "was not reduced (this is a sweep). To reduce it, run the seed alone: SQUALL_SEED=10.")
	require.Empty(t, r.Never, "of a test that fails it is not demanded")
}
