package sim

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A TCPConn is a TCP connection. It has the errors of [net.TCPConn] and all of its methods that need no
// descriptor, so neither SyscallConn nor File. Some libraries look for those two, or for a *net.TCPConn, to
// set an option or to see whether an idle connection is still alive; they do without (interop/README.md has a
// table). The same holds for a [UDPConn] and a listener.
//
// What the program does with a connection takes effect on the network when all goroutines of the bubble are
// blocked, at the same instant. So the order in which the runtime ran them does not matter.
type TCPConn struct {
	n       *Network
	host    *Host
	log     history
	id      uint64
	ends    ends
	chain   *TCPConn // in the host's table: see connTable
	machine machine
	flow    flow
	opening opening
	in, out half
	plans   plans
	opts    *connOptions // nil until the program sets one
	asked   requests
	resent  uint32 // retransmitted segments, as the host counts them
	sockErr sockErr
	fin     bool // the peer's FIN has arrived
	queued  bool // its calls wait for the engine to take them
	closed  bool // by the program
	gone    bool // removed from the host's table
}

// An opening is how a connection was made.
type opening struct {
	listener *TCPListener // that has not yet accepted it
	dial     *dialing     // that has not yet established it
	dialled  bool         // this side dialled
	family   family       // that the program named
	six      bool         // the socket is an IPv6 socket, even with IPv4 addresses
	fd       descriptor   // counted once the program has it
}

// A half is the side of a socket from which the program reads, or to which it writes.
type half struct {
	q        waitq
	turns    turns
	deadline deadline
}

// plans are the planned instants of a socket that has both deadlines and protocol timers.
type plans struct{ deadline, timer plan }

// requests are what the program asked for and TCP does at the next flush.
type requests struct {
	linger     int32 // seconds; negative for none
	abort      bool  // close with RST
	closeWrite bool
	closeRead  bool
	awaitFIN   bool // Close waits for the acknowledgement of the FIN
}

// A sockErr is the pending error of a socket (SO_ERROR).
type sockErr struct {
	errno    uint16
	reported bool // a call returned it
}

// connOptions are settings that few programs use.
type connOptions struct {
	keepAlive *tcp.KeepAlive
	todo      []func(now int64) // at the next flush
	crossing  *Fault            // the cross traffic that it belongs to; nil for a connection of the program
}

func (c *TCPConn) options() *connOptions {
	if c.opts == nil {
		c.opts = new(connOptions)
	}
	return c.opts
}

// later makes f run at the next flush.
func (c *TCPConn) later(f func(now int64)) {
	o := c.options()
	o.todo = append(o.todo, f)
}

func (c *TCPConn) network() string { return "tcp" + c.opening.family.String() }

// newConn makes a connection; by is when its program asked for it.
//
//go:norace
func newConn(h *Host, network string, six bool, local, remote netip.AddrPort, dialled bool, by moment) *TCPConn {
	n := h.n
	n.names.conns++
	c := &TCPConn{
		n: n, host: h, id: n.names.conns, ends: ends{local, remote},
		opening: opening{dialled: dialled, family: familyNamed(network), six: six},
		in:      half{deadline: deadline(never)}, out: half{deadline: deadline(never)},
		plans: plans{plan(never), plan(never)}, asked: requests{linger: -1},
	}
	c.flow = flow{path: h.pathTo(remote.Addr()), id: flowID(protoTCP, local.Port(), remote.Port()), log: c.log.begin(by)}
	h.table.conns.put(c)
	return c
}

// opError wraps an error of the network, if there is one.
func (c *TCPConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return opError(op, c.network(), tcpAddr(c.ends.local, c.opening.six), tcpAddr(c.ends.remote, c.opening.six), err)
}

// sockError returns the connection's error, to the first caller only.
func (c *TCPConn) sockError() syscall.Errno {
	if c.sockErr.reported {
		return 0
	}
	c.sockErr.reported = c.sockErr.errno != 0
	return syscall.Errno(c.sockErr.errno)
}

// Read implements [net.Conn].
func (c *TCPConn) Read(p []byte) (int, error) {
	var mine ticket
	k, err := await(c.n, func() (k int, err error, wait *waitq) {
		if !c.closed && !c.in.turns.come(&c.in.q, &mine) {
			return 0, nil, &c.in.q
		}
		if k, err, wait = c.readNow(p); wait == nil {
			c.in.turns.end(c.n, c.host, &c.in.q)
		}
		return k, err, wait
	})
	writesRange(p[:k])
	return k, c.opError("read", err)
}

// readNow reads what is available.
func (c *TCPConn) readNow(p []byte) (int, error, *waitq) {
	switch {
	case c.host.holds(c.closed):
		return 0, nil, &c.host.pause.resumed
	case c.closed || c.n.closed:
		c.log.own(c.n)
		return 0, net.ErrClosed, nil
	case len(p) == 0:
		return 0, nil, nil
	case c.in.deadline.expired():
		c.log.own(c.n)
		return 0, os.ErrDeadlineExceeded, nil
	}
	if k := c.tcp().Take(p); k > 0 {
		c.log.received(c.n, k)
		c.submitData() // the window may open
		return k, nil, nil
	}
	// After a FIN nothing is news to a reader (tcp_recvmsg, SOCK_DONE).
	if !c.fin {
		if err := c.sockError(); err != 0 {
			c.log.ended(c.n)
			return 0, sysError("read", err), nil
		}
	}
	if c.tcp().EOF() || c.asked.closeRead {
		c.log.ended(c.n)
		return 0, io.EOF, nil
	}
	return 0, nil, &c.in.q
}

