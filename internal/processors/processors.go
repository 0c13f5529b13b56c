// Package processors says how many processors the tests of a package use.
package processors

import (
	"os"
	"runtime"
	"sync"
	"testing"
)

// One has the tests run on one processor, unless GOMAXPROCS or -test.cpu says otherwise. On the simulated network one
// goroutine hands over to the next: a second processor finds nothing to do, and to be woken for it
// again and again costs more than half as much again. SQUALL_CHECK's second process has two. One is called by TestMain.
func One() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
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
