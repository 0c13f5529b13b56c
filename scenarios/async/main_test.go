// Package async_test has the scenarios of asynchronous work: jobs, operations, callbacks, outboxes and
// sagas.
package async_test

import (
	"slices"
	"testing"

	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/scenarios/scenario"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	m.Run()
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, slices.Concat(operations, jobs, outboxes, sagas, callbacks))
}
