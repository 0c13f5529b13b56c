//go:build race

package sim

import (
	"context"
	"reflect"
	"runtime"
	"unsafe"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// The race detector reports two accesses of which neither happened before the other. If calls of the program
// took turns at a lock, each would have happened before the next, and with it all that its goroutine had
// done. So the lock of a network would hide the races of the program that uses it. The program must be
// ordered only as on a real network: a write comes before the read that gets its bytes.
//
// So in a program built with the race detector one goroutine of the network, the engine, does all the work. A
// call hands it a function, and waits. The detector sees that the call came before the work (that is how the
// arguments get there), but not that the work came before what the caller does next. The caller waits with
// the detector's eyes closed ([runtime.RaceDisable]) and takes the result by code that it does not watch
// (go:norace). Timers, goroutines and whatever else could carry knowledge from the engine to the program are
// used with closed eyes too. The caller learns of other goroutines only through reveal: of everything that
// had happened when they made the calls whose effect it now sees. Races of the engine itself are detected
// like any others. In exact mode the engine is not a goroutine, except to the detector: see exactEngine.

const raceEnabled = true

// A moment stands for everything that had happened when a goroutine of the program made a call; nil for
// nothing. It is an address that the race detector knows.
type moment = *uint64

// enter begins a call: with the lock, and with closed eyes. It returns whose call that is: until leave the
// goroutine is the network's own.
//
//go:norace
func (n *Network) enter() (s *served, caller unsafe.Pointer) {
	n.stopIfDead()
	s, caller = n.enterTurn()
	n.calls.count(&n.clock)
	if n.harness.witness != nil {
		n.harness.witness.see(n.now())
	}
	return s, caller
}

// enterTurn is enter for the engine itself.
//
//go:norace
func (n *Network) enterTurn() (s *served, caller unsafe.Pointer) {
	s = &served{asked: new(uint64)}
	mark(s.asked)
	runtime.RaceDisable()
	n.mu.Lock()
	return s, exact.SetHost(nil)
}

// leave ends a call.
//
//go:norace
func (n *Network) leave(s *served, caller unsafe.Pointer) {
	n.mu.Unlock()
	exact.SetHost(caller)
	runtime.RaceEnable()
	for i := range s.revealed {
		learn(s.revealed[i])
	}
	if text, ok := s.panicked.(string); ok {
		panic(own(text))
	}
	if s.panicked != nil {
		panic(s.panicked)
	}
}

//go:norace
func (n *Network) do(f func()) {
	s, caller := n.enter()
	n.hand(s, true, f)
	n.leave(s, caller)
}

//go:norace
func get[T any](n *Network, f func() T) T {
	v := new(T)
	s, caller := n.enter()
	n.hand(s, true, func() { *v = f() })
	n.leave(s, caller)
	return *v
}

//go:norace
func try[T any](n *Network, f func() (T, error)) (T, error) {
	v, err := new(T), new(error)
	s, caller := n.enter()
	n.hand(s, true, func() { *v, *err = f() })
	n.leave(s, caller)
	return *v, *err
}

//go:norace
func turn[T any](n *Network, f func() T) T {
	v := new(T)
	s, caller := n.enterTurn()
	n.hand(s, false, func() { *v = f() })
	n.leave(s, caller)
	return *v
}

//go:norace
func await[T any](n *Network, f func() (T, error, *waitq)) (T, error) {
	v, err := new(T), new(error)
	wait := new(waitingCall)
	s, caller := n.enter()
	for fresh := true; ; fresh = false {
		n.hand(s, fresh, func() {
			for going := !wait.goesOn(n); going; {
				var q *waitq
				*v, *err, q = f()
				going = q != nil && wait.begin(n, q)
			}
		})
		if wait.w == nil {
			break
		}
		wait.w.block(n, wait.first)
	}
	n.leave(s, caller)
	return *v, *err
}

// waitingCall is what a call waits for.
type waitingCall struct {
	q     *waitq
	w     *waiter // nil if it does not wait
	first bool
}

// begin reports whether the wait is already over.
func (w *waitingCall) begin(n *Network, q *waitq) (over bool) {
	w.q = q
	w.w, w.first = q.enter(n)
	if over = w.w.works(n); over {
		w.end(n)
	}
	return over
}

// goesOn reports whether a waiting call must keep waiting.
func (w *waitingCall) goesOn(n *Network) bool {
	if w.w == nil {
		return false
	}
	if w.w.resume(n, w.first) {
		return true
	}
	w.end(n)
	return false
}

func (w *waitingCall) end(n *Network) {
	w.q.leave(n, w.w)
	w.w = nil
}

// launch runs f, made at that moment, on a goroutine of the program. One such function runs to its end before
// the next begins, unless it blocks.
//
//go:norace
func (n *Network) launch(m moment, f func()) {
	runtime.RaceDisable()
	go startAt(n, m, f)
	runtime.RaceEnable()
}

//go:norace
func startAt(n *Network, m moment, f func()) {
	learn(m)
	learn(&n.engine.afters)
	f()
	mark(&n.engine.afters)
}

// waitFor waits until the engine closes done, or until ctx ends, and says which.
func waitFor(done <-chan struct{}, ctx context.Context) (ended bool) {
	end := ctx.Done()
	runtime.RaceDisable()
	select {
	case <-done:
	case <-end:
		ended = true
	}
	runtime.RaceEnable()
	if ended {
		reflect.ValueOf(end).TryRecv() // with open eyes. In exact mode a select would be one more place to be preempted than without the detector
	}
	return ended
}

// peek runs f alone, from outside the bubble. f may look at the network as the engine last left it, but it
// must not ask for the time or make anything happen. No goroutine of the program may call it, as it would
// learn everything that the others have done.
func (n *Network) peek(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	learn(&n.engine.done)
	defer mark(&n.engine.done)
	f()
}

// moment returns that of the call for which the engine works.
func (n *Network) moment() moment { return n.engine.serves.asked }

// reveal tells the call for which the engine works what had happened at another moment.
func (n *Network) reveal(m moment) {
	if m != nil {
		n.engine.serves.revealed = append(n.engine.serves.revealed, m)
	}
}

// learn is the end of a happens-before edge, and mark its beginning.
func learn(m moment) {
	if m != nil {
		runtime.RaceAcquire(unsafe.Pointer(m))
	}
}

func mark(m moment) {
	if m != nil {
		runtime.RaceReleaseMerge(unsafe.Pointer(m))
	}
}

func hush()   { runtime.RaceDisable() }
func unhush() { runtime.RaceEnable() }

// history is what the program did with one side of a connection, and what it knows about the other.
type history struct {
	said  said
	heard said     // what the other side did, once it is known
	taken uint64   // bytes of it that were read
	shut  []moment // when this side was closed or shut down
	timed moment   // when the deadlines were last set
}

// said is what the program did with a side, in the order in which the other side learns it.
type said = *sayings

type sayings struct {
	began  moment
	writes []written
	count  uint64   // bytes written
	ends   []moment // when it was closed or shut down
}

// written is a write that has not been read to its end.
type written struct {
	end    uint64 // bytes written until then
	moment moment
}

func (h *history) begin(m moment) said {
	h.said = &sayings{began: m}
	return h.said
}

// hears sets the side whose segments arrive.
func (h *history) hears(s said) {
	if s != nil {
		h.heard = s
	}
}

// wrote is called when bytes were written.
func (h *history) wrote(m moment, bytes int) {
	s := h.said
	s.count += uint64(bytes)
	s.writes = append(s.writes, written{s.count, m})
}

// changed is called when this side was closed, or shut down.
func (h *history) changed(m moment) {
	h.shut = append(h.shut, m)
	h.said.ends = append(h.said.ends, m)
}

// deadline is called when a deadline was set.
func (h *history) deadline(m moment) { h.timed = m }

// opened reveals that the other side began.
func (h *history) opened(n *Network) {
	if h.heard != nil {
		n.reveal(h.heard.began)
	}
}

// received reveals the writes from which the bytes came.
func (h *history) received(n *Network, bytes int) {
	s := h.heard
	if s == nil {
		return
	}
	h.taken += uint64(bytes)
	for len(s.writes) > 0 {
		w := s.writes[0]
		n.reveal(w.moment)
		if w.end > h.taken {
			return
		}
		s.writes = s.writes[1:]
		if w.end == h.taken {
			return
		}
	}
}

// ended reveals all that either side did.
func (h *history) ended(n *Network) {
	h.own(n)
	s := h.heard
	if s == nil {
		return
	}
	n.reveal(s.began)
	for _, w := range s.writes {
		n.reveal(w.moment)
	}
	for _, m := range s.ends {
		n.reveal(m)
	}
}

// own reveals what closed this side, or made its time run out.
func (h *history) own(n *Network) {
	n.reveal(n.over.by)
	n.reveal(h.timed)
	for _, m := range h.shut {
		n.reveal(m)
	}
}

// closings are the calls because of which a host refuses packets: those that closed a port last, and the one
// that ended its processes.
type closings struct {
	ports map[closedPort]moment
	all   moment
}

type closedPort struct {
	proto protocol
	port  uint16
}

// closed is called when a socket was closed that had a port for itself.
func (c *closings) closed(proto protocol, port uint16, m moment) {
	if c.ports == nil {
		c.ports = map[closedPort]moment{}
	}
	c.ports[closedPort{proto, port}] = m
}

// ended is called when the processes were ended.
func (c *closings) ended(m moment) { c.all = m }

// refused reveals why there is no socket at a port.
func (c *closings) refused(n *Network, proto protocol, port uint16) {
	n.reveal(c.all)
	n.reveal(c.ports[closedPort{proto, port}])
}

func readsRange(p []byte) {
	if len(p) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&p[0]), len(p))
	}
}

func writesRange(p []byte) {
	if len(p) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(&p[0]), len(p))
	}
}

// own is a text of the engine's for the program.
//
//go:norace
func own(s string) string {
	b := make([]byte, len(s))
	for i := range b {
		b[i] = s[i]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// ownAll is own for several things.
//
//go:norace
func ownAll[T any](s []T, own func(T) T) []T {
	var all []T
	for i := range s {
		all = append(all, own(s[i]))
	}
	return all
}
