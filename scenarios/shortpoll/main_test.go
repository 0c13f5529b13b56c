// Package shortpoll_test has the scenarios of short polling, and runs the contract of
// delivery for it.
package shortpoll_test

import (
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

func TestDelivery(t *testing.T) {
	scenario.Delivery(t, "shortpoll",
		scenario.Variant{Name: "memory", System: polledEach(time.Second)},
		scenario.Variant{Name: "store", System: polledWithStore(time.Second), Options: scenario.OtherStore()},
		scenario.Variant{Name: "by name", System: polledByName, Options: scenario.Only(scenario.ByName...)},
	)
}

// The same over the operating system's TCP, without the simulator.
func TestLoopback(t *testing.T) {
	scenario.Loopback(t, "shortpoll",
		scenario.Variant{Name: "memory", System: polledEach(100 * time.Millisecond)},
		scenario.Variant{Name: "store", System: polledWithStore(100 * time.Millisecond)},
	)
}
