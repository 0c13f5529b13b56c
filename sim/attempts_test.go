package sim

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Attempts to connect leave in any order, also twice, and those that are open stay in the list.
func TestOpenAttempts(t *testing.T) {
	h := new(Host)
	all := make([]*dialing, 5)
	for i := range all {
		all[i] = &dialing{host: h}
		all[i].enter()
	}
	for i, k := range []int{1, 4, 4, 0, 2, 0, 3} {
		all[k].leave()
		left := []int{4, 3, 3, 2, 1, 1, 0}[i]
		require.Len(t, h.dials.open, left)
		require.False(t, slices.Contains(h.dials.open, all[k]))
		for place, d := range h.dials.open {
			require.Equal(t, place, d.place)
		}
	}
}
