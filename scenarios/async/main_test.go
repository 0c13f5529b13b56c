// Package async_test has the scenarios of asynchronous work: jobs, operations, callbacks, outboxes and
// sagas.
package async_test

import (
	"slices"
	"testing"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, slices.Concat(operations, jobs, outboxes, sagas, callbacks))
}

// Operations, each a call that waits for its result.
func TestCall(t *testing.T) {
	var races []patterntest.Option
	for _, story := range []string{
		"the server crashes while it works", "the server loses power while it works", "the server restarts while it works for long",
		"the server is redeployed ten times, amid calls",
	} {
		races = append(races, patterntest.Races(story, "which of the jobs whose leases end at one instant a worker gets first"))
	}
	races = append(races, patterntest.Races("bad links",
		"whether an operation has ended before its server learns, at the instant at which it begins, that who asked for it has gone"))
	patterntest.Call(t, systems.Operations, races...)
}

// The same over the operating system's TCP, without the simulator.
func TestCallLoopback(t *testing.T) {
	processors.All(t)
	patterntest.CallLoopback(t, systems.Operations)
}
