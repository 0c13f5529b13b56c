package sim

import (
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

// begin is how every call of the program begins: with the network as all earlier
// instants have left it.
func (n *Network) begin() {
	if n.lookahead.on && (n.lookahead.deferred || !n.calls.pending.empty()) && n.catchUp(n.now()) {
		n.arm(n.next(n.clock.at))
	}
}

// catchUp does all that was due before now and was left for later, and says whether there
// was anything.
func (n *Network) catchUp(now int64) bool {
	if !n.lookahead.on {
		return false
	}
	due := !n.calls.pending.empty() && n.calls.pending.at < now
	if due {
		n.flush(n.calls.pending.at)
	}
	// What the flush brought about may be due as well.
	if len(n.queue.events) > 0 && n.queue.events[0].when < now {
		due = true
		n.runDue(now - 1)
	}
	return due
}

// request asks for a step at this instant. The lock is held.
func (n *Network) request() {
	if n.closed || n.quiet.kicked {
		return
	}
	if w := n.likely(); w != nil && w.canStep(n.now()) {
		w.steps = true
		n.quiet.requestBy(w.timer)
		return
	}
	n.quiet.request()
}

// arm makes sure that the engine runs at an instant, or earlier.
func (n *Network) arm(at int64) {
	switch {
	case n.closed || n.quiet.kicked || at >= n.quiet.alarmAt:
	case at <= n.now():
		n.request()
	default:
		n.quiet.at(at, n.now())
	}
}

// ask has the engine look at what was added to pending, and whose first effect nobody
// can notice before slack has passed, or sure if a writer begins to wait meanwhile.
func (n *Network) ask(slack, sure int64) {
	if p := &n.calls.pending; len(p.conns)+len(p.other) == 1 {
		p.at, p.until, p.sure = n.now(), never, never
	}
	n.sooner(slack, sure)
}

// sooner is for something that was added to what is pending already.
func (n *Network) sooner(slack, sure int64) {
	p := &n.calls.pending
	p.until = min(p.until, after(p.at, slack))
	p.sure = min(p.sure, after(p.at, sure))
	if slack == 0 || !n.lookahead.on {
		n.request()
	} else {
		n.arm(p.until)
	}
}

// op leaves an operation for the next step. The lock is held.
func (n *Network) op(o operation, slack int64) {
	n.calls.pending.other = append(n.calls.pending.other, o)
	n.ask(slack, slack)
}

// changed is called when something of the network has changed that slack may have
// relied on.
func (n *Network) changed() {
	if n.lookahead.deferred || !n.calls.pending.empty() {
		n.request()
	}
}

// ring is an alarm: something may be due now. The program's own timers of this
// instant come first, so the step waits until they have had their effect.
func (n *Network) ring(alarm int) (alive, due bool) {
	n.stopIfDead()
	n.harness.steps.Add(1)
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
	n.quiet.rang(alarm)
	now := max(n.now(), n.clock.at)
	n.catchUp(now)
	if n.quiet.waits && !n.quiet.kicked && n.next(now) <= now {
		n.quiet.kicked = true
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
		n.quiet.begin()
		return n.stepNow()
	})
}

// stepNow is a step, done by a worker or by a blocked call, which need not be woken then.
// The lock is held, but while others are woken.
func (n *Network) stepNow() bool {
	n.harness.steps.Add(1)
	if n.closed {
		return false
	}
	now := max(n.now(), n.clock.at)
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
		n.clock.active = now
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
	if n.calls.pending.empty() {
		return
	}
	now = max(now, n.clock.at)
	n.clock.at, n.lookahead.idleTill = now, 0
	// What waited at a link goes before what was sent since. It is first in the order.
	slices.SortFunc(n.calls.pending.other, compareOps)
	others := n.calls.pending.other
	for len(others) > 0 && others[0].kind == opRelease {
		n.clock.active = now
		others[0].run(now)
		others[0] = operation{}
		others = others[1:]
	}
	if len(n.calls.pending.conns) > 0 {
		n.clock.active = now
		slices.SortFunc(n.calls.pending.conns, byID)
		for i, c := range n.calls.pending.conns {
			n.calls.pending.conns[i] = nil
			if c.host.pause.fault != nil {
				c.host.pause.conns = append(c.host.pause.conns, c)
				continue
			}
			c.flush(now)
		}
		n.calls.pending.conns = n.calls.pending.conns[:0]
	}
	for i, o := range others {
		n.clock.active = now
		others[i] = operation{}
		if o.host.pause.fault != nil {
			o.host.pause.ops = append(o.host.pause.ops, o)
			continue
		}
		o.run(now)
	}
	n.calls.pending.other = n.calls.pending.other[:0]
	n.calls.pending.until, n.calls.pending.sure = never, never
}

// runDue runs the events that are due, up to a change of the network, which it
// returns: the caller runs it to its end before the events that follow.
func (n *Network) runDue(now int64) (next change) {
	for {
		n.queue.front()
		if len(n.queue.events) == 0 || n.queue.events[0].when > now {
			return change{}
		}
		e := n.queue.events.pop()
		// On the wall clock an event may come late; time does not go back for it.
		n.clock.at = max(n.clock.at, e.when)
		switch e.ord & classMask {
		case classPacket:
			n.arriveTrain(n.clock.at, e.what.(*packet))
		case classChange:
			return e.what.(change)
		default:
			class := e.ord & classMask
			sock := e.what.(timed)
			*sock.plan(class) = plan(never)
			sock.due(n.clock.at, class)
		}
	}
}

// takeWakes appends to out what the program notices now. In a bubble that is one thing
// an instant: the goroutine it wakes runs until it blocks before the next one, and
// the timers that it starts tie with nobody's.
func (n *Network) takeWakes(now int64, out []release) []release {
	count := len(n.calls.wakes) - n.calls.firstWake
	if count == 0 || n.clock.virtual && n.clock.released >= now {
		return out
	}
	if n.clock.virtual {
		count = 1
	}
	for _, w := range n.calls.wakes[n.calls.firstWake : n.calls.firstWake+count] {
		out = w.release(out)
	}
	n.calls.firstWake += count
	n.clock.released, n.clock.active = now, now
	return out
}

// setAlarm has the engine run when it has something to do, and not before.
func (n *Network) setAlarm(now int64) {
	next := n.next(now)
	if next <= now {
		n.request()
		next = never
	}
	if !n.quiet.kicked {
		n.quiet.at(next, now)
	}
}

// next is the instant at which the engine has to have done something.
func (n *Network) next(now int64) int64 {
	next := never
	n.lookahead.deferred = false
	switch n.queue.front(); {
	case len(n.queue.events) == 0:
	case n.lookahead.idleTill > now:
		next, n.lookahead.deferred, n.lookahead.decisive = n.lookahead.idleTill, true, nil
	default:
		look := mostLooks
		next = n.noticed(0, never, &look)
		n.lookahead.deferred = next > n.queue.events[0].when
	}
	if n.calls.firstWake < len(n.calls.wakes) {
		next = min(next, max(n.clock.released+1, now))
	}
	return min(next, n.calls.pending.until)
}

// wake schedules w; the processes of a paused host notice nothing until it goes
// on.
func (n *Network) wake(w wake) {
	if w.host.pause.fault != nil {
		w.host.pause.fault.hits++
		w.host.pause.wakes = append(w.host.pause.wakes, w)
		return
	}
	if n.calls.firstWake == len(n.calls.wakes) {
		n.calls.wakes, n.calls.firstWake = n.calls.wakes[:0], 0
	}
	n.calls.wakes = append(n.calls.wakes, w)
}
