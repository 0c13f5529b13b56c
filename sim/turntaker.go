package sim

import (
	"sync"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// A turnTaker makes the scheduler of exact mode report when all goroutines are blocked, and move the clock to
// the instant of an alarm: it knows both without a timer. It also knows when all goroutines but the caller
// are blocked, so that a call that is about to wait does itself what there is to do until it is woken.
type turnTaker struct {
	start int64       // of the network, in nanoseconds since 1970
	mu    *sync.Mutex // the network's
}

func newTurnTaker(mu *sync.Mutex, s stepper) turnTaker {
	go func() {
		for alive := true; alive; {
			exact.AwaitTurn()
			alive = s.turn()
		}
	}()
	return turnTaker{networkTime().UnixNano(), mu}
}

func (turnTaker) request(*time.Timer) { exact.AskTurn() }

func (turnTaker) callTimer() *time.Timer { return nil }

func (t turnTaker) alarm(at, _ int64) (next int64) {
	if at == never {
		exact.SetAlarm(0)
	} else {
		exact.SetAlarm(t.start + at)
	}
	return at
}

func (turnTaker) rang(int) (next int64) { return never }

func (turnTaker) ringerSteps() bool { return true }

func (t turnTaker) takesTurn() bool { return exact.TakesTurn(t.mu) }

func (turnTaker) stop() { exact.AskTurn() }
