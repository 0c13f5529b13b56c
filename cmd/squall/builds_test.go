package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// One seed is one schedule, one order of maps, one set of random numbers, and of programs on the network the same packets: in each process, at any
// GOMAXPROCS, with the race detector and without.
func TestBuildsHaveOneOutcome(t *testing.T) {
	which := os.Getenv("SQUALL_BUILDS")
	if which == "" {
		t.Skip("builds the standard library twice: SQUALL_BUILDS=1 go test -run Builds ./cmd/squall compares a plain and a -race build in exact mode, SQUALL_BUILDS=interop those of libraries of others")
	}
	in, pkg, tests, outcomes := ".", "github.com/squall-sim/squall/sim/internal/exact", "^Test(Outcome|WorkloadsRepeat)$", 1+8
	if which == "interop" {
		in, pkg, tests, outcomes = "../../interop", "./unchanged", "^TestWorkloadsRepeat$", 5+1 // of one the first run is another one
	}
	squall := t.TempDir() + "/squall"
	out, err := exec.Command("go", "build", "-o", squall, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	built := false
	outcome := func(processors string, flags ...string) string {
		cmd := exec.Command(squall, append(append([]string{"test", "-count=1", "-v", "-run", tests}, flags...), pkg)...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+processors)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.False(t, built && bytes.Contains(out, []byte("builds the standard library")), "it was built for the run before:\n%s", out)
		found := regexp.MustCompile(`(outcome|first run|\d+ runs): .*`).FindAll(out, -1)
		require.Len(t, found, outcomes, "in:\n%s", out)
		return string(bytes.Join(found, []byte("\n")))
	}
	plain := outcome("1")
	t.Log(plain)
	built = true
	require.Equal(t, plain, outcome("4"))
	built = false // for the race detector
	require.Equal(t, plain, outcome("1", "-race"))
	built = true
	require.Equal(t, plain, outcome("4", "-race"))
}
