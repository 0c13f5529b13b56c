// Package mux_test has the scenarios of multiplexing: streams that share a connection, and connections that
// exchanges take turns at. It puts calls over streams to the contract of calls.
package mux_test

import (
	"testing"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

func TestCall(t *testing.T) {
	t.Parallel()
	const atOnce = "whether a call is reset before its session ends, at one instant"
	patterntest.Call(t, systems.Mux, patterntest.Races("a caller crashes and leaves while it waits", atOnce))
}

func TestLoopback(t *testing.T) { patterntest.CallLoopback(t, systems.Mux) }
