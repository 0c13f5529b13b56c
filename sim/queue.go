package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/squall-sim/squall/netem"
)

// An eventQueue holds the events to come, in order.
type eventQueue struct {
	events    heap
	latest    event   // of the timer that was set last, if it is not in the heap yet, and
	before    plan    // for when its socket has another event there
	ord       uint64  // counter of packets and changes, for the order of ties
	timers    uint64  // number of timers so far: the last one's id
	lastTrain *packet // of the last event of packets; nil once it has happened
	lastAt    int64   // its instant
	lastOrd   uint64
}

// An event is something that the network does at a given instant. Events of one instant run in the order of
// their class, then of ord, so their order never depends on which goroutine was first.
type event struct {
	when int64
	ord  uint64 // class in the top two bits, then a connection's id or a counter
	what any    // the *packet, the change, or the socket, which is timed
}

// timed is a socket with something to do at an instant: a deadline or a timer. It has at most one live heap
// entry of each class, at the instant recorded in its plan. Timers are rescheduled far more often than they
// fire. So moving one later changes the timer alone; the stale entry is corrected when it reaches the front
// of the heap.
type timed interface {
	plan(class uint64) *plan
	next(class uint64) int64 // instant at which there is something to do, or never
	due(now int64, class uint64)
	observable() int64 // earliest instant at which the program can observe what its timers do
}

// timed returns the socket of an event that is a socket's. Most are connections, and a type assertion to *TCPConn costs less
// than one to an interface.
func (e *event) timed() timed {
	if c, ok := e.what.(*TCPConn); ok {
		return c
	}
	return e.what.(timed)
}

// A plan is the instant for which a socket has an event in the heap, or never.
type plan int64

// schedule makes sure that s has an event at the instant of its next deadline or
// timer, or earlier. id breaks ties.
//
// The event of the latest timer stays out of the heap until it is due or another socket sets one. Most timers that
// are set to an earlier instant are put off at once: an acknowledgement is held back, and goes with the answer that the program
// then writes. In the heap they would leave events for nothing behind.
func (q *eventQueue) schedule(s timed, class, id uint64) {
	at, p := s.next(class), s.plan(class)
	mine := q.latest.what == s && q.latest.ord&classMask == class
	switch {
	case mine && at >= int64(q.before):
		*p, q.latest = q.before, event{}
	case mine:
		*p, q.latest.when = plan(at), at
	case at < int64(*p):
		q.settle()
		q.latest, q.before = event{when: at, ord: class | id, what: s}, *p
		*p = plan(at)
	}
}

// settle puts the latest timer's event into the heap.
func (q *eventQueue) settle() {
	if q.latest.what != nil {
		q.events.push(q.latest)
		q.latest = event{}
	}
}

// first is the instant of the first event, whose time may have been put off, or never.
func (q *eventQueue) first() int64 {
	at := never
	if len(q.events) > 0 {
		at = q.events[0].when
	}
	if q.latest.what != nil {
		at = min(at, q.latest.when)
	}
	return at
}

// socketID distinguishes the events of sockets that are not connections from each other, and from those of
// connections.
func socketID(h *Host, local netip.AddrPort, proto protocol) uint64 {
	id := 1<<60 | uint64(proto)<<56 | uint64(h.number)<<17 | uint64(local.Port())
	switch a := local.Addr(); { // another socket of that port may have the host's own address
	case !a.IsValid() || a == h.addr || a == netip.IPv4Unspecified():
	case a.Is4() && a.IsLoopback():
		id |= 1 << 16
	default:
		id |= addrHash(a) & 0xffff << 40
	}
	return id
}

// front corrects the events at the front of the heap that were put off, if they are due by an instant. A
// timer that is put off and set again before then, like the retransmission timer at each exchange, keeps one
// event throughout.
func (q *eventQueue) front(by int64) {
	if q.latest.what != nil && q.latest.when <= by {
		q.settle()
	}
	for len(q.events) > 0 {
		e := &q.events[0]
		class := e.ord & classMask
		if class == classPacket || class == classChange || e.when > by {
			return
		}
		sock := e.timed()
		p, at := sock.plan(class), sock.next(class)
		if int64(*p) == e.when && at <= e.when {
			return
		}
		if e.overtaken() {
			q.events.pop()
			continue
		}
		if *p = plan(at); at == never {
			q.events.pop()
			continue
		}
		later := *e
		later.when = at
		q.events.replace(later)
	}
}

