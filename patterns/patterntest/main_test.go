package patterntest_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Of a test in which several goroutines waited for a lock at once, as net/http has them do that read and write a body at a time, those
	// that kept count stay behind.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/squall-sim/squall/sim.(*weight).hang"),
		goleak.IgnoreAnyFunction("github.com/squall-sim/squall/sim.(*weight).swing"))
}
