package netem

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

// A curve is a quantile function that is nowhere negative, in units of Jitter/65536, linear between its
// points.
type curve [1<<tableBits + 1]uint32

const curveScaleBits = 16

func (c *curve) offset(u uint64, jitter time.Duration) time.Duration {
	i := u >> (64 - tableBits)
	part := u >> (32 - tableBits) & math.MaxUint32 // of the way from point i to the next, in units of 2^-32
	at := uint64(c[i]) + uint64(c[i+1]-c[i])*part>>32
	hi, lo := bits.Mul64(at, uint64(jitter))
	return time.Duration(hi<<(64-curveScaleBits) | lo>>curveScaleBits)
}

// curves are Exponential and LogNormal, computed once. As with tables, no point is near the middle between
// two integers, so every platform rounds alike.
var curves = sync.OnceValue(func() *[2]curve {
	all := new([2]curve)
	for i := range all {
		for j := range all[i] {
			all[i][j] = uint32(math.RoundToEven(curvePoint(Exponential+Shape(i), j) * (1 << curveScaleBits)))
		}
	}
	return all
})

// curvePoint returns the quantile at j/4096, in units of Jitter. The last one would be infinite. It is chosen
// so that the mean of the last piece is that of the distribution there.
func curvePoint(s Shape, j int) float64 {
	const pieces = 1 << tableBits
	at := float64(j) / pieces
	switch {
	case s == Exponential && j < pieces:
		return -math.Log1p(-at)
	case s == Exponential:
		last := curvePoint(s, pieces-1)
		return 2*(last+1) - last // memoryless: beyond any point the mean is 1 more
	case j == 0:
		return 0
	case j < pieces:
		return math.Exp(math.Sqrt2 * math.Erfinv(2*at-1))
	default:
		z := math.Sqrt2 * math.Erfinv(2*float64(pieces-1)/pieces-1)
		mean := pieces * math.Exp(0.5) * math.Erfc((z-1)/math.Sqrt2) / 2 // E[X | Z > z]
		return 2*mean - curvePoint(s, pieces-1)
	}
}
