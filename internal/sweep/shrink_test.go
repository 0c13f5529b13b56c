package sweep

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of six faults two are needed, and of the two times of a fault that comes and goes, with the one that it is made of, none.
func TestShrinkKeepsTheFaultsThatAreNeeded(t *testing.T) {
	t.Setenv("SQUALL_PREY", "1")
	c := Shrinking{Run: "^TestPrey$", Seed: 1_000_000, Timeout: time.Minute}
	s, err := shrink(t.Context(), c, prey[0])
	require.NoError(t, err)
	require.Equal(t, "TestPrey", s.Test)
	require.Regexp(t, `^prey_test\.go:\d+: b and e, # in all$`, s.Cause)
	require.Equal(t, []int{2, 5}, s.Numbers)
	require.Equal(t, 7, s.Before, "the link is down as part of the seventh")
	const after = 4 * time.Millisecond // a request, whose connection and answer take four ways of 1 ms
	require.Equal(t, []Fault{
		{Number: 2, Name: "b", Begun: time.Second + after, Over: 1500*time.Millisecond + after},
		{Number: 5, Name: "e", Begun: 4*time.Second + after, Over: 4500*time.Millisecond + after},
	}, s.Faults)

	again, err := shrink(t.Context(), c, prey[0])
	require.NoError(t, err)
	require.Equal(t, s, again)

	c.Seed = 23 // fails, without a fault
	s, err = shrink(t.Context(), c, prey[0])
	require.NoError(t, err)
	require.Empty(t, s.Numbers)
	require.Zero(t, s.Before)

	c.Seed = 31 // a goroutine of the program's panics
	_, err = shrink(t.Context(), c, prey[0])
	require.ErrorContains(t, err, "the test process ended before it reported its faults: the process ended: panic: a goroutine of the program's own")

	c.Seed = 1
	_, err = shrink(t.Context(), c, prey[0])
	require.ErrorContains(t, err, `no test that takes seeds and is selected by -run "^TestPrey$" fails with seed 1`)
}

// Runs of sim.Explore leave no folder.
func TestShrinkRefusesExplorations(t *testing.T) {
	_, err := faultsIn(t.TempDir(), Finding{Test: "TestPayment", Seed: 1, Cause: "explore.go:77: sim: Explore: pay_test.go:34: charged # times"})
	require.EqualError(t, err, "TestPayment calls sim.Explore, whose runs have only the breakages that its report names: there is nothing to leave out. "+
		"The report has a command for each failure")
}

func TestFewest(t *testing.T) {
	all := []int{1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, needed := range [][]int{{}, {1}, {9}, {2, 5}, {1, 2, 3}, all} {
		runs := 0
		kept, err := fewest(all, func(some []int) (bool, error) {
			runs++
			for _, n := range needed {
				if !slices.Contains(some, n) {
					return false, nil
				}
			}
			return true, nil
		})
		require.NoError(t, err)
		require.Equal(t, needed, append([]int{}, kept...))
		require.Less(t, runs, 40)
	}
	// Either of two is enough: the later one stays.
	kept, err := fewest([]int{1, 2, 3}, func(some []int) (bool, error) { return slices.Contains(some, 1) || slices.Contains(some, 3), nil })
	require.NoError(t, err)
	require.Equal(t, []int{3}, kept)
	_, err = fewest(all, func([]int) (bool, error) { return false, errors.New("no process") })
	require.ErrorContains(t, err, "no process")
}
