package sim

import (
	"fmt"
	"testing/synctest"
	"time"
)

// quietWait makes synctest.Wait report when all goroutines are blocked. It never moves a timer that is set,
// since the runtime would then look at all timers of the bubble. Instead it sets a second alarm before the
// first, which then rings in vain.
type quietWait struct {
	work   chan struct{}
	alarms [4]alarmTimer
}

func newQuietWait(s stepper) *quietWait {
	q := &quietWait{work: make(chan struct{}, 1)}
	step := func() (alive bool) {
		waitForQuiet()
		return s.step()
	}
	go func() {
		for range q.work {
			if !step() {
				return
			}
		}
	}()
	for i := range q.alarms {
		q.alarms[i] = newAlarmTimer(func() bool {
			alive, due := s.ring(i)
			return alive && (!due || step())
		})
	}
	return q
}

// waitForQuiet is synctest.Wait.
func waitForQuiet() {
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("sim: %v: with ManyTimers the test must not call synctest.Wait", p))
		}
	}()
	synctest.Wait()
}

func (q *quietWait) request(*time.Timer) { q.work <- struct{}{} }

func (q *quietWait) callTimer() *time.Timer { return nil }

func (q *quietWait) alarm(at, now int64) (next int64) {
	if next = q.nextAlarm(); at > next {
		return next
	}
	last := &q.alarms[0] // to ring, or off
	for i := range q.alarms {
		if a := &q.alarms[i]; a.at > last.at {
			last = a
		}
	}
	last.set(at, now)
	return at
}

func (q *quietWait) rang(i int) (next int64) {
	q.alarms[i].at = never
	return q.nextAlarm()
}

func (q *quietWait) nextAlarm() int64 {
	next := never
	for _, a := range q.alarms {
		next = min(next, a.at)
	}
	return next
}

func (q *quietWait) ringerSteps() bool { return true }

func (q *quietWait) takesTurn() bool { return false }

func (q *quietWait) stop() {
	for _, a := range q.alarms {
		reset(a.timer, 1)
	}
	close(q.work)
}
