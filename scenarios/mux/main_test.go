// Package mux_test has the scenarios of multiplexing: streams that share a connection, and
// exchanges that take turns on pooled connections. It runs the contract of calls for calls over
// streams.
package mux_test

import (
	"testing"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

func TestCall(t *testing.T) {
	t.Parallel()
	// Calls that come while there is no session wait for one, and which of them opens its stream first is the runtime's
	// choice; also whether a call is reset before its session ends, when its caller goes at that instant.
	var all []patterntest.Option
	for _, story := range patterntest.CallStories() {
		all = append(all, patterntest.Races(story.Name, "which of the calls that wait for a session opens its stream first"))
	}
	patterntest.Call(t, systems.Mux, all...)
}

func TestLoopback(t *testing.T) {
	processors.All(t)
	patterntest.CallLoopback(t, systems.Mux)
}
