package processors

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
)

// Of tests that run beside each other the last gives the processors back, as the first found them.
func TestAllGivesBackWhatTheFirstFound(t *testing.T) {
	if runtime.NumCPU() == 1 || os.Getenv("GOMAXPROCS") != "" {
		t.Skip("there is but one number of processors")
	}
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	t.Run("both", func(t *testing.T) {
		begun, ended := make(chan int), make(chan int)
		t.Run("first", func(t *testing.T) {
			t.Cleanup(func() { close(ended) }) // after that of All
			t.Parallel()
			All(t)
			begun <- 0
			<-begun
		})
		t.Run("second", func(t *testing.T) {
			t.Parallel()
			<-begun
			All(t)
			begun <- 0
			<-ended
			if got := runtime.GOMAXPROCS(0); got != runtime.NumCPU() {
				t.Errorf("%d processors are left once the first test has ended", got)
			}
		})
	})
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d processors at the end, want 1", got)
	}
}

// Garbage is collected less often, but where GOGC says how often, or a benchmark is run.
func TestMemory(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	bench := flag.Lookup("test.bench").Value
	defer bench.Set(bench.String())
	for _, row := range []struct {
		gogc, bench string
		want        int
	}{
		{"", "", 400},
		{"50", "", 100}, // the runtime has read it
		{"", ".", 100},
	} {
		t.Setenv("GOGC", row.gogc)
		bench.Set(row.bench)
		Memory()
		if got := debug.SetGCPercent(100); got != row.want {
			t.Errorf("GOGC=%q, -bench %q: %d %%, want %d", row.gogc, row.bench, got, row.want)
		}
	}
}
