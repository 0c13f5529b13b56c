// Package processors sets how many processors and how much memory the tests of a package use.
package processors

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// One makes the tests run on one processor, unless GOMAXPROCS or -test.cpu says otherwise. On the simulated network one goroutine hands
// over to the next. A second processor finds nothing to do, and waking it again and again makes the tests cost more than half as much
// again. SQUALL_CHECK's second process uses two. TestMain calls One. One also calls Memory.
func One() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	Memory()
}

// Memory lets garbage grow to four times the memory in use before a collection, instead of once, unless GOGC says otherwise. The networks of tests
// are small and short-lived, and collecting more often costs a tenth of the processor time. Benchmarks keep the default collector, as programs have
// it. TestMain calls Memory after it has set up flags.
func Memory() {
	flag.Parse()
	if os.Getenv("GOGC") == "" && flag.Lookup("test.bench").Value.String() == "" {
		debug.SetGCPercent(400)
	}
}

// All makes a test that is not on the simulated network run on all processors.
func All(t testing.TB) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	all.Lock()
	defer all.Unlock()
	if all.tests++; all.tests == 1 {
		all.before = runtime.GOMAXPROCS(runtime.NumCPU())
	}
	t.Cleanup(func() {
		all.Lock()
		defer all.Unlock()
		if all.tests--; all.tests == 0 {
			runtime.GOMAXPROCS(all.before)
		}
	})
}

// all holds how many tests use all processors at the moment, and how many processors were in use before the first of them.
var all struct {
	sync.Mutex
	tests, before int
}
