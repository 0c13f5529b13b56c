package sidecar

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// tunnelDown passes on the replica's data after it has switched the protocol.
func (c *client) tunnelDown(u *upconn) {
	u.out = appendStatus(u.out[:0], u.m.reason)
	u.out = append(u.m.passFields(u.out, false), "Connection: Upgrade\r\n\r\n"...)
	u.out = append(u.out, u.in.buffered()...)
	u.in.r = u.in.w
	err := u.flush(c)
	for err == nil {
		if err = u.in.fill(); err == nil {
			_, err = c.nc.Write(u.in.buffered())
			u.in.r = u.in.w
			c.passed()
		}
	}
	c.sideEnds(err, c.nc, u.nc)
	c.mu.Lock()
	for c.sides < 2 {
		c.wake.Wait()
	}
	t := c.turn
	c.u, c.turn, c.phase, c.closing = nil, turn{}, idle, true
	c.wake.Broadcast()
	c.mu.Unlock()
	t.end(Success)
	c.up.leave()
	c.nc.Close()
}

// tunnelUp passes on the client's data after the replica has switched the protocol.
func (c *client) tunnelUp() {
	c.mu.Lock()
	u := c.u
	c.mu.Unlock()
	var err error
	for err == nil {
		if len(c.in.buffered()) > 0 {
			_, err = u.nc.Write(c.in.buffered())
			c.in.r = c.in.w
			c.passed()
		}
		if err == nil {
			err = c.in.fill()
		}
	}
	c.tunnelEnded(err)
}

// tunnelEnded is called when the client sends no more, and returns when the tunnel has
// ended.
func (c *client) tunnelEnded(err error) {
	c.mu.Lock()
	u := c.u
	c.mu.Unlock()
	if u == nil {
		return
	}
	c.sideEnds(err, u.nc, c.nc)
	c.mu.Lock()
	for c.phase == tunneling {
		c.wake.Wait()
	}
	c.mu.Unlock()
}

// sideEnds passes on the end of one side of a tunnel: it closes that half, or both connections
// after an error.
func (c *client) sideEnds(err error, to, from net.Conn) {
	if err == io.EOF {
		halfClose(to)
	} else {
		sever(err, to, from)
	}
	c.mu.Lock()
	c.sides++
	c.wake.Broadcast()
	c.mu.Unlock()
}

// sever resets connections after an error of one of them, so that nobody mistakes the error for the
// end of the data. It ignores the error of a connection that the proxy itself has closed.
func sever(err error, conns ...net.Conn) {
	for _, nc := range conns {
		if errors.Is(err, net.ErrClosed) {
			nc.Close()
			continue
		}
		if secured, ok := nc.(*tls.Conn); ok {
			nc = secured.NetConn() // or there would be a close_notify, which is an end
		}
		reset(nc)
		nc.Close()
	}
}

// A splice passes bytes between a client and a replica without parsing them.
type splice struct {
	p    *Proxy
	up   *Upstream
	mu   sync.Mutex
	last time.Time
}

// serveTCP connects a client to a replica, and passes on their data until both have ended.
func (p *Proxy) serveTCP(client net.Conn) {
	defer client.Close()
	up := p.config.Load().TCP
	up.enter()
	defer up.leave()
	p.stats.requests.Add(1)
	if up.active.Load() > int64(up.set.MaxRequests) {
		up.count(func(s *UpstreamStats) { s.Full++ })
		p.stats.failed.Add(1)
		reset(client)
		return
	}
	replica, t, err := up.dialTCP(p.ctx)
	if err != nil {
		p.stats.failed.Add(1)
		reset(client) // not an end, which might be taken for an empty answer
		return
	}
	defer replica.Close()
	if !p.hold(replica) {
		t.end(Ignored)
		return
	}
	defer p.release(replica)
	s := &splice{p: p, up: up, last: time.Now()}
	both := func(err error) { sever(err, client, replica) }
	stop := s.watch(both)
	defer stop()
	var sides sync.WaitGroup
	var bad error
	sides.Go(func() { s.copy(replica, client, both) })
	bad = s.copy(client, replica, both)
	sides.Wait()
	if bad != nil {
		t.end(Failure)
		return
	}
	t.end(Success)
}

// dialTCP connects to a replica. If that fails, it tries another one, because nothing
// was sent yet.
func (up *Upstream) dialTCP(ctx context.Context) (net.Conn, turn, error) {
	ctx, cancel := context.WithTimeout(ctx, up.set.Timeout)
	defer cancel()
	begun := time.Now()
	var avoid *replica
	for attempt := 1; ; attempt++ {
		t, err := up.take(avoid, time.Now())
		if err == nil {
			var nc net.Conn
			if nc, err = up.connect(ctx, t.replica, ""); err == nil {
				return nc, t, nil
			}
			avoid = t.replica
		}
		t.end(Failure)
		delay := up.set.Backoff.Delay(attempt, up.set.Jitter)
		switch starting := time.Since(begun) < up.StartWait; {
		case starting:
			delay, attempt = up.set.Backoff.Max, attempt-1
		case attempt >= up.set.MaxAttempts || ctx.Err() != nil || avoid == nil:
			return nil, t, err
		}
		if sleep(ctx, delay) != nil {
			return nil, t, err
		}
	}
}

// copy passes on one direction, and its end.
func (s *splice) copy(to, from net.Conn, both func(error)) error {
	_, err := io.Copy(&noting{s, to}, from)
	if err == nil {
		halfClose(to)
		return nil
	}
	both(err)
	return err
}

// watch ends the connections when no byte has passed for StreamTimeout.
func (s *splice) watch(both func(error)) (stop func()) {
	limit := s.up.set.StreamTimeout
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(limit, func() {
		<-ready
		s.mu.Lock()
		left := limit - time.Since(s.last)
		s.mu.Unlock()
		if left <= 0 {
			both(os.ErrDeadlineExceeded)
			return
		}
		timer.Reset(left)
	})
	close(ready)
	return func() { timer.Stop() }
}

// noting is a connection that records when a byte was written. It has the method by which io.Copy
// lets the kernel do the copying, in pieces.
type noting struct {
	s *splice
	net.Conn
}

const splicePiece = 1 << 20

func (n *noting) Write(b []byte) (int, error) {
	k, err := n.Conn.Write(b)
	n.note()
	return k, err
}

func (n *noting) note() {
	n.s.mu.Lock()
	n.s.last = time.Now()
	n.s.mu.Unlock()
}

// ReadFrom reads until the end. Where both are TCP, the bytes do not come into the program (splice(2)).
func (n *noting) ReadFrom(from io.Reader) (total int64, err error) {
	to, ok := n.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{n}, from)
	}
	for {
		k, err := to.ReadFrom(io.LimitReader(from, splicePiece))
		total += k
		n.note()
		if err != nil || k == 0 {
			return total, err
		}
	}
}
