package sim

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A TCPConn is a TCP connection, with the methods and errors of [net.TCPConn].
//
// What the program does with it takes effect on the network when all goroutines of
// the bubble are blocked, at the same instant: so the order in which the runtime
// ran them does not matter.
type TCPConn struct {
	n             *Network
	host          *Host
	id            uint64
	local, remote endpoint
	tcp           *tcp.Conn
	flow          flow
	listener      *TCPListener // until it is accepted
	dial          *dialing     // until it is established

	r, w  waitq
	read  deadline
	write deadline

	deadlinePlan, timerPlan plan

	linger   int // seconds; negative for none
	err      syscall.Errno
	reported bool // err was returned by a call
	queued   bool // in pending.conns
	closed   bool // by the program
	abort    bool // close by RST
	finished bool // CloseWrite was called
	shut     bool // CloseRead was called
	gone     bool // forgotten by the host
	todo     []func(now int64)
}

// A deadline of reads or writes.
type deadline struct {
	at      int64 // never if there is none
	expired bool
}

func newConn(h *Host, local, remote endpoint) *TCPConn {
	n := h.n
	n.nextConn++
	c := &TCPConn{
		n: n, host: h, id: n.nextConn, local: local, remote: remote,
		read: deadline{at: never}, write: deadline{at: never},
		deadlinePlan: plan(never), timerPlan: plan(never), linger: -1,
	}
	to := h
	if !isLoopback(remote.addr) {
		to = n.byAddr[remote.addr]
	}
	c.flow = flow{path: n.path(h, to), id: [2]uint64{uint64(protoTCP), uint64(local.port)<<16 | uint64(remote.port)}}
	h.conns[connKey{local, remote}] = c
	return c
}

// NewSegment implements [tcp.Output].
func (c *TCPConn) NewSegment() *tcp.Segment { return c.n.freeSegments.get() }

// Send implements [tcp.Output].
func (c *TCPConn) Send(_ *tcp.Conn, s *tcp.Segment) {
	pkt := c.n.newPacket(&c.flow, protoTCP, c.local, c.remote)
	pkt.seg, pkt.size = s, s.Size()
	c.n.dispatch(pkt, c.n.clock)
}

// touch has the next step look at c.
func (c *TCPConn) touch() {
	if !c.queued && !c.gone && !c.n.closed {
		c.queued = true
		c.n.pending.conns = append(c.n.pending.conns, c)
		c.n.request()
	}
}

// flush lets the program's calls take effect.
func (c *TCPConn) flush(now int64) {
	c.queued = false
	if c.gone {
		return
	}
	at := tcp.Time(now)
	c.tcp.Push(at)
	for _, f := range c.todo {
		f(now)
	}
	c.todo = nil
	if c.finished {
		c.tcp.CloseWrite(at)
	}
	switch {
	case c.abort:
		c.tcp.Abort(at)
	case c.closed:
		c.tcp.Close(at)
	}
	c.n.schedule(c, classDeadline, c.id)
	c.settle()
}

// input handles a segment that arrived.
func (c *TCPConn) input(now int64, s *tcp.Segment) {
	c.tcp.Input(tcp.Time(now), s)
	c.settle()
}

// plan implements timed.
func (c *TCPConn) plan(class uint64) *plan {
	if class == classDeadline {
		return &c.deadlinePlan
	}
	return &c.timerPlan
}

// next implements timed.
func (c *TCPConn) next(class uint64) int64 {
	switch {
	case c.gone:
		return never
	case class == classDeadline:
		return min(c.read.next(), c.write.next())
	default:
		return int64(c.tcp.NextTimer())
	}
}

// due implements timed.
func (c *TCPConn) due(now int64, class uint64) {
	if class == classDeadline {
		if c.read.expire(now) {
			c.r.notify(c.n, c.host)
		}
		if c.write.expire(now) {
			c.w.notify(c.n, c.host)
		}
		c.n.schedule(c, classDeadline, c.id)
		return
	}
	c.tcp.Timeout(tcp.Time(now))
	c.settle()
}

