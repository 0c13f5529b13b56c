package sim

import (
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A TCPConn is a TCP connection, with the errors of [net.TCPConn] and those of its
// methods that need no descriptor: it has neither SyscallConn nor File. Libraries that look for
// them, or for a *net.TCPConn, to set an option or to see whether an idle connection still stands,
// do without (interop/README.md has a table); a UDPConn and a listener are the same in this.
//
// What the program does with it takes effect on the network when all goroutines of
// the bubble are blocked, at the same instant: so the order in which the runtime
// ran them does not matter.
type TCPConn struct {
	n             *Network
	host          *Host
	log           history
	id            uint64
	local, remote endpoint
	tcp           *tcp.Conn
	flow          flow
	listener      *TCPListener // until it is accepted
	dial          *dialing     // until it is established

	r, w   waitq
	reads  turns
	writes turns
	read   deadline
	write  deadline

	deadlinePlan, timerPlan plan

	opts     *connOptions // nil until the program sets one
	linger   int32        // seconds; negative for none
	resent   uint32       // segments sent again, as the host counts them
	err      uint16       // errno
	tcp4     bool         // the program named the network "tcp4"
	reported bool         // err was returned by a call
	fin      bool         // the peer's FIN has come
	queued   bool         // in pending.conns
	dialled  bool         // by this side
	closed   bool         // by the program
	abort    bool         // close by RST
	finished bool         // CloseWrite was called
	shut     bool         // CloseRead was called
	gone     bool         // forgotten by the host
	awaitFIN bool         // Close waits for the acknowledgement of the FIN
}

// connOptions are what few programs set.
type connOptions struct {
	keepAlive *tcp.KeepAlive
	todo      []func(now int64) // at the next flush
}

func (c *TCPConn) options() *connOptions {
	if c.opts == nil {
		c.opts = new(connOptions)
	}
	return c.opts
}

// later has f run at the next flush.
func (c *TCPConn) later(f func(now int64)) {
	o := c.options()
	o.todo = append(o.todo, f)
}

func (c *TCPConn) network() string {
	if c.tcp4 {
		return "tcp4"
	}
	return "tcp"
}

// newConn makes a connection; by is when its program asked for it.
//
//go:norace
func newConn(h *Host, network string, local, remote endpoint, dialled bool, by moment) *TCPConn {
	n := h.n
	n.nextConn++
	c := &TCPConn{
		n: n, host: h, id: n.nextConn, tcp4: network == "tcp4", local: local, remote: remote, dialled: dialled,
		read: deadline(never), write: deadline(never),
		deadlinePlan: plan(never), timerPlan: plan(never), linger: -1,
	}
	to := h
	if !isLoopback(remote.addr) {
		to = n.byAddr[remote.addr]
	}
	c.flow = flow{path: n.path(h, to), id: flowID(protoTCP, local.port, remote.port), log: c.log.begin(by)}
	c.enter()
	return c
}

// enter puts c into its host's table.
func (c *TCPConn) enter() {
	h := c.host
	h.conns[connKey{c.local, c.remote}] = c
	use := h.ports[c.local]
	use.all++
	if c.dialled {
		use.dialled++
	}
	h.ports[c.local] = use
	if !slices.Contains(h.locals, c.local.addr) {
		h.locals = append(h.locals, c.local.addr)
	}
}

// connOutput is a TCPConn as its state machine sees it: where segments go, and where blocks of
// memory come from.
type connOutput TCPConn

// output is c for its state machine. Its methods are no methods of TCPConn, which programs see.
func (c *TCPConn) output() tcp.Output { return (*connOutput)(c) }

// NewSegment implements [tcp.Output].
func (o *connOutput) NewSegment() *tcp.Segment { return o.n.freeSegments.get() }

// NewBlock implements [tcp.Output].
func (o *connOutput) NewBlock(n int) []byte { return o.n.blocks.get(n) }

// RetireBlock implements [tcp.Output].
func (o *connOutput) RetireBlock(b []byte, end uint64) { o.n.blocks.retire(b, (*TCPConn)(o), end) }

// Send implements [tcp.Output].
func (o *connOutput) Send(from *tcp.Conn, s *tcp.Segment) {
	pkt := o.n.newPacket(&o.flow, protoTCP, o.local, o.remote)
	pkt.seg, pkt.size = s, s.Size()
	if b := o.flow.path.pipes()[0].neighbour; b != nil && from.TakeProgress() {
		b.confirm(o.n.clock)
	}
	o.n.dispatch(pkt, o.n.clock)
}

// readByPeer is the sequence number up to which the peer's program has read.
func (c *TCPConn) readByPeer() uint64 {
	if p := c.flow.peer; p != nil && p.flow.peer == c && p.tcp.Answers(c.tcp) {
		return p.tcp.Copied()
	}
	return 0
}

// touch has the engine look at c once everything is quiet.
func (c *TCPConn) touch() { c.touchWithin(0, 0) }

// moved has the engine look at c after data was read or written. All that comes of it
// are segments and timers, which take their time.
func (c *TCPConn) moved() {
	now := c.n.now()
	sure := c.patience(now)
	slack := sure
	if !c.tcp.Pending() {
		slack = c.ackSlack(now)
	}
	c.touchWithin(slack, sure)
}

func (c *TCPConn) touchWithin(slack, sure int64) {
	switch {
	case c.gone || c.n.closed:
	case !c.queued:
		c.queued = true
		c.n.pending.conns = append(c.n.pending.conns, c)
		c.n.ask(slack, sure)
	case c.host.paused == nil: // or it waits until the host goes on
		c.n.sooner(slack, sure)
	}
}

// flush lets the program's calls take effect.
func (c *TCPConn) flush(now int64) {
	c.queued = false
	if c.gone {
		return
	}
	at := tcp.Time(now)
	c.tcp.SetMTU(c.flow.path.mtu(now))
	c.tcp.Push(at)
	if o := c.opts; o != nil {
		for _, f := range o.todo {
			f(now)
		}
		o.todo = nil
	}
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
	c.tcp.SetMTU(c.flow.path.mtu(now))
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

// noticed implements timed. Each timer that is set counts, not only the first: that of a
// retransmission may lie close behind that of an acknowledgement.
func (c *TCPConn) noticed() int64 {
	if c.gone {
		return never
	}
	at := int64(c.tcp.DecisiveTimer())
	if t := int64(c.tcp.SendTimer()); t < at {
		at = min(at, after(t, c.patience(t)))
	}
	if t := int64(c.tcp.AckTimer()); t < at {
		at = min(at, after(t, c.ackSlack(t)))
	}
	return at
}

// slackOf is for how long nobody can notice that segments arrive at an instant: if no call
// waits for what they bring, all that comes of it are segments and timers.
func (c *TCPConn) slackOf(at int64, s *news) int64 {
	if c.gone || c.tcp.State() != tcp.Established || s.flags&(tcp.SYN|tcp.FIN|tcp.RST) != 0 ||
		s.data && c.r.waiting > 0 || c.w.waiting > 0 && c.tcp.MayUnblock(s.ack) {
		return 0
	}
	c.r.unseen, c.w.unseen = c.r.unseen || s.data, true
	// One that is no news for c may be a probe, whose answer is some for a peer that waits to
	// send.
	if p := c.flow.peer; !s.data && c.tcp.Finished(s.ack) && p != nil && p.tcp.Answers(c.tcp) && p.tcp.Idle() {
		return idleSlack
	}
	return c.patience(at)
}

// idleSlack is for how long an acknowledgement is left alone after which neither end of a
// connection has anything to do.
const idleSlack = int64(time.Minute)

// ackSlack is for how long nobody can notice an acknowledgement that c sends at an
// instant: it is on its way, and then there is what comes of it at the peer.
func (c *TCPConn) ackSlack(at int64) int64 {
	way, open := c.flow.path.way()
	if p := c.flow.peer; open && way > 0 && p != nil && p.tcp.Answers(c.tcp) && p.local == c.remote && p.remote == c.local {
		return after(way, p.slackOf(after(at, way), &news{ack: c.tcp.Received(), flags: tcp.ACK}))
	}
	return way
}

// patience is for how long nobody can notice what the protocol does at an instant, if it
// sends segments and sets timers.
func (c *TCPConn) patience(at int64) int64 {
	return min(c.flow.path.slack(), int64(c.tcp.Patience(tcp.Time(at))))
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
	c.tcp.SetMTU(c.flow.path.mtu(now))
	c.tcp.Timeout(tcp.Time(now))
	c.settle()
}

// settle deals with what a call of the state machine brought about.
func (c *TCPConn) settle() {
	if r := c.tcp.Retransmits(); r != c.resent {
		c.host.resent += int(r - c.resent)
		c.resent = r
	}
	ev := c.tcp.Events()
	if ev&tcp.Failed != 0 {
		c.err = uint16(errnoOf(c.tcp.Err()))
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
		c.dial.finish(sysError("connect", syscall.Errno(c.err)))
		c.dial = nil
	}
	switch c.tcp.State() {
	case tcp.CloseWait, tcp.Closing, tcp.LastAck, tcp.TimeWait:
		c.fin = true
	}
	if ev&(tcp.Readable|tcp.Failed|tcp.Closed) != 0 {
		c.r.notify(c.n, c.host)
	}
	if ev&(tcp.Writable|tcp.Failed|tcp.Closed) != 0 || c.awaitFIN && !c.closing() {
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
	h, key := c.host, connKey{c.local, c.remote}
	if h.conns[key] == c {
		delete(h.conns, key)
		h.resent -= int(c.resent)
		use := h.ports[c.local]
		use.all--
		if c.dialled {
			use.dialled--
		}
		if use.all > 0 {
			h.ports[c.local] = use
		} else {
			delete(h.ports, c.local)
		}
	}
	c.gone = true
	if c.listener != nil {
		delete(c.listener.embryos, c)
		c.listener = nil
	}
}

// kill ends c when its process dies, by RST if reset is true.
func (c *TCPConn) kill(reset bool) {
	c.log.changed(c.n.moment())
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

// opError wraps an error of the network, if there is one.
func (c *TCPConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return opError(op, c.network(), c.local.tcp(), c.remote.tcp(), err)
}

// sockError is the connection's error, the first time it is asked for.
func (c *TCPConn) sockError() syscall.Errno {
	if c.reported {
		return 0
	}
	c.reported = c.err != 0
	return syscall.Errno(c.err)
}

// Read implements [net.Conn].
func (c *TCPConn) Read(p []byte) (int, error) {
	var mine ticket
	k, err := await(c.n, func() (k int, err error, wait *waitq) {
		if !c.closed && !c.reads.come(&c.r, &mine) {
			return 0, nil, &c.r
		}
		if k, err, wait = c.readNow(p); wait == nil {
			c.reads.end(c.n, c.host, &c.r)
		}
		return k, err, wait
	})
	writesRange(p[:k])
	return k, c.opError("read", err)
}

// readNow reads what there is.
func (c *TCPConn) readNow(p []byte) (int, error, *waitq) {
	switch {
	case c.host.holds(c.closed):
		return 0, nil, &c.host.resumed
	case c.closed || c.n.closed:
		c.log.own(c.n)
		return 0, net.ErrClosed, nil
	case len(p) == 0:
		return 0, nil, nil
	case c.read.expired():
		c.log.own(c.n)
		return 0, os.ErrDeadlineExceeded, nil
	}
	if k := c.tcp.Take(p); k > 0 {
		c.log.received(c.n, k)
		c.moved() // the window may open
		return k, nil, nil
	}
	// After a FIN nothing is news to a reader (tcp_recvmsg, SOCK_DONE).
	if !c.fin {
		if err := c.sockError(); err != 0 {
			c.log.ended(c.n)
			return 0, sysError("read", err), nil
		}
	}
	if c.tcp.EOF() || c.shut {
		c.log.ended(c.n)
		return 0, io.EOF, nil
	}
	return 0, nil, &c.r
}

// Write implements [net.Conn].
func (c *TCPConn) Write(p []byte) (int, error) {
	readsRange(p)
	done := 0
	var mine ticket
	k, err := await(c.n, func() (k int, err error, wait *waitq) {
		if !c.closed && !c.writes.come(&c.w, &mine) {
			return 0, nil, &c.w
		}
		if k, err, wait = c.writeNow(p, &done); wait == nil {
			c.writes.end(c.n, c.host, &c.w)
		}
		return k, err, wait
	})
	return k, c.opError("write", err)
}

// writeNow writes what there is room for, of what is not done of p.
func (c *TCPConn) writeNow(p []byte, done *int) (int, error, *waitq) {
	switch {
	case c.closed || c.n.closed:
		c.log.own(c.n)
		return *done, net.ErrClosed, nil
	case c.write.expired():
		c.log.own(c.n)
		return *done, os.ErrDeadlineExceeded, nil
	case c.finished || c.err != 0 || !c.tcp.CanWrite():
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
	k := c.tcp.Append(p[*done:])
	*done += k
	if k > 0 {
		c.log.wrote(c.n.moment(), k)
		c.moved()
	}
	if *done == len(p) {
		return *done, nil, nil
	}
	c.n.pending.until = c.n.pending.sure
	c.n.arm(c.n.pending.until)
	return *done, nil, &c.w
}

// ReadFrom implements [io.ReaderFrom], which [io.Copy] uses: it copies from r by 32 KB. As in package
// net, which has the kernel copy between sockets (splice) and from files, the errors of both sides
// have the operation "readfrom" around them.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	k, err := io.Copy(struct{ io.Writer }{c}, r)
	return k, c.opError("readfrom", err)
}

// WriteTo implements [io.WriterTo], which [io.Copy] uses, in the way of [TCPConn.ReadFrom]; the
// operation is "writeto".
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	k, err := io.Copy(w, struct{ io.Reader }{c})
	return k, c.opError("writeto", err)
}

// MultipathTCP says that the connection does not use MPTCP, which is not simulated.
func (c *TCPConn) MultipathTCP() (bool, error) { return false, nil }

// Close implements [net.Conn]. What was written is still sent in the background,
// unless received data is unread or the linger time is 0: then the peer is reset.
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
			c.abort = c.linger == 0
			c.r.release()
			c.w.release()
			c.host.resumed.release() // wakes the calls that a pause holds
			c.touch()
			if c.linger <= 0 {
				return none, nil, nil
			}
			c.write = deadline(c.n.now() + int64(c.linger)*1e9)
			c.awaitFIN = true
		}
		if (c.queued || c.closing()) && !c.n.closed && !c.write.expired() {
			return none, nil, &c.w
		}
		c.awaitFIN = false
		return none, nil, nil
	})
	return c.opError("close", err)
}

