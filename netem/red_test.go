package netem

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With a constant average halfway between the thresholds, the number of packets from one drop to
// the next is uniform on 1 to 2/P, whose mean is 1/P + 1/2.
func TestREDSpacesItsDrops(t *testing.T) {
	q := RED{Min: 1000, Max: 3000, Limit: 10_000, Probability: 0.1, Weight: 32}
	c := &Config{Rate: Mbit, Queue: q}
	require.NoError(t, c.Validate())
	s := redState{average: 2000 << 32}
	r := NewStream(1)
	var gaps []float64
	last := 0
	for i := range 200_000 {
		if ok, _ := s.admits(q, c, &Packet{Size: 100}, 2000, 0, r.Uint64()); !ok {
			gaps = append(gaps, float64(i-last))
			last = i
		}
	}
	var sum, least, most float64 = 0, math.Inf(1), 0
	for _, g := range gaps[1:] {
		sum, least, most = sum+g, min(least, g), max(most, g)
	}
	require.Equal(t, []float64{1, 20}, []float64{least, most})
	require.InEpsilon(t, 10.5, sum/float64(len(gaps)-1), 0.02)
	// The same holds for the packets up to the first drop, after the one that begins the count.
	first := 0
	for range 2000 {
		s := redState{average: 2000 << 32}
		for ok := true; ok; first++ {
			ok, _ = s.admits(q, c, &Packet{Size: 100}, 2000, 0, r.Uint64())
		}
	}
	require.InEpsilon(t, 11.5, float64(first)/2000, 0.05)
	require.Less(t, RED{Min: 1, Max: 1 << 30, Probability: 1e-6}.draw(math.MaxUint64), uint64(1<<63), "no overflow at the limits")

	// Half of the average is left after ln 2 * 2^Weight idle packets.
	s = redState{average: 2000 << 7}
	q.Weight = 7
	s.admits(q, c, &Packet{Size: 100}, 0, time.Duration(math.Round(math.Ln2*128))*12*time.Millisecond, 0)
	require.InEpsilon(t, 1000, float64(s.average>>7), 0.02)
}
