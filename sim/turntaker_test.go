package sim

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// inTurnBubble runs f in a bubble in which the scheduler of exact mode has goroutines run in turn.
func inTurnBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	NeedExact(t)
	policy, err := exact.ParsePolicy(inTurn)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		require.True(t, exact.Enrol(1, policy))
		f(t)
	})
}

// keeping makes a turnTaker that calls turn, and returns how to end it.
func keeping(turn func()) (k turnTaker, end func()) {
	var over atomic.Bool
	k = newTurnTaker(new(sync.Mutex), stepper{turn: func() bool {
		if over.Load() {
			return false
		}
		turn()
		return true
	}})
	return k, func() {
		over.Store(true)
		k.stop()
		time.Sleep(1)
	}
}

// A turn that was asked for comes at this very instant, once all goroutines are blocked, and before those that wait for that in synctest.Wait.
func TestTurnTakerGivesATurnWhenAllAreBlocked(t *testing.T) {
	inTurnBubble(t, func(t *testing.T) {
		began := time.Now()
		var busy atomic.Int32
		turns := 0
		k, end := keeping(func() {
			require.Zero(t, busy.Load())
			require.Zero(t, time.Since(began)%time.Second)
			turns++
		})
		defer end()
		for range 5 {
			go func() {
				time.Sleep(time.Second)
				busy.Add(1)
				defer busy.Add(-1)
				k.request(nil)
				for range 10 {
					runtime.Gosched()
				}
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 1, turns, "one turn for all that asked")
		time.Sleep(time.Hour)
		require.Equal(t, 1, turns)
	})
}

// An alarm is a turn at its instant, which is reached without a timer. The program's timers of that instant come first, and whoever waits
// for the others in synctest.Wait goes on before the clock moves.
func TestTurnTakerMovesTheClockToTheAlarm(t *testing.T) {
	inTurnBubble(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var notes []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			notes = append(notes, what+" at "+time.Since(began).String())
		}
		noted := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(notes)
		}
		k, end := keeping(func() { note("turn") })
		defer end()
		k.alarm(int64(2*time.Second), 0)
		for _, d := range []time.Duration{1, 2, 3} {
			go func() {
				time.Sleep(d * time.Second)
				note("timer")
			}()
		}
		synctest.Wait()
		require.Empty(t, noted())
		require.Zero(t, time.Since(began))

		time.Sleep(4 * time.Second)
		require.Equal(t, []string{"timer at 1s", "timer at 2s", "turn at 2s", "timer at 3s"}, noted())

		// Without any timer but that of the sleep.
		k.alarm(int64(5*time.Second), int64(4*time.Second))
		time.Sleep(time.Hour)
		require.Equal(t, "turn at 5s", noted()[4])
		k.alarm(int64(2*time.Hour), int64(time.Hour))
		k.alarm(never, int64(time.Hour))
		time.Sleep(2 * time.Hour)
		require.Len(t, noted(), 5, "the alarm was turned off")
	})
}

// Whoever is about to wait has the turn, if it is time for it and all others are blocked.
func TestTurnTakerLetsACallTakeTheTurn(t *testing.T) {
	inTurnBubble(t, func(t *testing.T) {
		began := time.Now()
		k, end := keeping(func() { t.Error("the caller has taken the turn") })
		defer end()
		time.Sleep(1) // until its goroutine waits
		require.False(t, k.takesTurn(), "nobody has asked for one")
		k.request(nil)
		require.True(t, k.takesTurn())
		require.False(t, k.takesTurn(), "it is taken")

		k.alarm(int64(time.Second), 1)
		go func() {}()
		require.False(t, k.takesTurn(), "a goroutine is ready")
		synctest.Wait()
		require.True(t, k.takesTurn())
		require.Equal(t, time.Second, time.Since(began))

		k.mu.Lock()
		go func() {
			k.mu.Lock()
			defer k.mu.Unlock()
		}()
		k.request(nil)
		runtime.Gosched()
		require.False(t, k.takesTurn(), "a goroutine waits for the lock of the network, which the caller holds")
		k.mu.Unlock()
		runtime.Gosched()
		require.True(t, k.takesTurn())

		timer := time.AfterFunc(time.Second, func() {})
		k.alarm(int64(2*time.Second), int64(time.Second))
		require.False(t, k.takesTurn(), "the program's timer comes first")
		timer.Stop()
		k.alarm(never, int64(time.Second))
	})
}

// In a round trip the scheduler is asked twice: whoever waits on one side does what there is to do until the other side is woken, which then
// runs at once.
func TestTurnTakerHasARoundTripTakeTwoTurns(t *testing.T) {
	inTurnBubble(t, func(t *testing.T) {
		const trips = 100
		n := newNetwork(true, []Option{DefaultLink(netem.Config{Delay: 50 * time.Millisecond})})
		defer func() {
			n.Close()
			n.awaitGoroutines()
		}()
		l, err := n.Host("server").Listen("tcp", ":7")
		require.NoError(t, err)
		go func() {
			c, err := l.Accept()
			for b := make([]byte, 1); err == nil; {
				if _, err = c.Read(b); err == nil {
					_, err = c.Write(b)
				}
			}
		}()
		c, err := n.Host("client").Dial("tcp", "server:7")
		require.NoError(t, err)
		trip := func() {
			b := make([]byte, 1)
			_, err := c.Write(b)
			require.NoError(t, err)
			_, err = c.Read(b)
			require.NoError(t, err)
		}
		trip() // the server may not wait before
		at, turns := n.Elapsed(), exact.Now().Turns
		for range trips {
			trip()
		}
		require.EqualValues(t, 2*trips, exact.Now().Turns-turns)
		require.Equal(t, trips*100*time.Millisecond, n.Elapsed()-at)
	})
}
