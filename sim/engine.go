package sim

import (
	"cmp"
	"slices"
	"sync"
)

// The engine. Calls of the program only leave operations behind; once every
// goroutine is blocked, step takes them in an order that does not depend on who
// came first, lets the protocols work without waiting, and then wakes the program
// at one place, to see what it does next. So what the network does is a function
// of the seed, the configuration and what each connection sends, though the
// runtime runs goroutines, and fires the timers of one instant, in any order.

// A wake is one thing that the program is about to notice.
type wake struct {
	host *Host
	q    *waitq        // a blocked call,
	done chan struct{} // or a channel to close
}

// pendingOps is what the program asked for since the last step.
type pendingOps struct {
	conns []*TCPConn // connections with something to do, each once
	other []operation
}

// An operation is something a program asked of the network that is not yet tied
// to a connection. Its key orders the operations of one instant.
type operation struct {
	host *Host
	kind opKind
	dest string // for a dial: where to
	n    uint64 // among those alike, which one
	run  func(now int64)
}

type opKind uint8

const (
	opRelease opKind = iota // has no host
	opListener
	opDial
	opDatagram
)

func compareOps(a, b operation) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	if a.host != b.host {
		return cmp.Compare(a.host.name, b.host.name)
	}
	return cmp.Or(cmp.Compare(a.dest, b.dest), cmp.Compare(a.n, b.n))
}

// stallAfter is how long a bubble may go on with nothing but protocol timers,
// such as keep-alive probes, before it counts as stalled.
const stallAfter = int64(30 * 24 * 3600 * 1e9)

// request asks for a step at this instant. The lock is held.
func (n *Network) request() {
	if !n.closed {
		n.drv.request()
	}
}

// op leaves an operation for the next step. The lock is held.
func (n *Network) op(o operation) {
	n.pending.other = append(n.pending.other, o)
	n.request()
}

// ring is the alarm: something is due now. The program's own timers of this
// instant come first, so the step waits until they have had their effect.
func (n *Network) ring() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drv.alarmAt = never
	n.request()
}

// step runs when all goroutines are blocked. It returns false when the network has
// ended.
func (n *Network) step() bool {
	n.steps.Add(1)
	n.mu.Lock()
	n.drv.kicked = false
	if n.closed {
		n.mu.Unlock()
		return false
	}
	now := max(n.now(), n.clock)
	n.flush(now)
	change := n.runDue(now)
	var out []wake
	if change == nil {
		out = n.takeWakes(now)
	} else {
		n.active = now
		n.request() // the rest of this instant comes when the change is done
	}
	n.setAlarm(now)
	if n.bubble && now-n.active > stallAfter {
		n.shutdown("for 30 days of virtual time the program did nothing on the network and nothing reached it")
	}
	n.mu.Unlock()

	// Woken goroutines want the lock at once, so it is free by now.
	if change != nil {
		go change()
		return true
	}
	for _, w := range out {
		w.release()
	}
	return true
}

// release lets the program notice.
func (w wake) release() {
	if w.q != nil {
		w.q.cond.Broadcast()
	} else {
		close(w.done)
	}
}

// flush takes what the program asked for since the last step.
func (n *Network) flush(now int64) {
	n.clock = now
	if len(n.pending.conns) > 0 {
		n.active = now
		slices.SortFunc(n.pending.conns, byID)
		for i, c := range n.pending.conns {
			n.pending.conns[i] = nil
			if c.host.paused != nil {
				c.host.heldConns = append(c.host.heldConns, c)
				continue
			}
			c.flush(now)
		}
		n.pending.conns = n.pending.conns[:0]
	}
	if len(n.pending.other) > 0 {
		n.active = now
		slices.SortFunc(n.pending.other, compareOps)
		for i, o := range n.pending.other {
			n.pending.other[i] = operation{}
			if o.host != nil && o.host.paused != nil {
				o.host.heldOps = append(o.host.heldOps, o)
				continue
			}
			o.run(now)
		}
		n.pending.other = n.pending.other[:0]
	}
}

// runDue runs the events that are due, up to a change of the network, which it
// returns: the caller runs it to its end before the events that follow.
func (n *Network) runDue(now int64) (change func()) {
	for {
		n.front()
		if len(n.events) == 0 || n.events[0].when > now {
			return nil
		}
		e := n.events.pop()
		// On the wall clock an event may come late; time does not go back for it.
		n.clock = max(n.clock, e.when)
		switch e.ord & classMask {
		case classPacket:
			n.arrive(n.clock, e.pkt)
		case classChange:
			return e.fn
		default:
			class := e.ord & classMask
			*e.sock.plan(class) = plan(never)
			e.sock.due(n.clock, class)
		}
	}
}

// takeWakes returns what the program notices now. In a bubble that is one thing
// an instant: the goroutine it wakes runs until it blocks before the next one, and
// the timers that it starts tie with nobody's.
func (n *Network) takeWakes(now int64) []wake {
	count := len(n.wakes) - n.firstWake
	if count == 0 || n.bubble && n.released >= now {
		return nil
	}
	if n.bubble {
		count = 1
	}
	// A copy: wakes may be written over as soon as the lock is free.
	n.out = append(n.out[:0], n.wakes[n.firstWake:n.firstWake+count]...)
	for _, w := range n.out {
		if w.q != nil {
			w.q.pending = false
		}
	}
	n.firstWake += count
	n.released, n.active = now, now
	return n.out
}

func (n *Network) setAlarm(now int64) {
	n.front()
	next := never
	if len(n.events) > 0 {
		next = n.events[0].when
	}
	if n.firstWake < len(n.wakes) {
		next = min(next, n.released+1)
	}
	if next <= now {
		n.request()
		next = never
	}
	n.drv.at(next, now)
}

// stalled is called when no timer of the bubble is left and every goroutine is
// blocked: without it the runtime would end the process.
func (n *Network) stalled() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shutdown("every goroutine was blocked and nothing was scheduled to happen")
}

// A waitq is where calls wait for something of a socket: data, room, a
// connection. The lock is held in all its methods.
type waitq struct {
	cond    sync.Cond
	waiting int
	pending bool // a wake is on its way
}

// wait blocks until the next wake. The lock is given up meanwhile.
func (q *waitq) wait(n *Network) {
	if q.cond.L == nil {
		q.cond.L = &n.mu
	}
	q.waiting++
	q.cond.Wait()
	q.waiting--
}

// notify wakes the calls that wait, at an instant of their own.
func (q *waitq) notify(n *Network, h *Host) {
	if q.waiting == 0 || q.pending {
		return
	}
	q.pending = true
	n.wake(wake{host: h, q: q})
}

// release wakes the calls that wait, at once: another call of the same program
// is the cause.
func (q *waitq) release() {
	if q.waiting > 0 {
		q.cond.Broadcast()
	}
}

// wake schedules w; the processes of a paused host notice nothing until it goes
// on.
func (n *Network) wake(w wake) {
	if w.host.paused != nil {
		w.host.paused.hits++
		w.host.heldWakes = append(w.host.heldWakes, w)
		return
	}
	if n.firstWake == len(n.wakes) {
		n.wakes, n.firstWake = n.wakes[:0], 0
	}
	n.wakes = append(n.wakes, w)
}
