package sim

import "syscall"

import "time"

import "github.com/squall-sim/squall/sim/internal/tcp"

// connOutput is a TCPConn in the role of its state machine's output: it takes segments, and provides blocks
// of memory.
type connOutput TCPConn

// output returns c for its state machine. The methods are not on TCPConn, where programs would see them.
func (c *TCPConn) output() tcp.Output { return (*connOutput)(c) }

// NewSegment implements [tcp.Output].
func (o *connOutput) NewSegment() *tcp.Segment { return o.n.pool.segments.get() }

// NewBlock implements [tcp.Output].
func (o *connOutput) NewBlock(n int) []byte {
	if n <= smallPayload {
		return o.n.pool.payload(n)
	}
	if o.n.log.film != nil { // it shows the payload of packets that arrive late, too
		return make([]byte, n)
	}
	return o.n.pool.blocks.get(n)
}

// RetireBlock implements [tcp.Output].
func (o *connOutput) RetireBlock(b []byte, end uint64) { o.n.pool.blocks.retire(b, (*TCPConn)(o), end) }

// Send implements [tcp.Output].
func (o *connOutput) Send(from *tcp.Conn, s *tcp.Segment) {
	n := o.n
	pkt := n.pool.packet(&o.flow, protoTCP, o.ends.local, o.ends.remote)
	pkt.seg, pkt.size = s, s.Size()
	if (o.opts == nil || o.opts.crossing == nil) && n.straightOn(pkt) {
		return
	}
	if b := o.flow.path.pipes()[0].neighbourOf(o.flow.path.six); b != nil && from.TakeProgress() {
		b.confirm(n.clock.at)
	}
	if o.opts != nil && o.opts.crossing != nil {
		o.opts.crossing.met(n.clock.at, pkt)
	}
	n.dispatch(pkt, n.clock.at)
}

// SendRun implements [tcp.Output].
func (o *connOutput) SendRun(from *tcp.Conn, s *tcp.Segment) {
	if (o.opts == nil || o.opts.crossing == nil) && o.n.runsStraightOn(o, s) {
		return
	}
	tcp.SendApart(o, from, s)
}

// spent returns the sequence number up to which nothing looks at the bytes that c sent: the peer's program has
// read them, and they are acknowledged, so c does not send them again.
func (c *TCPConn) spent() uint64 {
	if p := c.flow.peer; p != nil && p.flow.peer == c && p.answers(c) {
		return min(p.tcp().Copied(), c.tcp().Acknowledged())
	}
	return 0
}

// submit leaves c for the next step, with what the program asked of it. h is how long the program cannot
// observe the effect.
func (c *TCPConn) submit(h horizon) { c.submitAt(c.n.now(), h) }

// submitData is submit after the program has read or written data.
func (c *TCPConn) submitData() {
	now := c.n.now()
	c.submitAt(now, c.dataHorizon(now))
}

func (c *TCPConn) submitAt(now int64, h horizon) {
	n := c.n
	switch p := &n.calls.pending; {
	case c.gone || n.closed:
	case !c.queued:
		p.begin(now)
		c.queued = true
		p.conns = append(p.conns, c)
		n.stepWithin(h, now)
	case c.host.pause.faults == nil: // or it waits until the host goes on
		n.stepWithin(h, now)
	}
}

// dataHorizon is the horizon of reading or writing data. The only effects are segments and timers.
func (c *TCPConn) dataHorizon(now int64) horizon {
	h := c.sendLookahead(now)
	if c.tcp().Pending() {
		return horizon{h, h}
	}
	return horizon{c.ackLookahead(now), h}
}

// flush makes the program's calls take effect.
func (c *TCPConn) flush(now int64) {
	c.queued, c.machine.idle = false, false
	if c.gone {
		return
	}
	at := tcp.Time(now)
	c.tcp().SetMTU(c.flow.path.mtu(now))
	c.tcp().Push(at)
	if o := c.opts; o != nil {
		for _, f := range o.todo {
			f(now)
		}
		o.todo = nil
	}
	if c.asked.closeWrite {
		c.tcp().CloseWrite(at)
	}
	switch {
	case c.asked.abort:
		c.tcp().Abort(at)
	case c.closed:
		c.tcp().Close(at)
	}
	c.settle()
}

// input takes a segment and ends its packet. more says that another part of the segment follows. settle must
// handle the outcome before anything but the connection's next segment.
func (c *TCPConn) input(now int64, pkt *packet, more bool) {
	c.log.hears(pkt.flow.log)
	c.tcp().SetMTU(c.flow.path.mtu(now))
	c.tcp().InputPart(tcp.Time(now), pkt.seg, more)
	c.n.pool.free(pkt)
	c.filmed()
}

// plan implements timed.
func (c *TCPConn) plan(class uint64) *plan {
	if class == classDeadline {
		return &c.plans.deadline
	}
	return &c.plans.timer
}

// next implements timed.
func (c *TCPConn) next(class uint64) int64 {
	switch {
	case c.gone:
		return never
	case class == classDeadline:
		return min(c.in.deadline.next(), c.out.deadline.next())
	default:
		if p := c.machine.parked; p != nil {
			return int64(p.NextTimer())
		}
		return int64(c.machine.awake.NextTimer())
	}
}

