package push_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipes is a small network in memory: buffered connections with a delay, that
// can be stalled (as if a host had lost power) and cut (as if it had crashed).
type pipes struct {
	delay  time.Duration // one-way
	buffer int           // bytes in flight per direction; writers wait beyond it

	mu     sync.Mutex
	accept chan net.Conn
	down   bool
	conns  []*pipe
}

func newPipes(delay time.Duration) *pipes {
	return &pipes{delay: delay, buffer: 64 << 10}
}

// Listen replaces the listener before it.
func (p *pipes) Listen() net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &pipeListener{p: p, accept: make(chan net.Conn, 1024), closed: make(chan struct{})}
	p.accept = l.accept
	return l
}

func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	accept, down := p.accept, p.down
	if down || accept == nil {
		p.mu.Unlock()
		return nil, syscall.ECONNREFUSED
	}
	up, dn := newHalf(p), newHalf(p)
	client, server := &pipe{in: dn, out: up}, &pipe{in: up, out: dn}
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	time.Sleep(2 * p.delay) // SYN and SYN-ACK
	select {
	case accept <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.DialContext, DisableKeepAlives: true}}
}

// Cut resets all connections.
func (p *pipes) Cut() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.in.change(func() { c.in.err = syscall.ECONNRESET })
	}
}

// Stall stops all delivery on the connections that there are. They keep silent.
func (p *pipes) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.in.change(func() { c.in.stalled = true })
	}
	p.conns = nil
}

// SetDelay changes the delay of the connections that there are, too.
func (p *pipes) SetDelay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
	for _, c := range p.conns {
		c.in.change(func() { c.in.delay = delay })
	}
}

// SetDown lets connections be refused.
func (p *pipes) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

type pipeListener struct {
	p      *pipes
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.accept == l.accept {
		l.p.accept = nil
	}
	for {
		select {
		case c := <-l.accept:
			c.Close()
		default:
			return nil
		}
	}
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// half is one direction of a connection.
type half struct {
	delay time.Duration
	limit int

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	pieces   []piece
	size     int
	stalled  bool
	err      error // of both ends
	readEnd  bool  // the reader has closed
	writeEnd bool
}

type piece struct {
	due time.Time
	b   []byte // nil: the end
}

func newHalf(p *pipes) *half {
	return &half{delay: p.delay, limit: p.buffer, changed: make(chan struct{})}
}

func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait blocks until the half has changed or the time has come.
func (h *half) wait(changed <-chan struct{}, until ...time.Time) {
	var c <-chan time.Time
	for _, at := range until {
		if !at.IsZero() {
			t := time.NewTimer(time.Until(at))
			defer t.Stop()
			if c == nil {
				c = t.C
				continue
			}
			select {
			case <-changed:
			case <-c:
			case <-t.C:
			}
			return
		}
	}
	select {
	case <-changed:
	case <-c:
	}
}

func (h *half) read(b []byte, deadline *time.Time) (int, error) {
	for {
		h.mu.Lock()
		now, d := time.Now(), *deadline
		var due time.Time
		if len(h.pieces) > 0 && !h.stalled {
			due = h.pieces[0].due
		}
		switch {
		case h.readEnd:
			h.mu.Unlock()
			return 0, net.ErrClosed
		case !d.IsZero() && !now.Before(d):
			h.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case h.err != nil:
			h.mu.Unlock()
			return 0, h.err
		case !due.IsZero() && !now.Before(due):
			if h.pieces[0].b == nil {
				h.mu.Unlock()
				return 0, io.EOF
			}
			n := copy(b, h.pieces[0].b)
			if h.pieces[0].b = h.pieces[0].b[n:]; len(h.pieces[0].b) == 0 {
				h.pieces = h.pieces[1:]
			}
			h.size -= n
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
			return n, nil
		}
		changed := h.changed
		h.mu.Unlock()
		h.wait(changed, due, d)
	}
}

func (h *half) write(b []byte, deadline *time.Time) (n int, err error) {
	for {
		h.mu.Lock()
		d := *deadline
		switch {
		case h.writeEnd:
			h.mu.Unlock()
			return n, net.ErrClosed
		case h.err != nil:
			h.mu.Unlock()
			return n, h.err
		case h.readEnd && !h.stalled:
			h.mu.Unlock()
			return n, syscall.EPIPE
		case !d.IsZero() && !time.Now().Before(d):
			h.mu.Unlock()
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			h.mu.Unlock()
			return n, nil
		case h.size < h.limit:
			k := min(len(b), h.limit-h.size)
			h.pieces = append(h.pieces, piece{time.Now().Add(h.delay), append([]byte(nil), b[:k]...)})
			h.size += k
			n, b = n+k, b[k:]
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
			continue
		}
		changed := h.changed
		h.mu.Unlock()
		h.wait(changed, d)
	}
}

// pipe is one end of a connection.
type pipe struct {
	in, out         *half
	readAt, writeAt time.Time // deadlines, under the lock of their half
}

func (c *pipe) Read(b []byte) (int, error)  { return c.in.read(b, &c.readAt) }
func (c *pipe) Write(b []byte) (int, error) { return c.out.write(b, &c.writeAt) }

func (c *pipe) Close() error {
	c.in.change(func() { c.in.readEnd = true })
	c.out.change(func() {
		if !c.out.writeEnd {
			c.out.writeEnd = true
			c.out.pieces = append(c.out.pieces, piece{due: time.Now().Add(c.out.delay)}) // EOF
		}
	})
	return nil
}

func (c *pipe) LocalAddr() net.Addr  { return pipeAddr{} }
func (c *pipe) RemoteAddr() net.Addr { return pipeAddr{} }

func (c *pipe) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *pipe) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.readAt = t })
	return nil
}

func (c *pipe) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.writeAt = t })
	return nil
}
