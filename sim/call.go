package sim

// Every call of the program on the network is a function that works on the network's state. One of do, get,
// try and await runs it; nothing else touches that state. The caller gets what the function returns. A
// function must not set variables of the caller for it to read. It must not keep or return memory that the
// program writes or reads, except for the few things that race.go knows about: so the caller wraps errors
// itself.
//
// In a program built with the race detector a goroutine of its own runs all these functions, or seems to (see
// race.go). Otherwise the caller runs them, under the network's lock (norace.go).

// text is get for a string.
func text(n *Network, f func() string) string { return own(get(n, f)) }

// texts is get for several strings.
func texts(n *Network, f func() []string) []string { return ownAll(get(n, f), own) }

// seen is get for a look at a run that is over. It also works for a bubble that was abandoned, in which an
// ordinary call would block its caller forever.
func seen[T any](n *Network, f func() T) (v T) {
	if n.harness.dead.Load() {
		n.peek(func() { v = f() })
		return v
	}
	return get(n, f)
}
