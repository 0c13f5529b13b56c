package prey

import (
	"sync"
	"testing"

	"github.com/squall-sim/squall/sim"
)

// What fails in some orders of goroutines alone, of which plain mode has one.
func TestExactPrey(t *testing.T) {
	sim.NeedExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var mu sync.Mutex
		left := 1
		take := func(pieces int) (had int) {
			mu.Lock()
			defer mu.Unlock()
			had, left = left, left-pieces
			return had
		}
		var buyers sync.WaitGroup
		for range 2 {
			buyers.Go(func() {
				if take(0) > 0 {
					take(1)
				}
			})
		}
		buyers.Wait()
		if hunted && left < 0 {
			t.Error("it was sold twice")
		}
	})
}
