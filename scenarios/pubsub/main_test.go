// Package pubsub_test has the scenarios of publish/subscribe, and runs the contract of
// delivery for it.
package pubsub_test

import (
	"testing"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

func TestDelivery(t *testing.T) {
	scenario.Delivery(t, "pubsub",
		scenario.Variant{Name: "memory", System: published, Options: scenario.Pieces()},
		scenario.Variant{Name: "store", System: publishedWithStore, Options: append(scenario.OtherStore(scenario.Subscriptions...), scenario.Pieces()...)},
		scenario.Variant{Name: "by name", System: publishedByName, Options: twoSubscriptions()},
	)
}

// The same over the operating system's TCP, without the simulator.
func TestLoopback(t *testing.T) {
	scenario.Loopback(t, "pubsub",
		scenario.Variant{Name: "memory", System: published},
	)
}

// twoSubscriptions of one connection may have something to say at one instant.
func twoSubscriptions() []patterntest.Option {
	all := scenario.Only(scenario.ByName...)
	for _, story := range scenario.ByName {
		all = append(all, patterntest.Races(story, "which of two subscriptions writes to their connection first"))
	}
	return all
}
