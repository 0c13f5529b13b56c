package sim_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/squall-sim/squall/internal/processors"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if checksAll() && flag.Lookup("test.skip").Value.String() == "" {
		flag.Set("test.skip", "^TestOverTLS$") // an example, without clutter: see http2Races
	}
	processors.Memory()
	// Of a test in which several goroutines waited for a lock at once, those that kept count stay behind.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/squall-sim/squall/sim.(*weight).hang"),
		goleak.IgnoreAnyFunction("github.com/squall-sim/squall/sim.(*weight).swing"))
}

func checksAll() bool {
	check := os.Getenv("SQUALL_CHECK")
	return check == "1" || check == "schedules"
}

// mayDiffer states that two runs of a test may differ, and why, so that they are not compared.
func mayDiffer(t *testing.T, why string) {
	t.Helper()
	if checksAll() {
		t.Log("not compared with a second run: " + why)
		t.Setenv("SQUALL_CHECK", "")
	}
}

const http2Races = "the goroutines of an HTTP/2 connection of net/http race each other to write to it"
