package systems

import (
	"context"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
)

// ShortPoll is a feed and clients that ask it at each interval. Options change a client.
func ShortPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), interval time.Duration, options ...func(*shortpoll.Client)) patterntest.System {
	var s service[*shortpoll.Server]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*shortpoll.Server, http.Handler, error) {
					f := &shortpoll.Server{Log: l, Limit: shortpoll.Limit{Jitter: retry.Seeded(n.Seed())}}
					return f, f.Handler(), nil
				})
		},
		Publish: func(data string) error {
			return s.Do(func(f *shortpoll.Server) error {
				_, err := f.Publish(context.Background(), "news", []byte(data))
				return err
			})
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := shortpoll.Client{
				URL: "http://server/events", HTTP: h.HTTPClient(), From: s.Load(name), FromNow: true, Interval: interval,
				Jitter: retry.Seeded(n.Rand(name).Uint64()),
			}
			for _, option := range options {
				option(&c)
			}
			return c.Run(ctx, func(_ context.Context, b shortpoll.Batch) error {
				if b.Reset != "" {
					r.Gap(string(b.Reset))
				}
				for _, e := range b.Events {
					r.Event(string(e.Data))
				}
				s.Store(name, b.Cursor)
				return nil
			})
		},
		// A poll that has just missed the event, and the next one's answer. All that came in
		// an interval is in it, and a connection that was idle starts slowly again (RFC 5681,
		// section 4.1): the contract's 320 kB a second are five round trips.
		Bound: interval + patterntest.Transit + 5*2*patterntest.Transit,
	}
}

// Lasts is a job that takes so long.
func Lasts(d time.Duration) func(context.Context, shortpoll.Task) ([]byte, error) {
	return func(ctx context.Context, task shortpoll.Task) ([]byte, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return append([]byte("done: "), task.Payload...), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
