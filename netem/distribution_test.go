package netem

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The references are the moments of iproute2's tables, computed without this code by the formulas
// of its netem/normal.c, pareto.c and paretonormal.c.
func TestTableMoments(t *testing.T) {
	for _, row := range []struct {
		shape                         Shape
		mean, sd, least, most, median float64
		q90, q99                      float64
	}{
		{Normal, -0.0008, 1.0001, -4, 3.52, 0, 1.281, 2.327},
		{Pareto, -0.0335, 0.8197, -0.6667, 4, -0.32, 0.872, 4},
		{ParetoNormal, -0.0253, 0.8339, -1.5, 3.88, -0.24, 0.974, 3.58},
	} {
		table := row.shape.table()
		require.True(t, slices.IsSorted(table[:]), "%v is a quantile function", row.shape)
		var sum, squares float64
		for _, v := range table {
			x := float64(v) / tableScale
			sum += x
			squares += x * x
		}
		mean := sum / float64(len(table))
		at := func(q float64) float64 { return float64(table[int(q*float64(len(table)))]) / tableScale }

		require.InDelta(t, row.mean, mean, 0.0005, "%v mean", row.shape)
		require.InDelta(t, row.sd, math.Sqrt(squares/float64(len(table))-mean*mean), 0.0005, "%v deviation", row.shape)
		require.InDelta(t, row.least, at(0), 0.0005, "%v least", row.shape)
		require.InDelta(t, row.most, float64(table[len(table)-1])/tableScale, 0.005, "%v most", row.shape)
		require.InDelta(t, row.median, at(0.5), 0.005, "%v median", row.shape)
		require.InDelta(t, row.q90, at(0.9), 0.001, "%v q90", row.shape)
		require.InDelta(t, row.q99, at(0.99), 0.01, "%v q99", row.shape)
	}

	capped := 0
	for _, v := range Pareto.table() {
		if v == math.MaxInt16 {
			capped++
		}
	}
	require.InDelta(t, 0.011, float64(capped)/4096, 0.0005, "mass on Pareto's cap")
}

// The tables are computed in floating point, where platforms may differ in the last bit (1e-16,
// relative). No entry may be so close to the middle between two integers that this matters.
func TestTablesRoundAlikeEverywhere(t *testing.T) {
	h := sha256.New()
	for _, s := range []Shape{Normal, Pareto, ParetoNormal} {
		for i, v := range s.table() {
			x := quantile(s, i) * tableScale
			require.Greater(t, math.Abs(x-math.Floor(x)-0.5), 1e-7, "%v[%d] = %v", s, i, x)
			require.InDelta(t, x, v, 0.5)
		}
		require.NoError(t, binary.Write(h, binary.LittleEndian, s.table()[:]))
	}
	require.Equal(t, "dee88064e3a10893c75692acd7acab36798bd053da7b4fbabb6f874b5293dfb3", hex.EncodeToString(h.Sum(nil)))
}

// The same for curves.
func TestCurvesRoundAlikeEverywhere(t *testing.T) {
	h := sha256.New()
	for i := range curves() {
		s, c := Exponential+Shape(i), &curves()[i]
		require.True(t, slices.IsSorted(c[:]), "%v is a quantile function", s)
		for j, v := range c {
			x := curvePoint(s, j) * (1 << curveScaleBits)
			require.Greater(t, math.Abs(x-math.Floor(x)-0.5), 1e-11*x, "%v[%d] = %v", s, j, x)
			require.InDelta(t, x, v, 0.5)
		}
		require.NoError(t, binary.Write(h, binary.LittleEndian, c[:]))
	}
	require.Equal(t, "88b78e0c7812f5a7ac52ffa9e989cfce85d788c62226ecbc8d099d353ec693d7", hex.EncodeToString(h.Sum(nil)))
}

func TestCurvesHaveTheirQuantiles(t *testing.T) {
	const jitter = time.Second
	at := func(s Shape, q float64) float64 { return s.Offset(uint64(q*(1<<32))<<32, jitter).Seconds() }
	for _, q := range []float64{0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999} {
		require.InEpsilon(t, -math.Log(1-q), at(Exponential, q), 0.002, "%v", q)
		require.InEpsilon(t, math.Exp(math.Sqrt2*math.Erfinv(2*q-1)), at(LogNormal, q), 0.002, "%v", q)
	}
	for s, end := range map[Shape]float64{Exponential: 10.318, LogNormal: 54.2} {
		least, most, _ := bounds(s, jitter)
		require.Zero(t, least, s)
		require.InDelta(t, end, most.Seconds(), 0.1, s)
		require.Positive(t, s.Offset(math.MaxUint64, maxDelay), "no overflow at the limit")
	}
}

func TestUniformCoversItsRangeExactly(t *testing.T) {
	const jitter = 10 * time.Millisecond
	require.Equal(t, -jitter, Uniform.Offset(0, jitter))
	require.Equal(t, +jitter, Uniform.Offset(math.MaxUint64, jitter))
	require.Equal(t, time.Duration(0), Uniform.Offset(1<<63, jitter))

	// With 1 ns there are three values, each for a third of the numbers.
	third := uint64(math.MaxUint64 / 3)
	require.Equal(t, time.Duration(-1), Uniform.Offset(third, 1))
	require.Equal(t, time.Duration(0), Uniform.Offset(third+1, 1))
	require.Equal(t, time.Duration(1), Uniform.Offset(2*third+2, 1))
}

func TestTableOffsetScalesWithJitter(t *testing.T) {
	require.Equal(t, -4*time.Second, Normal.Offset(0, time.Second))
	require.Equal(t, -4*maxDelay, Normal.Offset(0, maxDelay), "no overflow at the limit")
	require.Equal(t, time.Duration(-4), Normal.Offset(0, 1))
	require.Equal(t, 4*time.Second-122070*time.Nanosecond, Pareto.Offset(math.MaxUint64, time.Second), "32767/8192, rounded to 1 ns")
}

// Samples through a pipe have the moments of the table.
func TestSampledDelayMoments(t *testing.T) {
	const n = 1_000_000
	const delay, jitter = 100 * time.Millisecond, 10 * time.Millisecond
	for _, row := range []struct {
		shape    Distribution
		mean, sd float64 // in units of Jitter
	}{
		{nil, 0, 1 / math.Sqrt(3)},
		{Uniform, 0, 1 / math.Sqrt(3)},
		{Normal, -0.0008, 1.0001},
		{Pareto, -0.0335, 0.8197},
		{ParetoNormal, -0.0253, 0.8339},
	} {
		p, err := NewPipe(Config{Delay: delay, Jitter: jitter, Distribution: row.shape})
		require.NoError(t, err)
		r := NewStream(5, "delay")
		var sum, squares float64
		for range n {
			x := float64(p.Send(Packet{Size: 1500}, 0, &r).At-delay) / float64(jitter)
			sum += x
			squares += x * x
		}
		mean := sum / n
		require.InDelta(t, row.mean, mean, 5*row.sd/math.Sqrt(n)+0.0005, "%v mean", row.shape)
		require.InDelta(t, row.sd, math.Sqrt(squares/n-mean*mean), 0.01*row.sd, "%v deviation", row.shape)
	}
}
