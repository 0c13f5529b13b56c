package exact_test

import (
	"io"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// A profile of all goroutines has who takes it wait until those that are being recorded by themselves are, by giving way. That is the runtime's affair.
func TestProfilesOfGoroutinesDoNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	run := func(outsiders int) (s exact.Schedule) {
		var over atomic.Bool
		var others sync.WaitGroup
		for range outsiders {
			others.Go(func() {
				deep(100, func() {
					for !over.Load() {
						runtime.Gosched()
					}
				})
			})
		}
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			var all sync.WaitGroup
			for range 3 {
				all.Go(runtime.Gosched)
			}
			for range 50 {
				require.NoError(t, pprof.Lookup("goroutine").WriteTo(io.Discard, 1))
			}
			all.Wait()
			s = exact.Now()
			return nil
		}))
		over.Store(true)
		others.Wait()
		return s
	}
	quiet := run(0)
	for range 3 {
		require.Equal(t, quiet, run(20))
	}
}

// deep calls f with a stack of so many calls.
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
}
