package patterntest

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"sync"

	"github.com/squall-sim/squall/sim"
)

// ErrDown is the error of [Current.Do] while no server runs.
var ErrDown = errors.New("patterntest: the server is down")

// Current holds the running server, if there is one. The functions Serve and Publish of a
// [System] share it. Its zero value holds none.
type Current[T any] struct {
	mu     sync.Mutex
	server *T
}

// Set makes server the running server until down is called or another server is
// set:
//
//	defer current.Set(server)()
func (c *Current[T]) Set(server T) (down func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := &server
	c.server = mine
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.server == mine {
			c.server = nil
		}
	}
}

// Get returns the running server, and whether there is one.
func (c *Current[T]) Get() (server T, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return server, false
	}
	return *c.server, true
}

// Do calls f with the running server and returns f's error. If no server runs, it returns
// [ErrDown].
func (c *Current[T]) Do(f func(server T) error) error {
	server, up := c.Get()
	if !up {
		return ErrDown
	}
	return f(server)
}

// Disk holds what clients keep on their disks, by client name. It survives crashes of the
// clients. Its zero value is empty.
type Disk[T any] struct {
	mu   sync.Mutex
	kept map[string]T
}

// Load returns the value that was last stored for a client, or the zero value.
func (d *Disk[T]) Load(name string) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[name]
}

// Store stores v for a client.
func (d *Disk[T]) Store(name string, v T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil {
		d.kept = map[string]T{}
	}
	d.kept[name] = v
}

// ServeHTTP serves HTTP on port 80 of h until ctx is done, as the function Serve of a
// [System] must, and then closes all connections. It discards net/http's log. It returns
// the error of listening or serving, and nil after ctx is done.
func ServeHTTP(ctx context.Context, h *sim.Host, handler http.Handler) error {
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	closed := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(closed)
		srv.Close()
	})()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	<-closed
	return nil
}