// overtaken reports whether an earlier event replaced this one of a socket, which is still in the heap,
// without use.
func (e *event) overtaken() bool {
	class := e.ord & classMask
	return class != classPacket && class != classChange && int64(*e.timed().plan(class)) != e.when
}

// addChange makes a change of the network happen at an instant.
func (q *eventQueue) addChange(at int64, c change) {
	q.ord++
	q.events.push(event{when: at, ord: classChange | q.ord, what: c})
}

// changes returns the changes of the network to come, in order.
func (q *eventQueue) changes() (all Schedule) {
	var events []event
	for _, e := range q.events {
		if e.ord&classMask == classChange {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Or(cmp.Compare(a.when, b.when), cmp.Compare(a.ord, b.ord)) })
	for _, e := range events {
		c := e.what.(change)
		if c.hidden {
			continue
		}
		all = append(all, Planned{time.Duration(e.when), c.fault, c.ends})
	}
	return all
}

// addPacket makes a packet arrive at an instant.
func (q *eventQueue) addPacket(pkt *packet, when int64) {
	if f := q.lastTrain; f != nil && q.lastAt == when && q.lastOrd == q.ord && f.sameWay(pkt) {
		f.follow(pkt)
		return
	}
	pkt.uncouple()
	q.addTrain(pkt, when)
}

// addTrain makes a train arrive at an instant. If the last event made is also such a train, it joins the two:
// their events would follow each other.
func (q *eventQueue) addTrain(head *packet, when int64) {
	if f := q.lastTrain; f != nil && q.lastAt == when && q.lastOrd == q.ord && f.sameWay(head) {
		f.couple(head)
		return
	}
	q.ord++
	q.lastTrain, q.lastAt, q.lastOrd = head, when, q.ord
	q.putInLine(head, line{when: when, until: when, ord: classPacket | q.ord})
}

// addSpaced lets the segments of a run arrive one after the other, the last one at until.
func (q *eventQueue) addSpaced(pkt *packet, count int, spacing netem.Spacing, until int64) {
	pkt.uncouple()
	l := line{ord: classPacket | (q.ord + 1), until: until, spacing: spacing}
	departure, at := l.spacing.Next(pkt.size)
	pkt.leaves.at, l.when = int64(departure), int64(at)
	q.ord += uint64(count)
	q.lastTrain = nil
	q.putInLine(pkt, l)
}

// putInLine has a train arrive when l says.
func (q *eventQueue) putInLine(head *packet, l line) {
	p := head.onPipe()
	if p != nil && p.last != nil && p.last.line.until <= l.when {
		p.last.line.next = head
	} else {
		q.events.push(event{when: l.when, ord: l.ord, what: head})
		if p == nil || p.last != nil {
			if l.spaced() {
				head.line = l
			}
			return
		}
	}
	p.last, head.line = head, l
}

// A line is the trains on one pipe that arrive in the order in which they entered. Only the first of them is
// in the heap, since links with a rate hold hundreds.
type line struct {
	next    *packet
	when    int64
	ord     uint64
	until   int64         // when the last segment of a spaced run arrives; for other trains the same as when
	spacing netem.Spacing // of the segments behind the first
}

// spaced reports whether the segments of a run arrive one after the other, each as an event with an ord of its own.
// Lookahead need only look at the first: the others bring the same news later.
func (l *line) spaced() bool { return l.until > l.when }

// event returns the event of a train in a line.
func (pkt *packet) event() event { return event{when: pkt.line.when, ord: pkt.line.ord, what: pkt} }

