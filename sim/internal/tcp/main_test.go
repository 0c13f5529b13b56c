package tcp

import (
	"flag"
	"os"
	"testing"

	"github.com/squall-sim/squall/internal/processors"
)

// TestMain fixes rapid's seed, which is otherwise the time, and keeps it from
// writing files. Flags on the command line still win.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.seed": "1", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	processors.Memory()
	os.Exit(m.Run())
}
