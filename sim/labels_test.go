package sim_test

import (
	"context"
	"runtime/pprof"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

func TestVictimLabelledLeak(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		go pprof.Do(context.Background(), pprof.Labels("job", "x"), func(context.Context) { waitForNothing(make(chan int)) })
	})
}

func TestLabelledLeakIsNamed(t *testing.T) {
	out, failed := outputOf(t, "TestVictimLabelledLeak", "GODEBUG=tracebacklabels=1")
	require.True(t, failed)
	requireInOrder(t, out, "1 goroutine of the test still runs an hour after the network was closed", "job", "waitForNothing", "To repeat it:")
}
