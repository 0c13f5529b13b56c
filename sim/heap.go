package sim

// An event is something that the network does at a given instant. Events of one
// instant run in the order of their class, then of ord, so that their order never
// depends on which goroutine came first.
type event struct {
	when int64
	ord  uint64 // class in the top two bits, then a connection's id or a counter
	pkt  *packet
	sock timed
	fn   func()
}

// timed is a socket with something to do at an instant.
type timed interface {
	due(now int64, class uint64)
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