// closing says that our FIN is not acknowledged yet (sk_stream_closing).
func (c *TCPConn) closing() bool {
	switch c.tcp.State() {
	case tcp.FinWait1, tcp.Closing, tcp.LastAck:
		return !c.gone
	}
	return false
}

// CloseRead shuts down the reading side: reads return [io.EOF]. The peer is not told.
func (c *TCPConn) CloseRead() error {
	return c.shutdown(func() {
		c.shut = true
		c.later(func(now int64) { c.tcp.CloseRead(tcp.Time(now)) })
		c.r.release()
	})
}

// CloseWrite shuts down the writing side: the peer reads what was written, then
// [io.EOF].
func (c *TCPConn) CloseWrite() error {
	return c.shutdown(func() {
		c.finished = true
		c.w.release()
	})
}

// shutdown runs f, which shuts down one side, unless the connection has ended
// (inet_shutdown).
func (c *TCPConn) shutdown(f func()) error {
	return c.opError("close", get(c.n, func() error {
		if c.closed || c.n.closed {
			return net.ErrClosed
		}
		if s := c.tcp.State(); s == tcp.StateClosed || s == tcp.TimeWait {
			return sysError("shutdown", syscall.ENOTCONN)
		}
		f()
		c.log.changed(c.n.moment())
		c.touch()
		return nil
	}))
}

// LocalAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *TCPConn) LocalAddr() net.Addr { return c.local.tcp() }

// RemoteAddr implements [net.Conn]; it is a [*net.TCPAddr].
func (c *TCPConn) RemoteAddr() net.Addr { return c.remote.tcp() }
