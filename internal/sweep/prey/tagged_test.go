//go:build prey

package prey

import (
	"testing"

	"github.com/squall-sim/squall/sim"
)

// What fails only as it was built and run for the sweep: with a tag, and with -short.
func TestTaggedPrey(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		if hunted && testing.Short() && n.Seed() == 5 {
			t.Error("five in short")
		}
	})
}
