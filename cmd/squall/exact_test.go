package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/sweep"
)

// A finding of exact mode is repeated in exact mode, by the policy of the sweep, unless another one is set.
func TestReplayInExactMode(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("exact mode is for amd64 and arm64")
	}
	out, err := exec.Command("go", "env", "GOROOT", "GOCACHE").Output()
	require.NoError(t, err)
	words := strings.Fields(string(out))
	t.Setenv("GOCACHE", words[1])
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // for what this test binary prepares
	standIn(t)
	bin := filepath.SplitList(os.Getenv("PATH"))[0]
	script, err := os.ReadFile(filepath.Join(bin, "go"))
	require.NoError(t, err)
	// The stand-in only says how tests are called; what the standard library is the real one says.
	goroot := filepath.Join(t.TempDir(), "goroot") // elsewhere than one that the go command has downloaded, which is copied and called by its path
	require.NoError(t, os.Symlink(words[0], goroot))
	t.Setenv("GOROOT", goroot)
	real := filepath.Join(goroot, "bin", "go")
	said := strings.Replace(string(script), "#!/bin/sh\n", "#!/bin/sh\n[ \"$1\" = test ] || exec "+real+" \"$@\"\necho \"SCHED=$SQUALL_SCHED\"\n", 1)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte(said), 0o700))

	dir := t.TempDir()
	h := sweep.Heading{Binaries: map[string]string{"x/p": ""}, Build: []string{"-tags=a"}, Exact: true, Policy: "pct:3"}
	writeLedger(t, dir, h, sweep.Finding{Package: "x/p", Test: "TestA", Seed: 23, Seeded: true, Cause: "c"})
	text, err := run(t, "replay", "-dir", dir, "1")
	require.NoError(t, err, text)
	require.Contains(t, text, "runs ^TestA$ with seed 23 in exact mode\nSCHED=pct:3\n")
	require.Regexp(t, ` test -count=1 -run \^TestA\$ -tags=a -overlay=\S+\.json -tags=a,squall_exact x/p\n`, text)

	t.Setenv("SQUALL_SCHED", "fifo")
	text, err = run(t, "replay", "-dir", dir, "-tags", "b", "1")
	require.NoError(t, err)
	require.Contains(t, text, "SCHED=fifo\n")
	require.Contains(t, text, " -tags=b,squall_exact x/p\n")

	text, err = run(t, "replay", "-exact", "-run", "TestX", "-seed", "7", "./x")
	require.NoError(t, err)
	require.Contains(t, text, "runs TestX with seed 7 in exact mode\n")
	require.Contains(t, text, " -tags=squall_exact ./x\n")
}

// A sweep in exact mode finds what the order of goroutines decides, and what repeats its finding does so in exact mode, too.
func TestBuildsOfAnExactSweep(t *testing.T) {
	if os.Getenv("SQUALL_BUILDS") == "" {
		t.Skip("builds the standard library: SQUALL_BUILDS=1 go test -run Builds ./cmd/squall sweeps in exact mode")
	}
	t.Setenv("SQUALL_PREY", "1")
	dir := t.TempDir()
	line := []string{"-run", "TestExactPrey", "-dir", dir, "../../internal/sweep/prey"}
	_, err := run(t, append([]string{"sweep", "-seeds", "100"}, line...)...)
	require.ErrorContains(t, err, `no test that takes seeds is selected by -run "TestExactPrey"; tests that call sim.NeedExact need -exact`)
	_, err = run(t, append([]string{"sweep", "-exact", "-seeds", "100"}, line...)...)
	require.ErrorContains(t, err, "belongs to another sweep (-exact=false, now true)")

	out, err := run(t, append([]string{"sweep", "-exact", "-fresh", "-seeds", "100"}, line...)...)
	require.Equal(t, exitError(codeFound), err, out)
	require.Contains(t, out, "it was sold twice")
	require.NotContains(t, out, "100 of 100 runs failed", "some orders are right")
	out, err = run(t, "replay", "-dir", dir, "1")
	require.Equal(t, exitError(1), err, out)
	require.Contains(t, out, "it was sold twice")
	require.Contains(t, out, "sim: a second run of seed")
	out, err = run(t, "shrink", "-dir", dir, "1")
	require.NoError(t, err, out)
	require.Contains(t, out, "TestExactPrey fails with seed")

	t.Setenv("SQUALL_SCHED", "pct:3")
	_, err = run(t, append([]string{"sweep", "-exact", "-seeds", "100"}, line...)...)
	require.ErrorContains(t, err, "belongs to another sweep (SQUALL_SCHED=, now pct:3)")
}
