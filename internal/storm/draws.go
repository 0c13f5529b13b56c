package storm

import (
	"math/bits"
	"time"

	"github.com/squall-sim/squall/netem"
)

// Draws are the random draws of one storm. They depend only on its seed.
type Draws struct{ stream netem.Stream }

// NewDraws returns the draws of a seed.
func NewDraws(seed uint64) *Draws { return &Draws{netem.NewStream(seed, "storm")} }

// Below draws from 0 to n-1.
func (d *Draws) Below(n int) int {
	hi, _ := bits.Mul64(d.stream.Uint64(), uint64(n))
	return int(hi)
}

// Pick draws one of the given values.
func Pick[T any](d *Draws, from ...T) T { return from[d.Below(len(from))] }

// Milliseconds draws a whole number of milliseconds from 0 to below-1.
func (d *Draws) Milliseconds(below int) time.Duration {
	return time.Duration(d.Below(below)) * time.Millisecond
}
