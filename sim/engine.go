package sim

import (
	"slices"
	"time"
)

// The engine. Calls of the program only leave operations behind. Once every goroutine is blocked, step takes
// these operations in an order that does not depend on which goroutine was first, and lets the protocols work
// without waiting. It then wakes the program at one place, to see what it does next. So what the network does
// is a function of the seed, the configuration and what each connection sends, though the runtime runs
// goroutines, and fires the timers of one instant, in any order.
//
// Four verbs make it work. submit leaves an operation behind (for a connection, [TCPConn].submit). wakeAt
// asks for a step at an instant. invalidate says that something has changed on which lookahead relied. step
// is what the engine then does. lookahead.go decides what can be deferred, and until when; quiescence.go
// finds out when every goroutine is blocked.

// begin is the start of every call of the program: it brings the network to the state in which all earlier
// instants left it.
func (n *Network) begin() {
	if n.lookahead.on && (n.lookahead.deferred || !n.calls.pending.empty()) && n.catchUp(n.now()) {
		n.wakeAt(n.next(n.clock.at))
	}
}

// catchUp does everything that was due before now and was deferred, as of the instant at which it was due. It
// reports whether there was anything.
func (n *Network) catchUp(now int64) bool {
	if !n.lookahead.on {
		return false
	}
	due := !n.calls.pending.empty() && n.calls.pending.at < now
	if due {
		n.flush(n.calls.pending.at)
	}
	// What the flush caused may be due as well.
	if n.queue.first() < now {
		due = true
		n.runDue(now - 1)
	}
	return due
}

// submit leaves an operation for the next step. For h nanoseconds the program cannot observe its effect. The
// lock is held.
func (n *Network) submit(o operation, h int64) {
	now := n.now()
	n.calls.pending.begin(now)
	n.calls.pending.other = append(n.calls.pending.other, o)
	n.stepWithin(horizon{h, h}, now)
}

// stepWithin makes the engine step before the horizon of what was added to pending at the present instant, now.
func (n *Network) stepWithin(h horizon, now int64) {
	p := &n.calls.pending
	p.until = min(p.until, after(p.at, h.free))
	p.untilBlocked = min(p.untilBlocked, after(p.at, h.blocked))
	if h.free == 0 || !n.lookahead.on {
		n.wakeAt(atOnce)
	} else {
		n.wakeLater(p.until, now)
	}
}

// atOnce stands for the present instant, whichever that is.
const atOnce = int64(-1)

// wakeAt makes the engine step at an instant, or earlier. At the present instant it steps once everything is
// quiet. The lock is held.
func (n *Network) wakeAt(at int64) {
	now := never
	if at > atOnce && at < n.clock.alarm {
		now = n.now()
	}
	n.wakeLater(at, now)
}

// wakeLater is wakeAt for a caller that already has the time.
func (n *Network) wakeLater(at, now int64) {
	n.lookahead.idleTill = min(n.lookahead.idleTill, at) // keep-alive alone lasts no longer than that
	switch {
	case n.closed || n.calls.stepping || at >= n.clock.alarm:
	case at > now:
		n.setAlarm(at, now)
	default:
		n.requestStep()
	}
}

// invalidate is called when something has changed on which lookahead may have relied: the engine looks again
// at what it deferred.
func (n *Network) invalidate() {
	if n.lookahead.deferred || !n.calls.pending.empty() {
		n.wakeAt(atOnce)
	}
}

// requestStep makes the engine step at this instant, once everything is quiet.
func (n *Network) requestStep() {
	if n.closed || n.calls.stepping {
		return
	}
	n.calls.stepping = true
	var caller *time.Timer
	if w := n.nextWaiter(); w != nil && w.canStep(n.now()) {
		w.steps = true
		caller = w.timer
	}
	n.quiet.request(caller)
}

// setAlarm makes the alarm ring at an instant, or earlier.
func (n *Network) setAlarm(at, now int64) {
	if at != n.clock.alarm {
		n.clock.alarm = n.quiet.alarm(at, now)
	}
}

// ring handles an alarm: something may be due now. The program's own timers of this instant come first, so
// the step waits until they have had their effect.
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

// rung is the outcome of an alarm.
type rung uint8

const (
	rungAtEnd rung = iota
	rungInVain
	rungForStep // the alarm's worker steps
)

func (n *Network) rang(alarm int) rung {
	if n.closed {
		return rungAtEnd
	}
	n.clock.alarm = n.quiet.rang(alarm)
	now := max(n.now(), n.clock.at)
	n.catchUp(now)
	if n.quiet.ringerSteps() && !n.calls.stepping && n.next(now) <= now {
		n.calls.stepping = true
		return rungForStep
	}
	n.prepareNext(now)
	return rungInVain
}

// step runs when all goroutines are blocked. It returns false when the network has ended.
func (n *Network) step() (alive bool) {
	n.stopIfDead()
	return turn(n, func() bool {
		n.calls.stepping = false
		return n.stepNow()
	})
}

// takeTurn does what is due once all goroutines are blocked: the requested step, or what the alarm is for.
func (n *Network) takeTurn() (alive bool) {
	n.stopIfDead()
	return turn(n, n.turnNow)
}

// turnNow is takeTurn, run by a worker or by a call that is about to block. The lock is held, except while
// others are woken.
func (n *Network) turnNow() bool {
	if !n.calls.stepping {
		n.clock.alarm = n.quiet.rang(0)
	}
	n.calls.stepping = false
	defer n.endTurn(n.beginTurn())
	return n.stepNow()
}

