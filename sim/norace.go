//go:build !race

package sim

import (
	"context"
	"unsafe"

	"github.com/squall-sim/squall/sim/internal/exact"
)

const raceEnabled = false

// do runs f alone, with the network in the state in which all earlier instants have left it.
func (n *Network) do(f func()) {
	defer n.unlock(n.lock())
	f()
}

// get is do for a function with a result.
func get[T any](n *Network, f func() T) T {
	defer n.unlock(n.lock())
	return f()
}

// try is get for a function that can fail.
func try[T any](n *Network, f func() (T, error)) (T, error) {
	defer n.unlock(n.lock())
	return f()
}

// await is try for a call that may have to wait: as long as f returns a queue, the call waits there and f
// runs again.
func await[T any](n *Network, f func() (T, error, *waitq)) (T, error) {
	defer n.unlock(n.lock())
	for {
		v, err, q := f()
		if q == nil {
			return v, err
		}
		w, first := q.enter(n)
		for more := !w.works(n); more; {
			w.block(n, first)
			more = w.resume(n, first)
		}
		q.leave(n, w)
	}
}

// lock is the start of every call of the program. It returns whose call that is: until unlock the goroutine
// is the network's own.
func (n *Network) lock() (caller unsafe.Pointer) {
	n.stopIfDead()
	n.mu.Lock()
	caller = exact.SetHost(nil)
	n.calls.count(&n.clock)
	if n.harness.witness != nil {
		n.harness.witness.see(n.now())
	}
	n.begin()
	return caller
}

func (n *Network) unlock(caller unsafe.Pointer) {
	n.mu.Unlock()
	exact.SetHost(caller)
}

// turn is get for the engine itself: it starts with the network as it is.
func turn[T any](n *Network, f func() T) T {
	n.mu.Lock()
	defer n.unlock(exact.SetHost(nil))
	return f()
}

// unlockToWake releases the lock, which woken goroutines want at once.
func (n *Network) unlockToWake() (caller served) {
	n.mu.Unlock()
	return served{}
}

func (n *Network) lockAgain(served) { n.mu.Lock() }

// peek runs f alone, from outside the bubble. f may look at the network as the engine last left it, but it
// must not ask for the time or make anything happen.
func (n *Network) peek(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// asProgram runs f, which is a function of the program.
func (n *Network) asProgram(_ moment, f func()) { f() }

// launch runs f on a goroutine of the program.
func (n *Network) launch(_ moment, f func()) { go f() }

// waitFor waits until done is closed or ctx ends, and reports which.
func waitFor(done <-chan struct{}, ctx context.Context) (ended bool) {
	select {
	case <-done:
		return false
	case <-ctx.Done():
		return true
	}
}

// What follows is for the race detector only.

type engine struct{}

type served struct{}

func (n *Network) startEngine()               {}
func (n *Network) beginTurn() (caller served) { return served{} }
func (n *Network) endTurn(served)             {}

type moment struct{}

func (n *Network) moment() moment { return moment{} }
func (n *Network) reveal(moment)  {}

type history struct{}

type said struct{}

func (h *history) begin(moment) said      { return said{} }
func (h *history) hears(said)             {}
func (h *history) wrote(moment, int)      {}
func (h *history) changed(moment)         {}
func (h *history) deadline(moment)        {}
func (h *history) opened(*Network)        {}
func (h *history) received(*Network, int) {}
func (h *history) ended(*Network)         {}
func (h *history) own(*Network)           {}

type closings struct{}

func (c *closings) closed(protocol, uint16, moment)    {}
func (c *closings) ended(moment)                       {}
func (c *closings) refused(*Network, protocol, uint16) {}

func hush()   {}
func unhush() {}

func readsRange([]byte)  {}
func writesRange([]byte) {}

func own(s string) string { return s }

func ownAll[T any](s []T, _ func(T) T) []T { return s }
