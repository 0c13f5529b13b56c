package sim

import (
	"testing/synctest"
	"time"
)

// A driver calls step when every goroutine of the bubble is blocked, at the
// instant that the network asked for. On the wall clock (sim.New) there is no
// bubble and step is simply called soon.
//
// It relies on how Go's bubbles keep their timers, which quiesce_test.go checks:
//
//   - A timer that is in the bubble's heap already and is reset to now fires when
//     all goroutines are blocked, at the same instant. A fresh timer that is due
//     runs at once, so the kick timer is first put into the heap far ahead.
//   - The runtime fires the timers of one instant in a loop that looks only at
//     the front of the heap. Were the kick timer there, a goroutine that the loop
//     has just woken could kick and be served while its siblings still run. The
//     sentinel lies nearer than the parked kick timer and keeps it from the front.
//   - synctest.Wait would do all this in one call, but panics when the test
//     itself waits at that moment.
//
// The timers' callbacks run on new goroutines, whose small stacks the engine would
// have to grow each time. So the kick only wakes a worker, which lives as long as the
// network.
//
// All methods are called with the network's lock held.
type driver struct {
	kick, alarm, sentinel *time.Timer
	work                  chan struct{} // a step is due
	bubble                bool
	kicked                bool  // step is on its way
	alarmAt               int64 // when the alarm rings; never if it is off
}

const (
	never = int64(1<<63 - 1)

	// No timer of a program lies this far ahead; both stay below the 292 years
	// of a time.Duration.
	sentinelAfter = 100 * 365 * 24 * time.Hour
	parkedAfter   = 200 * 365 * 24 * time.Hour
)

// newDriver prepares the timers and starts the worker, which ends when step returns
// false. stalled is called in a bubble in which nothing will ever happen again.
//
// In a bubble it waits until all other goroutines are blocked: at the beginning of a
// bubble the runtime looks for timers that are due while the first goroutine runs
// already, and would find its kick.
func newDriver(bubble bool, step func() bool, alarm, stalled func()) driver {
	if bubble {
		synctest.Wait()
	}
	work := make(chan struct{}, 1)
	go func() {
		for range work {
			if !step() {
				return
			}
		}
	}()
	d := driver{bubble: bubble, alarmAt: never, work: work}
	d.kick = time.AfterFunc(parkedAfter, func() {
		select {
		case work <- struct{}{}:
		default:
		}
	})
	d.alarm = time.AfterFunc(parkedAfter, alarm)
	if bubble {
		d.sentinel = time.AfterFunc(sentinelAfter, stalled)
	}
	return d
}

// request has step called once everything is quiet at this very instant.
func (d *driver) request() {
	if d.kicked {
		return
	}
	d.kicked = true
	if d.bubble {
		d.kick.Reset(parkedAfter)
	}
	d.kick.Reset(0)
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

// stop ends the timers and asks for a last step.
func (d *driver) stop() {
	d.kick.Stop()
	d.alarm.Stop()
	if d.sentinel != nil {
		d.sentinel.Stop()
	}
	select {
	case d.work <- struct{}{}:
	default:
	}
}