// settle deals with what a call of the state machine brought about.
func (c *TCPConn) settle() {
	ev := c.tcp.Events()
	if ev&tcp.Failed != 0 {
		c.err = errnoOf(c.tcp.Err())
	}
	if ev&tcp.Connected != 0 {
		switch {
		case c.dial != nil:
			c.dial.finish(nil)
			c.dial = nil
		case c.listener != nil:
			c.listener.established(c)
		}
	}
	if ev&tcp.Failed != 0 && c.dial != nil {
		c.dial.finish(opError("dial", "tcp", nil, c.remote.tcp(), sysError("connect", c.err)))
		c.dial = nil
	}
	if ev&(tcp.Readable|tcp.Failed|tcp.Closed) != 0 {
		c.r.notify(c.n, c.host)
	}
	if ev&(tcp.Writable|tcp.Failed|tcp.Closed) != 0 {
		c.w.notify(c.n, c.host)
	}
	if ev&tcp.Closed != 0 {
		c.forget()
		return
	}
	c.n.schedule(c, classTimer, c.id)
}

// forget takes c out of its host's table.
func (c *TCPConn) forget() {
	c.gone = true
	delete(c.host.conns, connKey{c.local, c.remote})
	if c.listener != nil {
		delete(c.listener.embryos, c)
		c.listener = nil
	}
}

// kill ends c when its process dies, by RST if reset is true.
func (c *TCPConn) kill(reset bool) {
	c.closed, c.abort = true, true
	c.r.notify(c.n, c.host)
	c.w.notify(c.n, c.host)
	if reset {
		c.touch()
	} else {
		c.gone = true
	}
}

// end ends c with the network.
func (c *TCPConn) end() {
	c.closed = true
	c.r.release()
	c.w.release()
}

func (c *TCPConn) opError(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return opError(op, "tcp", c.local.tcp(), c.remote.tcp(), err)
}

// sockError is the connection's error, the first time it is asked for.
func (c *TCPConn) sockError() syscall.Errno {
	if c.reported {
		return 0
	}
	c.reported = c.err != 0
	return c.err
}

// Read implements [net.Conn].
func (c *TCPConn) Read(p []byte) (int, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	for {
		c.host.awaitResume()
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case len(p) == 0:
			return 0, nil
		case c.read.expired:
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		}
		if k := c.tcp.Take(p); k > 0 {
			c.touch() // the window may open
			return k, nil
		}
		// After a FIN a reset is no news to a reader (tcp_recvmsg, SOCK_DONE).
		if c.err != 0 && c.err != syscall.EPIPE && !c.shut {
			if err := c.sockError(); err != 0 {
				return 0, c.opError("read", sysError("read", err))
			}
		}
		if c.tcp.EOF() || c.shut {
			return 0, io.EOF
		}
		c.r.wait(c.n)
	}
}

// Write implements [net.Conn].
func (c *TCPConn) Write(p []byte) (int, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	done := 0
	for {
		c.host.awaitResume()
		switch {
		case c.closed:
			return done, c.opError("write", net.ErrClosed)
		case c.write.expired:
			return done, c.opError("write", os.ErrDeadlineExceeded)
		case c.finished || c.err != 0 || !c.tcp.CanWrite():
			err := c.sockError()
			if err == 0 {
				err = syscall.EPIPE
			}
			return done, c.opError("write", sysError("write", err))
		}
		if done == len(p) {
			return done, nil
		}
		k := c.tcp.Append(p[done:])
		done += k
		if k > 0 {
			c.touch()
		}
		if done == len(p) {
			return done, nil
		}
		c.w.wait(c.n)
	}
}

// Close implements [net.Conn]. What was written is still sent in the background,
// unless received data is unread or the linger time is 0: then the peer is reset.
func (c *TCPConn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.host.awaitResume()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.abort = c.linger == 0
	c.r.release()
	c.w.release()
	c.touch()
	if c.linger > 0 {
		c.write = deadline{at: c.n.now() + int64(c.linger)*1e9}
		for !c.gone && !c.n.closed && !c.write.expired && c.tcp.Info().SendQueue > 0 {
			c.w.wait(c.n)
		}
	}
	return nil
}

