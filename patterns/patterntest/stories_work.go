package patterntest

import (
	"context"
	"errors"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// workStories are about clients that work on events.
func workStories() (all stories) {
	works := func(s System) bool { return s.Work != nil }
	shares := func(s System) bool { return s.Work != nil && s.Work.Groups }

	all.add("three workers share the events", "no event may go to two workers, and no worker may get them all", func(w *World) {
		a, b, c := w.Worker("workers", "one", nil), w.Worker("workers", "two", nil), w.Worker("workers", "three", nil)
		w.PromptFor(a, b, c, w.Worker("others", "four", nil))
		w.Sleep(time.Second)
		w.SharedBy(a, b, c)
		w.PublishKeys(50, 21*time.Millisecond, 150, 0)
		w.PublishEvery(21*time.Millisecond, 150)
	})
	all.needs("System.Work is not set, or has no Groups", shares)
	all.add("workers come and go", "joining and leaving workers rebalance the group, which must neither lose nor repeat an event", func(w *World) {
		a, b := w.Worker("workers", "one", takes(30*time.Millisecond)), w.Worker("workers", "two", takes(30*time.Millisecond))
		w.PromptFor(a, b)
		w.Meanwhile(func() { w.PublishKeys(20, 51*time.Millisecond, 600, 0) }, func() {
			w.Sleep(5*time.Second + 7*time.Microsecond)
			c := w.Worker("workers", "three", takes(30*time.Millisecond))
			w.PromptFor(c)
			w.Sleep(time.Second)
			w.SharedBy(a, b, c)
			w.Sleep(5 * time.Second)
			b.Leave()
			w.Sleep(time.Second)
			w.SharedBy(a, c)
			w.Sleep(5 * time.Second)
			b.Return()
			w.Sleep(time.Second)
			w.SharedBy(a, b, c)
		})
	})
	all.needs("System.Work is not set, or has no Groups", shares)
	all.add("workers die, stall and are cut off", "other workers must take over their unfinished events, but no finished one", func(w *World) {
		busy := takes(150 * time.Millisecond) // each has something in hand most of the time
		w.Worker("workers", "steady", busy)
		dies, stalls, cut := w.Worker("workers", "dies", busy), w.Worker("workers", "stalls", busy), w.Worker("workers", "cut", busy)
		w.PublishKeys(20, 51*time.Millisecond, 200, 0)
		w.Sleep(time.Minute)
		w.Acknowledged()
		w.After(time.Second+7*time.Millisecond, dies.Host.PowerOff) // for good
		w.After(2*time.Second+7*time.Millisecond, stalls.Host.Pause)
		w.After(3*time.Second+7*time.Millisecond, cut.Link.Down)
		w.PublishKeys(20, 51*time.Millisecond, 200, 0)
		w.Sleep(2 * time.Minute)
		stalls.Host.Resume()
		w.After(7*time.Millisecond, cut.Link.Up)
		w.PublishKeys(20, 501*time.Millisecond, 40, 0)
		if w.system.Durable {
			w.Redeploy()
			w.Sleep(time.Second)
		}
		w.PublishKeys(20, 501*time.Millisecond, 40, 0)
	})
	all.races(overdue)
	all.needs("System.Work is not set, or has no Groups", shares)

	all.add("a handler fails now and then", "an event that was delivered but not handled must be delivered again", func(w *World) {
		c := w.Worker("workers", "one", func(_ context.Context, data string, nth int) error {
			if data[len(data)-1] == '3' && nth == 1 || data[len(data)-1] == '7' && nth <= 2 {
				return errHandler
			}
			return nil
		})
		w.PromptFor(c, w.Worker("others", "two", takes(0)))
		w.PublishEvery(200*time.Millisecond, 40)
	})
	all.needs("System.Work is not set", works)
	all.add("an event that nobody can handle", "it must be set aside and counted, not retried forever", func(w *World) {
		w.PromptFor(w.Worker("workers", "one", func(_ context.Context, data string, nth int) error {
			if data == "e5" || data == "e12" {
				return errHandler
			}
			return nil
		}))
		w.PublishEvery(time.Second, 20)
		w.Sleep(5 * time.Minute)
	})
	all.needs("System.Work is not set, or has no MaxAttempts", func(s System) bool { return works(s) && s.Work.MaxAttempts > 0 })
	all.add("a handler hangs", "a worker that is alive but stuck may hold its event for AckWait, and no longer", func(w *World) {
		wait := w.system.Work.AckWait
		hangs := func(ctx context.Context, data string, nth int) error {
			switch {
			case data != "e10" || nth > 1:
				return nil
			case w.system.Work.Groups:
				return retry.Sleep(ctx, time.Hour)
			}
			return retry.Sleep(ctx, 3*wait) // there is no other worker
		}
		first := w.Worker("workers", "one", hangs)
		if w.system.Work.Groups {
			w.PromptFor(first, w.Worker("workers", "two", hangs))
		}
		w.PublishKeys(7, 101*time.Millisecond, 60, 0)
		w.Sleep(4 * wait)
		w.PublishKeys(7, 101*time.Millisecond, 20, 0)
	})
	all.needs("System.Work is not set, or has no AckWait", func(s System) bool { return works(s) && s.Work.AckWait > 0 })
	all.add("handlers are slow", "a slow worker gets each of its events once, and delays no other worker", func(w *World) {
		w.PromptFor(w.Worker("workers", "slow", takes(700*time.Millisecond)), w.Worker("others", "quick", nil), w.Client("phone"))
		w.PublishLarge(411*time.Millisecond, 100, 2_000)
		w.Sleep(time.Minute)
	})
	all.needs("System.Work is not set", works)
	all.add("values change faster than a worker works", "the work on an outdated value can be skipped, but not the work on the latest", func(w *World) {
		slow := w.Worker("workers", "slow", takes(30*time.Millisecond))
		w.PublishKeys(5, time.Second, 10, 0)
		slow.Link.Down()
		w.PublishKeys(5, 20*time.Millisecond, 300, 12_000) // 3.6 MB: more than sockets hold
		w.PublishKeys(3, time.Second, 3, 0)                // two of the keys have their last values before
		slow.Link.Up()
		w.Sleep(time.Minute)
		w.PublishKeys(2, 100*time.Millisecond, 20, 0)
	})
	all.needs("System.Work is not set, or System.Conflates", func(s System) bool { return works(s) && s.Conflates })
	return all
}

var errHandler = errors.New("the handler fails")

// takes returns a handler that takes d for each event.
func takes(d time.Duration) Handler {
	return func(ctx context.Context, _ string, _ int) error { return retry.Sleep(ctx, d) }
}
