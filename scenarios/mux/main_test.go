// Package mux_test has the scenarios of multiplexing: streams that share a connection, and connections that
// exchanges take turns at.
package mux_test

import (
	"testing"

	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }
