package pubsub_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// memNet is a network in memory with one address, and connections whose bytes take delay
// each way. A write never waits.
type memNet struct {
	delay time.Duration

	mu       sync.Mutex
	listener *memListener // nil: connections are refused
	ends     []*memConn
	mute     map[string]bool // clients whose packets vanish, both ways
}

var errRefused = errors.New("connection refused")

// dialer returns the DialContext of a client's host.
func (n *memNet) dialer(client string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		n.mu.Lock()
		l := n.listener
		n.mu.Unlock()
		if n.isMute(client) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if l == nil {
			return nil, errRefused
		}
		near, far := newMemConn(n, client), newMemConn(n, client)
		near.peer, far.peer = far, near
		n.mu.Lock()
		n.ends = append(n.ends, near, far)
		n.mu.Unlock()
		select {
		case l.accepted <- far:
			return near, nil
		case <-l.closed:
			return nil, errRefused
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mutes has everything of a client vanish from now on, or ends that. A connection that
// lost something stays dead.
func (n *memNet) mutes(client string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mute == nil {
		n.mute = map[string]bool{}
	}
	n.mute[client] = on
}

func (n *memNet) isMute(client string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mute[client]
}

// cut breaks the connections of a client, of all if it is empty.
func (n *memNet) cut(client string) {
	n.mu.Lock()
	ends := n.ends
	n.mu.Unlock()
	for _, c := range ends {
		if client == "" || c.client == client {
			c.Close()
		}
	}
}

func (n *memNet) listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = &memListener{net: n, accepted: make(chan net.Conn), closed: make(chan struct{})}
	return n.listener
}

type memListener struct {
	net      *memNet
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		if l.net.listener == l {
			l.net.listener = nil
		}
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr }

var memAddr = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}

// memConn is one end of a connection.
type memConn struct {
	net    *memNet
	client string
	peer   *memConn
	news   chan struct{} // a token: look again

	mu       sync.Mutex
	in       []parcel
	closed   bool
	lost     bool // a stream with a hole is of no use: nothing follows it
	deadline time.Time
}

type parcel struct {
	data []byte // nil: the end
	due  time.Time
}

func newMemConn(n *memNet, client string) *memConn {
	return &memConn{net: n, client: client, news: make(chan struct{}, 1)}
}

func (c *memConn) notify() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *memConn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		var due time.Time
		now := time.Now()
		switch {
		case c.closed:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case len(c.in) > 0 && !now.Before(c.in[0].due):
			p := &c.in[0]
			if p.data == nil {
				c.mu.Unlock()
				return 0, errors.New("connection reset by peer")
			}
			n := 0
			for n < len(b) && len(c.in) > 0 && !now.Before(c.in[0].due) && c.in[0].data != nil {
				p := &c.in[0]
				got := copy(b[n:], p.data)
				n += got
				if p.data = p.data[got:]; len(p.data) == 0 {
					c.in = c.in[1:]
				}
			}
			c.mu.Unlock()
			return n, nil
		case !c.deadline.IsZero() && !now.Before(c.deadline):
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(c.in) > 0:
			due = c.in[0].due
		}
		if !c.deadline.IsZero() && (due.IsZero() || c.deadline.Before(due)) {
			due = c.deadline
		}
		c.mu.Unlock()
		var tick <-chan time.Time
		if !due.IsZero() {
			t := time.NewTimer(time.Until(due))
			defer t.Stop()
			tick = t.C
		}
		select {
		case <-c.news:
		case <-tick:
		}
	}
}

func (c *memConn) put(p parcel) {
	c.mu.Lock()
	if c.lost = c.lost || c.net.isMute(c.client); !c.lost {
		c.in = append(c.in, p)
	}
	c.mu.Unlock()
	c.notify()
}

func (c *memConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	c.peer.put(parcel{append([]byte{}, b...), time.Now().Add(c.net.delay)})
	return len(b), nil
}

func (c *memConn) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if !closed {
		c.notify()
		c.peer.put(parcel{nil, time.Now().Add(c.net.delay)})
	}
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	c.notify()
	return nil
}

func (c *memConn) LocalAddr() net.Addr              { return memAddr }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
