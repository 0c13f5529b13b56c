package sim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// What Try finds is returned, and the test goes on, with the next bubble.
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
	requireInOrder(t, err.Error(), "broken", "at 1s of virtual time, seed 7", "[PA] seq 1:6", "To repeat it: SQUALL_SEED=7 go test")

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
	requireInOrder(t, out, "left: broken", "1 goroutine(s) of the test still run an hour after the network was closed", "waitForNothing",
		"blocked: sim: the test hangs", "waitForNothing", "--- PASS: TestVictimTry")
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
		{"", "0", nil, "sim: SQUALL_SEEDS=0: want the number of seeds, from 1 to 2^32-1"},
		{"1", "2", nil, "sim: SQUALL_SEED=1 and SQUALL_SEEDS=2 are set: only one of the two may be"},
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
