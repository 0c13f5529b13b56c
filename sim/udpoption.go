package sim

import (
	"net"
	"syscall"
	"time"
)

// SetDeadline implements [net.Conn].
func (u *UDPConn) SetDeadline(t time.Time) error {
	return u.setDeadlines(ofNetwork(t), &u.in.deadline, &u.write)
}

// SetReadDeadline implements [net.Conn].
func (u *UDPConn) SetReadDeadline(t time.Time) error {
	return u.setDeadlines(ofNetwork(t), &u.in.deadline)
}

// SetWriteDeadline implements [net.Conn].
func (u *UDPConn) SetWriteDeadline(t time.Time) error {
	return u.setDeadlines(ofNetwork(t), &u.write)
}

func (u *UDPConn) setDeadlines(t time.Time, ds ...*deadline) error {
	return u.setError(get(u.n, func() error {
		if u.closed {
			return net.ErrClosed
		}
		u.by = u.n.moment()
		for _, d := range ds {
			if d.set(u.n, t) {
				u.in.q.release()
			}
		}
		u.n.queue.schedule(u, classDeadline, socketID(u.host, u.local, protoUDP)^uint64(u.groups.nth)<<40)
		u.n.wakeAt(u.next(classDeadline))
		return nil
	}))
}

// SetReadBuffer sets the size of the receive buffer. As in Linux the buffer is twice that size, since
// bookkeeping counts: at least 2304 bytes, and at most twice net.core.rmem_max, which is 4 MiB (since Linux
// 6.16).
func (u *UDPConn) SetReadBuffer(bytes int) error {
	return u.setBuffer(bytes, func() { u.buffer.resize(bytes) })
}

// SetWriteBuffer exists because programs call it. A datagram leaves the send buffer at once, so the size has
// no visible effect.
func (u *UDPConn) SetWriteBuffer(bytes int) error {
	return u.setBuffer(bytes, func() {})
}

func (u *UDPConn) setBuffer(bytes int, set func()) error {
	return u.setError(get(u.n, func() error {
		switch {
		case u.closed:
			return net.ErrClosed
		case bytes < 0:
			return sysError("setsockopt", syscall.EINVAL)
		}
		set()
		return nil
	}))
}

// setError names the local address only, as package net does.
func (u *UDPConn) setError(err error) error {
	if err == nil {
		return nil
	}
	return opError("set", u.network, nil, net.UDPAddrFromAddrPort(u.local), err)
}

// plan implements timed.
func (u *UDPConn) plan(uint64) *plan { return &u.deadlinePlan }

// next implements timed.
func (u *UDPConn) next(uint64) int64 {
	if u.closed {
		return never
	}
	return min(u.in.deadline.next(), u.write.next())
}

// observable implements timed.
func (u *UDPConn) observable() int64 { return u.next(classDeadline) }

// due implements timed.
func (u *UDPConn) due(now int64, class uint64) {
	if u.in.deadline.expire(now) {
		u.in.q.notify(u.n, u.host)
	}
	u.write.expire(now)
	u.n.queue.schedule(u, class, uint64(u.local.Port())<<40)
}
