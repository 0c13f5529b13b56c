package longpoll_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// memNet is a network in memory with one server address and connections whose
// bytes take delay each way.
type memNet struct {
	delay time.Duration

	mu       sync.Mutex
	listener *memListener // nil: connections are refused
	black    bool
	dials    int
}

var errRefused = errors.New("connection refused")

// blackhole makes bytes, closes and dials vanish without a word, or ends that. A
// connection that lost something stays dead.
func (n *memNet) blackhole(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.black = on
}

func (n *memNet) isBlack() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.black
}

func (n *memNet) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	l, black := n.listener, n.black
	n.mu.Unlock()
	if black {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, errRefused
	}
	toServer, fromClient := net.Pipe()
	toClient, fromServer := net.Pipe()
	client, server := n.conn(fromServer, toServer), n.conn(fromClient, toClient)
	err := errRefused
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	client.Close()
	server.Close()
	return nil, err
}

// listen opens the server's address.
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

// memConn reads from one pipe; what it writes is carried to the other.
type memConn struct {
	net.Conn // the reading end, with its deadlines
	net      *memNet
	mu       sync.Mutex
	closed   bool
	queue    chan parcel
}

type parcel struct {
	data []byte // nil: the end
	due  time.Time
}

func (n *memNet) conn(in, out net.Conn) *memConn {
	c := &memConn{Conn: in, net: n, queue: make(chan parcel, 1000)}
	go func() {
		lost := false // a stream with a hole is of no use: nothing follows it
		for p := range c.queue {
			time.Sleep(time.Until(p.due))
			if lost = lost || n.isBlack(); lost {
				continue
			}
			if p.data == nil {
				out.Close()
				continue
			}
			_, _ = out.Write(p.data) // fails when the other side has closed
		}
	}()
	return c
}

func (c *memConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.queue <- parcel{append([]byte{}, b...), time.Now().Add(c.net.delay)}
	return len(b), nil
}

func (c *memConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.queue <- parcel{nil, time.Now().Add(c.net.delay)}
	close(c.queue)
	return c.Conn.Close()
}

func (c *memConn) LocalAddr() net.Addr              { return memAddr }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memConn) SetDeadline(t time.Time) error    { return c.Conn.SetReadDeadline(t) }

// dialed is the number of dials so far.
func (n *memNet) dialed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}
