package sim

import (
	"testing"
	"testing/synctest"
	"unsafe"
)

// Bench runs f on a network in a bubble for a benchmark, which has no T to give. Time
// is measured from outside: the clock inside is virtual.
func Bench(f func(n *Network), opts ...Option) {
	synctest.Test(new(testing.T), func(*testing.T) {
		n := newNetwork(true, opts)
		defer func() {
			n.Close()
			n.awaitGoroutines()
		}()
		f(n)
	})
}

// IdleFaults names the faults that met nothing so far.
func (n *Network) IdleFaults() string { return n.idleFaults() }

var RaceEnabled = raceEnabled

// Eager has the engine do everything at its instant, and leave nothing for later.
func (n *Network) Eager() { n.lazy = false }

// TraceRecord is the size of an event that the trace keeps, in bytes.
const TraceRecord = int(unsafe.Sizeof(record{}))
