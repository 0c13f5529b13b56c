package systems

import (
	"context"
	"net/http"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// Stream is a server of Server-Sent Events and its clients.
func Stream(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	return StreamAs(stream.SSE)(n, log)
}

// StreamAs is Stream with the given encoding.
func StreamAs(encoding stream.Encoding) func(*sim.Network, func(string) (eventlog.Log, error)) patterntest.System {
	return func(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
		system, _ := streaming(n, log, encoding, nil, nil)
		return system
	}
}

// StreamByName is Stream with clients that give their names. Each may see the events for everybody and its own.
func StreamByName(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	system, publish := streaming(n, log, stream.SSE, named, byName)
	system.PublishTo = func(name, data string) error { return publish(forOne(name), data) }
	return system
}

func streaming(n *sim.Network, log func(folder string) (eventlog.Log, error), encoding stream.Encoding, header headers,
	authenticate func(*http.Request) (access.Identity, error)) (patterntest.System, publisher) {
	var s service[*stream.Server]
	publish := func(topic, data string) error {
		return s.Do(func(srv *stream.Server) error {
			_, err := srv.Publish(context.Background(), topic, []byte(data))
			return err
		})
	}
	receive := func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver, handle handler) error {
		c := stream.Client{
			URL: "http://server/events", HTTP: httpClient(ctx, h), Encoding: encoding, Header: header.of(name), Jitter: retry.Seeded(n.Rand(name).Uint64()), FromNow: true,
			OnReset: func(_ context.Context, reset stream.Reset) error {
				r.Gap(string(reset.Reason))
				return s.storeID(name, reset.ID)
			},
			OnPosition: func(id string) { s.storeID(name, id) },
		}
		if at := s.Load(name); !at.IsZero() {
			c.LastEventID = at.String()
		}
		return c.Run(ctx, func(ctx context.Context, e stream.Event) error {
			data, err := e.Bytes()
			if err == nil {
				err = handle(ctx, string(data))
			}
			if err != nil {
				return err
			}
			return s.storeID(name, e.ID)
		})
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*stream.Server, http.Handler, error) {
					srv := &stream.Server{Log: l, Jitter: retry.Seeded(n.Seed()), Authenticate: authenticate}
					return srv, srv.Handler(), nil
				})
		},
		Publish: func(data string) error { return publish("news", data) },
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			return receive(ctx, h, name, r, reports(r))
		},
		Work: &patterntest.Work{Receive: func(ctx context.Context, h *sim.Host, name, _ string, w patterntest.Worker) error {
			return again(ctx, func() error { return receive(ctx, h, name, w, does(w)) })
		}},
		Held: func() (bytes int) {
			s.Do(func(srv *stream.Server) error { bytes = int(srv.Stats().Held); return nil })
			return bytes
		},
	}, publish
}

// storeID is store for a cursor that is text.
func (s *service[T]) storeID(client, id string) error {
	c, err := eventlog.ParseCursor(id)
	if err == nil {
		s.Store(client, c)
	}
	return err
}
