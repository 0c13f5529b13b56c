package sim

// Lookahead, as conservative discrete-event simulation calls it (Chandy and Misra, 1979). The engine defers
// work whose effect the program cannot observe before an instant: a write on a link with delay, a packet that
// passes a router, a delayed acknowledgement. That saves wake-ups of the engine. The work is carried out with
// its original timestamp, so the trace is that of an engine that defers nothing. Every call on the network
// first carries out what was due before the present instant, so nothing that could tell the difference ever
// does.
//
// The methods called lookahead, and those whose names end in it, return how long the program cannot observe
// something, in nanoseconds; 0 is always right. They must take account of every way in which a program can
// wait for a socket, and of every effect that a segment or timer can have on it. When anything else that they
// rely on changes, call invalidate.
type lookahead struct {
	on       bool
	deferred bool  // the alarm is later than the first event
	alarmFor any   // event that the alarm is for, if any; it may be past
	idleTill int64 // instant until which there is only keep-alive; see goIdle
	played   int   // events carried out since goIdle last looked
}

// nextWaiter returns the blocked call that the next step will probably wake, or nil. If that call does the
// step itself, the engine needs no goroutine for it.
func (n *Network) nextWaiter() *waiter {
	switch {
	case n.calls.firstWake < len(n.calls.wakes):
		if q := n.calls.wakes[n.calls.firstWake].q; q != nil {
			return q.w
		}
	case len(n.calls.pending.conns) > 0:
		return n.calls.pending.conns[0].flow.nextWaiter()
	default:
		switch what := n.lookahead.alarmFor.(type) {
		case *packet:
			return what.nextWaiter()
		case *TCPConn:
			return what.in.q.w
		case *card:
			if len(what.trains) > 0 {
				return what.trains[0].nextWaiter()
			}
		}
	}
	return nil
}

// nextWaiter returns the call that a packet in flight will probably wake, or nil. The packet may have ended.
func (pkt *packet) nextWaiter() *waiter {
	switch {
	case pkt.flow == nil:
		return nil
	case pkt.proto != protoUDP:
		return pkt.flow.nextWaiter()
	case pkt.way.heard != nil:
		return pkt.way.heard.in.q.w
	}
	return nil
}

// mostLooks is how many events next looks at. It is enough for a flight of segments, and not too much for a
// network with thousands of connections.
const mostLooks = 16

// soonest returns the earliest instant at which the program can observe an event or one that follows from it.
// There must be an event. It first corrects the front of the heap: a timer that was put off would otherwise make
// it look at most other events.
func (n *Network) soonest() int64 {
	look, at := mostLooks, never
	if n.queue.latest.what == nil {
		n.queue.front(never)
	} else {
		n.queue.front(n.queue.latest.when - 1)
		at = n.observableIn(&n.queue.latest, at)
	}
	if len(n.queue.events) > 0 {
		at = n.observable(0, at, &look)
	}
	return at
}

// observable returns the earliest instant at which the program can observe an event of the part of the heap
// below i, or one that follows from it, but at most at. Events beyond the first few looks count as observable
// at once.
func (n *Network) observable(i int, at int64, looks *int) int64 {
	e := &n.queue.events[i]
	if e.when >= at {
		return at
	}
	if *looks == 0 {
		n.lookahead.alarmFor = nil
		return e.when
	}
	*looks--
	at = n.observableIn(e, at)
	for c := 4*i + 1; c < min(4*i+5, len(n.queue.events)); c++ {
		at = n.observable(c, at, looks)
	}
	// The lines are last: mostly the program observes something before most of their packets.
	if pkt, ok := e.what.(*packet); ok {
		for next := pkt.line.next; next != nil && next.line.when < at; next = next.line.next {
			if *looks == 0 {
				n.lookahead.alarmFor = nil
				return next.line.when
			}
			*looks--
			behind := next.event()
			at = n.observableIn(&behind, at)
		}
	}
	return at
}

// observableIn returns the earliest instant at which the program can observe an event, but at most at.
func (n *Network) observableIn(e *event, at int64) int64 {
	if e.overtaken() {
		return at
	}
	when, observed := n.observableOf(e)
	if observed >= at {
		return at
	}
	n.lookahead.alarmFor = nil
	if observed == when {
		n.lookahead.alarmFor = e.what
	}
	return observed
}

// observableOf returns the instant of an event, which may have been put off, and the earliest instant at
// which the program can observe it, or another timer of the same socket.
func (n *Network) observableOf(e *event) (when, observed int64) {
	switch class := e.ord & classMask; {
	case class == classPacket && n.lookahead.on:
		return e.when, after(e.when, e.what.(*packet).lookahead(e.when))
	case class == classPacket, class == classChange:
		return e.when, e.when
	case class == classTimer && n.lookahead.on:
		sock := e.timed()
		return sock.next(class), sock.observable()
	default:
		at := e.timed().next(class)
		return at, at
	}
}

// after returns the instant d after another, or never if that is too far ahead.
func after(at, d int64) int64 {
	if d > never-at {
		return never
	}
	return at + d
}
