// Package processors says how many processors the tests of a package use, and how much memory.
package processors

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// One has the tests run on one processor, unless GOMAXPROCS or -test.cpu says otherwise. On the simulated network one
// goroutine hands over to the next: a second processor finds nothing to do, and to be woken for it
// again and again costs more than half as much again. SQUALL_CHECK's second process has two. One is called by TestMain,
// and does what Memory does, too.
func One() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	Memory()
}

// Memory has garbage collected when there is four times as much of it as of what is in use, and not as soon as there is as much, unless
// GOGC says otherwise. The networks of tests are small and soon gone: to look for garbage among them that often costs a tenth of the processor time.
// Benchmarks have the collector that programs have. Memory is called by TestMain, once what it sets for flags is set.
func Memory() {
	flag.Parse()
	if os.Getenv("GOGC") == "" && flag.Lookup("test.bench").Value.String() == "" {
		debug.SetGCPercent(400)
	}
}

// All has a test run on all processors, where it is not on the simulated network.
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

// all is how many tests use all processors at this moment, and how many there were before the first of them.
var all struct {
	sync.Mutex
	tests, before int
}
