package sim_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// TestVictimSweep fails in two ways, and with one seed in none that a second process repeats.
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

func TestSweepSaysWhatFailedAlike(t *testing.T) {
	out, failed := outputOf(t, "TestVictimSweep", "SQUALL_SEEDS=1-10")
	require.True(t, failed)
	requireInOrder(t, out,
		"sim: TestVictimSweep: 1 of 10 seeds in 0s, 0 failed\n",
		"sim: TestVictimSweep: 10 of 10 seeds in ", ", 5 failed\n",
		"sim: 5 of 10 seeds failed, in 3 ways:\n",
		"3 seeds: 3,6,9\n", "sweep_test.go:", ": # jobs were lost\n", "SQUALL_SEED=3 "+sim.GoTest(), "-run '^TestVictimSweep$'",
		"1 seed: 5\n", "sweep_test.go:", ": Not equal: of each\n", "SQUALL_SEED=5 "+sim.GoTest(),
		"1 seed: 7\n", "(what for, the report of each says)", "SQUALL_SEED=7 "+sim.GoTest())
	out, failed = outputOf(t, "TestVictimSweep", "SQUALL_SEEDS=1-2,4,8")
	require.False(t, failed)
	require.NotContains(t, out, " in 1 way")
}
