package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A pool keeps as many objects as were in use at one time for the next time, but not all that were in use at the
// peak.
func TestPoolKeepsNoMoreThanItNeeds(t *testing.T) {
	var p pool
	flights := func(size int) (made int) {
		flight := make([]*packet, size)
		for i := range flight {
			if len(p.packets) == 0 {
				made++
			}
			flight[i] = p.packet(new(flow), protoTCP, stubResolver, stubResolver)
			flight[i].seg = p.segments.get()
		}
		for _, pkt := range flight {
			p.free(pkt)
		}
		return made
	}
	require.Equal(t, 5000, flights(5000))
	require.Zero(t, flights(5000))
	flights(50_000)
	require.Len(t, p.packets, mostPooled)
	require.Len(t, p.segments, mostPooled)
	require.Zero(t, flights(mostPooled))
}
