// Package group has calls that come at one time share what takes long, such as a transaction of a disk. One of them at a time leads: it
// takes those that wait, itself the first of them, and does what they want; the one that waits longest then leads the next. No call waits for
// others to come, so that one alone is as fast as ever.
package group

import (
	"context"
	"slices"
	"sync"
)

// A Group is where calls wait. Its zero value has none.
type Group[T any] struct {
	mu      sync.Mutex
	busy    bool       // a call leads
	waiting []*Call[T] // in the order of their arrival, the leader first until it takes
}

// A Call is one that waits, and what it wants.
type Call[T any] struct {
	Value T
	turn  chan struct{} // closed when it leads or is done; nil in one that leads at once
	leads bool
}

// Join waits until c leads, which is to call [Group.Take] and [Group.Done] then, or is done and there is nothing to do for it. The
// error is ctx's, and c waits no more then.
func (g *Group[T]) Join(ctx context.Context, c *Call[T]) (leads bool, err error) {
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return true, nil
	}
	c.turn = make(chan struct{})
	g.mu.Unlock()

	select {
	case <-c.turn:
	case <-ctx.Done():
		if g.leave(c) {
			return false, ctx.Err()
		}
		<-c.turn // its turn has come
	}
	return c.leads, nil
}

// leave takes c out of those that wait, unless its turn has come.
func (g *Group[T]) leave(c *Call[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, c)
	if i < 0 || c.leads {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// Take returns those whose turn has come: the leader, and those behind it for as long as fits, which is asked of each in turn,
// says so.
func (g *Group[T]) Take(fits func(T) bool) []*Call[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, c := range g.waiting {
		if !fits(c.Value) && n > 0 {
			break
		}
		n++
	}
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return taken
}

// Done ends those, of which the first is the caller's, and has the next lead.
func (g *Group[T]) Done(these []*Call[T]) {
	for _, c := range these[1:] {
		close(c.turn)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy = len(g.waiting) > 0; g.busy {
		next := g.waiting[0]
		next.leads = true
		close(next.turn)
	}
}

// Waiting is how many calls wait, and whether one leads.
func (g *Group[T]) Waiting() (calls int, led bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting), g.busy
}
