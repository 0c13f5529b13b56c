package systems

import (
	"context"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
)

// ShortPoll is a feed and clients that ask it at each interval. Options change a client.
func ShortPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), interval time.Duration, options ...func(*shortpoll.Client)) patterntest.System {
	var s service[*shortpoll.Feed]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*shortpoll.Feed, http.Handler, error) {
					f := &shortpoll.Feed{Log: l, Limit: shortpoll.Limit{Jitter: shortpoll.Seeded(n.Seed())}}
					return f, f.Handler(), nil
				})
		},
		Publish: func(data string) error {
			return s.Do(func(f *shortpoll.Feed) error {
				_, err := f.Publish("news", []byte(data))
				return err
			})
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := shortpoll.Client{
				URL: "http://server/events", HTTP: h.HTTPClient(), Interval: interval,
				Jitter: shortpoll.Seeded(n.Rand(name).Uint64()),
			}
			for _, option := range options {
				option(&c)
			}
			return c.Follow(ctx, shortpoll.From{Cursor: s.Load(name), Now: true}, func(_ context.Context, b shortpoll.Batch) error {
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
