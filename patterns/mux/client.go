package mux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client opens streams to one server. It replaces its session when the session has ended, when
// either side is draining it, or when it has no stream numbers left. It connects at first use. Addr
// must be set. Do not change or copy it after first use. Its methods may be called concurrently.
type Client struct {
	// Addr is the server's address, host:port.
	Addr string
	// DialContext opens connections. Nil: a zero net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds the opening of a connection. Zero: 10 s. At most 100
	// years.
	DialTimeout time.Duration
	// Config configures the sessions.
	Config Config
	// Backoff bounds the delays after failed attempts to connect. Max is 15 s by default.
	Backoff retry.Backoff
	// Jitter draws the delays within Backoff's bounds. Nil: seeded by the clock at
	// first use.
	Jitter retry.Jitter
	// OnRetry is called before each such delay, with the error of the attempt. Nil: not called.
	OnRetry func(err error, delay time.Duration)

	once  sync.Once
	wrong error // what Check said
	life  context.Context
	end   context.CancelFunc

	mu       sync.Mutex
	closed   bool
	sessions []*Session    // that have not ended; new streams are of the last one
	dialling chan struct{} // closed when there is a session, or nobody waits for one; nil: nobody dials
	waiting  int           // for a session
	failures int           // to connect, one after the other
	last     error         // of them
	again    time.Time     // not before then
	stats    ClientStats
}

// ClientStats are the counters of a client.
type ClientStats struct {
	Sessions int64 // sessions that were opened
	Failed   int64 // failed attempts to connect
	Opened   int64 // streams that were opened
}

// Check returns an error that names each invalid field and its value, or nil.
func (c *Client) Check() error {
	check := fields.Of("mux: Client")
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		check.Bad("Addr is %q: want host:port", c.Addr)
	}
	check.Duration("DialTimeout", c.DialTimeout)
	check.Backoff("Backoff", c.Backoff, ownBackoff)
	if err := c.Config.Check(); err != nil {
		check.Bad("Config: %w", err)
	}
	return check.Err()
}

var ownBackoff = retry.Backoff{Max: 15 * time.Second}

func (c *Client) begin() {
	c.wrong = c.Check()
	c.life, c.end = context.WithCancel(context.Background())
	c.Jitter = c.Jitter.OrSeeded("")
	if c.DialContext == nil {
		c.DialContext = new(net.Dialer).DialContext
	}
	fields.Default(&c.DialTimeout, 10*time.Second)
}

// Open opens a stream. While the server is unreachable it retries until ctx is done, and then
// returns ctx's error and that of the last attempt. As with [Session.Open], the stream can still be
// refused: see [Unprocessed].
func (c *Client) Open(ctx context.Context) (*Stream, error) {
	c.once.Do(c.begin)
	if c.wrong != nil {
		return nil, c.wrong
	}
	for {
		s, err := c.session(ctx)
		if err != nil {
			return nil, err
		}
		st, err := s.Open(ctx)
		switch {
		case err == nil:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.stats.Opened++
			return st, nil
		case ctx.Err() != nil:
			return nil, err
		}
		// The session has ended, or will: the next turn looks for another.
	}
}

// session returns a session that accepts new streams, and waits for one if there is none. It is
// dialled on behalf of all callers, so a caller that gives up does not end an attempt for which
// others wait.
func (c *Client) session(ctx context.Context) (*Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return nil, ErrClosed
		}
		c.sessions = slices.DeleteFunc(c.sessions, func(s *Session) bool { return s.Err() != nil })
		if n := len(c.sessions); n > 0 && c.sessions[n-1].takesStreams() {
			return c.sessions[n-1], nil
		}
		if c.dialling == nil {
			c.dialling = make(chan struct{})
			go c.connect(c.dialling)
		}
		done := c.dialling
		c.waiting++
		c.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		c.mu.Lock()
		c.waiting--
		if ctx.Err() != nil && c.last != nil {
			return nil, fmt.Errorf("%w, after: %w", context.Cause(ctx), c.last)
		} else if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// connect opens a session, and retries as long as a caller waits for it.
func (c *Client) connect(done chan struct{}) {
	defer close(done)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.dialling = nil }()
	for !c.closed && c.waiting > 0 {
		if wait := time.Until(c.again); wait > 0 {
			c.mu.Unlock()
			retry.Sleep(c.life, wait)
			c.mu.Lock()
			continue
		}
		c.mu.Unlock()
		dial, cancel := context.WithTimeout(c.life, c.DialTimeout)
		conn, err := c.DialContext(dial, "tcp", c.Addr)
		cancel()
		c.mu.Lock()
		if err == nil {
			c.failures, c.last = 0, nil
			c.stats.Sessions++
			s := c.Config.Client(conn)
			if c.sessions = append(c.sessions, s); c.closed {
				go s.Close()
			}
			return
		}
		c.failures++
		c.last = err
		c.stats.Failed++
		delay := c.Backoff.WithDefaults(ownBackoff).Delay(c.failures, c.Jitter)
		c.again = time.Now().Add(delay)
		if c.OnRetry != nil && !c.closed {
			c.mu.Unlock()
			c.OnRetry(err, delay)
			c.mu.Lock()
		}
	}
}

// takesStreams reports whether the session's Open can succeed.
func (s *Session) takesStreams() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && !s.draining && !s.peerDrains && s.nextID <= 1<<32-1
}

// Stats returns the counters.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Drain lets existing streams finish, as [Session.Drain] does. Open then returns [ErrClosed].
func (c *Client) Drain(ctx context.Context) error {
	var failed []error
	for _, s := range c.stop() {
		failed = append(failed, s.Drain(ctx))
	}
	return errors.Join(failed...)
}

// Close ends all sessions at once.
func (c *Client) Close() error {
	for _, s := range c.stop() {
		s.Close()
	}
	return nil
}

// stop makes Open create no more sessions, and returns the existing ones.
func (c *Client) stop() []*Session {
	c.once.Do(c.begin)
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return slices.Clone(c.sessions)
}

// Unprocessed reports whether an error of a stream or of Open means that the peer's program has
// seen nothing of the stream, so that any work can safely be repeated on another session.
func Unprocessed(err error) bool {
	return errors.Is(err, ErrRefused) || errors.Is(err, ErrDraining) || errors.Is(err, ErrExhausted)
}
