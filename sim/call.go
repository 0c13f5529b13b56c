package sim

// Every call of the program on the network is a function that works on its state, run by one
// of do, get, try and await; nothing else touches that state. What the functions return is
// handed to the caller. A function must not set variables of the caller's for it to read, and
// it must not keep or return memory that the program writes or reads, but for the few things
// that race.go knows of: so the caller wraps errors itself.
//
// In a program built with the race detector a goroutine of its own runs them all, or seems to (see
// race.go). Otherwise the caller does, under the network's lock (norace.go).

// text is get for a text.
func text(n *Network, f func() string) string { return own(get(n, f)) }

// texts is get for several.
func texts(n *Network, f func() []string) []string { return ownAll(get(n, f), own) }

// seen is get for a look at a run that is over: it serves for a bubble that was abandoned, too, in which a call would stop its caller for good.
func seen[T any](n *Network, f func() T) (v T) {
	if n.harness.dead.Load() {
		n.peek(func() { v = f() })
		return v
	}
	return get(n, f)
}
