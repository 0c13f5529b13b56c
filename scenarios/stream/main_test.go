// Package stream_test has the scenarios of streaming, and runs the contract of
// delivery for it.
package stream_test

import (
	"testing"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

func TestDelivery(t *testing.T) {
	scenario.Delivery(t, "stream",
		scenario.Variant{Name: "memory", System: streamed},
		scenario.Variant{Name: "NDJSON", System: streamedAs(stream.NDJSON), Options: scenario.OtherEncoding()},
		scenario.Variant{Name: "WebSocket", System: streamedAs(stream.WebSocket), Options: scenario.OtherEncoding()},
		scenario.Variant{Name: "store", System: streamedWithStore, Options: scenario.OtherStore()},
		scenario.Variant{Name: "by name", System: streamedByName, Options: scenario.Only(scenario.ByName...)},
	)
}

// The same over the operating system's TCP, without the simulator.
func TestLoopback(t *testing.T) {
	scenario.Loopback(t, "stream",
		scenario.Variant{Name: "memory", System: streamed},
	)
}