// stepNow is a step, run by a worker or by a blocked call, which then need not be woken. The lock is held,
// except while others are woken.
func (n *Network) stepNow() bool {
	n.harness.steps.Add(1)
	expired := n.clock.expired
	if expired != nil {
		close(expired)
		n.clock.expired = nil
	}
	if n.closed {
		return false
	}
	if expired != nil { // this step was for the limit; the next one handles the rest
		n.prepareNext(max(n.now(), n.clock.at))
		return true
	}
	if n.payRules() {
		return true
	}
	now := max(n.now(), n.clock.at)
	n.catchUp(now)
	if n.goIdle(now) {
		n.prepareNext(now)
		return true
	}
	n.flush(now)
	change := n.runDue(now)
	var room [2]release // the calls that one wake-up releases
	out := room[:0]
	if change.f == nil {
		out = n.takeWakes(now, out)
		n.prepareNext(now)
	} else {
		n.clock.active = now
		n.wakeAt(atOnce) // the rest of this instant follows when the change is done
	}
	if change.f == nil && len(out) == 0 {
		return true
	}
	caller := n.unlockToWake()
	if change.f != nil {
		n.launch(change.by, change.f)
	}
	for _, r := range out {
		r.do()
	}
	n.lockAgain(caller)
	return true
}

// flush takes what the program asked for at an instant.
func (n *Network) flush(now int64) {
	if n.calls.pending.empty() {
		return
	}
	now = max(now, n.clock.at)
	n.clock.at, n.lookahead.idleTill = now, 0
	// What waited at a link goes before what was sent later: it is first in the order.
	others := n.calls.pending.other
	if len(others) > 1 {
		slices.SortFunc(others, compareOps)
	}
	for len(others) > 0 && others[0].kind == opRelease {
		n.clock.active = now
		others[0].perform(now)
		others[0] = operation{}
		others = others[1:]
	}
	if len(n.calls.pending.conns) > 0 {
		n.clock.active = now
		if len(n.calls.pending.conns) > 1 {
			slices.SortFunc(n.calls.pending.conns, byID)
		}
		for i, c := range n.calls.pending.conns {
			n.calls.pending.conns[i] = nil
			if c.host.pause.faults != nil {
				c.host.pause.faults.hit(now)
				c.host.pause.conns = append(c.host.pause.conns, c)
				continue
			}
			c.flush(now)
		}
		n.calls.pending.conns = n.calls.pending.conns[:0]
	}
	for i := range others {
		n.clock.active = now
		others[i].take(now)
	}
	n.calls.pending.other = n.calls.pending.other[:0]
	n.calls.pending.until, n.calls.pending.untilBlocked = never, never
}

// take performs an operation and clears it, or keeps it until its paused host resumes.
func (o *operation) take(now int64) {
	taken := *o
	*o = operation{}
	if taken.host.pause.faults != nil {
		taken.host.pause.faults.hit(now)
		taken.host.pause.ops = append(taken.host.pause.ops, taken)
		return
	}
	taken.perform(now)
}

// runDue runs the events that are due, up to a change of the network, which it returns. The caller runs the
// change to its end before the events that follow.
func (n *Network) runDue(now int64) (next change) {
	for {
		n.queue.front(now)
		if len(n.queue.events) == 0 || n.queue.events[0].when > now {
			return change{}
		}
		e := n.queue.pop(&n.pool)
		n.lookahead.played++
		n.idlers.settle()
		// On the wall clock an event may be late; time does not go back for it.
		n.clock.at = max(n.clock.at, e.when)
		switch e.ord & classMask {
		case classPacket:
			n.arriveTrain(n.clock.at, e.what.(*packet))
		case classChange:
			return e.what.(change)
		default:
			class := e.ord & classMask
			sock := e.timed()
			*sock.plan(class) = plan(never)
			sock.due(n.clock.at, class)
		}
	}
}

// takeWakes appends to out what the program must be woken for now. In a bubble that is one thing at each
// instant: the goroutine that it wakes runs until it blocks before the next one wakes, and the timers that it
// starts tie with no others.
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
	n.oweRules()
	return out
}

// prepareNext makes the engine step when it has something to do, and not before.
func (n *Network) prepareNext(now int64) {
	next := n.next(now)
	if next <= now {
		n.requestStep()
		next = never
	}
	if !n.calls.stepping {
		n.setAlarm(next, now)
	}
}

// next returns the instant at which the engine must have done something.
func (n *Network) next(now int64) int64 {
	next, first := never, n.queue.first()
	n.lookahead.deferred = false
	switch {
	case first == never:
	case n.lookahead.idleTill > now:
		next, n.lookahead.deferred, n.lookahead.alarmFor = n.lookahead.idleTill, true, nil
	default:
		next = n.soonest()
		n.lookahead.deferred = next > first
	}
	if n.calls.firstWake < len(n.calls.wakes) {
		next = min(next, max(n.clock.released+1, now))
	}
	return min(next, n.calls.pending.until)
}

// wake schedules w. The processes of a paused host are woken when it resumes.
func (n *Network) wake(w wake) {
	if w.host.pause.faults != nil {
		w.host.pause.faults.hit(n.now())
		w.host.pause.wakes = append(w.host.pause.wakes, w)
		return
	}
	if n.calls.firstWake == len(n.calls.wakes) {
		n.calls.wakes, n.calls.firstWake = n.calls.wakes[:0], 0
	}
	n.calls.wakes = append(n.calls.wakes, w)
}
