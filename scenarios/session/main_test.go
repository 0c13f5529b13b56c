// Package session_test has the scenarios of sessions: the same web application with its state in memory, in a store
// that all replicas share, and in signed tokens.
package session_test

import (
	"testing"

	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	m.Run()
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }
