// Package reqresp_test has the scenarios of request-response.
package reqresp_test

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
