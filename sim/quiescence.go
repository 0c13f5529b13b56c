package sim

import (
	"sync"
	"testing/synctest"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// A quiescence finds out when every goroutine of the program is blocked, and makes the engine step then. At
// that moment, what the program has asked for no longer depends on which goroutine was first. It also knows
// how to be woken at an instant. There is one implementation for each way to do that:
//
//   - kickTimers, in a bubble: a timer that is due now fires when all goroutines are blocked;
//   - quietWait, in a bubble, with [ManyTimers]: [synctest.Wait];
//   - turnTaker, in a bubble of exact mode: the scheduler reports it;
//   - wallClock, with [New]: there is no way to know, so the engine steps soon.
//
// It calls step once everything is quiet after a request, and ring at the instant of an alarm. It calls each
// on a goroutine of its own, without the network's lock; a turnTaker calls turn for both. They return false
// when the network has ended. All methods are called with the lock held.
type quiescence interface {
	// request makes the quiescence call step at this very instant. The network asks for one step at a time.
	// If caller is not nil, it is the waiter of a blocked call that waits for a timer from callTimer: that
	// call is woken to do the step instead.
	request(caller *time.Timer)

	// callTimer returns a timer by which a blocked call can be woken to do a step, or nil.
	callTimer() *time.Timer

	// alarm makes the quiescence call ring at an instant, or at an earlier one that was asked for before;
	// never stands for none. It returns the instant of the next alarm, or never.
	alarm(at, now int64) (next int64)

	// rang records that the i-th alarm, by the number that ring was called with, has rung. It returns the
	// instant of the next one, or never.
	rang(i int) (next int64)

	// ringerSteps reports whether a step follows a ring that returns due. Otherwise ring requests it.
	ringerSteps() bool

	// takesTurn reports whether all goroutines but the caller's are blocked, and it is time for the requested
	// step or for the alarm. The caller then does that.
	takesTurn() bool

	// stop makes each worker call step or ring once more, to learn that the network has ended.
	stop()
}

// A stepper holds the functions of the network that a quiescence calls.
type stepper struct {
	step func() (alive bool)
	ring func(alarm int) (alive, due bool)
	turn func() (alive bool) // a step: the requested one, or that of an alarm
}

const (
	never = int64(1<<63 - 1)

	// Beyond the limit of virtual time (see Limit), and below the 292 years of a time.Duration.
	parkedAfter = 2 * maxLimit
)

// newQuiescence returns the one that suits a network with that lock; its workers call s.
//
// In a bubble it waits until all other goroutines are blocked. The workers must wait for their timers. Also,
// at the beginning of a bubble the runtime looks for timers that are due while the first goroutine already
// runs, and would find its request.
func newQuiescence(bubble, manyTimers bool, mu *sync.Mutex, s stepper) (q quiescence) {
	switch {
	case !bubble:
		return newWallClock(s)
	case exact.Goroutines() > 0:
		q = newTurnTaker(mu, s)
	case manyTimers:
		q = newQuietWait(s)
	default:
		q = newKickTimers(s)
	}
	synctest.Wait()
	return q
}

// An alarmTimer is the timer of an alarm.
type alarmTimer struct {
	timer *time.Timer
	at    int64 // when it rings; never if it is off
}

func newAlarmTimer(ring func() (alive bool)) alarmTimer {
	return alarmTimer{worker(ring), never}
}

// set moves the alarm to an instant, or turns it off.
func (a *alarmTimer) set(at, now int64) {
	if a.at = at; at == never {
		a.timer.Stop()
		return
	}
	reset(a.timer, time.Duration(max(at-now, 1)))
}

// oneAlarm is the alarm of a quiescence that may move its timer, and whose worker does not step.
type oneAlarm struct{ alarmTimer }

func newOneAlarm(s stepper) oneAlarm {
	return oneAlarm{newAlarmTimer(func() (alive bool) {
		alive, _ = s.ring(0)
		return alive
	})}
}

func (o *oneAlarm) alarm(at, now int64) (next int64) {
	o.set(at, now)
	return at
}

func (o *oneAlarm) rang(int) (next int64) {
	o.at = never
	return never
}

func (o *oneAlarm) ringerSteps() bool { return false }

func (o *oneAlarm) takesTurn() bool { return false }

// worker calls f each time a timer fires, until f returns false.
func worker(f func() (alive bool)) *time.Timer {
	t := time.NewTimer(parkedAfter)
	go func() {
		for {
			<-t.C
			if !f() {
				return
			}
		}
	}()
	return t
}

// reset is t.Reset. The race detector need not know who set a timer of the network: to it, all timers of a
// bubble are one, including those of the program.
func reset(t *time.Timer, after time.Duration) {
	hush()
	t.Reset(after)
	unhush()
}
