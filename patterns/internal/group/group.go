// Package group lets concurrent calls share an expensive operation, such as a disk transaction. One
// call at a time leads: it takes the waiting calls, itself first, and serves them. The call that
// has waited longest leads next. No call waits for others to arrive, so a single call is not slowed
// down.
package group

import (
	"context"
	"slices"
	"sync"
)

// A Group is a queue of calls. Its zero value is empty.
type Group[T any] struct {
	mu      sync.Mutex
	busy    bool       // a call leads
	waiting []*Call[T] // in the order of their arrival, the leader first until it takes
}

// A Call is a waiting call, with what it wants.
type Call[T any] struct {
	Value T
	turn  chan struct{} // closed when it leads or is done; nil in one that leads at once
	leads bool
}

// Join waits until c leads, and must then call [Group.Take] and [Group.Done], or until c is done by
// another leader. The error is ctx's; c then no longer waits.
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

// Take returns the calls to serve: the leader, and the calls after it for which fits, called for
// each in turn, returns true.
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

// Done ends these calls, the first of which is the caller's, and lets the next
// call lead.
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

// Waiting returns how many calls wait, and whether one leads.
func (g *Group[T]) Waiting() (calls int, led bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting), g.busy
}
