package sim

import (
	"sync"
	"time"
)

// A waitq is where calls wait for something from a socket: data, room, a connection. The lock is held in all
// its methods. Waiters are pooled: at any time few sockets have a blocked caller.
type waitq struct {
	w        *waiter // nil if no call waits
	waiting  int32
	pending  bool // a wake is scheduled
	deferred bool // something was deferred because no call waits
	between  bool // between two turns
}

// A waiter is what a call needs to wait in a queue. In a bubble the first call waits for a timer, if the
// network's quiescence has one, so that it can do the engine's next step when everything is quiet. The others
// wait for cond.
type waiter struct {
	cond  sync.Cond
	timer *time.Timer // from quiescence.callTimer; may be nil
	since int64       // instant at which the first call was blocked; never if it is not
	first bool        // there is a first call
	woken bool        // and it may go on
	steps bool        // it must do the next step
	wakes uint32      // how often the calls were woken
}

// canStep reports whether the first call is blocked for certain, as is everything that does not run when the
// clock moves, and can be woken.
func (w *waiter) canStep(now int64) bool {
	return w.timer != nil && w.since < now && !w.woken
}

// enter begins a call's wait for the next wake. block and resume follow, as often as resume asks for it, and
// leave ends the wait. first says that this call waits for the timer.
func (q *waitq) enter(n *Network) (w *waiter, first bool) {
	if q.w == nil {
		q.w = n.lendWaiter()
	}
	w = q.w
	q.waiting++
	if q.deferred { // it may be what this call waits for
		q.deferred = false
		n.wakeAt(n.next(n.clock.at))
	}
	if first = w.timer != nil && !w.first; first {
		w.first = true
		w.since = n.now()
	}
	return w, first
}

// mostTurns is how many turns of the engine a call takes before it blocks: while it works, those outside the
// bubble cannot look at the network.
const mostTurns = 64

// works does what the engine would do while all goroutines but the call's are blocked, and does it before the
// call blocks: so nobody need be woken for it. It reports whether that woke the call.
func (w *waiter) works(n *Network) (woken bool) {
	before := w.wakes
	for i := 0; i < mostTurns && !n.harness.dead.Load() && n.quiet.takesTurn(); i++ {
		if n.turnNow(); w.wakes != before {
			return true
		}
	}
	return false
}

// block waits. The lock is given up meanwhile.
//
//go:norace
func (w *waiter) block(n *Network, first bool) {
	if !first {
		w.cond.Wait()
		return
	}
	n.mu.Unlock()
	<-w.timer.C
	n.mu.Lock()
}

// resume reports whether the call must keep waiting.
func (w *waiter) resume(n *Network, first bool) (more bool) {
	if !first {
		return false
	}
	w.since = never
	if w.steps {
		w.steps, n.calls.stepping = false, false
		n.stepNow()
	}
	if !w.woken {
		w.since = n.now()
		return true
	}
	w.first, w.woken = false, false
	return false
}

func (q *waitq) leave(n *Network, w *waiter) {
	if q.waiting--; q.waiting == 0 {
		n.calls.waiters = append(n.calls.waiters, w)
		q.w = nil
	}
}

func (n *Network) lendWaiter() *waiter {
	if last := len(n.calls.waiters) - 1; last >= 0 {
		w := n.calls.waiters[last]
		n.calls.waiters = n.calls.waiters[:last]
		return w
	}
	w := &waiter{since: never}
	w.cond.L = &n.mu
	w.timer = n.quiet.callTimer()
	return w
}

// notify wakes the waiting calls, at an instant of their own.
func (q *waitq) notify(n *Network, h *Host) {
	if q.waiting == 0 || q.pending {
		return
	}
	q.pending = true
	n.wake(wake{host: h, q: q})
}

// release wakes the waiting calls at once: another call of the same program is the cause.
func (q *waitq) release() {
	var room [2]release
	for _, r := range q.releases(room[:0]) {
		r.do()
	}
}

// A release is a blocked call that can go on: it waits for a timer, for a condition, or for a channel to be
// closed.
type release struct {
	timer *time.Timer
	cond  *sync.Cond
	done  chan struct{}
}

func (r release) do() {
	switch {
	case r.timer != nil:
		reset(r.timer, 0) // it is not in the heap: it fires at once
	case r.cond != nil:
		r.cond.Broadcast()
	default:
		close(r.done)
	}
}

// release appends to out what wakes the program.
func (w wake) release(out []release) []release {
	if w.q == nil {
		return append(out, release{done: w.done})
	}
	w.q.pending, w.q.between = false, false
	return w.q.releases(out)
}

// releaseNow wakes the program.
func (w wake) releaseNow() {
	for _, r := range w.release(nil) {
		r.do()
	}
}

func (q *waitq) releases(out []release) []release {
	w, others := q.w, q.waiting
	if w == nil {
		return out
	}
	w.wakes++
	if w.first {
		others--
		if !w.woken && w.since != never {
			out = append(out, release{timer: w.timer})
		}
		w.woken = true
	}
	if others > 0 {
		out = append(out, release{cond: &w.cond})
	}
	return out
}

// turns makes calls of one kind on a socket run one after the other, in the order in which the program made
// them, as package poll does (its fdMutex). Only the first of them gets as far as the kernel: a write is in
// the stream as a whole, and the call that has waited longest reads next.
//
// Between two turns all goroutines must block: if several could go on at once, as when a connection dies on
// which they write, the runtime would choose what they do next.
type turns struct {
	given, over uint32 // tickets handed out
}

// A ticket is a call's place, from 1; 0 if it has none yet.
type ticket uint32

// come reports whether it is the turn of a call that otherwise waits in q.
func (t *turns) come(q *waitq, mine *ticket) bool {
	if *mine == 0 {
		t.given++
		*mine = ticket(t.given)
	}
	return uint32(*mine) == t.over+1 && !q.between
}

// end ends the turn of a call. The next call that waits in q gets its turn with the engine's next step.
func (t *turns) end(n *Network, h *Host, q *waitq) {
	switch t.over++; {
	case t.over == t.given:
	case n.closed:
		q.release()
	default:
		q.between = true
		q.notify(n, h)
		n.wakeAt(atOnce)
	}
}