// CloseRead shuts down the reading side: reads return [io.EOF]. The peer is not told.
func (c *TCPConn) CloseRead() error {
	return c.control("close", func() {
		c.shut = true
		c.todo = append(c.todo, func(now int64) { c.tcp.CloseRead(tcp.Time(now)) })
		c.r.release()
	})
}

// CloseWrite shuts down the writing side: the peer reads what was written, then
// [io.EOF].
func (c *TCPConn) CloseWrite() error {
	return c.control("close", func() {
		c.finished = true
		c.w.release()
	})
}

// control runs f on an open connection and has the next step look at c.
func (c *TCPConn) control(op string, f func()) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.host.awaitResume()
	if c.closed {
		return c.opError(op, net.ErrClosed)
	}
	f()
	c.touch()
	return nil
}

// LocalAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *TCPConn) LocalAddr() net.Addr { return c.local.tcp() }

// RemoteAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *TCPConn) RemoteAddr() net.Addr { return c.remote.tcp() }

// SetDeadline implements [net.Conn].
func (c *TCPConn) SetDeadline(t time.Time) error {
	return c.control("set", func() { c.setRead(t); c.setWrite(t) })
}

// SetReadDeadline implements [net.Conn].
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	return c.control("set", func() { c.setRead(t) })
}

// SetWriteDeadline implements [net.Conn].
func (c *TCPConn) SetWriteDeadline(t time.Time) error {
	return c.control("set", func() { c.setWrite(t) })
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

// SetNoDelay says whether small segments are sent at once, which is the default,
// or wait for the acknowledgement of what is on its way (Nagle's algorithm).
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.control("set", func() {
		c.todo = append(c.todo, func(now int64) { c.tcp.SetNoDelay(tcp.Time(now), noDelay) })
	})
}

// SetLinger says what [TCPConn.Close] does with data not yet acknowledged. If sec
// is negative, which is the default, it is sent in the background; if 0, it is
// thrown away and the peer is reset; if positive, Close waits for up to sec seconds.
func (c *TCPConn) SetLinger(sec int) error {
	return c.control("set", func() { c.linger = sec })
}

// SetKeepAlive turns keep-alive probes on or off. They are on by default, with the
// times of package net: 15 s of silence, then 9 probes 15 s apart.
func (c *TCPConn) SetKeepAlive(keepalive bool) error {
	return c.setKeepAlive(tcp.KeepAlive{Off: !keepalive})
}

// SetKeepAlivePeriod sets the time of silence before the first probe and the time
// between probes.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	return c.setKeepAlive(tcp.KeepAlive{Idle: d, Interval: d})
}

// SetKeepAliveConfig sets all of the keep-alive. As in package net a zero time or
// count stands for the default and a negative one leaves things as they are; here
// the latter is refused, since it is the default too.
func (c *TCPConn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	if config.Idle < 0 || config.Interval < 0 || config.Count < 0 {
		return c.opError("set", fmt.Errorf("keep-alive %+v: negative values are not supported: %w", config, syscall.EINVAL))
	}
	return c.setKeepAlive(tcp.KeepAlive{
		Off: !config.Enable, Idle: config.Idle, Interval: config.Interval, Count: config.Count,
	})
}

func (c *TCPConn) setKeepAlive(k tcp.KeepAlive) error {
	return c.control("set", func() {
		c.todo = append(c.todo, func(now int64) { c.tcp.SetKeepAlive(tcp.Time(now), k) })
	})
}

// SetReadBuffer fixes the size of the receive buffer, which ends its tuning.
func (c *TCPConn) SetReadBuffer(bytes int) error {
	return c.setBuffer(bytes, c.tcp.SetReadBuffer)
}

// SetWriteBuffer fixes the size of the send buffer, which ends its tuning.
func (c *TCPConn) SetWriteBuffer(bytes int) error {
	return c.setBuffer(bytes, c.tcp.SetWriteBuffer)
}

func (c *TCPConn) setBuffer(bytes int, set func(int)) error {
	if bytes < 0 {
		return c.opError("set", sysError("setsockopt", syscall.EINVAL))
	}
	return c.control("set", func() { set(bytes) })
}
