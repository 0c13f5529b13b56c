package systems

import (
	"context"
	"net/http"

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

// StreamAs is Stream in one of the encodings.
func StreamAs(encoding stream.Encoding) func(*sim.Network, func(string) (eventlog.Log, error)) patterntest.System {
	return func(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
		var s service[*stream.Server]
		return patterntest.System{
			Serve: func(ctx context.Context, h *sim.Host, folder string) error {
				return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
					func(l eventlog.Log) (*stream.Server, http.Handler, error) {
						srv := &stream.Server{Log: l, Jitter: retry.Seeded(n.Seed())}
						return srv, srv.Handler(), nil
					})
			},
			Publish: func(data string) error {
				return s.Do(func(srv *stream.Server) error {
					_, err := srv.Publish(context.Background(), "news", []byte(data))
					return err
				})
			},
			Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
				c := stream.Client{
					URL: "http://server/events", HTTP: h.HTTPClient(), Encoding: encoding, Jitter: retry.Seeded(n.Rand(name).Uint64()), FromNow: true,
					OnReset: func(_ context.Context, reset stream.Reset) error {
						r.Gap(string(reset.Reason))
						return s.storeID(name, reset.ID)
					},
					OnPosition: func(id string) { s.storeID(name, id) },
				}
				if at := s.Load(name); !at.IsZero() {
					c.LastEventID = at.String()
				}
				return c.Run(ctx, func(_ context.Context, e stream.Event) error {
					data, err := e.Bytes()
					if err != nil {
						return err
					}
					r.Event(string(data))
					return s.storeID(name, e.ID)
				})
			},
			Held: func() (bytes int) {
				s.Do(func(srv *stream.Server) error { bytes = int(srv.Stats().Held); return nil })
				return bytes
			},
		}
	}
}

// storeID is store with a cursor in text.
func (s *service[T]) storeID(client, id string) error {
	c, err := eventlog.ParseCursor(id)
	if err == nil {
		s.Store(client, c)
	}
	return err
}
