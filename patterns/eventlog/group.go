package eventlog

import (
	"context"
	"slices"
	"sync"
)

// group collects the Appends that wait for the disk, so that they share a transaction.
// One of them at a time leads: it takes those that wait, itself the first of them, and
// appends them; the one that waits longest then leads the next. No call waits for others
// to come, so that one publisher alone is as fast as the disk.
type group struct {
	mu      sync.Mutex
	busy    bool         // a caller leads
	waiting []*appending // in the order of their arrival, the leader first until it takes
}

// appending is one Append.
type appending struct {
	entries []Entry
	turn    chan struct{} // closed when it leads or is done; nil in one that leads at once
	leads   bool
	head    Cursor // when it is done
	err     error
}

// maxGroupBytes bounds what one transaction takes in, but for a single Append. Its pages
// are in memory until they are written.
const maxGroupBytes = 4 << 20

// join waits until a leads, or is done and there is nothing to do for it. The error is
// ctx's, and a is in no group then.
func (g *group) join(ctx context.Context, a *appending) (leads bool, err error) {
	g.mu.Lock()
	g.waiting = append(g.waiting, a)
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return true, nil
	}
	a.turn = make(chan struct{})
	g.mu.Unlock()

	select {
	case <-a.turn:
	case <-ctx.Done():
		if g.leave(a) {
			return false, ctx.Err()
		}
		<-a.turn // it is being written, or leads
	}
	return a.leads, nil
}

// leave takes a out of those that wait, unless its turn has come.
func (g *group) leave(a *appending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, a)
	if i < 0 || a.leads {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// take returns those whose turn has come.
func (g *group) take() []*appending {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, bytes := 0, 0
	for _, a := range g.waiting {
		for i := range a.entries {
			bytes += a.entries[i].size()
		}
		if n > 0 && bytes > maxGroupBytes {
			break
		}
		n++
	}
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return taken
}

// done ends those, and has the next lead.
func (g *group) done(these []*appending) {
	for _, a := range these[1:] { // the first is the caller
		close(a.turn)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy = len(g.waiting) > 0; g.busy {
		next := g.waiting[0]
		next.leads = true
		close(next.turn)
	}
}