// observable implements timed. Each timer that is set counts, not only the first: a retransmission timer can
// expire shortly after an acknowledgement timer.
func (c *TCPConn) observable() int64 {
	if c.gone {
		return never
	}
	if p := c.machine.parked; p != nil {
		return int64(p.NextTimer())
	}
	at := int64(c.tcp().EndTimer())
	if t := int64(c.tcp().SendTimer()); t < at {
		at = min(at, after(t, c.sendLookahead(t)))
	}
	if t := int64(c.tcp().AckTimer()); t < at {
		at = min(at, after(t, c.ackLookahead(t)))
	}
	return at
}

// arrivalLookahead returns how long the program cannot observe that segments arrive at an instant. If no call
// waits for what they carry, their only effects are segments and timers.
func (c *TCPConn) arrivalLookahead(at int64, s *news) int64 {
	if c.gone || c.tcp().State() != tcp.Established || s.flags&(tcp.SYN|tcp.FIN|tcp.RST) != 0 ||
		s.data && c.in.q.waiting > 0 || c.out.q.waiting > 0 && c.tcp().MayUnblock(s.ack) {
		return 0
	}
	c.in.q.deferred, c.out.q.deferred = c.in.q.deferred || s.data, true
	// An acknowledgement that tells c nothing new may be a probe, whose answer matters to a peer that
	// waits to send.
	if p := c.flow.peer; !s.data && c.tcp().Finished(s.ack) && p != nil && p.answers(c) && p.tcp().Idle() {
		return idleLookahead
	}
	return c.sendLookahead(at)
}

// idleLookahead is how long an acknowledgement is deferred if neither end of the connection has anything to
// do after it.
const idleLookahead = int64(time.Minute)

// ackLookahead returns how long the program cannot observe an acknowledgement that c sends at an instant: the
// time in flight, and then that of its effects at the peer.
func (c *TCPConn) ackLookahead(at int64) int64 {
	delay, open := c.flow.path.leastDelay()
	if p := c.flow.peer; open && delay > 0 && p != nil && p.host.card == nil && p.answers(c) && p.ends.local == c.ends.remote && p.ends.remote == c.ends.local {
		return after(delay, p.arrivalLookahead(after(at, delay), &news{ack: c.tcp().Received(), flags: tcp.ACK}))
	}
	return delay
}

// sendLookahead returns how long the program cannot observe what the protocol does at an instant, if it sends
// segments and sets timers.
func (c *TCPConn) sendLookahead(at int64) int64 {
	return min(c.flow.path.lookahead(), int64(c.tcp().Lookahead(tcp.Time(at))))
}

// due implements timed.
func (c *TCPConn) due(now int64, class uint64) {
	if class == classDeadline {
		if c.in.deadline.expire(now) {
			c.in.q.notify(c.n, c.host)
		}
		if c.out.deadline.expire(now) {
			c.out.q.notify(c.n, c.host)
		}
		c.n.queue.schedule(c, classDeadline, c.id)
		return
	}
	_, _, idle := c.keepsAlive() // so that is what it is due for
	c.tcp().SetMTU(c.flow.path.mtu(now))
	c.tcp().Timeout(tcp.Time(now))
	c.settle()
	if idle {
		c.rest()
	}
}

// settle handles the effects of a call of the state machine.
func (c *TCPConn) settle() {
	if r := c.tcp().Retransmits(); r != c.resent {
		c.host.resent += int(r - c.resent)
		c.resent = r
	}
	c.filmed()
	ev := c.tcp().Events()
	if ev&tcp.Failed != 0 {
		c.sockErr.errno = uint16(errnoOf(c.tcp().Err()))
	}
	if ev&tcp.Connected != 0 {
		c.rest()
		switch {
		case c.opening.dial != nil:
			c.opening.dial.finish(nil)
			c.opening.dial = nil
		case c.opening.listener != nil:
			c.opening.listener.established(c)
		}
	}
	if ev&tcp.Failed != 0 && c.opening.dial != nil {
		c.opening.dial.finish(sysError("connect", syscall.Errno(c.sockErr.errno)))
		c.opening.dial = nil
	}
	switch c.tcp().State() {
	case tcp.CloseWait, tcp.Closing, tcp.LastAck, tcp.TimeWait:
		c.fin = true
	}
	if ev&(tcp.Readable|tcp.Failed|tcp.Closed) != 0 {
		c.in.q.notify(c.n, c.host)
	}
	if ev&(tcp.Writable|tcp.Failed|tcp.Closed) != 0 || c.asked.awaitFIN && !c.closing() {
		c.out.q.notify(c.n, c.host)
	}
	if ev&tcp.Closed != 0 {
		c.forget()
		return
	}
	c.n.queue.schedule(c, classTimer, c.id)
	if c.machine.idle {
		c.n.idlers.add(c)
	}
}

// forget removes c from its host's table.
func (c *TCPConn) forget() {
	if c.host.table.conns.remove(c) {
		c.host.resent -= int(c.resent)
	}
	c.gone = true
	if c.opening.listener != nil {
		delete(c.opening.listener.embryos, c)
		c.opening.listener = nil
	}
	c.filmed()
}

// filmed records the state of c in the film, if there is one.
func (c *TCPConn) filmed() {
	if c.n.log.film != nil {
		c.n.log.film.conn(c)
	}
}

// kill ends c when its process dies, with RST if reset is true.
func (c *TCPConn) kill(reset bool) {
	c.log.changed(c.n.moment())
	c.closed, c.asked.abort = true, true
	c.in.q.notify(c.n, c.host)
	c.out.q.notify(c.n, c.host)
	if reset {
		c.submit(horizon{})
	} else {
		c.gone = true
		c.filmed()
	}
}

// end ends c with the network.
func (c *TCPConn) end() {
	c.closed = true
	c.in.q.release()
	c.out.q.release()
}
