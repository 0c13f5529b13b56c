package sim_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// fiveWriters has five goroutines write to one connection, each the given time after the one before.
func fiveWriters(t *testing.T, n *sim.Network, apart time.Duration) {
	server, phone := n.Host("server"), n.Host("phone")
	accept(listen(t, server, ":7"), echo)
	c := dial(t, phone, "server:7")
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() { sayAfter(c, time.Second+time.Duration(i)*apart, make([]byte, 1+i)) })
	}
	all.Wait()
	time.Sleep(time.Second)
}

func sayAfter(c interface{ Write([]byte) (int, error) }, d time.Duration, what []byte) {
	time.Sleep(d)
	c.Write(what)
}

func TestVictimFiveWriters(t *testing.T) {
	victim(t)
	t.Run("racing", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { fiveWriters(t, n, 0) })
	})
	t.Run("apart", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { fiveWriters(t, n, time.Nanosecond) })
	})
	t.Run("declared", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { fiveWriters(t, n, 0) }, sim.MayDiffer("goroutines write at one instant"))
	})
}

// startedInTurn returns the order in which goroutines run that are started at one instant.
func startedInTurn() (order []int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
		})
	}
	all.Wait()
	return order
}

func TestVictimThatNeedsAnOrder(t *testing.T) {
	victim(t)
	t.Run("in turn", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, _ *sim.Network) {
			require.True(t, slices.IsSorted(startedInTurn()), "they came in another order")
		})
	})
	t.Run("another", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, _ *sim.Network) {
			require.False(t, slices.IsSorted(startedInTurn()), "they came in turn")
		})
	})
	t.Run("any", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, _ *sim.Network) { require.Len(t, startedInTurn(), 10) })
	})
	t.Run("none", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, _ *sim.Network) {
			startedInTurn()
			t.Error("broken")
		})
	})
}

// The check of schedules finds a test whose trace depends on the order of goroutines that are ready at one instant,
// and names the calls that race. Other tests pass.
func TestCheckOfSchedulesFindsARace(t *testing.T) {
	sim.NeedExact(t)
	out, failed := outputOf(t, "TestVictimFiveWriters", "SQUALL_CHECK=schedules", "SQUALL_SCHED=")
	require.True(t, failed)
	requireInOrder(t, out, "sim: goroutines of the test race: with seed 1 the test behaves in one way when goroutines that are ready at one instant run in turn (SQUALL_SCHED=fifo), and in another with SQUALL_SCHED=random:0.3. ",
		"The first event that differs is number ", "first:  1s ", " sent phone:32768 > server:7 ", "second: 1s ", " sent phone:32768 > server:7 ",
		"With SQUALL_SCHED=fifo. Network calls at that instant", "1. TCPConn.Write by sim_test.sayAfter (", "), for sim_test.fiveWriters.", "5. TCPConn.Write by sim_test.sayAfter (",
		"With SQUALL_SCHED=random:0.3. Network calls at that instant", "1. TCPConn.Write by sim_test.sayAfter (", "), for sim_test.fiveWriters.", "5. TCPConn.Write by sim_test.sayAfter (",
		"to repeat it: SQUALL_CHECK=schedules SQUALL_SEED=1 SQUALL_SCHED=random:0.3 go run ",
		"--- FAIL: TestVictimFiveWriters/racing", "--- PASS: TestVictimFiveWriters/apart", "--- PASS: TestVictimFiveWriters/declared")
}

// The check of schedules also finds a test that passes or fails depending on that order.
func TestCheckOfSchedulesComparesWhatFails(t *testing.T) {
	sim.NeedExact(t)
	out, failed := outputOf(t, "TestVictimThatNeedsAnOrder", "SQUALL_CHECK=schedules", "SQUALL_SCHED=random:0.05")
	require.True(t, failed)
	requireInOrder(t, out,
		"the test passes when goroutines that are ready at one instant run in turn (SQUALL_SCHED=fifo), and fails with SQUALL_SCHED=random:0.05. ", "they came in another order",
		"to repeat it: SQUALL_CHECK=schedules SQUALL_SEED=1 SQUALL_SCHED=random:0.05 go run ",
		"they came in turn", "To repeat it: SQUALL_SEED=1 SQUALL_SCHED=fifo go run ", "a second run of seed 1 had the same trace and failed too",
		"the test fails when goroutines that are ready at one instant run in turn (SQUALL_SCHED=fifo), and passes with SQUALL_SCHED=random:0.05. ",
		"broken", "--- FAIL: TestVictimThatNeedsAnOrder/in_turn", "--- FAIL: TestVictimThatNeedsAnOrder/another", "--- PASS: TestVictimThatNeedsAnOrder/any", "--- FAIL: TestVictimThatNeedsAnOrder/none")
	require.Equal(t, 2, strings.Count(out, "goroutines of the test race"), "one that fails in any order is no race: %s", out)
}

func TestCheckOfSchedulesIsRefused(t *testing.T) {
	if !sim.Exact() {
		out, failed := outputOf(t, "TestVictimFiveWriters", "SQUALL_CHECK=schedules")
		require.True(t, failed)
		require.Contains(t, out, "sim: SQUALL_CHECK=schedules needs exact mode, which decides the order in which goroutines run: go tool squall test, or go run github.com/squall-sim/squall/cmd/squall test, "+
			"instead of go test")
		return
	}
	out, failed := outputOf(t, "TestVictimFiveWriters", "SQUALL_CHECK=schedules", "SQUALL_SCHED=fifo")
	require.True(t, failed)
	require.Contains(t, out, "sim: SQUALL_SCHED=fifo with SQUALL_CHECK=schedules: the first run takes goroutines in turn already: want random:P or pct:D for the second run, or nothing for random:0.3")
}
