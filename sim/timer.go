package sim

// A timer calls a function of the simulator at an instant, together with protocol timers: after the packets
// of that instant. It is for whatever is not a socket.
type timer struct {
	n       *Network
	id      uint64
	at      int64 // never if it is not set
	planned plan
	f       func(now int64)
}

// newTimer makes a timer that is not set. Timers of one instant run in the order in which they were made.
func (n *Network) newTimer(f func(now int64)) *timer {
	return &timer{n: n, id: n.timerID(), at: never, planned: plan(never), f: f}
}

// timerID returns the id of a new object that has a timer.
func (n *Network) timerID() uint64 {
	n.queue.timers++
	return 1<<59 | n.queue.timers
}

// set makes the timer call its function at an instant and no other; never means not at all.
func (t *timer) set(at int64) {
	t.at = at
	t.n.queue.schedule(t, classTimer, t.id)
	t.n.wakeAt(at)
}

// plan implements timed.
func (t *timer) plan(uint64) *plan { return &t.planned }

// next implements timed.
func (t *timer) next(uint64) int64 { return t.at }

// observable implements timed.
func (t *timer) observable() int64 { return t.at }

// due implements timed.
func (t *timer) due(now int64, _ uint64) {
	t.at = never
	t.f(now)
}
