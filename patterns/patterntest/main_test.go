package patterntest_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/squall-sim/squall/internal/processors"
)

func TestMain(m *testing.M) {
	processors.One()
	// Of a test in which several goroutines waited for a lock at once, as net/http has them do that read and write a body at a time, those
	// that kept count stay behind.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/squall-sim/squall/sim.(*weight).hang"),
		goleak.IgnoreAnyFunction("github.com/squall-sim/squall/sim.(*weight).swing"))
}

// checks says that a second process runs the tests as well, to compare: that broken systems do the same twice shows in a part of them. The
// second process has another value of the variable.
func checks() bool { return os.Getenv("SQUALL_CHECK") != "" }
