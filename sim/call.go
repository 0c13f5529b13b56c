package sim

// Every call of the program on the network is a function that works on its state, run by one
// of those below; nothing else touches that state. What the functions return is handed to the
// caller. A function must not set variables of the caller's for it to read, and the caller
// wraps errors: so what the program gets is made by the goroutine that gets it.

// do runs f with the network as all earlier instants have left it, and alone.
func (n *Network) do(f func()) {
	n.lock()
	defer n.mu.Unlock()
	f()
}

// get is do for a function with a result.
func get[T any](n *Network, f func() T) T {
	n.lock()
	defer n.mu.Unlock()
	return f()
}

// try is get for a function that can fail.
func try[T any](n *Network, f func() (T, error)) (T, error) {
	n.lock()
	defer n.mu.Unlock()
	return f()
}

// await is try for a call that may have to wait: as long as f returns a queue, the call
// waits there and f runs again.
func await[T any](n *Network, f func() (T, error, *waitq)) (T, error) {
	n.lock()
	defer n.mu.Unlock()
	for {
		v, err, q := f()
		if q == nil {
			return v, err
		}
		q.wait(n)
	}
}

// text is get for a text.
func text(n *Network, f func() string) string { return get(n, f) }

// texts is get for several.
func texts(n *Network, f func() []string) []string { return get(n, f) }

// peek runs f from outside the bubble, alone: it may look at the network as the engine has
// left it last, but neither ask the time nor have anything happen.
func (n *Network) peek(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}
