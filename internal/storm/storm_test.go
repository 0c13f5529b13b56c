package storm_test

import (
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/internal/storm"
)

type faults = storm.Schedule[int]

// of is a generator of up to five faults of four kinds, in which a 3 is left out beside a 0.
var of = storm.Generator[int]{
	Count:    func(d *storm.Draws) int { return d.Below(6) },
	Pause:    func(d *storm.Draws) time.Duration { return d.Milliseconds(10_000) },
	What:     func(d *storm.Draws) int { return d.Below(4) },
	Lasts:    func(d *storm.Draws) time.Duration { return storm.Pick(d, storm.Durations...) + d.Milliseconds(1000) },
	Excludes: func(x, other int) bool { return x == 3 && other == 0 },
}

var late = storm.Simpler[int]{
	What: func(w int) (all []int) {
		for v := range w {
			all = append(all, v)
		}
		return all
	},
	Last: 10 * time.Minute,
}

func TestASeedDrawsTheSameSchedule(t *testing.T) {
	var drawn, with3 int
	for seed := range uint64(200) {
		s := of.Draw(storm.NewDraws(seed))
		require.Equal(t, s, of.Draw(storm.NewDraws(seed)))
		require.LessOrEqual(t, len(s), 5)
		has := map[int]bool{}
		for i, x := range s {
			has[x.What] = true
			require.True(t, i == 0 || s[i-1].At <= x.At, "they are in the order in which they begin")
		}
		require.False(t, has[3] && has[0], "seed %d", seed)
		drawn += len(s)
		if has[3] {
			with3++
		}
	}
	require.NotZero(t, with3)
	require.InDelta(t, 2.5*200, drawn, 150)
}

// What is made smaller comes to an end, whatever fails, since each step goes down in one order.
func TestWhatIsSmallerIsLess(t *testing.T) {
	less := func(a, b faults) bool {
		if len(a) != len(b) {
			return len(a) < len(b)
		}
		for i := range a {
			x, y := a[i], b[i]
			switch {
			case x == y:
			case x.What != y.What:
				return x.What < y.What
			case x.Lasts != y.Lasts:
				return x.Lasts < y.Lasts
			default:
				grid := func(at time.Duration) int {
					return slices.IndexFunc([]time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond},
						func(g time.Duration) bool { return at%g == 0 })
				}
				if g, h := grid(x.At), grid(y.At); g != h {
					return g < h
				}
				return x.At > y.At
			}
		}
		return false
	}
	rapid.Check(t, func(t *rapid.T) {
		s := of.Draw(storm.NewDraws(rapid.Uint64().Draw(t, "seed")))
		for c := range s.Smaller(late) {
			require.True(t, less(c, s), "%v is to be less than %v", c, s)
			for _, x := range c {
				require.GreaterOrEqual(t, x.At, time.Duration(0))
				require.LessOrEqual(t, x.At+x.Lasts, max(late.Last, s.Over()))
			}
		}
	})
}

// Where a fault cannot last less than drawn or begin later, a rounder beginning is simpler.
func TestWhatIsTriedOfOneFault(t *testing.T) {
	plain := storm.Simpler[int]{What: late.What}
	at := func(what int, at, lasts time.Duration) faults { return faults{{What: what, At: at, Lasts: lasts}} }
	const second, minute = time.Second, time.Minute
	require.Equal(t, []faults{
		{},
		at(0, 71500*time.Millisecond, 2*second),
		at(1, 71500*time.Millisecond, 100*time.Millisecond), at(1, 71500*time.Millisecond, second),
		at(1, minute, 2*second), at(1, 70*second, 2*second), at(1, 71*second, 2*second),
	}, slices.Collect(at(1, 71500*time.Millisecond, 2*second).Smaller(plain)))
	require.Equal(t, []faults{{}}, slices.Collect(at(0, minute, 100*time.Millisecond).Smaller(plain)), "it is as simple as it gets")
}

// Of whatever was drawn there remain the faults that are needed, as short and as late as they can be.
func TestShrinkFindsWhatIsNeeded(t *testing.T) {
	needs := func(s faults) bool {
		first := slices.IndexFunc(s, func(x storm.Fault[int]) bool {
			return x.What >= 1 && x.Lasts >= 700*time.Millisecond && x.At <= 4300*time.Millisecond
		})
		second := slices.IndexFunc(s, func(x storm.Fault[int]) bool { return x.What == 2 && x.At <= 20999*time.Millisecond })
		return first >= 0 && second >= 0 && first != second
	}
	found := 0
	for seed := range uint64(1500) {
		s := of.Draw(storm.NewDraws(seed))
		if !needs(s) {
			continue
		}
		found++
		least, did := storm.Shrink(s, func(s faults) iter.Seq[faults] { return s.Smaller(late) }, needs, storm.Limit{Until: time.Now().Add(time.Minute)})
		require.True(t, did.Whole)
		slices.SortFunc(least, func(a, b storm.Fault[int]) int { return int(a.At - b.At) })
		require.Equal(t, faults{
			{What: 1, At: 4 * time.Second, Lasts: 700 * time.Millisecond},
			{What: 2, At: 20 * time.Second, Lasts: time.Millisecond},
		}, least, "of seed %d", seed)
	}
	require.Greater(t, found, 10)
}

// A limit ends a search, which then has what it has found by then.
func TestShrinkKeepsToItsLimit(t *testing.T) {
	s := faults{{What: 1, At: time.Second, Lasts: time.Second}, {What: 2, Lasts: time.Second}}
	smaller := func(s faults) iter.Seq[faults] { return s.Smaller(late) }
	always := func(faults) bool { return true }
	least, did := storm.Shrink(s, smaller, func(faults) bool { return false }, storm.Limit{Tries: 3, Until: time.Now().Add(time.Minute)})
	require.Equal(t, s, least)
	require.Equal(t, storm.Shrinking{Tries: 3}, did)
	_, did = storm.Shrink(s, smaller, always, storm.Limit{Until: time.Now().Add(-time.Second)})
	require.Equal(t, storm.Shrinking{}, did)
	least, did = storm.Shrink(s, smaller, always, storm.Limit{Until: time.Now().Add(time.Minute)})
	require.Empty(t, least)
	require.Equal(t, storm.Shrinking{Tries: 1, Whole: true}, did)
}

func TestParts(t *testing.T) {
	require.Equal(t, []storm.Part{{0, 3}, {0, 1}, {1, 2}, {2, 3}}, slices.Collect(storm.Parts(3)))
	require.Empty(t, slices.Collect(storm.Parts(0)))
}
