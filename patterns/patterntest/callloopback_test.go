package patterntest_test

import (
	"testing"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/patterns/patterntest"
)

func TestSoundServicesKeepTheContractOnLoopback(t *testing.T) {
	t.Parallel() // it only waits
	processors.All(t)
	t.Run("the example", func(t *testing.T) { patterntest.CallLoopback(t, shopAndCustomers) })
	t.Run("an office", func(t *testing.T) { patterntest.CallLoopback(t, office{}.on) })
}
