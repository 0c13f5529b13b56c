// Package systems has the systems that this project puts to the contract, into scenarios
// and into the comparison: a server and a client of each pattern, as a service would put
// them together.
package systems

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

// ErrDown is what a service returns that is down.
var ErrDown = errors.New("the server is down")

// A service is a server that may be down, and the positions that its clients have on
// their disks.
type Service[T any] struct {
	mu      sync.Mutex
	server  T
	up      bool
	cursors map[string]eventlog.Cursor
}

// run makes a server of a log and serves it until ctx is done.
func (s *Service[T]) run(ctx context.Context, h *sim.Host, log func() (eventlog.Log, error), start func(eventlog.Log) (T, http.Handler, error)) error {
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
	s.Set(server, true)
	defer s.Set(server, false)
	return ServeHTTP(ctx, h, handler)
}

// Set says whether the server is up, and which it is.
func (s *Service[T]) Set(server T, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.up = server, up
}

// Publish calls f with the server, if it is up.
func (s *Service[T]) Publish(f func(T) error) error {
	s.mu.Lock()
	server, up := s.server, s.up
	s.mu.Unlock()
	if !up {
		return ErrDown
	}
	return f(server)
}

// Last returns the server that runs, or ran last.
func (s *Service[T]) Last() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

func (s *Service[T]) cursor(client string) eventlog.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[client]
}

func (s *Service[T]) store(client string, c eventlog.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursors == nil {
		s.cursors = map[string]eventlog.Cursor{}
	}
	s.cursors[client] = c
}

// LongPoll is a feed and its clients. Memory or disk is for the server's log. Options
// change the feed.
func LongPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), options ...func(*longpoll.Feed)) patterntest.System {
	var s Service[*longpoll.Feed]
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
			return s.Publish(func(f *longpoll.Feed) error {
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

// Push is a WebSocket server and its clients.
func Push(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	var s Service[*push.Server]
	publish := func(data string, ttl time.Duration) error {
		return s.Publish(func(srv *push.Server) error {
			_, err := srv.Publish(context.Background(), push.Message{Topic: "news", TTL: ttl, Data: []byte(data)})
			return err
		})
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*push.Server, http.Handler, error) {
					srv, err := push.NewServer(l, push.ServerOptions{Authenticate: TrustEverybody})
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
			s.Publish(func(srv *push.Server) error { bytes = srv.Stats().QueuedBytes; return nil })
			return bytes
		},
	}
}

// TrustEverybody lets a client be who it says, and receive the news.
func TrustEverybody(r *http.Request) (push.Identity, error) {
	return push.Identity{Client: r.URL.Query().Get("client"), Topics: []string{"news"}}, nil
}

// InMemory is a log that a restart forgets.
func InMemory(string) (eventlog.Log, error) { return eventlog.NewMemory(eventlog.Options{}), nil }

// OnDisk is a log in a server's folder. A system with it is [Durable].
func OnDisk(folder string) (eventlog.Log, error) {
	return eventlog.OpenDisk(filepath.Join(folder, "log"), eventlog.Options{})
}

// Durable is a system whose server keeps its log over restarts.
func Durable(s patterntest.System) patterntest.System {
	s.Durable = true
	return s
}

// ServeHTTP serves on port 80 of h until ctx is done.
func ServeHTTP(ctx context.Context, h *sim.Host, handler http.Handler) error {
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
