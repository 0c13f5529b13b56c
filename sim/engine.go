package sim

import (
	"cmp"
	"slices"
)

// The engine. Calls of the program only leave operations behind; once every
// goroutine is blocked, step takes them in an order that does not depend on who
// came first, lets the protocols work without waiting, and then wakes the program
// at one place, to see what it does next. So what the network does is a function
// of the seed, the configuration and what each connection sends, though the
// runtime runs goroutines, and fires the timers of one instant, in any order.
//
// What nobody can notice for a while has time until then, which saves wake-ups of the
// engine: a write on a link with a delay, a packet that passes a router, an
// acknowledgement that was put off. It is done as of the instant at which it was due.
// Whatever could tell the difference, which is every call on the network at a later
// instant, has it done first.

// A wake is one thing that the program is about to notice.
type wake struct {
	host *Host
	q    *waitq        // a blocked call,
	done chan struct{} // or a channel to close
}

// A change of the network is a function of the program's, called in its turn.
type change struct {
	by moment // when it was asked for
	f  func()
}

// pendingOps is what the program asked for at one instant and the engine has not
// taken yet.
type pendingOps struct {
	conns []*TCPConn // connections with something to do, each once
	other []operation
	at    int64 // the instant
	until int64 // when the first effect of it could be noticed; never if it is empty
	sure  int64 // the same, even if a writer begins to wait
}

func (p *pendingOps) empty() bool { return len(p.conns) == 0 && len(p.other) == 0 }

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

// begin is how every call of the program begins: with the network as all earlier
// instants have left it.
func (n *Network) begin() {
	if n.lazy && (n.late || !n.pending.empty()) && n.catchUp(n.now()) {
		n.arm(n.next(n.clock))
	}
}

// catchUp does all that was due before now and was left for later, and says whether there
// was anything.
func (n *Network) catchUp(now int64) bool {
	if !n.lazy {
		return false
	}
	due := !n.pending.empty() && n.pending.at < now
	if due {
		n.flush(n.pending.at)
	}
	// What the flush brought about may be due as well.
	if len(n.events) > 0 && n.events[0].when < now {
		due = true
		n.runDue(now - 1)
	}
	return due
}

// request asks for a step at this instant. The lock is held.
func (n *Network) request() {
	if n.closed || n.drv.kicked {
		return
	}
	if w := n.likely(); w != nil && w.canStep(n.now()) {
		w.steps = true
		n.drv.requestBy(w.timer)
		return
	}
	n.drv.request()
}

// likely is the blocked call that the next step will probably wake, or nil. If it does the
// step itself, the engine needs no goroutine to do it.
func (n *Network) likely() *waiter {
	switch {
	case n.firstWake < len(n.wakes):
		if q := n.wakes[n.firstWake].q; q != nil {
			return q.w
		}
	case len(n.pending.conns) > 0:
		return n.pending.conns[0].flow.likely()
	default:
		switch what := n.decisive.(type) {
		case *packet:
			if what.flow != nil {
				return what.flow.likely()
			}
		case *TCPConn:
			return what.r.w
		}
	}
	return nil
}

// arm makes sure that the engine runs at an instant, or earlier.
func (n *Network) arm(at int64) {
	switch {
	case n.closed || n.drv.kicked || at >= n.drv.alarmAt:
	case at <= n.now():
		n.request()
	default:
		n.drv.at(at, n.now())
	}
}

// ask has the engine look at what was added to pending, and whose first effect nobody
// can notice before slack has passed, or sure if a writer begins to wait meanwhile.
func (n *Network) ask(slack, sure int64) {
	if p := &n.pending; len(p.conns)+len(p.other) == 1 {
		p.at, p.until, p.sure = n.now(), never, never
	}
	n.sooner(slack, sure)
}

// sooner is for something that was added to what is pending already.
func (n *Network) sooner(slack, sure int64) {
	p := &n.pending
	p.until = min(p.until, after(p.at, slack))
	p.sure = min(p.sure, after(p.at, sure))
	if slack == 0 || !n.lazy {
		n.request()
	} else {
		n.arm(p.until)
	}
}

// op leaves an operation for the next step. The lock is held.
func (n *Network) op(o operation, slack int64) {
	n.pending.other = append(n.pending.other, o)
	n.ask(slack, slack)
}

// changed is called when something of the network has changed that slack may have
// relied on.
func (n *Network) changed() {
	if n.late || !n.pending.empty() {
		n.request()
	}
}

// ring is an alarm: something may be due now. The program's own timers of this
// instant come first, so the step waits until they have had their effect.
func (n *Network) ring(alarm int) (alive, due bool) {
	n.stopIfDead()
	n.steps.Add(1)
	switch turn(n, func() rung { return n.rang(alarm) }) {
	case rungInVain:
		return true, false
	case rungForStep:
		return true, true
	default:
		return false, false
	}
}

// rung is what an alarm has led to.
type rung uint8

const (
	rungAtEnd rung = iota
	rungInVain
	rungForStep // which the worker of the alarm does
)

func (n *Network) rang(alarm int) rung {
	if n.closed {
		return rungAtEnd
	}
	n.drv.rang(alarm)
	now := max(n.now(), n.clock)
	n.catchUp(now)
	if n.drv.waits && !n.drv.kicked && n.next(now) <= now {
		n.drv.kicked = true
		return rungForStep
	}
	n.setAlarm(now)
	return rungInVain
}

