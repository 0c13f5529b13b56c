package sim_test

import (
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// With another GOMAXPROCS, its goroutines pass one place more. Nothing is sent.
func TestVictimOtherOrder(t *testing.T) {
	victim(t)
	second := runtime.GOMAXPROCS(0) == 1 // in the test it is always the same
	sim.Test(t, func(*testing.T, *sim.Network) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 10 {
			all.Go(func() {
				for i := range 20 {
					if i == 10 && second {
						detour(&mu)
					}
					mu.Lock()
					mu.Unlock()
				}
				time.Sleep(time.Millisecond)
			})
		}
		all.Wait()
	})
}

func detour(mu *sync.Mutex) {
	mu.Lock()
	mu.Unlock()
}

// Where two runs with the same trace diverge, the report names the place in the program.
func TestReportOfAnotherOrder(t *testing.T) {
	sim.NeedExact(t)
	out, failed := outputOf(t, "TestVictimOtherOrder", "SQUALL_CHECK=1")
	require.True(t, failed)
	requireInOrder(t, out, "two runs with the same seed had the same trace, but their goroutines ran in different orders", "Decision number ", " is the first that differs:",
		"first: ", "second: ", "before: ")
	_, parted, _ := strings.Cut(out, "first that differs:")
	parted, _, _ = strings.Cut(parted, "before: ")
	require.Equal(t, 1, strings.Count(parted, "(sim_test.detour)"), "one of the two passed it: %s", out)
	require.Contains(t, parted, "decisions_test.go:")
}

func TestWhereDecisionsPart(t *testing.T) {
	const ready = 3 << 48
	same := []uint64{ready | 7, ready | 8}
	for _, row := range []struct {
		first, second []uint64
		want          string
	}{
		{same, same, "Their first 2 decisions are the same."},
		{nil, same, "Decision number 1 is the first that differs:\n  first:  none: the test had ended\n  second: goroutine 7 of the test ran next; 3 more were ready"},
		{append(same, 4), append(same, 5), "Decision number 3 is the first that differs:\n  first:  goroutine 4 of the test ran next; 0 more were ready\n" +
			"  second: goroutine 5 of the test ran next; 0 more were ready\n" +
			"  before: goroutine 8 of the test ran next; 3 more were ready\n  before: goroutine 7 of the test ran next; 3 more were ready"},
	} {
		require.Equal(t, row.want, sim.OtherOrder(row.first, sim.Packed(row.second)))
	}
	require.Contains(t, sim.OtherOrder(same, "?"), "The second run's decisions are unknown")
}

// The real time that a test takes decides nothing in it. Here the monitor, which normally counts seconds, counts a thousand times as often.
func TestRealTimeDoesNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	run := func() (s exact.Schedule) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			for range 20_000 {
				time.Sleep(time.Minute)
			}
			s = exact.Now()
			return nil
		}))
		return s
	}
	first := run()
	defer sim.Monitor(time.Millisecond, time.Hour, time.Hour, io.Discard)()
	require.Equal(t, first, run())
}

// In a test, the program can print the schedule so far in the form of a failure's report. Elsewhere there is no schedule.
func TestInterleaving(t *testing.T) {
	var outside *sim.Network
	var one, other string
	for _, told := range []*string{&one, &other} {
		sim.Test(t, func(_ *testing.T, n *sim.Network) {
			outside = n
			for _, seconds := range []time.Duration{1, 2} {
				time.AfterFunc(seconds*time.Second, func() {})
			}
			time.Sleep(time.Minute)
			*told = n.Interleaving()
		}, sim.Seed(3))
	}
	require.Equal(t, one, other)
	if sim.Exact() {
		require.Regexp(t, `^schedule [0-9a-f]{16} of \d+ turns$`, one)
	} else {
		require.Empty(t, one)
	}
	require.Empty(t, outside.Interleaving())
}
