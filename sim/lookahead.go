package sim

// lookahead is what the engine may put off.
type lookahead struct {
	on       bool
	deferred bool  // the alarm rings after the first event
	decisive any   // the event that the alarm is for, if any; it may be past
	idleTill int64 // instant until which there is nothing but keep-alive; see goIdle
}

// likely is the blocked call that the next step will probably wake, or nil. If it does the
// step itself, the engine needs no goroutine to do it.
func (n *Network) likely() *waiter {
	switch {
	case n.calls.firstWake < len(n.calls.wakes):
		if q := n.calls.wakes[n.calls.firstWake].q; q != nil {
			return q.w
		}
	case len(n.calls.pending.conns) > 0:
		return n.calls.pending.conns[0].flow.likely()
	default:
		switch what := n.lookahead.decisive.(type) {
		case *packet:
			if what.flow != nil {
				return what.flow.likely()
			}
		case *TCPConn:
			return what.in.q.w
		}
	}
	return nil
}

// mostLooks is how many events next looks at. It is enough for a flight of segments, and
// not too much for a network of thousands of connections.
const mostLooks = 16

// noticed is the instant at which an event of the part of the heap below i, or one to come
// of it, can be noticed, but at most at. Events beyond the first few looks count as
// noticed at once.
func (n *Network) noticed(i int, at int64, looks *int) int64 {
	e := &n.queue.events[i]
	if e.when >= at {
		return at
	}
	if *looks == 0 {
		n.lookahead.decisive = nil
		return e.when
	}
	*looks--
	if when, seen := n.seen(e); seen < at {
		at = seen
		n.lookahead.decisive = nil
		if seen == when {
			n.lookahead.decisive = e.what
		}
	}
	for c := 4*i + 1; c < min(4*i+5, len(n.queue.events)); c++ {
		at = n.noticed(c, at, looks)
	}
	return at
}

// seen is the instant of an event, which may have been put off, and that at which it, or
// another timer of the same socket, can be noticed at the earliest.
func (n *Network) seen(e *event) (when, seen int64) {
	switch class := e.ord & classMask; {
	case class == classPacket && n.lookahead.on:
		return e.when, after(e.when, e.what.(*packet).slack(e.when))
	case class == classPacket, class == classChange:
		return e.when, e.when
	case class == classTimer && n.lookahead.on:
		sock := e.what.(timed)
		return sock.next(class), sock.noticed()
	default:
		at := e.what.(timed).next(class)
		return at, at
	}
}

// after is the instant d after another, or never if that lies too far ahead.
func after(at, d int64) int64 {
	if d > never-at {
		return never
	}
	return at + d
}
