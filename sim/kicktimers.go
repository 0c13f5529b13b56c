package sim

import "time"

// kickTimers makes the runtime of a bubble report when all goroutines are blocked: a timer that is reset to
// now fires then, at the same instant. It relies on how the runtime keeps the timers of a bubble, which
// quiescence_test.go checks:
//
//   - A timer that is already in the bubble's heap and is reset to now fires when all goroutines are blocked,
//     at the same instant. A fresh timer that is due runs at once, so the kick timer is first put into the
//     heap far ahead.
//   - The timer of a channel is in the heap only while a goroutine waits for it. The worker that woke last
//     may not wait yet. So there are two kick timers with a worker each, used in turn. A call of the program
//     that has been blocked since an earlier instant waits for certain: the network may kick its timer
//     instead (see waiter).
//   - The runtime fires the timers of one instant in a loop that looks only at the front of the heap. If a
//     kick timer were there, a goroutine that the loop has just woken could kick and be served while its
//     siblings still run. The timer of the limit of virtual time is nearer than a parked kick timer and keeps
//     it from the front. For the same reason the alarm is a timer of its own.
//   - synctest.Wait would do all this in one call, but panics when the test itself waits at that moment.
//   - If a timer in the heap is moved to an earlier time, the runtime looks at all timers of the bubble when
//     it fires (timers.adjust). That costs nothing as long as there are only a few hundred.
type kickTimers struct {
	timers [2]*time.Timer
	next   int // the timer whose worker is known to wait
	oneAlarm
}

func newKickTimers(s stepper) *kickTimers {
	k := &kickTimers{oneAlarm: newOneAlarm(s)}
	for i := range k.timers {
		k.timers[i] = worker(s.step)
	}
	return k
}

func (k *kickTimers) request(caller *time.Timer) {
	t := caller
	if t == nil {
		t = k.timers[k.next]
		k.next = 1 - k.next
	}
	reset(t, parkedAfter)
	reset(t, 0)
}

func (k *kickTimers) callTimer() *time.Timer {
	hush()
	t := time.NewTimer(parkedAfter)
	unhush()
	t.Stop()
	return t
}

func (k *kickTimers) stop() {
	reset(k.timer, 1)
	for _, t := range k.timers {
		reset(t, 1)
	}
}
