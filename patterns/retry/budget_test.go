package retry_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/retry"
)

// spend takes what there is, up to most.
func spend(b *retry.Budget, most int) (n int) {
	for n < most && b.Spend() {
		n++
	}
	return n
}

func TestBudgetOfAnOutage(t *testing.T) {
	for _, row := range []struct {
		reason  string
		budget  *retry.Budget
		pause   time.Duration // between calls, each of which wants three retries
		calls   int
		retries int
	}{
		// 3 at first, and a tenth for each call but the first, which finds the bucket full: 9.9. They earn what
		// time would, so that it adds nothing.
		{"a call a second: each earns a tenth, and the burst", &retry.Budget{}, sec, 100, 3 + 9},
		// 3 at first, and 99.9.
		{"a thousand calls a second: time adds nothing", &retry.Budget{}, ms, 1000, 3 + 99},
		// 3 at first; the k-th call comes k minutes later, and each minute earns six, of which a call takes three.
		{"a call a minute: time earns enough", &retry.Budget{}, time.Minute, 10, 30},
		// 3 at first, and the time of 9 pauses of 20 s, which is 18, and a tenth of the last call is not one.
		{"a call every 20 s: two for each pause", &retry.Budget{}, 20 * sec, 10, 3 + 18},
		{"a percent, and one at first", &retry.Budget{Percent: 1, Burst: 1, Every: time.Hour}, ms, 1000, 1 + 9},
		{"every call may be repeated", &retry.Budget{Percent: 100, Burst: 1}, ms, 100, 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := 0
			for i := range row.calls {
				if i > 0 {
					time.Sleep(row.pause)
				}
				row.budget.Call()
				got += spend(row.budget, 3)
			}
			require.Equal(t, row.retries, got, row.reason)
			stats := row.budget.Stats()
			require.EqualValues(t, row.calls, stats.Calls, row.reason)
			require.EqualValues(t, row.retries, stats.Spent, row.reason)
		})
	}
}

// What is not spent is not kept beyond Burst, and a token is there at the nanosecond at which
// it is earned.
func TestBudgetIsNoHoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &retry.Budget{Burst: 2}
		require.Equal(t, 2, spend(b, 10))
		time.Sleep(10*sec - 1)
		require.False(t, b.Spend())
		time.Sleep(1)
		require.True(t, b.Spend())
		require.False(t, b.Spend())
		time.Sleep(time.Hour)
		for range 1000 {
			b.Call()
		}
		require.Equal(t, 2, spend(b, 10))
		require.Equal(t, retry.BudgetStats{Calls: 1000, Spent: 5, Refused: 4}, b.Stats())
	})
}

// A crowd of calls has earned for itself; the time after it earns as always, but for the one
// attempt that the crowd has been given in advance.
func TestBudgetAfterACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &retry.Budget{}
		for range 1000 {
			b.Call()
		}
		require.Equal(t, 3, spend(b, 10))
		time.Sleep(20*sec - 1)
		require.False(t, b.Spend())
		time.Sleep(1)
		require.True(t, b.Spend())
	})
}

// The bound that its comment gives holds for any window of any story.
func TestBudgetHoldsInAnyWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := &retry.Budget{
			Percent: rapid.IntRange(1, 100).Draw(rt, "percent"),
			Burst:   rapid.IntRange(1, 5).Draw(rt, "burst"),
			Every:   time.Duration(rapid.IntRange(1, 20).Draw(rt, "every")) * sec,
		}
		pauses := rapid.SliceOfN(rapid.IntRange(0, 5000), 1, 60).Draw(rt, "pauses in ms")
		greed := rapid.SliceOfN(rapid.IntRange(0, 4), len(pauses), len(pauses)).Draw(rt, "retries wanted")
		broken := ""
		synctest.Test(t, func(t *testing.T) {
			type step struct {
				at    time.Time
				spent int
			}
			var steps []step
			for i, pause := range pauses {
				time.Sleep(time.Duration(pause) * ms)
				b.Call()
				steps = append(steps, step{time.Now(), spend(b, greed[i])})
			}
			for from := range steps {
				spent := 0
				for to := from; to < len(steps); to++ {
					spent += steps[to].spent
					calls := time.Duration(to - from + 1)
					window := steps[to].at.Sub(steps[from].at)
					// All in units of which one attempt costs Every.
					most := calls*b.Every*time.Duration(b.Percent)/100 + time.Duration(b.Burst)*b.Every + window
					if time.Duration(spent)*b.Every > most {
						broken = fmt.Sprintf("calls %d to %d: %d retries, want at most %.2f", from, to, spent, float64(most)/float64(b.Every))
					}
				}
			}
		})
		if broken != "" {
			rt.Fatal(broken)
		}
	})
}

func TestBudgetOfManyCallers(t *testing.T) {
	b := &retry.Budget{Every: 24 * time.Hour}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			b.Call()
			spend(b, 100)
		})
	}
	all.Wait()
	spend(b, 100)
	// Each call earns a tenth and 100 of them 10, if the burst of 3 was spent before they came.
	require.LessOrEqual(t, b.Stats().Spent, int64(13))
	require.GreaterOrEqual(t, b.Stats().Spent, int64(3))
}

func TestBudgetCheck(t *testing.T) {
	require.NoError(t, (&retry.Budget{}).Check())
	require.NoError(t, (&retry.Budget{Percent: 100, Burst: 10_000, Every: 24 * time.Hour}).Check())
	for want, b := range map[string]*retry.Budget{
		"retry: Budget.Percent is 101: want 0 for the default, or up to 100":                 {Percent: 101},
		"retry: Budget.Percent is -1: want 0 for the default, or up to 100":                  {Percent: -1},
		"retry: Budget.Burst is 10001: want 0 for the default, or up to 10000":               {Burst: 10_001},
		"retry: Budget.Every is 24h0m0.000000001s: want 0 for the default, or up to 24h0m0s": {Every: 24*time.Hour + 1},
	} {
		require.EqualError(t, b.Check(), want)
		require.PanicsWithValue(t, want, b.Call)
		require.PanicsWithValue(t, want, func() { b.Spend() })
	}
	require.Len(t, (&retry.Budget{Percent: -1, Burst: -1, Every: -1}).Check().(interface{ Unwrap() []error }).Unwrap(), 3)
}
