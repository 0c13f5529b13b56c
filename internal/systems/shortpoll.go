package systems

import (
	"context"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
)

// ShortPoll is a feed and clients that poll it once per interval. Options change a client.
func ShortPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), interval time.Duration, options ...func(*shortpoll.Client)) patterntest.System {
	system, _ := shortPoll(n, log, interval, nil, nil, options...)
	return system
}

// ShortPollByName is ShortPoll with clients that give their names. Each may see the events for everybody and its own.
func ShortPollByName(n *sim.Network, log func(folder string) (eventlog.Log, error), interval time.Duration) patterntest.System {
	system, publish := shortPoll(n, log, interval, named, byName)
	system.PublishTo = func(name, data string) error { return publish(forOne(name), data) }
	return system
}

func shortPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), interval time.Duration, header headers, authenticate func(*http.Request) (access.Identity, error),
	options ...func(*shortpoll.Client)) (patterntest.System, publisher) {
	var s service[*shortpoll.Server]
	publish := func(topic, data string) error {
		return s.Do(func(f *shortpoll.Server) error {
			_, err := f.Publish(context.Background(), topic, []byte(data))
			return err
		})
	}
	receive := func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver, handle handler) error {
		c := shortpoll.Client{
			URL: "http://server/events", HTTP: httpClient(ctx, h), From: s.Load(name), FromNow: true, Interval: interval,
			Header: header.of(name), Jitter: retry.Seeded(n.Rand(name).Uint64()),
		}
		for _, option := range options {
			option(&c)
		}
		return c.Run(ctx, func(ctx context.Context, b shortpoll.Batch) error {
			if b.Reset != "" {
				r.Gap(string(b.Reset))
			}
			return s.handle(ctx, name, b.Events, b.Cursor, handle)
		})
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*shortpoll.Server, http.Handler, error) {
					f := &shortpoll.Server{Log: l, Limit: shortpoll.Limit{Jitter: retry.Seeded(n.Seed())}, Authenticate: authenticate}
					return f, f.Handler(), nil
				})
		},
		Publish: func(data string) error { return publish("news", data) },
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			return receive(ctx, h, name, r, reports(r))
		},
		Work: &patterntest.Work{Receive: func(ctx context.Context, h *sim.Host, name, _ string, w patterntest.Worker) error {
			return again(ctx, func() error { return receive(ctx, h, name, w, does(w)) })
		}},
		// One poll has just missed the event, and the answer of the next one brings it. That answer has everything that arrived in an
		// interval. An idle connection starts slowly again (RFC 5681, section 4.1), so the contract's 320 kB a second take five round
		// trips.
		Bound: interval + patterntest.Transit + 5*2*patterntest.Transit,
	}, publish
}

// Lasts returns a job that takes the given time.
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
