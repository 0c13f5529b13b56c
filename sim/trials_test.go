package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A trial fails as a test would, and fails no test.
func TestATrialTellsWhyItFailed(t *testing.T) {
	t.Setenv("SQUALL_SEED", "")
	t.Setenv("SQUALL_SEEDS", "")
	x := sim.NewTrials(t, "sim_test", []uint64{3, 4})
	seeds, subtests := x.Seeds()
	require.Equal(t, []uint64{3, 4}, seeds)
	require.False(t, subtests)
	for name, row := range map[string]struct {
		f     func(t testing.TB, n *sim.Network)
		cause string
		text  string
	}{
		"nothing":  {func(t testing.TB, n *sim.Network) { t.Log("it is well") }, "", ""},
		"Errorf":   {func(t testing.TB, n *sim.Network) { t.Errorf("%d of %d", 1, 2); t.Error("and", 3) }, "# of #", "1 of 2\nand 3"},
		"Fatal":    {func(t testing.TB, n *sim.Network) { t.Fatal("over"); t.Error("not reached") }, "over", "over"},
		"require":  {func(t testing.TB, n *sim.Network) { require.True(t, false, "at %d", 7) }, "Should be true at #", ""},
		"Fail":     {func(t testing.TB, n *sim.Network) { t.Fail() }, "the test failed without a word", ""},
		"skipped":  {func(t testing.TB, n *sim.Network) { t.Skip("not today") }, "", ""},
		"panic":    {func(t testing.TB, n *sim.Network) { panic("oh") }, "sim: the test panicked: oh", ""},
		"misuse":   {func(t testing.TB, n *sim.Network) { n.Host("") }, "", ""},
		"cleanup":  {func(t testing.TB, n *sim.Network) { t.Cleanup(func() { t.Error("late") }) }, "late", "late"},
		"the seed": {func(t testing.TB, n *sim.Network) { t.Fatal("seed", n.Seed()) }, "seed #", "seed 4"},
	} {
		failed := x.Try(t, 4, row.f)
		switch {
		case row.cause == "" && name != "misuse":
			require.Nil(t, failed, name)
		case name == "misuse":
			require.Contains(t, failed.Cause, "sim: Host")
		default:
			require.Equal(t, row.cause, failed.Cause, name)
			require.Contains(t, failed.Text, row.text, name)
		}
	}
	require.False(t, t.Failed())
}
