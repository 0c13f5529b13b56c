package sim

import (
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
//     each, and the one that is set is that of the worker who has not run last.
//   - The runtime fires the timers of one instant in a loop that looks only at
//     the front of the heap. Were a kick timer there, a goroutine that the loop
//     has just woken could kick and be served while its siblings still run. The
//     sentinel lies nearer than a parked kick timer and keeps it from the front.
//     For the same reason the alarm is a timer of its own.
//   - synctest.Wait would do all this in one call, but panics when the test
//     itself waits at that moment.
//
// All methods are called with the network's lock held.
type driver struct {
	kick     [2]*time.Timer
	next     int // the kick timer whose worker is known to wait
	alarm    *time.Timer
	sentinel *time.Timer
	bubble   bool
	kicked   bool  // step is on its way
	alarmAt  int64 // when the alarm rings; never if it is off
}

const (
	never = int64(1<<63 - 1)

	// No timer of a program lies this far ahead; both stay below the 292 years
	// of a time.Duration.
	sentinelAfter = 100 * 365 * 24 * time.Hour
	parkedAfter   = 200 * 365 * 24 * time.Hour
)

// newDriver prepares the timers and starts the workers, which end when step or ring
// returns false. stalled is called in a bubble in which nothing will ever happen again.
//
// In a bubble it waits until all other goroutines are blocked: the workers must wait for
// their timers, and at the beginning of a bubble the runtime looks for timers that are
// due while the first goroutine runs already, and would find its kick.
func newDriver(bubble bool, step, ring func() bool, stalled func()) driver {
	d := driver{bubble: bubble, alarmAt: never}
	start := func(f func() bool) *time.Timer {
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
	for i := range d.kick {
		d.kick[i] = start(step)
	}
	d.alarm = start(ring)
	if bubble {
		d.sentinel = time.AfterFunc(sentinelAfter, stalled)
		synctest.Wait()
	}
	return d
}

// request has step called once everything is quiet at this very instant.
func (d *driver) request() {
	if d.kicked {
		return
	}
	d.kicked = true
	t := d.kick[d.next]
	if d.bubble {
		t.Reset(parkedAfter)
	}
	t.Reset(0)
}

// begin is called at the beginning of a step.
func (d *driver) begin() {
	d.kicked = false
	if d.bubble {
		d.next = 1 - d.next
	}
}

// at has the alarm ring at an instant that lies ahead.
func (d *driver) at(when, now int64) {
	if when == d.alarmAt {
		return
	}
	d.alarmAt = when
	if when == never {
		d.alarm.Stop()
		return
	}
	d.alarm.Reset(time.Duration(max(when-now, 1)))
}

// stop ends the timers and asks for a last step of each worker.
func (d *driver) stop() {
	for _, t := range append(d.kick[:], d.alarm) {
		t.Reset(1)
	}
	if d.sentinel != nil {
		d.sentinel.Stop()
	}
}
