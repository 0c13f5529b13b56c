package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// If not all trials are run, the chosen ones are spread evenly over all of them.
func TestTrialsAreSpread(t *testing.T) {
	var all []trial
	for i := range 10 {
		all = append(all, trial{Breaks: []brokenPlace{{Lost, Place{From: "a", To: "b", Nth: i}}}})
	}
	require.Equal(t, all, spread(all, 10))
	require.Equal(t, []trial{all[0], all[3], all[6]}, spread(all, 3))
}

// Two breakages with the same outcome, what was sent afterwards, count as one for the choice of pairs. Breakages that met nothing or failed the test begin
// no pairs. The second breakage of a pair is tried near the first one before far from it.
func TestPairsBeginWithOutcomesThatDiffer(t *testing.T) {
	at := func(nth int) Place { return Place{From: "a", To: "b", Kind: Data, Nth: nth} }
	after := func(nths ...int) (all []observedPacket) {
		for _, k := range nths {
			all = append(all, observedPacket{At: at(k), Kinds: 1 << Lost})
		}
		return all
	}
	did := func(nth int, outcome uint64, met, failed bool, next ...observedPacket) tried {
		return tried{trial{[]brokenPlace{{Lost, at(nth)}}, after(nth)}, result{Outcome: outcome, Met: met, Failed: failed, After: next}}
	}
	f := &findings{tried: []tried{
		did(1, 7, true, false, after(2, 3)...), did(2, 7, true, false, after(3)...), did(3, 8, false, false, after(9)...),
		did(4, 9, true, true, after(9)...), did(5, 10, true, false, after(6)...),
	}}
	var got [][2]int
	for _, p := range new(exploration).pairs(f) {
		got = append(got, [2]int{p.Breaks[0].At.Nth, p.Breaks[1].At.Nth})
	}
	require.Equal(t, [][2]int{{1, 2}, {5, 6}, {1, 3}}, got)
}
