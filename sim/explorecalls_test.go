package sim_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/sim"
)

// TestVictimExploredTwice makes the mistake in its second call.
func TestVictimExploredTwice(t *testing.T) {
	victim(t)
	for _, sound := range []bool{true, false} {
		sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Duplicated}}, func(t *testing.T, n *sim.Network) { counts(t, n, sound) })
	}
}

// When a test's second call of Explore fails, the command that repeats the run breaks nothing in the first call.
func TestExploreRepeatsAFailureOfASecondCall(t *testing.T) {
	out, failed := outputOf(t, "TestVictimExploredTwice")
	require.True(t, failed)
	requireInOrder(t, out, "no run failed", "3 of 3 runs failed, in 1 way", "SQUALL_EXPLORE='2: Duplicated sensor meter UDP 1' SQUALL_SEED=1 ")
	require.Regexp(t, `^explorecalls_test\.go:\d+: sim: Explore: explore_test\.go:\d+: "#" is not less than or equal to "#"`, failure.Cause(out), "sweeps group by it")
	bySeeds, failed := outputOf(t, "TestVictimExploredTwice", "SQUALL_SEEDS=2-2")
	require.True(t, failed)
	require.Regexp(t, ` explorecalls_test\.go:\d+: sim: Explore: 3 of 3 runs failed`, bySeeds, "at the call, not in the simulator")
	out, failed = outputOf(t, "TestVictimExploredTwice", "SQUALL_EXPLORE=2: Duplicated sensor meter UDP 1")
	require.True(t, failed)
	requireInOrder(t, out, `"4" is not less than or equal to "3"`, "To repeat it: SQUALL_EXPLORE='2: Duplicated sensor meter UDP 1' SQUALL_SEED=1 ")
	require.NotContains(t, out, "The run has no such packet")
	out, failed = outputOf(t, "TestVictimExploredTwice", "SQUALL_EXPLORE=Duplicated sensor meter UDP 1")
	require.False(t, failed, out)
	out, failed = outputOf(t, "TestVictimExploredTwice", "SQUALL_EXPLORE=0: Duplicated sensor meter UDP 1")
	require.True(t, failed)
	require.Contains(t, out, `"0" is not the number of a call`)
}

// The README's report of an exploration is what Explore prints, except for the time that it took, the test's position and the command.
func TestReadmeShowsWhatExploreSays(t *testing.T) {
	out, failed := outputOf(t, "TestVictimExplored$/^pays-twice")
	require.True(t, failed)
	vague := func(text string) string {
		for _, r := range []struct{ pattern, by string }{
			{`in [0-9.]+m?s \(\d+ a second\)`, "in TIME"}, {`\w+_test\.go:\d+: `, "POSITION: "}, {`SQUALL_SEED=1 .*`, "COMMAND"},
		} {
			text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
		}
		return text
	}
	out = vague(out)
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(text), "```\nsim: Explore: ")
	require.True(t, found)
	shown, _, _ = strings.Cut("sim: Explore: "+shown, "```")
	for line := range strings.Lines(vague(shown)) {
		require.Contains(t, out, strings.TrimSpace(line))
	}
	require.Len(t, strings.Split(strings.TrimSpace(shown), "\n"), 5)
}
