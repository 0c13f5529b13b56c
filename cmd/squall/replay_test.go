package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/sweep"
)

// run runs the command as main does, and returns what it prints and the error that decides on its exit code.
func run(t *testing.T, line ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	cmd := root()
	cmd.SetArgs(goFlags(line))
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	err = cmd.ExecuteContext(t.Context())
	return b.String(), err
}

// A finding that only a tag and -short let happen is found by a sweep and repeated by its number alone.
func TestReplayBuildsAsTheSweepDid(t *testing.T) {
	t.Setenv("SQUALL_PREY", "1")
	dir := t.TempDir()
	sweepLine := []string{"sweep", "-tags", "prey", "-short", "-seeds", "4-6", "-run", "TestTaggedPrey", "-dir", dir, "../../internal/sweep/prey"}
	out, err := run(t, sweepLine...)
	require.Equal(t, exitError(codeFound), err, out)
	require.Contains(t, out, "seeds 5")
	out, err = run(t, "replay", "-dir", dir, "1")
	require.Equal(t, exitError(1), err, out)
	require.Contains(t, out, "five in short")
	require.Contains(t, out, "squall: go test compiles github.com/squall-sim/squall/internal/sweep/prey and runs ^TestTaggedPrey$ with seed 5\n")
	out, err = run(t, "shrink", "-dir", dir, "1")
	require.NoError(t, err, out)
	require.Contains(t, out, "TestTaggedPrey fails with seed 5 and has no faults to leave out: tagged_test.go:15: five in short\n")

	_, err = run(t, append([]string{"sweep", "-tags", "prey"}, sweepLine[4:]...)...)
	require.ErrorContains(t, err, "belongs to another sweep (-short=true, now false)")
}

// writeLedger writes that of a sweep that has found one thing.
func writeLedger(t *testing.T, dir string, h sweep.Heading, f sweep.Finding) {
	t.Helper()
	h.Version, h.Shard = 1, sweep.Shard{Number: 1, Count: 1}
	var b bytes.Buffer
	for _, line := range []map[string]any{{"heading": h}, {"finding": f}} {
		require.NoError(t, json.NewEncoder(&b).Encode(line))
	}
	require.NoError(t, os.WriteFile(sweep.LedgerFile(dir, h.Shard), b.Bytes(), 0o600))
}

// standIn puts a go command in the PATH that only says how it is called.
func standIn(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for the go command is a shell script")
	}
	bin := t.TempDir()
	script := "#!/bin/sh\necho \"GOFLAGS=$GOFLAGS SEED=$SQUALL_SEED SEEDS=$SQUALL_SEEDS in $(basename \"$PWD\"): $*\"\nexit ${EXIT:-0}\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o700))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("GOFLAGS", "")
}

func TestReplayCallsGoTest(t *testing.T) {
	standIn(t)
	dir, pkg := t.TempDir(), filepath.Join(t.TempDir(), "pkg")
	require.NoError(t, os.Mkdir(pkg, 0o700))
	h := sweep.Heading{Binaries: map[string]string{"x/p": ""}, Dirs: map[string]string{"x/p": pkg}, Build: []string{"-race", "-tags=a"}, Short: true, GoFlags: "-mod=mod"}
	writeLedger(t, dir, h, sweep.Finding{Package: "x/p", Test: "TestA/b.c", Seed: 23, Seeded: true, Cause: "c"})
	t.Setenv("SQUALL_SEEDS", "1000")

	out, err := run(t, "replay", "-dir", dir, "1")
	require.NoError(t, err)
	require.Equal(t, "squall: go test compiles x/p and runs ^TestA$/^b\\.c$ with seed 23\n"+
		"GOFLAGS=-mod=mod SEED=23 SEEDS= in pkg: test -count=1 -run ^TestA$/^b\\.c$ -race -tags=a -short x/p\n"+
		"squall: finding 1 did not fail again: the code has changed since, or the test does not repeat. SQUALL_CHECK=1 shows where two runs differ\n", out)

	t.Setenv("GOFLAGS", "-trimpath")
	out, err = run(t, "replay", "-dir", dir, "-race", "-tags", "b", "1:42")
	require.NoError(t, err)
	require.Contains(t, out, "GOFLAGS=-trimpath SEED=42 SEEDS= in pkg: test -count=1 -run ^TestA$/^b\\.c$ -race -tags=a -tags=b -short x/p\n")

	require.NoError(t, os.Remove(pkg)) // the ledger comes from another machine
	out, err = run(t, "replay", "-dir", dir, "1")
	require.NoError(t, err)
	require.Contains(t, out, " in squall: test ")

	out, err = run(t, "replay", "-run", "TestX", "-seed", "7", "-short", "./x")
	require.NoError(t, err)
	require.Equal(t, "squall: go test compiles ./x and runs TestX with seed 7\n"+
		"GOFLAGS=-trimpath SEED=7 SEEDS= in squall: test -count=1 -run TestX -short ./x\n", out, "and no word of a finding")
}

