// Package systems contains the systems that this project uses with the contract, in scenarios and in the comparison. Each is a server and a
// client of a pattern, put together as a service would.
package systems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// A service is a server that may be down, and the positions that its clients keep on their disks.
type service[T any] struct {
	patterntest.Current[T]
	patterntest.Disk[eventlog.Cursor]
}

// run makes a server for a log and serves it until ctx is done.
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
	defer s.Set(server)()
	return serveHTTP(ctx, h, handler)
}

// LongPoll is a feed and its clients. log is the server's log, in memory or on disk. Options change the feed.
func LongPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), options ...func(*longpoll.Server)) patterntest.System {
	system, _ := longPoll(n, log, nil, options...)
	return system
}

// LongPollByName is LongPoll with clients that give their names. Each may see the events for everybody and its own.
func LongPollByName(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	system, publish := longPoll(n, log, named, func(f *longpoll.Server) { f.Authenticate = byName })
	system.PublishTo = func(name, data string) error { return publish(forOne(name), data) }
	return system
}

// A publisher publishes data under a topic.
type publisher func(topic, data string) error

// headers returns the header function for a client's requests; nil: no header.
type headers func(client string) func(context.Context) (http.Header, error)

func (h headers) of(client string) func(context.Context) (http.Header, error) {
	if h == nil {
		return nil
	}
	return h(client)
}

func longPoll(n *sim.Network, log func(folder string) (eventlog.Log, error), header headers, options ...func(*longpoll.Server)) (patterntest.System, publisher) {
	var s service[*longpoll.Server]
	publish := func(topic, data string) error {
		return s.Do(func(f *longpoll.Server) error {
			_, err := f.Publish(context.Background(), topic, []byte(data))
			return err
		})
	}
	receive := func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver, handle handler) error {
		c := longpoll.Client{
			URL: "http://server/events", HTTP: httpClient(ctx, h), From: s.Load(name), FromNow: true,
			Header: header.of(name), Jitter: retry.Seeded(n.Rand(name).Uint64()),
		}
		return c.Run(ctx, func(ctx context.Context, b longpoll.Batch) error {
			if b.Reset != "" {
				r.Gap(string(b.Reset))
			}
			return s.handle(ctx, name, b.Events, b.Cursor, handle)
		})
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*longpoll.Server, http.Handler, error) {
					f := &longpoll.Server{Log: l, Jitter: retry.Seeded(n.Seed())}
					for _, option := range options {
						option(f)
					}
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
		Bound: time.Second, // the token bucket admits ten polls a second
	}, publish
}

// handle passes on the events of a poll, and stores the client's position after each event, because its handler may fail.
func (s *service[T]) handle(ctx context.Context, client string, events []eventlog.Entry, cursor eventlog.Cursor, handle handler) error {
	for _, e := range events {
		if err := handle(ctx, string(e.Data)); err != nil {
			return err
		}
		s.Store(client, eventlog.Cursor{Epoch: cursor.Epoch, Offset: e.Offset})
	}
	s.Store(client, cursor)
	return nil
}

// Push is a WebSocket server and its clients.
func Push(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	return pushing(n, log, func(*push.Server) {})
}

// PushConflating is Push with a server that may leave out a value if it has a newer one.
func PushConflating(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	var keys patterntest.Disk[string] // keys by data; a real service would look into the data
	var others atomic.Int64
	s := pushing(n, log, func(srv *push.Server) {
		srv.Slow = push.Coalesce
		srv.CoalesceKey = func(_ string, data []byte) string {
			if key := keys.Load(string(data)); key != "" {
				return key
			}
			return fmt.Sprint("event ", others.Add(1)) // replaces no other value
		}
	})
	s.PublishKey = func(key, data string) error {
		keys.Store(data, key)
		return s.Publish(data)
	}
	s.Conflates = true
	return s
}

func pushing(n *sim.Network, log func(folder string) (eventlog.Log, error), option func(*push.Server)) patterntest.System {
	var s service[*push.Server]
	publish := func(topic, data string, ttl time.Duration) error {
		return s.Do(func(srv *push.Server) error {
			_, err := srv.Publish(context.Background(), push.Message{Topic: topic, TTL: ttl, Data: []byte(data)})
			return err
		})
	}
	receive := func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver, handle handler) error {
		c := push.Client{
			URL: "ws://server/", ID: name, HTTP: httpClient(ctx, h), From: s.Load(name), Jitter: retry.Seeded(n.Rand(name).Uint64()),
			OnReset: func(_ context.Context, reset push.Reset) error {
				if reset.Reason != push.ReasonNew {
					r.Gap(string(reset.Reason))
				}
				s.Store(name, reset.Cursor)
				return nil
			},
			OnGap: func(_ context.Context, g push.Gap) error {
				r.Gap("slow")
				s.Store(name, g.Cursor)
				return nil
			},
		}
		err := c.Run(ctx, func(ctx context.Context, e push.Event) error {
			if err := handle(ctx, string(e.Data)); err != nil {
				return err
			}
			s.Store(name, e.Cursor)
			return nil
		})
		if errors.Is(err, push.ErrFenced) {
			return nil // another client has taken its name, so this one is done
		}
		return err
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			return s.run(ctx, h, func() (eventlog.Log, error) { return log(folder) },
				func(l eventlog.Log) (*push.Server, http.Handler, error) {
					srv := &push.Server{Log: l, Authenticate: TrustEverybody}
					option(srv)
					return srv, srv.Handler(), nil
				})
		},
		Publish:    func(data string) error { return publish("news", data, 0) },
		PublishFor: func(data string, ttl time.Duration) error { return publish("news", data, ttl) },
		PublishTo:  func(name, data string) error { return publish(push.Mailbox(name), data, 0) },
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			return receive(ctx, h, name, r, reports(r))
		},
		Work: &patterntest.Work{Receive: func(ctx context.Context, h *sim.Host, name, _ string, w patterntest.Worker) error {
			return again(ctx, func() error { return receive(ctx, h, name, w, does(w)) })
		}},
		Fences: true,
		Held: func() (bytes int) {
			s.Do(func(srv *push.Server) error { bytes = int(srv.Stats().QueuedBytes); return nil })
			return bytes
		},
	}
}

// TrustEverybody accepts any name that a client gives, and lets the client receive the news.
func TrustEverybody(r *http.Request) (access.Identity, error) {
	return access.Identity{Client: r.URL.Query().Get("client"), Topics: []string{"news"}}, nil
}

// InMemory returns a log that a restart loses.
func InMemory(string) (eventlog.Log, error) { return eventlog.NewMemory(eventlog.Options{}), nil }

// OnDisk returns a log in a server's folder. A system with such a log is [Durable].
func OnDisk(folder string) (eventlog.Log, error) {
	return eventlog.OpenDisk(filepath.Join(folder, "log"), eventlog.Options{})
}

// Durable marks a system whose server keeps its log over restarts.
func Durable(s patterntest.System) patterntest.System {
	s.Durable = true
	return s
}
