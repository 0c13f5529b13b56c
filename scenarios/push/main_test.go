// Package push_test has the scenarios of push over WebSocket, and runs the contract of
// delivery for it.
package push_test

import (
	"testing"

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
	scenario.Delivery(t, "push",
		scenario.Variant{Name: "memory", System: pushed, Options: scenario.Pieces()},
		scenario.Variant{Name: "store", System: pushedWithStore, Options: append(scenario.OtherStore(), scenario.Pieces()...)},
		scenario.Variant{Name: "conflating", System: pushedConflated, Options: append(scenario.Pieces(), scenario.Only(
			"values change faster than a client reads", "values change faster than a worker works", "events of seven keys", "events at one instant", "one client of three does not read")...)},
	)
}

// The same over the operating system's TCP, without the simulator.
func TestLoopback(t *testing.T) {
	scenario.Loopback(t, "push",
		scenario.Variant{Name: "memory", System: pushed},
		scenario.Variant{Name: "store", System: pushedWithStore},
	)
}