// A test of sim.Explore that fails has a page of the run in which nothing breaks, too, and that mostly passes.
func TestReportSaysThatAPageIsOfARunThatPassed(t *testing.T) {
	standIn(t)
	for result, said := range map[string]bool{`{"failed": false}`: true, `{"failed": true}`: false} {
		for _, exit := range []string{"1", "0"} {
			t.Setenv("EXIT", exit)
			dir := t.TempDir()
			page := filepath.Join(dir, "report.html")
			require.NoError(t, os.WriteFile(page, nil, 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "result.json"), []byte(result), 0o600))
			out, err := run(t, "report", "-o", dir, "-run", "TestX", "-seed", "7", "./x")
			require.Equal(t, exit == "1", err != nil)
			about := "\n"
			if said && exit == "1" {
				about = " (a run that passed)\n"
			}
			require.Contains(t, out, page+about)
		}
	}
}

func TestFindingsThatThereAreNot(t *testing.T) {
	dir := t.TempDir()
	_, err := run(t, "replay", "-dir", dir, "1")
	require.ErrorContains(t, err, "there is no ledger of a sweep")
	for _, command := range []string{"replay", "report", "shrink"} {
		_, err = run(t, command, "-dir", filepath.Join(dir, "nowhere"))
		require.ErrorContains(t, err, "nowhere: run squall sweep first, name its folder with -dir, or name a test with -run TEST -seed N PACKAGE")
	}
	_, err = run(t, "sweep", "-seed", "5")
	require.ErrorContains(t, err, "unknown flag: --seed: squall sweep -help lists the flags")
	_, err = run(t, "sweep", "-seeds", "5", "./nowhere")
	require.ErrorContains(t, err, "go list: exit status 1\n")
	writeLedger(t, dir, sweep.Heading{}, sweep.Finding{Package: "x/p", Test: "TestA", Seed: 23, Seeded: true, Cause: "c"})
	for name, says := range map[string]string{
		"0": "finding 0: want a number from 1 to 1, or NUMBER:SEED", "2": "finding 2: want", "x": "finding x: want", "1:x": `finding 1:x: the seed "x" is not a number`,
	} {
		_, err = run(t, "replay", "-dir", dir, name)
		require.ErrorContains(t, err, says)
	}
	_, err = run(t, "replay", "-dir", dir, "1", "2")
	require.ErrorContains(t, err, "1 2: want one finding")
	out, err := run(t, "replay", "-dir", dir)
	require.NoError(t, err)
	require.True(t, strings.Contains(out, "1. x/p TestA: 1 time, seeds 23"), out)
}

// What takes long says that it is there, as soon as that is due.
func TestReplaySaysThatItIsStillThere(t *testing.T) {
	before := stillAt
	defer func() { stillAt = before }()
	stillAt = time.Millisecond
	out, in, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	line := make([]byte, 100)
	require.ErrorIs(t, stillThere(in, func() error { // it ends when it has been told of
		n, err := out.Read(line)
		require.NoError(t, err)
		line = line[:n]
		return os.ErrExist
	}), os.ErrExist)
	require.Contains(t, string(line), "squall: still running after 0s\n")
}

// A sweep that is interrupted before it has compiled says so, and ends as one that is interrupted later.
func TestASweepThatIsInterruptedAtOnce(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var b bytes.Buffer
	cmd := root()
	cmd.SetArgs(goFlags([]string{"sweep", "-dir", t.TempDir(), "../../internal/sweep/prey"}))
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	require.Equal(t, exitError(codeInterrupted), cmd.ExecuteContext(ctx))
	require.Equal(t, "compiling the tests\nsquall: interrupted before the first seed\n", b.String())
}