// Write implements [net.Conn].
func (c *TCPConn) Write(p []byte) (int, error) {
	readsRange(p)
	done := 0
	var mine ticket
	k, err := await(c.n, func() (k int, err error, wait *waitq) {
		if !c.closed && !c.out.turns.come(&c.out.q, &mine) {
			return 0, nil, &c.out.q
		}
		if k, err, wait = c.writeNow(p, &done); wait == nil {
			c.out.turns.end(c.n, c.host, &c.out.q)
		}
		return k, err, wait
	})
	return k, c.opError("write", err)
}

// writeNow writes as much of the rest of p as there is room for.
func (c *TCPConn) writeNow(p []byte, done *int) (int, error, *waitq) {
	switch {
	case c.closed || c.n.closed:
		c.log.own(c.n)
		return *done, net.ErrClosed, nil
	case c.out.deadline.expired():
		c.log.own(c.n)
		return *done, os.ErrDeadlineExceeded, nil
	case c.asked.closeWrite || c.sockErr.errno != 0 || !c.tcp().CanWrite():
		err := c.sockError()
		if err == 0 {
			err = syscall.EPIPE
		}
		c.log.ended(c.n)
		return *done, sysError("write", err), nil
	}
	if *done == len(p) {
		return *done, nil, nil
	}
	k := c.tcp().Append(p[*done:])
	*done += k
	if k > 0 {
		c.log.wrote(c.n.moment(), k)
		c.submitData()
	}
	if *done == len(p) {
		return *done, nil, nil
	}
	c.n.calls.pending.until = c.n.calls.pending.untilBlocked
	c.n.wakeAt(c.n.calls.pending.until)
	return *done, nil, &c.out.q
}

// ReadFrom implements [io.ReaderFrom], which [io.Copy] uses: it copies from r, 32 KB at a time. Package net
// makes the kernel copy between sockets (splice) and from files. As there, the errors of both sides are
// wrapped in one with the operation "readfrom".
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	k, err := io.Copy(struct{ io.Writer }{c}, r)
	return k, c.opError("readfrom", err)
}

// WriteTo implements [io.WriterTo], which [io.Copy] uses, as [TCPConn.ReadFrom] does; the operation is
// "writeto".
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	k, err := io.Copy(w, struct{ io.Reader }{c})
	return k, c.opError("writeto", err)
}

// MultipathTCP reports that the connection does not use MPTCP, which is not simulated.
func (c *TCPConn) MultipathTCP() (bool, error) { return false, nil }

// Close implements [net.Conn]. The connection still sends written data in the background, unless received
// data is unread or the linger time is 0: then it resets the peer.
func (c *TCPConn) Close() error {
	begun := false
	_, err := await(c.n, func() (none struct{}, _ error, _ *waitq) {
		if !begun {
			if c.closed || c.n.closed {
				c.log.own(c.n)
				return none, net.ErrClosed, nil
			}
			begun = true
			c.log.changed(c.n.moment())
			c.closed = true
			c.host.fds.free(&c.opening.fd)
			c.asked.abort = c.asked.linger == 0
			c.in.q.release()
			c.out.q.release()
			c.host.pause.resumed.release() // wakes calls that a pause holds back
			c.submit(horizon{})
			if c.asked.linger <= 0 {
				return none, nil, nil
			}
			c.out.deadline = deadline(c.n.now() + int64(c.asked.linger)*1e9)
			c.n.queue.schedule(c, classDeadline, c.id)
			c.asked.awaitFIN = true
		}
		if (c.queued || c.closing()) && !c.n.closed && !c.out.deadline.expired() {
			return none, nil, &c.out.q
		}
		c.asked.awaitFIN = false
		return none, nil, nil
	})
	return c.opError("close", err)
}

// closing reports whether our FIN is not yet acknowledged (sk_stream_closing).
func (c *TCPConn) closing() bool {
	switch c.tcp().State() {
	case tcp.FinWait1, tcp.Closing, tcp.LastAck:
		return !c.gone
	}
	return false
}

// CloseRead shuts down the reading side: reads return [io.EOF]. The peer is not told.
func (c *TCPConn) CloseRead() error {
	return c.shutdown(func() {
		c.asked.closeRead = true
		c.later(func(now int64) { c.tcp().CloseRead(tcp.Time(now)) })
		c.in.q.release()
	})
}

// CloseWrite shuts down the writing side: the peer reads what was written, then
// [io.EOF].
func (c *TCPConn) CloseWrite() error {
	return c.shutdown(func() {
		c.asked.closeWrite = true
		c.out.q.release()
	})
}

// shutdown runs f, which shuts down one side, unless the connection has ended (inet_shutdown).
func (c *TCPConn) shutdown(f func()) error {
	return c.opError("close", get(c.n, func() error {
		if c.closed || c.n.closed {
			return net.ErrClosed
		}
		if s := c.tcp().State(); s == tcp.StateClosed || s == tcp.TimeWait {
			return sysError("shutdown", syscall.ENOTCONN)
		}
		f()
		c.log.changed(c.n.moment())
		c.submit(horizon{})
		return nil
	}))
}

// LocalAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *TCPConn) LocalAddr() net.Addr { return tcpAddr(c.ends.local, c.opening.six) }

// RemoteAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *TCPConn) RemoteAddr() net.Addr { return tcpAddr(c.ends.remote, c.opening.six) }
