package squall_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/sim"
)

// The systems that the scenarios are about: a server and a client of each pattern, as a
// service would put them together.

var errDown = errors.New("the server is down")

// A service is a server that may be down, and the positions that its clients have on
// their disks.
type service[T any] struct {
	mu      sync.Mutex
	server  T
	up      bool
	cursors map[string]eventlog.Cursor
}

// run makes a server of a log and serves it until ctx is done.
func (s *service[T]) run(ctx context.Context, h *sim.Host, log func() (eventlog.Log, error), start func(eventlog.Log) (T, http.Handler, error)) error {
	l, err := log()
	if err != nil {
		return err
	}
	defer l.Close()
	server, handler, err := start(l)
	if err != nil {
		return err
	}
	if c, ok := any(server).(io.Closer); ok {
		defer c.Close()
	}
	s.set(server, true)
	defer s.set(server, false)
	return serveHTTP(ctx, h, handler)
}

func (s *service[T]) set(server T, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.up = server, up
}

// publish calls f with the server, if it is up.
func (s *service[T]) publish(f func(T) error) error {
	s.mu.Lock()
	server, up := s.server, s.up
	s.mu.Unlock()
	if !up {
		return errDown
	}
	return f(server)
}

func (s *service[T]) cursor(client string) eventlog.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[client]
}

func (s *service[T]) store(client string, c eventlog.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursors == nil {
		s.cursors = map[string]eventlog.Cursor{}
	}
	s.cursors[client] = c
}

// longPolling is a feed and its clients. Memory or disk is for the server's log. Options
// change the feed.
func longPolling(n *sim.Network, log func(folder string) (eventlog.Log, error), options ...func(*longpoll.Feed)) patterntest.System {
	var s service[*longpoll.Feed]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*longpoll.Feed, http.Handler, error) {
					f := &longpoll.Feed{Log: l, Jitter: longpoll.Seeded(n.Seed())}
					for _, option := range options {
						option(f)
					}
					return f, f.Handler(), nil
				})
		},
		Publish: func(data string) error {
			return s.publish(func(f *longpoll.Feed) error {
				_, err := f.Publish("news", []byte(data))
				return err
			})
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := longpoll.Client{
				URL: "http://server/events", HTTP: h.HTTPClient(), Cursor: s.cursor(name), FromNow: true,
				Jitter: longpoll.Seeded(n.Rand(name).Uint64()),
			}
			return c.Run(ctx, func(_ context.Context, b longpoll.Batch) error {
				if b.Reset != "" {
					r.Gap(string(b.Reset))
				}
				for _, e := range b.Events {
					r.Event(string(e.Data))
				}
				s.store(name, b.Cursor)
				return nil
			})
		},
		Bound: time.Second, // the token bucket lets ten polls a second through
	}
}

// pushing is a WebSocket server and its clients.
func pushing(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	var s service[*push.Server]
	publish := func(data string, ttl time.Duration) error {
		return s.publish(func(srv *push.Server) error {
			_, err := srv.Publish(context.Background(), push.Message{Topic: "news", TTL: ttl, Data: []byte(data)})
			return err
		})
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*push.Server, http.Handler, error) {
					srv, err := push.NewServer(l, push.ServerOptions{Authenticate: trustEverybody})
					return srv, srv, err
				})
		},
		Publish:    func(data string) error { return publish(data, push.Forever) },
		PublishFor: publish,
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := push.Client{
				URL: "ws://server/", ID: name, HTTP: h.HTTPClient(), From: s.cursor(name), Rand: n.Rand(name),
				OnEvent: func(_ context.Context, e push.Event) error {
					r.Event(string(e.Data))
					s.store(name, e.Cursor)
					return nil
				},
				OnReset: func(_ context.Context, reset push.Reset) error {
					if reset.Reason != push.ReasonNew {
						r.Gap(string(reset.Reason))
					}
					s.store(name, reset.Cursor)
					return nil
				},
				OnGap: func(_ context.Context, g push.Gap) error {
					r.Gap("slow")
					s.store(name, g.Cursor)
					return nil
				},
			}
			return c.Run(ctx)
		},
		Held: func() (bytes int) {
			s.publish(func(srv *push.Server) error { bytes = srv.Stats().QueuedBytes; return nil })
			return bytes
		},
	}
}

// trustEverybody lets a client be who it says, and receive the news.
func trustEverybody(r *http.Request) (push.Identity, error) {
	return push.Identity{Client: r.URL.Query().Get("client"), Topics: []string{"news"}}, nil
}

func inMemory(string) (eventlog.Log, error) { return eventlog.NewMemory(eventlog.Options{}), nil }

func onDisk(folder string) (eventlog.Log, error) {
	return eventlog.OpenDisk(filepath.Join(folder, "log"), eventlog.Options{})
}

// serveHTTP serves on port 80 of h until ctx is done.
func serveHTTP(ctx context.Context, h *sim.Host, handler http.Handler) error {
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
