package sim_test

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// TestVictimSweep fails in two ways. With one of its seeds a second process does not repeat the failure.
func TestVictimSweep(t *testing.T) {
	victim(t)
	if os.Getenv("SQUALL_SEEDS") != "" {
		sim.SetSweepTells(time.Nanosecond)
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		switch seed := n.Seed(); {
		case seed%3 == 0:
			t.Errorf("%d jobs were lost", seed)
		case seed == 5:
			assert.Equal(t, 1, 2, "of each")
		case seed == 7 && os.Getenv("SQUALL_SEEDS") != "":
			t.Error("only here")
		}
	})
}

// TestVictimManySeeds fails with each seed: with most of them for one reason, with the eighth for another. With the
// ninth and later ones it fails in the first process only.
func TestVictimManySeeds(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		switch seed := n.Seed(); {
		case seed == 8:
			t.Error("the stock is negative")
		case seed < 9:
			t.Errorf("%d jobs were lost", seed)
		case os.Getenv("SQUALL_SEEDS") != "":
			t.Error("only here")
		}
	})
}

func TestSweepPrintsTheReportsThatSaySomethingNew(t *testing.T) {
	whole := func(out string) (seeds []string) {
		for _, found := range regexp.MustCompile(`of virtual time, seed (\d+), `).FindAllStringSubmatch(out, -1) {
			seeds = append(seeds, found[1])
		}
		return seeds
	}
	out, failed := outputOf(t, "TestVictimManySeeds", "SQUALL_SEEDS=1-10", "SQUALL_SWEEP=")
	require.True(t, failed)
	require.Equal(t, []string{"1", "2", "3", "8", "9", "10"}, whole(out),
		"the first three, the first that fails for another reason, and those whose second run passes\n%s", out)
	requireInOrder(t, out,
		"a second run of seed 3 had the same trace and failed too",
		"4 jobs were lost", "sim: seed 4 failed; for its report: SQUALL_SEED=4 "+sim.GoTest(), "-run '^TestVictimManySeeds$'",
		"7 jobs were lost", "sim: seed 7 failed; for its report: SQUALL_SEED=7 "+sim.GoTest(),
		"the stock is negative", "a second run of seed 8 had the same trace and failed too",
		"only here", "seed 9", "a second run of seed 9 had the same trace but passed",
		"sim: 10 of 10 seeds failed, in 3 ways:\n")
	require.NotContains(t, out, "a second run of seed 4")

	out, _ = outputOf(t, "TestVictimManySeeds", "SQUALL_SEEDS=1-10", "SQUALL_SWEEP=", "SQUALL_CHECK=0")
	require.Equal(t, []string{"1", "2", "3"}, whole(out), "without second runs no seed is known to be another's like or not")
	require.Contains(t, out, "sim: seed 10 failed; for its report: SQUALL_SEED=10 ")

	out, _ = outputOf(t, "TestVictimManySeeds", "SQUALL_SEEDS=1-10", "SQUALL_CHECK=0", "SQUALL_SWEEP=1")
	require.Len(t, whole(out), 10, "squall sweep keeps a report for each cause, whichever seed it is of")
}

func TestSweepSaysWhatFailedAlike(t *testing.T) {
	out, failed := outputOf(t, "TestVictimSweep", "SQUALL_SEEDS=1-10")
	require.True(t, failed)
	requireInOrder(t, out,
		"sim: TestVictimSweep: 1 of 10 seeds in 0s, 0 failed\n",
		"sim: TestVictimSweep: 10 of 10 seeds in ", ", 5 failed\n",
		"sim: 5 of 10 seeds failed, in 3 ways:\n",
		"3 seeds: 3,6,9\n", "sweep_test.go:", ": # jobs were lost\n", "SQUALL_SEED=3 "+sim.GoTest(), "-run '^TestVictimSweep$'",
		"1 seed: 5\n", "sweep_test.go:", ": Not equal: of each\n", "SQUALL_SEED=5 "+sim.GoTest(),
		"1 seed: 7\n", "(each report gives the reason)", "SQUALL_SEED=7 "+sim.GoTest())
	out, failed = outputOf(t, "TestVictimSweep", "SQUALL_SEEDS=1-2,4,8")
	require.False(t, failed)
	require.NotContains(t, out, " in 1 way")
}
