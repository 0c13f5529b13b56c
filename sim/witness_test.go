package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A witness keeps the network calls at its instant, or if there are none, those at the last instant before.
func TestWitness(t *testing.T) {
	w := &witness{at: int64(3 * time.Second), last: -1}
	require.Empty(t, w.tell())
	early := func() { w.see(int64(time.Second)) }
	late := func() { w.see(int64(2 * time.Second)) }
	early()
	late()
	late()
	w.see(int64(4 * time.Second))
	require.Regexp(t, `^Another run made no network call .* before, at 2s:\n  goroutine \d+( and 1 more)?: running\n`, w.tell())
	require.Contains(t, w.tell(), "sim.TestWitness.func2\n          ", "late")
	require.NotContains(t, w.tell(), "TestWitness.func1", "early")
	w.see(int64(3 * time.Second))
	require.Regexp(t, `^Network calls at that instant, in another run:\n  goroutine \d+: running\n      sim.TestWitness\n`, w.tell())
}
