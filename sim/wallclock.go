package sim

import "time"

// wallClock makes the engine step soon, since on the wall clock nothing tells when all goroutines of a
// program are blocked.
type wallClock struct {
	kick *time.Timer
	oneAlarm
}

func newWallClock(s stepper) *wallClock {
	return &wallClock{worker(s.step), newOneAlarm(s)}
}

func (w *wallClock) request(*time.Timer) { reset(w.kick, 0) }

func (w *wallClock) callTimer() *time.Timer { return nil }

func (w *wallClock) stop() {
	reset(w.timer, 1)
	reset(w.kick, 1)
}
