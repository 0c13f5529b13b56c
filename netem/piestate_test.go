package netem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With a constant probability of 0.1 there are at least 9 packets from one drop to the next, since
// 8 of them add up to less than 0.85, and at most 85, which add up to 8.5. Each packet after the
// eighth is dropped with 0.1. So the mean is 8 + 10.
func TestPIESpacesItsDrops(t *testing.T) {
	q := PIE{}
	c := &Config{Rate: Mbit, Queue: q}
	require.NoError(t, c.Validate())
	r := NewStream(1)
	s := pieState{begun: true, prob: pieOne/10 + 1, old: 20 * time.Millisecond}
	var gaps []int
	last, sum := 0, 0
	for i := range 400_000 {
		if ok, _ := s.admits(q, c, &Packet{Size: 100}, 10, 10_000, time.Second, 0, r.Uint64()); !ok {
			gaps = append(gaps, i-last)
			last = i
		}
	}
	least, most := 1000, 0
	for _, g := range gaps[1:] {
		least, most, sum = min(least, g), max(most, g), sum+g
	}
	require.Equal(t, 9, least)
	require.LessOrEqual(t, most, 85)
	require.InEpsilon(t, 18, float64(sum)/float64(len(gaps)-1), 0.02)

	s = pieState{begun: true, prob: pieOne / 100, old: 20 * time.Millisecond} // 850 packets at most, and 84 that pass
	for i, last := 0, 0; i < 100_000; i++ {
		if ok, _ := s.admits(q, c, &Packet{Size: 100}, 10, 10_000, time.Second, 0, 1<<63); !ok { // luck that spares all
			require.LessOrEqual(t, i-last, 851)
			require.GreaterOrEqual(t, i-last, 849)
			last = i
		}
	}
}

// A step of an Update by hand (RFC 8033, section 4.2). At a probability of 0.2 and a wait of 35 ms,
// 10 ms more than before, it grows by 0.125 * 0.020 + 1.25 * 0.010 = 0.015. Below 0.1 it grows by
// half of that, below 0.01 by an eighth. From 0.1 on it grows by 0.02 at most, and by 0.02 more if
// the wait is above 250 ms. When nothing waits it loses a sixty-fourth of what is left.
func TestPIEUpdates(t *testing.T) {
	const ms = time.Millisecond
	q := PIE{}.defaults()
	for _, row := range []struct {
		prob      float64
		old, wait time.Duration
		want      float64
	}{
		{0.2, 25 * ms, 35 * ms, 0.2 + 0.015},
		{0.05, 25 * ms, 35 * ms, 0.05 + 0.015/2},
		{0.005, 25 * ms, 35 * ms, 0.005 + 0.015/8},
		{0.0005, 25 * ms, 35 * ms, 0.0005 + 0.015/32},
		{0.2, 35 * ms, 5 * ms, 0.2 - 0.125*0.010 - 1.25*0.030},
		{0.01, 35 * ms, 0, 0.01 - 0.5*(0.125*0.015+1.25*0.035)}, // below nothing: 0
		{0.2, 25 * ms, 200 * ms, 0.22},
		{0.2, 300 * ms, 300 * ms, 0.2 + 0.02 + 0.02},
		{0.2, 0, 0, 0.2 - 0.125*0.015 - (0.2-0.125*0.015)/64},
		{1, 100 * ms, 100 * ms, 1},
	} {
		s := pieState{begun: true, prob: int64(row.prob * float64(pieOne)), old: row.old}
		s.update(&q, row.wait)
		require.InDelta(t, max(0, row.want), float64(s.prob)/float64(pieOne), 1e-6, "%+v", row)
		require.Equal(t, row.wait, s.old)
	}
}
