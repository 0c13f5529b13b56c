package exact_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// When the collector asks a goroutine to stop decides nothing. In timers.cleanHead the runtime looks for that and leaves timers that
// were stopped for later, so that they keep their place among those of one instant or are given another.
func TestTheCollectorDoesNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	run := func() (order []int, s exact.Schedule) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			timers := make([]*time.Timer, 100)
			for k := range timers {
				timers[k] = time.AfterFunc(time.Hour, func() {})
			}
			for range 300 {
				for _, timer := range timers {
					timer.Stop()
				}
				time.AfterFunc(time.Hour, func() {}).Stop() // has the runtime look for those that were stopped
				for _, timer := range timers {
					timer.Reset(time.Hour) // draws a place unless it was not found
				}
			}
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					time.Sleep(time.Millisecond)
					order = append(order, i)
				})
			}
			all.Wait()
			s = exact.Now()
			return nil
		}))
		return order, s
	}
	order, schedule := run()
	done := make(chan struct{})
	var collects sync.WaitGroup
	defer collects.Wait()
	defer close(done)
	collects.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	for range 30 {
		again, other := run()
		require.Equal(t, schedule, other)
		require.Equal(t, order, again)
	}
}
