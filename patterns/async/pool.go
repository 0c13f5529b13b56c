package async

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Pool limits how much runs at once and how much waits for its turn. It rejects more at once, so
// that an overload causes an early error and not a late answer. Work that has waited past its
// deadline is not begun. The zero value has the defaults. Do not change or copy it after first use.
type Pool struct {
	// Workers is how many functions run at once. Zero: 16.
	Workers int
	// MaxWaiting bounds the functions that wait for their turn, in order of arrival. Zero: 64.
	// Negative: none waits.
	MaxWaiting int
	// Need is how much of a deadline must be left for a function to be called: the shortest time it
	// takes. Zero: any time.
	Need time.Duration

	mu      sync.Mutex
	running int
	waiting []chan struct{} // closed when it is their turn
	stats   PoolStats
}

// PoolStats are the counters of a Pool.
type PoolStats struct {
	// Running and Waiting are the current numbers.
	Running, Waiting int64
	// Begun counts functions that were called, Rejected those for which there was no room, and
	// Expired those that were not called because too little of their deadline was left.
	Begun, Rejected, Expired int64
}

var (
	// ErrFull: MaxWaiting functions are waiting already. The function was not called.
	ErrFull = errors.New("async: pool is full")
	// ErrExpired: less than Need is left of the deadline. The function was not called.
	ErrExpired = errors.New("async: too little is left of the deadline")
)

// Check returns an error that names each invalid setting and its value, or nil.
func (p *Pool) Check() error {
	check := fields.Of("async: Pool")
	check.Int("Workers", p.Workers)
	check.Duration("Need", p.Need)
	return check.Err()
}

// Stats returns the counters.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Running, s.Waiting = int64(p.running), int64(len(p.waiting))
	return s
}

// Do calls f when it is its turn, and returns f's error. The wait counts against ctx's deadline,
// which is checked when the turn comes. With [ErrFull], [ErrExpired], and ctx's error while it
// waits, f was not called. It panics if Check returns an error.
func (p *Pool) Do(ctx context.Context, f func(ctx context.Context) error) error {
	if err := p.Check(); err != nil {
		panic(err.Error())
	}
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.leave()
	if err := p.expired(ctx); err != nil {
		return err
	}
	return f(ctx)
}

func (p *Pool) enter(ctx context.Context) error {
	p.mu.Lock()
	if p.running < cmp.Or(p.Workers, 16) {
		p.running++
		p.mu.Unlock()
		return nil
	}
	if len(p.waiting) >= max(0, cmp.Or(p.MaxWaiting, 64)) {
		p.stats.Rejected++
		p.mu.Unlock()
		return ErrFull
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, turn)
	if i < 0 {
		return nil // its turn came at the same instant: expired looks at ctx
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	p.stats.Expired++
	return context.Cause(ctx)
}

// expired looks at the deadline of one whose turn it is.
func (p *Pool) expired(ctx context.Context) error {
	err := context.Cause(ctx)
	if at, ok := ctx.Deadline(); err == nil && ok && time.Until(at) < max(p.Need, 1) {
		err = ErrExpired
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.stats.Expired++
		return err
	}
	p.stats.Begun++
	return nil
}

// leave gives the turn to the one who has waited for longest.
func (p *Pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.running--
		return
	}
	close(p.waiting[0])
	p.waiting = slices.Delete(p.waiting, 0, 1)
}
