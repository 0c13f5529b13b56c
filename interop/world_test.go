package interop

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

const (
	ms      = time.Millisecond
	transit = 40 * ms // one way, as in the contract's own worlds
)

var errDown = errors.New("the server is down")

// A current is what runs of something that may be down.
type current[T any] struct {
	mu sync.Mutex
	it T
	up bool
}

// run lets others have it until the function that is returned is called.
func (c *current[T]) run(it T) (stop func()) {
	c.set(it, true)
	return func() { c.set(it, false) }
}

func (c *current[T]) set(it T, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.it, c.up = it, up
}

func (c *current[T]) get() (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up {
		return c.it, errDown
	}
	return c.it, nil
}

// A shelf keeps what clients store, by their names, as if on their disks.
type shelf[T any] struct {
	mu  sync.Mutex
	has map[string]T
}

func (s *shelf[T]) put(name string, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has == nil {
		s.has = map[string]T{}
	}
	s.has[name] = v
}

func (s *shelf[T]) get(name string) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[name]
}

// serveHTTP serves on port 80 of h until ctx is done.
func serveHTTP(ctx context.Context, h *sim.Host, handler http.Handler) error {
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// sleep returns false if ctx was done first.
func sleep(ctx context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		return false
	}
}
