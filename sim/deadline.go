package sim

import (
	"net"
	"time"
)

// A deadline of reads, writes or accepts: an instant, or never, or expired.
type deadline int64

const expired = deadline(-1 << 63)

// set moves the deadline, and reports whether it has already passed.
func (d *deadline) set(n *Network, t time.Time) bool {
	switch {
	case t.IsZero():
		*d = deadline(never)
	case t.After(time.Now()):
		*d = deadline(t.Sub(n.clock.start))
	default:
		*d = expired
	}
	return d.expired()
}

func (d deadline) expired() bool { return d == expired }

// expire reports whether the deadline expires by now.
func (d *deadline) expire(now int64) bool {
	if d.next() > now {
		return false
	}
	*d = expired
	return true
}

// next returns when the deadline will expire.
func (d deadline) next() int64 {
	if d.expired() {
		return never
	}
	return int64(d)
}

// SetDeadline implements [net.Conn].
func (c *TCPConn) SetDeadline(t time.Time) error {
	t = ofNetwork(t)
	return c.setDeadline(func() { c.setRead(t); c.setWrite(t) })
}

// SetReadDeadline implements [net.Conn].
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	t = ofNetwork(t)
	return c.setDeadline(func() { c.setRead(t) })
}

// SetWriteDeadline implements [net.Conn].
func (c *TCPConn) SetWriteDeadline(t time.Time) error {
	t = ofNetwork(t)
	return c.setDeadline(func() { c.setWrite(t) })
}

// setDeadline runs f on an open connection. The engine need not look at c for it: only the instant counts,
// not when it was set.
func (c *TCPConn) setDeadline(f func()) error {
	return c.setError(get(c.n, func() error {
		if c.closed || c.n.closed {
			return net.ErrClosed
		}
		f()
		c.log.deadline(c.n.moment())
		c.n.queue.schedule(c, classDeadline, c.id)
		c.n.wakeAt(c.next(classDeadline))
		return nil
	}))
}

func (c *TCPConn) setRead(t time.Time) {
	if c.in.deadline.set(c.n, t) {
		c.in.q.release()
	}
}

func (c *TCPConn) setWrite(t time.Time) {
	if c.out.deadline.set(c.n, t) {
		c.out.q.release()
	}
}
