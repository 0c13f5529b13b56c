package squall_test

import (
	"context"
	"errors"
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

// longPolling is a feed and its clients. Memory or disk is for the server's log.
func longPolling(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	var mu sync.Mutex
	var feed *longpoll.Feed // nil while the server is down
	cursors := map[string]eventlog.Cursor{}

	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			l, err := log(folder)
			if err != nil {
				return err
			}
			defer l.Close()
			f := &longpoll.Feed{Log: l, Jitter: longpoll.Seeded(n.Seed())}
			mu.Lock()
			feed = f
			mu.Unlock()
			defer func() {
				mu.Lock()
				feed = nil
				mu.Unlock()
			}()
			return serveHTTP(ctx, h, f.Handler())
		},
		Publish: func(data string) error {
			mu.Lock()
			f := feed
			mu.Unlock()
			if f == nil {
				return errDown
			}
			_, err := f.Publish("news", []byte(data))
			return err
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			mu.Lock()
			cursor := cursors[name]
			mu.Unlock()
			c := longpoll.Client{
				URL: "http://server/events", HTTP: h.HTTPClient(), Cursor: cursor, FromNow: true,
				Jitter: longpoll.Seeded(n.Rand(name).Uint64()),
			}
			return c.Run(ctx, func(_ context.Context, b longpoll.Batch) error {
				if b.Reset != "" {
					r.Gap(string(b.Reset))
				}
				for _, e := range b.Events {
					r.Event(string(e.Data))
				}
				mu.Lock()
				cursors[name] = b.Cursor
				mu.Unlock()
				return nil
			})
		},
		Bound: time.Second, // the token bucket lets ten polls a second through
	}
}

// pushing is a WebSocket server and its clients.
func pushing(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	var mu sync.Mutex
	var server *push.Server // nil while it is down
	cursors := map[string]eventlog.Cursor{}

	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			l, err := log(folder)
			if err != nil {
				return err
			}
			defer l.Close()
			s, err := push.NewServer(l, push.ServerOptions{Authenticate: trustEverybody})
			if err != nil {
				return err
			}
			defer s.Close()
			mu.Lock()
			server = s
			mu.Unlock()
			defer func() {
				mu.Lock()
				server = nil
				mu.Unlock()
			}()
			return serveHTTP(ctx, h, s)
		},
		Publish: func(data string) error {
			mu.Lock()
			s := server
			mu.Unlock()
			if s == nil {
				return errDown
			}
			_, err := s.Publish(context.Background(), push.Message{Topic: "news", TTL: push.Forever, Data: []byte(data)})
			return err
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			mu.Lock()
			from := cursors[name]
			mu.Unlock()
			store := func(c eventlog.Cursor) {
				mu.Lock()
				defer mu.Unlock()
				cursors[name] = c
			}
			c := push.Client{
				URL: "ws://server/", ID: name, HTTP: h.HTTPClient(), From: from, Rand: n.Rand(name),
				OnEvent: func(_ context.Context, e push.Event) error {
					r.Event(string(e.Data))
					store(e.Cursor)
					return nil
				},
				OnReset: func(_ context.Context, reset push.Reset) error {
					if reset.Reason != push.ReasonNew {
						r.Gap(string(reset.Reason))
					}
					store(reset.Cursor)
					return nil
				},
				OnGap: func(_ context.Context, g push.Gap) error {
					r.Gap("slow")
					store(g.Cursor)
					return nil
				},
			}
			return c.Run(ctx)
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
