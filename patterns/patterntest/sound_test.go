package patterntest_test

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
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// Two sound systems, long polling and push, with places at which to break them. The
// zero value is sound; a test replaces one part.

var errDown = errors.New("the server is down")

// store is what clients keep on disk: their positions, by their names.
type store struct {
	mu      sync.Mutex
	cursors map[string]eventlog.Cursor
}

func newStore() *store { return &store{cursors: map[string]eventlog.Cursor{}} }

func (s *store) get(name string) eventlog.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[name]
}

func (s *store) set(name string, c eventlog.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursors[name] = c
}

// running is the server's life of now.
type running[S any] struct {
	mu     sync.Mutex
	server *S // nil while it is down
}

func (r *running[S]) set(s *S) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = s
}

func (r *running[S]) get() *S {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server
}

// polling is a feed and its clients.
type polling struct {
	durable bool // the log is on disk, and the system says so
	claims  patterntest.System

	stop      func(srv *http.Server)
	log       func(folder string) (eventlog.Log, error)
	handler   func(log eventlog.Log, feed http.Handler) http.Handler
	publisher func(ctx context.Context, f *longpoll.Server) func(data string) error
	client    func(c *longpoll.Client)
	batch     func(ctx context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error
	receive   func(ctx context.Context, c *longpoll.Client, handle batchHandler, r patterntest.Receiver) error
}

type batchHandler = func(context.Context, longpoll.Batch) error

// feedLife is one life of the server.
type feedLife struct{ publish func(data string) error }

func (p polling) on(n *sim.Network) patterntest.System {
	p = p.whole()
	var life running[feedLife]
	positions := newStore()

	s := p.claims
	s.Durable = s.Durable || p.durable
	s.Bound = time.Second // the token bucket lets ten polls a second through
	s.Serve = func(ctx context.Context, h *sim.Host, folder string) error {
		l, err := p.log(folder)
		if err != nil {
			return err
		}
		defer l.Close()
		f := &longpoll.Server{Log: l, Jitter: retry.Seeded(n.Seed())}
		handler := p.handler(l, f.Handler())
		life.set(&feedLife{p.publisher(ctx, f)})
		defer life.set(nil)
		return serveUntil(ctx, h, handler, p.stop)
	}
	s.Publish = func(data string) error {
		if l := life.get(); l != nil {
			return l.publish(data)
		}
		return errDown
	}
	s.Receive = func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
		c := &longpoll.Client{
			URL: "http://server/events", HTTP: h.HTTPClient(), From: positions.get(name), FromNow: true,
			Jitter: retry.Seeded(n.Rand(name).Uint64()),
		}
		p.client(c)
		return p.receive(ctx, c, func(ctx context.Context, b longpoll.Batch) error {
			return p.batch(ctx, positions, name, b, r)
		}, r)
	}
	return s
}

// whole returns p with the sound parts where there are none.
func (p polling) whole() polling {
	if p.stop == nil {
		p.stop = func(srv *http.Server) { srv.Close() }
	}
	if p.log == nil {
		p.log = inMemory
		if p.durable {
			p.log = onDisk
		}
	}
	if p.handler == nil {
		p.handler = func(_ eventlog.Log, feed http.Handler) http.Handler { return feed }
	}
	if p.publisher == nil {
		p.publisher = func(_ context.Context, f *longpoll.Server) func(string) error {
			return func(data string) error {
				_, err := f.Publish(context.Background(), "news", []byte(data))
				return err
			}
		}
	}
	if p.client == nil {
		p.client = func(*longpoll.Client) {}
	}
	if p.batch == nil {
		p.batch = func(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
			handle(b, r)
			s.set(name, b.Cursor)
			return nil
		}
	}
	if p.receive == nil {
		p.receive = func(ctx context.Context, c *longpoll.Client, handle batchHandler, _ patterntest.Receiver) error {
			return c.Run(ctx, handle)
		}
	}
	return p
}

func handle(b longpoll.Batch, r patterntest.Receiver) {
	if b.Reset != "" {
		r.Gap(string(b.Reset))
	}
	for _, e := range b.Events {
		r.Event(string(e.Data))
	}
}

func inMemory(string) (eventlog.Log, error) { return eventlog.NewMemory(eventlog.Options{}), nil }

func onDisk(folder string) (eventlog.Log, error) {
	return eventlog.OpenDisk(filepath.Join(folder, "log"), eventlog.Options{})
}

// serveUntil is patterntest.ServeHTTP with another way to stop.
func serveUntil(ctx context.Context, h *sim.Host, handler http.Handler, stop func(*http.Server)) error {
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		stop(srv)
		close(stopped)
	})
	err = srv.Serve(l)
	if ctx.Err() == nil {
		return err
	}
	<-stopped
	return nil
}
