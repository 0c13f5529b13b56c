package exact_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// Memory of more than 256 KB is cleared in pieces, and in between the runtime gives way to the collector. That is none of the program's affairs, and
// lets none of its other goroutines run.
func TestLargeObjectsDoNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	run := func() (s exact.Schedule) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					var kept [2][]byte
					for i := range 20 {
						kept[i%2] = make([]byte, 8<<20)
						runtime.Gosched()
					}
					runtime.KeepAlive(kept)
				})
			}
			all.Wait()
			s = exact.Now()
			return nil
		}))
		return s
	}
	quiet := run()
	done := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	defer collector.Wait()
	defer close(done)
	for range 3 {
		require.Equal(t, quiet, run())
	}
}
