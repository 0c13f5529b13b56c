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

// ErrDown is what [Current.Do] returns while no server runs.
var ErrDown = errors.New("patterntest: the server is down")

// Current is the server that runs now, if one does: what the functions Serve and Publish of a
// [System] share. Its zero value is a server that is down.
type Current[T any] struct {
	mu     sync.Mutex
	server *T
}

// Set says that a server runs, until down is called, or another is set:
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

// Get returns the server that runs, and whether one does.
func (c *Current[T]) Get() (server T, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return server, false
	}
	return *c.server, true
}

// Do calls f with the server that runs, and returns its error. While none does that is [ErrDown].
func (c *Current[T]) Do(f func(server T) error) error {
	server, up := c.Get()
	if !up {
		return ErrDown
	}
	return f(server)
}

// Disk is what clients keep on their disks, by their names: it is still there after a client
// has crashed. Its zero value is empty.
type Disk[T any] struct {
	mu   sync.Mutex
	kept map[string]T
}

// Load returns what the client of that name has stored last, or a zero value.
func (d *Disk[T]) Load(name string) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[name]
}

// Store keeps v for the client of that name.
func (d *Disk[T]) Store(name string, v T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil {
		d.kept = map[string]T{}
	}
	d.kept[name] = v
}

// ServeHTTP serves on port 80 of h until ctx is done, as the function Serve of a [System]
// must, and then closes all connections. What net/http would log is dropped.
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
