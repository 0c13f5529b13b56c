package netem

import (
	"fmt"
	"math"
	"math/bits"
	"sync"
	"time"
)

// Distribution is the shape of the jitter around Delay. [Shape] has the common ones, [Table] is an empirical
// one, and [SlowTail] adds a few slow packets to another. To define another one, implement its method.
type Distribution interface {
	// Offset returns how much longer than Delay a packet takes, or, if negative, how much shorter. u is a
	// uniform draw, and jitter, which is positive, is the scale. The result must depend on nothing else.
	Offset(u uint64, jitter time.Duration) time.Duration
}

// Shape is a built-in [Distribution]. [Uniform] is exact to the nanosecond. [Normal], [Pareto] and
// [ParetoNormal] are tables of 4096 quantiles in units of Jitter/8192, made as those of tc-netem(8) are, and
// like them they end at 4 times Jitter on either side. [Exponential] and [LogNormal] only lengthen Delay;
// they are 4097 quantiles, interpolated linearly.
type Shape uint8

const (
	// Uniform reaches from -Jitter to +Jitter. It is the default. Its standard
	// deviation is Jitter/sqrt(3).
	Uniform Shape = iota
	// Normal has mean 0 and standard deviation Jitter.
	Normal
	// Pareto has a long tail to the right (shape 3, cut off at 4 Jitter: 1.1 % of the packets take exactly
	// that long). It begins at -0.667 Jitter; its mean is -0.033 Jitter, its median -0.32 and its standard
	// deviation 0.82. So Jitter is a scale here, not the deviation.
	Pareto
	// ParetoNormal is a quarter Normal and three quarters Pareto, quantile by
	// quantile: from -1.5 to 3.88 Jitter, mean -0.025, deviation 0.83.
	ParetoNormal
	// Exponential begins at 0 and has mean and standard deviation Jitter, like the wait at a queue that
	// serves others at random. It ends at 10.3 Jitter.
	Exponential
	// LogNormal is Jitter*exp(Z) with a standard normal Z. Its median is Jitter, its mean 1.65 and its
	// standard deviation 2.15 Jitter (2.16 without the cut-off at 54 Jitter).
	LogNormal
)

// Offset implements [Distribution].
func (s Shape) Offset(u uint64, jitter time.Duration) time.Duration {
	switch {
	case s == Uniform:
		hi, _ := bits.Mul64(u, 2*uint64(jitter)+1)
		return time.Duration(hi) - jitter
	case s >= Exponential:
		return curves()[s-Exponential].offset(u, jitter)
	}
	return scaled(s.table()[u>>(64-tableBits)], jitter)
}

// scaled returns an entry of a table as a time, rounded to a nanosecond.
func scaled(entry int16, jitter time.Duration) time.Duration {
	return time.Duration((int64(entry)*int64(jitter) + tableScale/2) >> tableScaleBits)
}

// String returns the name of the shape.
func (s Shape) String() string {
	if int(s) < len(shapeNames) {
		return shapeNames[s]
	}
	return fmt.Sprintf("Shape(%d)", uint8(s))
}

var shapeNames = [...]string{"Uniform", "Normal", "Pareto", "ParetoNormal", "Exponential", "LogNormal"}

// bounds returns the least and the most that a distribution adds to Delay. A custom distribution may add
// anything.
func bounds(d Distribution, jitter time.Duration) (least, most time.Duration, known bool) {
	switch d := d.(type) {
	case Shape:
		return d.Offset(0, jitter), d.Offset(math.MaxUint64, jitter), true
	case Table:
		for i, entry := range d {
			at := scaled(entry, jitter)
			if i == 0 {
				least, most = at, at
			}
			least, most = min(least, at), max(most, at)
		}
		return least, most, true
	case SlowTail:
		if d.Of != nil {
			least, most, known = bounds(d.Of, jitter)
		} else {
			least, most, known = bounds(Uniform, jitter)
		}
		return least, most + d.Max, known
	}
	return 0, 0, false
}

const (
	tableBits      = 12
	tableScaleBits = 13
	tableScale     = 1 << tableScaleBits
)

type table [1 << tableBits]int16

func (s Shape) table() *table { return tables()[s] }

// tables computes the quantiles once. Floating point may differ by a last bit between platforms. But every
// entry is far enough from the middle between two integers to round the same everywhere; a test checks that.
var tables = sync.OnceValue(func() *[ParetoNormal + 1]*table {
	all := [ParetoNormal + 1]*table{Normal: {}, Pareto: {}, ParetoNormal: {}}
	for i := range all[Normal] {
		for _, s := range []Shape{Normal, Pareto, ParetoNormal} {
			all[s][i] = int16(math.RoundToEven(quantile(s, i) * tableScale))
		}
	}
	return &all
})

// quantile returns entry i of a table, in units of Jitter. It takes the quantiles at the same places as
// iproute2 (netem/normal.c, pareto.c, paretonormal.c), so that the moments are the same.
func quantile(s Shape, i int) float64 {
	const lowest, highest = math.MinInt16 / float64(tableScale), math.MaxInt16 / float64(tableScale)
	at := float64(i) / (1 << tableBits)
	var q float64
	switch s {
	case Normal:
		q = math.Sqrt2 * math.Erfinv(2*(at+1.0/(1<<(tableBits+3)))-1)
	case Pareto:
		const mean = 1.5 // of shape 3 and minimum 1
		q = 4.0 / 3 * (1/math.Cbrt(1-at) - mean)
	case ParetoNormal:
		q = 0.25*quantile(Normal, i) + 0.75*quantile(Pareto, i)
	}
	return min(max(q, lowest), highest)
}