// pop removes the first event. If it is that of a train, the next train in its line takes its place. Of a spaced
// run it removes only the first segment.
func (q *eventQueue) pop(pool *pool) event {
	pkt, ok := q.events[0].what.(*packet)
	if !ok {
		return q.events.pop()
	}
	if pkt.line.spaced() {
		e := q.events[0]
		q.events.replace(pool.unspaced(pkt).event())
		return e
	}
	if next := pkt.line.next; next != nil {
		e := q.events[0]
		q.events.replace(next.event())
		pkt.line.next = nil
		return e
	}
	if p := pkt.onPipe(); p != nil && p.last == pkt {
		p.last = nil
	}
	return q.events.pop()
}

// unspaced takes the first segment of a spaced run out of its line, as a packet of its own. It returns the rest, which
// takes the run's place.
func (p *pool) unspaced(pkt *packet) (rest *packet) {
	rest = p.tail(pkt)
	l := &rest.line
	departure, at := l.spacing.Next(rest.size)
	rest.leaves.at, l.when = int64(departure), int64(at)
	l.ord++
	if pipe := pkt.onPipe(); pipe.last == pkt {
		pipe.last = rest
	}
	pkt.line = line{}
	pkt.uncouple()
	rest.uncouple()
	return rest
}

// breakLines puts every train, and every segment of a spaced run, into the heap as an event of its own.
func (q *eventQueue) breakLines(pool *pool) {
	var behind []*packet
	for _, e := range q.events {
		pkt, ok := e.what.(*packet)
		if !ok {
			continue
		}
		next := pkt.line.next
		if pkt.line.spaced() {
			next = pool.unspaced(pkt)
		}
		if p := pkt.onPipe(); p != nil {
			p.last = nil
		}
		if next != nil {
			behind = append(behind, next)
			pkt.line.next = nil
		}
	}
	for _, pkt := range behind {
		for pkt != nil {
			next := pkt.line.next
			q.events.push(pkt.event())
			if pkt.line.spaced() {
				next = pool.unspaced(pkt)
			}
			pkt.line.next = nil
			pkt = next
		}
	}
}

// A waiting packet is one whose last bit has not yet been sent on its current pipe.
type waiting struct {
	pkt  *packet
	when int64 // when it arrives
	ord  uint64
}

// takeWaiting removes the packets that wait at a pipe from the events.
func (q *eventQueue) takeWaiting(now int64, p *pipe) (all []waiting) {
	return q.take(&p.n.pool, func(pkt *packet) bool { return pkt.on(p) && pkt.leaves.at > now })
}

// on reports whether a packet is on a pipe.
func (pkt *packet) on(p *pipe) bool { return pkt.onPipe() == p }

// onPipe returns the pipe that a packet is on, or nil.
func (pkt *packet) onPipe() *pipe {
	if pkt.hop < len(pkt.pipes) {
		return pkt.pipes[pkt.hop]
	}
	return nil
}

// take removes some packets from the events.
func (q *eventQueue) take(pool *pool, which func(pkt *packet) bool) (all []waiting) {
	q.lastTrain = nil
	q.breakLines(pool)
	before := q.events
	q.events = before[:0]
	for _, e := range before {
		if head, ok := e.what.(*packet); ok {
			at := head.hop // only the first one's is known
			var stays *packet
			for pkt := head; pkt != nil; {
				next := pool.behind(pkt)
				pkt.uncouple()
				pkt.hop = at
				switch {
				case which(pkt):
					all = append(all, waiting{pkt, e.when - pkt.late(), e.ord})
				case stays == nil:
					stays = pkt
				default:
					stays.couple(pkt)
				}
				pkt = next
			}
			if stays == nil {
				continue
			}
			e.what = stays
		}
		q.events.push(e)
	}
	clear(before[len(q.events):])
	return all
}

// At one instant deadlines come first, as the program's own timers do. Then come changes of the network, so
// that a fault at t meets the packets of t; then packets; then protocol timers, so that an acknowledgement
// that arrives in time stops the retransmission.
const (
	classDeadline uint64 = iota << 62
	classChange
	classPacket
	classTimer

	classMask = classTimer
)
