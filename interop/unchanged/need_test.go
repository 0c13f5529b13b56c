package unchanged

import (
	"testing"

	"github.com/squall-sim/squall/sim"
)

func needExact(t *testing.T) {
	t.Helper()
	sim.NeedExact(t)
}
