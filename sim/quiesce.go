package sim

import (
	"fmt"
	"testing/synctest"
	"time"
)

// A driver calls step when every goroutine of the bubble is blocked, at the
// instant that the network asked for, and ring at the instant of its alarm. On the
// wall clock (sim.New) there is no bubble and step is simply called soon.
//
// It relies on how Go's bubbles keep their timers, which quiesce_test.go checks:
//
//   - A timer that is in the bubble's heap already and is reset to now fires when
//     all goroutines are blocked, at the same instant. A fresh timer that is due
//     runs at once, so the kick timer is first put into the heap far ahead.
//   - The timer of a channel is in the heap only while a goroutine waits for it.
//     Whoever woke last may not wait yet. So there are two kick timers with a worker
//     each, and the one that is set is that of the worker who has not run last. A call of
//     the program that has been blocked since an earlier instant waits for certain: the
//     network may kick its timer instead (see waiter).
//   - The runtime fires the timers of one instant in a loop that looks only at
//     the front of the heap. Were a kick timer there, a goroutine that the loop
//     has just woken could kick and be served while its siblings still run. The
//     sentinel lies nearer than a parked kick timer and keeps it from the front.
//     For the same reason the alarm is a timer of its own.
//   - synctest.Wait would do all this in one call, but panics when the test
//     itself waits at that moment.
//   - A timer that is in the heap and is moved to an earlier time has the runtime look at
//     all timers of the bubble when it fires (timers.adjust). That is nothing as long as
//     there are a few hundred.
//
// For tests with many timers (see [ManyTimers]) it does use synctest.Wait, and never moves
// a timer that is set: a second alarm is set before the first, which then rings in vain.
//
// All methods are called with the network's lock held.
type driver struct {
	kick     [2]*time.Timer
	next     int           // the kick timer whose worker is known to wait
	work     chan struct{} // instead of kick timers, if waits
	alarms   []alarm
	sentinel *time.Timer
	bubble   bool
	waits    bool  // uses synctest.Wait
	kicked   bool  // step is on its way
	alarmAt  int64 // when the first alarm rings; never if all are off
}

type alarm struct {
	timer *time.Timer
	at    int64 // never if it is off
}

const (
	never = int64(1<<63 - 1)

	// Beyond the sentinel, which is at the limit of virtual time (see Limit), and below the
	// 292 years of a time.Duration.
	parkedAfter = 2 * maxLimit
)

// newDriver prepares the timers and starts the workers, which end when step or ring
// returns false. ring is told which alarm it is; if it returns due, step follows once
// everything is quiet. expire is called in a bubble when virtual time comes to its limit.
//
// In a bubble it waits until all other goroutines are blocked: the workers must wait for
// their timers, and at the beginning of a bubble the runtime looks for timers that are
// due while the first goroutine runs already, and would find its kick.
func newDriver(bubble, waits bool, limit time.Duration, step func() bool, ring func(alarm int) (alive, due bool), expire func()) driver {
	d := driver{bubble: bubble, waits: waits, alarmAt: never}
	if waits {
		d.work = make(chan struct{}, 1)
		quiet := step
		step = func() bool {
			waitForQuiet()
			return quiet()
		}
		go func() {
			for range d.work {
				if !step() {
					return
				}
			}
		}()
	} else {
		for i := range d.kick {
			d.kick[i] = worker(step)
		}
	}
	alarms := 1
	if waits {
		alarms = 4
	}
	d.alarms = make([]alarm, alarms)
	for i := range d.alarms {
		d.alarms[i] = alarm{at: never, timer: worker(func() bool {
			alive, due := ring(i)
			return alive && (!due || step())
		})}
	}
	if bubble {
		d.sentinel = time.AfterFunc(limit, expire)
		synctest.Wait()
	}
	return d
}

// worker calls f each time that a timer fires, until it returns false.
func worker(f func() bool) *time.Timer {
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

// waitForQuiet is synctest.Wait.
func waitForQuiet() {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("sim: %v: the test calls synctest.Wait, which it must not with ManyTimers", p))
		}
	}()
	synctest.Wait()
}

// request has step called once everything is quiet at this very instant.
func (d *driver) request() {
	if d.kicked {
		return
	}
	d.kicked = true
	if d.waits {
		d.work <- struct{}{}
		return
	}
	d.set(d.kick[d.next])
}

// requestBy is request, with a goroutine that waits for t instead of a worker.
func (d *driver) requestBy(t *time.Timer) {
	d.kicked = true
	d.set(t)
}

// set has a timer for whose channel a goroutine waits fire once everything is quiet.
func (d *driver) set(t *time.Timer) {
	if d.bubble {
		reset(t, parkedAfter)
	}
	reset(t, 0)
}

// reset is t.Reset. The race detector need not know who set a timer of the network: all
// timers of a bubble are one to it, those of the program among them.
func reset(t *time.Timer, after time.Duration) {
	hush()
	t.Reset(after)
	unhush()
}

// begin is called by a worker that begins a step.
func (d *driver) begin() {
	d.kicked = false
	if d.bubble {
		d.next = 1 - d.next
	}
}

// rang is called when an alarm has rung.
func (d *driver) rang(i int) {
	d.alarms[i].at = never
	d.alarmAt = never
	for _, a := range d.alarms {
		d.alarmAt = min(d.alarmAt, a.at)
	}
}

// at has an alarm ring at an instant that lies ahead, or earlier.
func (d *driver) at(when, now int64) {
	if when == d.alarmAt || d.waits && when > d.alarmAt {
		return
	}
	last := &d.alarms[0] // to ring, or off
	for i := range d.alarms {
		if a := &d.alarms[i]; a.at > last.at {
			last = a
		}
	}
	last.at, d.alarmAt = when, when
	if when == never {
		last.timer.Stop()
		return
	}
	reset(last.timer, time.Duration(max(when-now, 1)))
}

// stop ends the timers and asks for a last step of each worker.
func (d *driver) stop() {
	for _, a := range d.alarms {
		reset(a.timer, 1)
	}
	if d.waits {
		close(d.work)
	} else {
		reset(d.kick[0], 1)
		reset(d.kick[1], 1)
	}
}
