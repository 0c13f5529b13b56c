package mux

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// ErrPoolFull is returned by [Pool.Get] when MaxWaiting calls are already
// waiting.
var ErrPoolFull = errors.New("mux: too many wait for a connection of the pool")

// Pool is the opposite of a [Session]: each exchange has a connection to itself, and free
// connections are reused. It needs no protocol, and loss on one connection affects no other, but an
// exchange waits when all connections are in use. DialContext must be set. Do not change or copy it
// after first use. Its methods may be called concurrently.
type Pool struct {
	// DialContext opens a connection.
	DialContext func(ctx context.Context) (net.Conn, error)
	// MaxConns bounds the connections, in use or free. Zero: 6, the limit of browsers for each host
	// over HTTP/1.1. At most 100,000.
	MaxConns int
	// MaxWaiting bounds the calls of Get that wait for a connection; further ones get
	// [ErrPoolFull]. Zero: 1,000. At most a million.
	MaxWaiting int
	// IdleTimeout is how long a free connection is kept. If a peer closes one, only its next user
	// notices, so IdleTimeout should be less than the peer's own limit. Zero: 30 s. At most 100
	// years.
	IdleTimeout time.Duration

	mu      sync.Mutex
	conns   int         // in use, free, or being opened
	free    []*PoolConn // the last used one at the end: those at the beginning can time out
	waiting []*waiter   // the oldest first
	closed  bool
	stats   PoolStats
}

// PoolStats are the counters of a pool.
type PoolStats struct {
	Conns   int64         // connections in use, free, or being opened
	Free    int64         // free connections
	Waiting int64         // calls of Get that wait now
	Dialed  int64         // connections opened so far
	Got     int64         // calls of Get that succeeded
	Waited  int64         // of these, calls that had to wait for another's connection
	Wait    time.Duration // how long they waited, in total
	Broken  int64         // connections not reused because a call on them failed
}

type waiter struct {
	turn chan *PoolConn // nil: it may open one
}

// PoolConn is a connection of a pool, for its current user. It is a net.Conn.
type PoolConn struct {
	conn   net.Conn
	pool   *Pool
	expiry *time.Timer

	mu     sync.Mutex
	broken bool // an operation failed: what the next one reads could be the rest of an answer
	done   bool // it was given back
}

// Check returns an error that names each invalid field and its value, or nil.
func (p *Pool) Check() error {
	check := fields.Of("mux: Pool")
	if p.DialContext == nil {
		check.Bad("DialContext is nil: want a function")
	}
	for _, f := range []struct {
		name        string
		value, most int
	}{{"MaxConns", p.MaxConns, 100_000}, {"MaxWaiting", p.MaxWaiting, 1_000_000}} {
		if f.value < 0 || f.value > f.most {
			check.Bad("%s is %d: want 0 for the default, or 1 to %d", f.name, f.value, f.most)
		}
	}
	check.Duration("IdleTimeout", p.IdleTimeout)
	return check.Err()
}

func (p *Pool) limits() (conns, waiting int, idle time.Duration) {
	conns, waiting, idle = p.MaxConns, p.MaxWaiting, p.IdleTimeout
	fields.Default(&conns, 6)
	fields.Default(&waiting, 1000)
	fields.Default(&idle, 30*time.Second)
	return conns, waiting, idle
}

// Get returns a free connection, opens one, or waits for one. The call that has waited longest is
// served first. The caller must call [PoolConn.Release] or Close when it has finished.
func (p *Pool) Get(ctx context.Context) (*PoolConn, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	conns, waiting, _ := p.limits()
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		return nil, ErrClosed
	case len(p.free) > 0:
		c := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		c.expiry.Stop()
		c = p.again(c)
		p.mu.Unlock()
		return c, nil
	case p.conns < conns:
		p.conns++
		p.mu.Unlock()
		return p.dial(ctx)
	case len(p.waiting) >= waiting:
		p.mu.Unlock()
		return nil, ErrPoolFull
	}
	w := &waiter{turn: make(chan *PoolConn, 1)}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()
	return p.wait(ctx, w)
}

func (p *Pool) wait(ctx context.Context, w *waiter) (*PoolConn, error) {
	began := time.Now()
	select {
	case c, open := <-w.turn:
		if !open {
			return nil, ErrClosed
		}
		p.mu.Lock()
		p.stats.Waited++
		p.stats.Wait += time.Since(began)
		p.mu.Unlock()
		if c == nil {
			return p.dial(ctx)
		}
		return c, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.waiting, w)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // the turn came at the same time: it is another's
		if c, open := <-w.turn; open && c != nil {
			c.Release()
		} else if open {
			p.leave()
		}
	}
	return nil, context.Cause(ctx)
}