// step runs when all goroutines are blocked. It returns false when the network has
// ended.
func (n *Network) step() bool {
	n.stopIfDead()
	return turn(n, func() bool {
		n.drv.begin()
		return n.stepNow()
	})
}

// stepNow is a step, done by a worker or by a blocked call, which need not be woken then.
// The lock is held, but while others are woken.
func (n *Network) stepNow() bool {
	n.steps.Add(1)
	if n.closed {
		return false
	}
	now := max(n.now(), n.clock)
	n.catchUp(now)
	if n.goIdle(now) {
		n.setAlarm(now)
		return true
	}
	n.flush(now)
	change := n.runDue(now)
	var room [8]release
	out := room[:0]
	if change.f == nil {
		out = n.takeWakes(now, out)
		n.setAlarm(now)
	} else {
		n.active = now
		n.request() // the rest of this instant comes when the change is done
	}
	if change.f == nil && len(out) == 0 {
		return true
	}
	n.unlockToWake()
	if change.f != nil {
		n.launch(change.by, change.f)
	}
	for _, r := range out {
		r.do()
	}
	n.lockAgain()
	return true
}

// flush takes what the program asked for at an instant.
func (n *Network) flush(now int64) {
	if n.pending.empty() {
		return
	}
	now = max(now, n.clock)
	n.clock, n.idleTill = now, 0
	// What waited at a link goes before what was sent since. It is first in the order.
	slices.SortFunc(n.pending.other, compareOps)
	others := n.pending.other
	for len(others) > 0 && others[0].kind == opRelease {
		n.active = now
		others[0].run(now)
		others[0] = operation{}
		others = others[1:]
	}
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
	for i, o := range others {
		n.active = now
		others[i] = operation{}
		if o.host.paused != nil {
			o.host.heldOps = append(o.host.heldOps, o)
			continue
		}
		o.run(now)
	}
	n.pending.other = n.pending.other[:0]
	n.pending.until, n.pending.sure = never, never
}

// runDue runs the events that are due, up to a change of the network, which it
// returns: the caller runs it to its end before the events that follow.
func (n *Network) runDue(now int64) (next change) {
	for {
		n.front()
		if len(n.events) == 0 || n.events[0].when > now {
			return change{}
		}
		e := n.events.pop()
		// On the wall clock an event may come late; time does not go back for it.
		n.clock = max(n.clock, e.when)
		switch e.ord & classMask {
		case classPacket:
			n.arriveTrain(n.clock, e.what.(*packet))
		case classChange:
			return e.what.(change)
		default:
			class := e.ord & classMask
			sock := e.what.(timed)
			*sock.plan(class) = plan(never)
			sock.due(n.clock, class)
		}
	}
}

// takeWakes appends to out what the program notices now. In a bubble that is one thing
// an instant: the goroutine it wakes runs until it blocks before the next one, and
// the timers that it starts tie with nobody's.
func (n *Network) takeWakes(now int64, out []release) []release {
	count := len(n.wakes) - n.firstWake
	if count == 0 || n.bubble && n.released >= now {
		return out
	}
	if n.bubble {
		count = 1
	}
	for _, w := range n.wakes[n.firstWake : n.firstWake+count] {
		out = w.release(out)
	}
	n.firstWake += count
	n.released, n.active = now, now
	return out
}

// setAlarm has the engine run when it has something to do, and not before.
func (n *Network) setAlarm(now int64) {
	next := n.next(now)
	if next <= now {
		n.request()
		next = never
	}
	if !n.drv.kicked {
		n.drv.at(next, now)
	}
}

// next is the instant at which the engine has to have done something.
func (n *Network) next(now int64) int64 {
	next := never
	n.late = false
	switch n.front(); {
	case len(n.events) == 0:
	case n.idleTill > now:
		next, n.late, n.decisive = n.idleTill, true, nil
	default:
		look := mostLooks
		next = n.noticed(0, never, &look)
		n.late = next > n.events[0].when
	}
	if n.firstWake < len(n.wakes) {
		next = min(next, max(n.released+1, now))
	}
	return min(next, n.pending.until)
}

// mostLooks is how many events next looks at. It is enough for a flight of segments, and
// not too much for a network of thousands of connections.
const mostLooks = 16

// noticed is the instant at which an event of the part of the heap below i, or one to come
// of it, can be noticed, but at most at. Events beyond the first few looks count as
// noticed at once.
func (n *Network) noticed(i int, at int64, looks *int) int64 {
	e := &n.events[i]
	if e.when >= at {
		return at
	}
	if *looks == 0 {
		n.decisive = nil
		return e.when
	}
	*looks--
	if when, seen := n.seen(e); seen < at {
		at = seen
		n.decisive = nil
		if seen == when {
			n.decisive = e.what
		}
	}
	for c := 4*i + 1; c < min(4*i+5, len(n.events)); c++ {
		at = n.noticed(c, at, looks)
	}
	return at
}

// seen is the instant of an event, which may have been put off, and that at which it, or
// another timer of the same socket, can be noticed at the earliest.
func (n *Network) seen(e *event) (when, seen int64) {
	switch class := e.ord & classMask; {
	case class == classPacket && n.lazy:
		return e.when, after(e.when, e.what.(*packet).slack(e.when))
	case class == classPacket, class == classChange:
		return e.when, e.when
	case class == classTimer && n.lazy:
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
