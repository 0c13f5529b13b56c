package patterntest_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/push"
)

// The flaws that are built into push.

// keepsNoPosition begins anew whenever its connection ends.
func keepsNoPosition(ctx context.Context, newClient func() *pushClient) error {
	for ctx.Err() == nil {
		life, end := context.WithCancel(ctx)
		c := newClient()
		c.From = eventlog.Cursor{}
		c.OnRetry = func(error, time.Duration) { end() }
		c.run(life)
		end()
		sleep(ctx, time.Second)
	}
	return ctx.Err()
}

// twoSessions opens a second connection, under a name of its own, when nothing was
// heard for 10 s, and closes neither.
func twoSessions(ctx context.Context, newClient func() *pushClient) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	heard := make(chan struct{}, 1000)
	run := func(id string) {
		c := newClient()
		c.ID += id
		inner := c.handle
		c.handle = func(ctx context.Context, e push.Event) error {
			heard <- struct{}{}
			return inner(ctx, e)
		}
		clients.Go(func() { c.run(ctx) })
	}
	run("-1")
	for {
		select {
		case <-heard:
		case <-time.After(10 * time.Second):
			run("-2")
			for {
				select {
				case <-heard:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acceptsUndelivered takes a message that nobody confirmed for delivered.
func acceptsUndelivered(s *push.Server, topic string, _ time.Duration, data string) error {
	if err := send(s, topic, push.Now, data); err != nil && !errors.Is(err, push.ErrNotDelivered) {
		return err
	}
	return nil
}

// livesFor has each event die after a while.
func livesFor(d time.Duration) func(*push.Server, string, time.Duration, string) error {
	return func(s *push.Server, topic string, _ time.Duration, data string) error { return send(s, topic, d, data) }
}

// slowForOdd hands events over to two workers, of which one takes 30 ms.
func slowForOdd() func(context.Context, push.Event, patterntest.Receiver) {
	return func(ctx context.Context, e push.Event, r patterntest.Receiver) {
		if e.Cursor.Offset%2 == 0 {
			r.Event(string(e.Data))
			return
		}
		go func() {
			sleep(ctx, 30*time.Millisecond)
			r.Event(string(e.Data))
		}()
	}
}

// inTheBackground hands events over a second later, whatever has happened meanwhile.
func inTheBackground() func(context.Context, push.Event, patterntest.Receiver) {
	var nth atomic.Int64 // keeps them in order
	return func(_ context.Context, e push.Event, r patterntest.Receiver) {
		delay := time.Second + time.Duration(nth.Add(1))
		go func() {
			time.Sleep(delay)
			r.Event(string(e.Data))
		}()
	}
}

func countsNothing(push.ServerStats) patterntest.Account { return patterntest.Account{} }

// countsTwice takes for pending what nobody has acknowledged, also when nobody will.
func countsTwice(s push.ServerStats) patterntest.Account {
	a := account(s)
	a.Pending = int(s.Published - s.Acked)
	return a
}

func deafToReset(push.Reset, patterntest.Receiver) {}

func deafToGap(push.Gap, patterntest.Receiver) {}

func noSpread(c *push.Client) { c.Backoff.Base = 1 }

func noKeepAlive(c *push.Client) { withoutKeepAlive(c.HTTP) }

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