// dial opens a connection. conns already counts it.
func (p *Pool) dial(ctx context.Context) (*PoolConn, error) {
	conn, err := p.DialContext(ctx)
	if err != nil {
		p.leave()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Dialed++
	return p.again(&PoolConn{conn: conn, pool: p}), nil
}

// again returns a connection for its next user. The previous user's PoolConn can no longer use it.
func (p *Pool) again(c *PoolConn) *PoolConn {
	p.stats.Got++
	return &PoolConn{conn: c.conn, pool: p}
}

// leave frees the slot of a connection. The call that has waited longest gets it.
func (p *Pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.next() <- nil
		return
	}
	p.conns--
}

// next removes the call that has waited longest from the queue.
func (p *Pool) next() chan *PoolConn {
	w := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return w.turn
}

// Release returns the connection to the pool. A connection on which a call failed, even by a
// deadline, is closed instead, because the rest of an answer may still arrive. The caller must have
// read everything that the peer sends for its exchange. Further calls do nothing.
func (c *PoolConn) Release() { c.giveBack(false) }

// Close ends the connection; the pool may open another.
func (c *PoolConn) Close() error { return c.giveBack(true) }

func (c *PoolConn) giveBack(end bool) error {
	c.mu.Lock()
	done, broken := c.done, c.broken
	c.done = true
	c.mu.Unlock()
	if done {
		return nil
	}
	p := c.pool
	if !broken && !end && c.conn.SetDeadline(time.Time{}) != nil {
		broken = true
	}
	p.mu.Lock()
	if broken {
		p.stats.Broken++
	}
	if broken || end || p.closed {
		p.mu.Unlock()
		err := c.conn.Close()
		p.leave()
		return err
	}
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.next() <- p.again(c)
		return nil
	}
	_, _, idle := p.limits()
	kept := &PoolConn{conn: c.conn, pool: p}
	kept.expiry = time.AfterFunc(idle, func() { p.expire(kept) })
	p.free = append(p.free, kept)
	return nil
}

// expire closes a connection that was idle for IdleTimeout.
func (p *Pool) expire(c *PoolConn) {
	p.mu.Lock()
	i := slices.Index(p.free, c)
	if i >= 0 {
		p.free = slices.Delete(p.free, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		c.conn.Close()
		p.leave()
	}
}

// Read reads from the connection. After Release or Close it returns
// net.ErrClosed.
func (c *PoolConn) Read(b []byte) (int, error) {
	if c.over() {
		return 0, net.ErrClosed
	}
	n, err := c.conn.Read(b)
	c.note(err)
	return n, err
}

// Write writes to the connection. After Release or Close it returns
// net.ErrClosed.
func (c *PoolConn) Write(b []byte) (int, error) {
	if c.over() {
		return 0, net.ErrClosed
	}
	n, err := c.conn.Write(b)
	c.note(err)
	return n, err
}

// LocalAddr returns the connection's local address.
func (c *PoolConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the connection's remote address.
func (c *PoolConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline sets the connection's deadlines. The next user starts without
// any.
func (c *PoolConn) SetDeadline(t time.Time) error { return c.set(c.conn.SetDeadline, t) }

// SetReadDeadline sets the connection's read deadline, see SetDeadline.
func (c *PoolConn) SetReadDeadline(t time.Time) error { return c.set(c.conn.SetReadDeadline, t) }

// SetWriteDeadline sets the connection's write deadline, see SetDeadline.
func (c *PoolConn) SetWriteDeadline(t time.Time) error { return c.set(c.conn.SetWriteDeadline, t) }

func (c *PoolConn) set(deadline func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return net.ErrClosed
	}
	return deadline(t)
}

func (c *PoolConn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func (c *PoolConn) note(err error) {
	if err != nil {
		c.mu.Lock()
		c.broken = true
		c.mu.Unlock()
	}
}

// Stats returns the counters.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.stats
	stats.Conns, stats.Free, stats.Waiting = int64(p.conns), int64(len(p.free)), int64(len(p.waiting))
	return stats
}

// Close closes the free connections, and the others when they are released. Get then returns
// [ErrClosed], also in calls that are waiting.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	free := p.free
	p.free = nil
	for _, w := range p.waiting {
		close(w.turn)
	}
	p.waiting = nil
	p.conns -= len(free)
	p.mu.Unlock()
	for _, c := range free {
		c.expiry.Stop()
		c.conn.Close()
	}
	return nil
}
