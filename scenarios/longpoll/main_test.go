// Package longpoll_test has the scenarios of long polling, and runs the contract of
// delivery for it.
package longpoll_test

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
	scenario.Delivery(t, "longpoll",
		scenario.Variant{Name: "memory", System: polling},
		scenario.Variant{Name: "store", System: pollingWithStore, Options: scenario.OtherStore()},
		scenario.Variant{Name: "by name", System: pollingByName, Options: scenario.Only(scenario.ByName...)},
	)
}

// The same over the operating system's TCP, without the simulator.
func TestLoopback(t *testing.T) {
	scenario.Loopback(t, "longpoll",
		scenario.Variant{Name: "memory", System: polling},
		scenario.Variant{Name: "store", System: pollingWithStore},
	)
}
