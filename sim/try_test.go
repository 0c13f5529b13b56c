package sim_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// Try returns the reason for which Test would fail, and the test continues with the next bubble.
func TestTryReturnsWhatTestWouldFailFor(t *testing.T) {
	t.Setenv("SQUALL_SEEDS", "3") // is for Test
	errBroken := errors.New("broken")
	runs := 0
	err := sim.Try(t, func(n *sim.Network) error {
		runs++
		accept(listen(t, n.Host("b"), ":7"), echo)
		dial(t, n.Host("a"), "b:7").Write([]byte("hello"))
		time.Sleep(time.Second)
		return errBroken
	}, sim.Seed(7))
	require.Equal(t, 1, runs)
	require.ErrorIs(t, err, errBroken)
	requireInOrder(t, err.Error(), "broken", "at 1s of virtual time, seed 7", "[PA] seq 1:6", "To repeat it: SQUALL_SEED=7 "+sim.GoTestHere())

	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		require.EqualValues(t, 1, n.Seed())
		time.Sleep(time.Hour)
		require.Equal(t, time.Hour, n.Elapsed())
		return nil
	}))

	for range 20 {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error { return nil }), "what was broken before is no matter")
	}
	require.False(t, t.Failed())
}

// What a program leaves behind stays in its dead bubble, and goleak would find it here.
func TestVictimTry(t *testing.T) {
	victim(t)
	err := sim.Try(t, func(n *sim.Network) error {
		go waitForNothing(make(chan int))
		return errors.New("broken")
	})
	t.Log("left:", err)
	err = sim.Try(t, func(n *sim.Network) error {
		waitForNothing(make(chan int))
		return nil
	})
	t.Log("blocked:", err)
	require.NoError(t, sim.Try(t, func(n *sim.Network) error { return nil }))
}

func TestTryGoesOnAfterLeaksAndHangs(t *testing.T) {
	out, _ := outputOf(t, "TestVictimTry")
	require.Equal(t, 2, strings.Count(out, "To repeat it:"), "once each:\n%s", out)
	requireInOrder(t, out, "left: broken", "1 goroutine of the test still runs an hour after the network was closed", "waitForNothing",
		"blocked: sim: the test hangs", "waitForNothing", "--- PASS: TestVictimTry")
}

func seedsWanted(value, problem string) string {
	return fmt.Sprintf("sim: SQUALL_SEEDS=%s: %s: want a number of seeds, such as 1000 for 1 to 1000, "+
		"or a list of seeds and ranges, such as 1-1000,4711; at most 10000000 seeds", value, problem)
}

func TestSeeds(t *testing.T) {
	for _, row := range []struct {
		one, many string
		seeds     []uint64
		err       string
	}{
		{"", "", []uint64{5, 6}, ""},
		{"7", "", []uint64{7}, ""},
		{"", "3", []uint64{1, 2, 3}, ""},
		{"x", "", nil, "sim: SQUALL_SEED=x: want a number from 0 to 2^64-1"},
		{"", "1-3,4711, 2,9-9", []uint64{1, 2, 3, 4711, 9}, ""},
		{"", "7,", nil, seedsWanted("7,", `"" is not a seed`)},
		{"", "4711-4711", []uint64{4711}, ""},
		{"", "18446744073709551614-18446744073709551615", []uint64{math.MaxUint64 - 1, math.MaxUint64}, ""},
		{"", "0", nil, seedsWanted("0", "that is no seed")},
		{"", "3-1", nil, seedsWanted("3-1", `"3-1" ends before it begins`)},
		{"", "1-2-3", nil, seedsWanted("1-2-3", `"1-2-3" is not a range of seeds`)},
		{"", "1-10000001", nil, seedsWanted("1-10000001", "too many seeds")},
		{"", "0-18446744073709551615", nil, seedsWanted("0-18446744073709551615", "too many seeds")},
		{"1", "2", nil, "sim: SQUALL_SEED=1 and SQUALL_SEEDS=2 are both set: set only one"},
	} {
		t.Setenv("SQUALL_SEED", row.one)
		t.Setenv("SQUALL_SEEDS", row.many)
		seeds, err := sim.Seeds(5, 6)
		require.Equal(t, row.seeds, seeds)
		if row.err != "" {
			require.EqualError(t, err, row.err)
		} else {
			require.NoError(t, err)
		}
	}
}
