package sim

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Attempts to connect can leave the list in any order, even twice, and the open ones stay in it.
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
