package sim

// An event is something that the network does at a given instant. Events of one
// instant run in the order of their class, then of ord, so that their order never
// depends on which goroutine came first.
type event struct {
	when int64
	ord  uint64 // class in the top two bits, then a connection's id or a counter
	what any    // the *packet, the change, or the socket, which is timed
}

// timed is a socket with something to do at an instant: a deadline or a timer. It has
// at most one event of each class in the heap that counts, at the instant of its plan.
// Plans are put off far more often than they are carried out, so that is not entered
// in the heap until the event comes to its front.
type timed interface {
	plan(class uint64) *plan
	next(class uint64) int64 // the instant that there is something to do, or never
	due(now int64, class uint64)
	noticed() int64 // the instant at which what its timers do can be noticed, at the earliest
}

// A plan is the instant for which a socket has an event in the heap, or never.
type plan int64

// schedule makes sure that s has an event at the instant of its next deadline or
// timer, or earlier. id breaks ties.
func (n *Network) schedule(s timed, class, id uint64) {
	if at, p := s.next(class), s.plan(class); at < int64(*p) {
		*p = plan(at)
		n.events.push(event{when: at, ord: class | id, what: s})
	}
}

// socketID tells the events of sockets that are no connections from each other, and
// from those of connections.
func socketID(h *Host, local endpoint, proto protocol) uint64 {
	id := 1<<60 | uint64(proto)<<56 | uint64(h.number)<<17 | uint64(local.port)
	if isLoopback(local.addr) {
		id |= 1 << 16 // another socket of that port may have the host's own address
	}
	return id
}

// front removes the events at the front of the heap whose time was put off.
func (n *Network) front() {
	for len(n.events) > 0 {
		e := &n.events[0]
		class := e.ord & classMask
		if class == classPacket || class == classChange {
			return
		}
		sock := e.what.(timed)
		p, at := sock.plan(class), sock.next(class)
		if int64(*p) == e.when && at <= e.when {
			return
		}
		old := n.events.pop()
		if int64(*p) != old.when {
			continue // an earlier event took its place
		}
		*p = plan(at)
		if at != never {
			old.when = at
			n.events.push(old)
		}
	}
}

// At one instant deadlines come first, as the program's own timers do; then
// changes of the network, so that a fault at t meets the packets of t; then
// packets; then the timers of protocols, so that an acknowledgement that arrives
// in time stops the retransmission.
const (
	classDeadline uint64 = iota << 62
	classChange
	classPacket
	classTimer

	classMask = classTimer
)

func (e *event) before(f *event) bool {
	return e.when < f.when || e.when == f.when && e.ord < f.ord
}

// A heap of events with four children a node: shallower than a binary one, and
// the four lie in neighbouring cache lines. container/heap would allocate for
// each event that it takes.
type heap []event

func (h *heap) push(e event) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
	*h = s
}

func (h *heap) pop() event {
	s := *h
	top := s[0]
	last := s[len(s)-1]
	s[len(s)-1] = event{}
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= len(s) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(s)); c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if !s[least].before(&last) {
			break
		}
		s[i] = s[least]
		i = least
	}
	s[i] = last
	return top
}
