package sim

import "time"

// A deadline of reads, writes or accepts.
type deadline struct {
	at      int64 // never if there is none
	expired bool
}

// set moves the deadline, and says whether it has passed already.
func (d *deadline) set(n *Network, t time.Time) bool {
	*d = deadline{at: never}
	if t.IsZero() {
		return false
	}
	d.at = int64(t.Sub(n.start))
	d.expired = !t.After(time.Now())
	return d.expired
}

// expire says whether the deadline expires by now.
func (d *deadline) expire(now int64) bool {
	if d.next() > now {
		return false
	}
	d.expired = true
	return true
}

// next is when the deadline will expire.
func (d *deadline) next() int64 {
	if d.expired {
		return never
	}
	return d.at
}

// SetDeadline implements [net.Conn].
func (c *TCPConn) SetDeadline(t time.Time) error {
	return c.control(c.setError, func() { c.setRead(t); c.setWrite(t) })
}

// SetReadDeadline implements [net.Conn].
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	return c.control(c.setError, func() { c.setRead(t) })
}

// SetWriteDeadline implements [net.Conn].
func (c *TCPConn) SetWriteDeadline(t time.Time) error {
	return c.control(c.setError, func() { c.setWrite(t) })
}

func (c *TCPConn) setRead(t time.Time) {
	if c.read.set(c.n, t) {
		c.r.release()
	}
}

func (c *TCPConn) setWrite(t time.Time) {
	if c.write.set(c.n, t) {
		c.w.release()
	}
}
