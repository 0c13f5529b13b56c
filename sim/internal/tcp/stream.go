package tcp

import (
	"math"
	"math/bits"
)

// Append copies as much of p into the send buffer as it takes; Push sends what the windows allow.
// It returns 0 when the buffer is full (see Events for Writable), and also when nothing can be
// sent any more (see CanWrite).
func (c *Conn) Append(p []byte) int {
	if !c.CanWrite() || len(p) == 0 {
		return 0
	}
	free := c.sendSpace()
	if free <= 0 {
		c.flag |= blocked
		return 0
	}
	if c.snd == nil {
		c.snd = &sendBuffer{pushed: c.end}
	}
	if free < len(p) {
		// The kernel looks at the limit when it allocates a buffer, and then fills
		// it: the last one may exceed the limit.
		goal := c.sizeGoal()
		if free = (free + goal - 1) / goal * goal; free < len(p) {
			p = p[:free]
			c.flag |= blocked
		}
	}
	c.snd.append(p, max(int(c.mss), 1), c.end+uint64(c.snd.appended), c.out)
	c.snd.appended += int32(len(p))
	c.snd.writes = append(c.snd.writes, int32(len(p)))
	return len(p)
}

// Push does what Append and Take have left to do. What was appended is sent as if
// written now, one write after the other, so that each ends a segment unless
// Nagle's algorithm or a window holds it back.
func (c *Conn) Push(now Time) {
	c.now = now
	if n := int(c.taken); n > 0 {
		c.taken = 0
		if c.state != StateClosed {
			c.adjustBuffer()
			c.ackAfterRead(n)
		}
	}
	b := c.snd
	if b == nil || b.appended == 0 || !c.CanWrite() {
		return
	}
	writes := b.writes
	b.writes, b.appended = nil, 0
	for _, n := range writes {
		if c.nxt == c.end && c.synchronized() {
			c.restartAfterIdle()
		}
		c.enqueue(int(n))
	}
	if cap(writes) <= keepWrites {
		b.writes = writes[:0]
	}
}

// enqueue queues n bytes of one write and sends what it may, buffer by buffer
// (tcp_sendmsg_locked): a buffer that is full goes at once if it is the first, or if half
// of the largest window was written since the last push, and then all do.
func (c *Conn) enqueue(n int) {
	b := c.snd
	goal := c.sizeGoal()
	open := c.synchronized()
	if !open {
		goal = math.MaxInt // of what is written so early the kernel has no buffers yet
	}
	for {
		size := b.lastSize(c.nxt, c.end)
		fresh := size == 0 || size >= goal
		if fresh {
			size = 0
		}
		k := min(n, goal-size)
		c.end += uint64(k)
		b.enqueue(c.end, fresh)
		if n -= k; n == 0 {
			break
		}
		if c.end > b.pushed+uint64(c.maxWnd/2) {
			b.push(c.end)
			if open {
				c.pushPending(pushFull)
			}
		} else if open && b.enqueued() == 1 {
			c.writePending(pushOne)
		}
	}
	b.push(c.end)
	if open {
		c.push()
	}
}

// sizeGoal is the size of the kernel's buffers in the send queue: up to 64 KiB of
// full segments, or half the peer's window (tcp_xmit_size_goal).
func (c *Conn) sizeGoal() int {
	m := max(c.currentMSS(), 1)
	goal := min(maxBurst, int(c.maxWnd)/2)
	return max(goal/m, 1) * m
}

// keepWrites is how many writes of one instant a connection keeps room for, until trim.
const keepWrites = 64

// sendSpace is how much more the send buffer takes.
func (c *Conn) sendSpace() int { return int(c.sndbuf) - int(c.end-c.una) - c.appended() }

// appended is what was written and not yet pushed, in bytes.
func (c *Conn) appended() int {
	if c.snd == nil {
		return 0
	}
	return int(c.snd.appended)
}

// Writable reports whether a writer that was blocked would be woken: Linux
// wakes it when a third of the send buffer is free (sk_stream_is_writeable).
func (c *Conn) Writable() bool { return 2*c.sendSpace() >= int(c.end-c.una) && c.sendSpace() > 0 }

// MayUnblock says whether a writer that is blocked could be woken by acknowledgements up
// to ack.
func (c *Conn) MayUnblock(ack uint64) bool {
	// What the window may be then: a reduction ends or is undone, and it grows by what is
	// acknowledged, and by one that is due already.
	cwnd := int(c.cc.cwnd)
	if c.cc.ssthresh < infinite {
		cwnd = max(cwnd, int(c.cc.ssthresh))
	}
	if c.ep != nil {
		cwnd = max(cwnd, int(c.ep.priorCwnd))
	}
	cwnd += c.tx.packets() + 1
	left := int(c.end - max(ack, c.una))
	space := c.sendBufferFor(cwnd) - left - c.appended()
	return 2*space >= left && space > 0
}

// Pending says that something was appended which Push has yet to send.
func (c *Conn) Pending() bool { return c.appended() > 0 }

// Finished says whether after acknowledgements up to ack everything is sent and
// acknowledged.
func (c *Conn) Finished(ack uint64) bool { return ack == c.end && c.appended() == 0 }

// Idle says that all that was written has been sent and acknowledged.
func (c *Conn) Idle() bool { return c.Finished(c.una) }

// Received is the sequence number up to which data has come.
func (c *Conn) Received() uint64 { return c.rcvNxt }

// Acknowledged is the sequence number up to which the peer has acknowledged what was sent.
func (c *Conn) Acknowledged() uint64 { return c.una }

// CanWrite is false once the program has shut down writing, or the connection is
// dead: a write fails with EPIPE then, unless Err holds an error not reported yet.
func (c *Conn) CanWrite() bool {
	return c.state != StateClosed && c.state != TimeWait && c.flag&finQueued == 0
}

// initSend sets the send buffer to twice the initial window (tcp_sndbuf_expand),
// and the fallback of RFC 6298 section 5.7 if there was no sample of the
// round-trip time.
func (c *Conn) initSend() {
	c.expandSendBuffer()
	if c.rtt.srtt8 == 0 {
		c.rtt.rto = 3 * c.cfg.RTOInitial
		c.rtt.mdev, c.rtt.mdevMax, c.rtt.rttvar = c.rtt.rto, c.rtt.rto, c.rtt.rto
	}
}

func (c *Conn) expandSendBuffer() { c.sndbuf = int32(c.sendBufferFor(int(c.cc.cwnd))) }

// sendBufferFor is the send buffer that suits a congestion window, if it was not set by
// the program.
func (c *Conn) sendBufferFor(cwnd int) int {
	if c.flag&sndLocked != 0 {
		return int(c.sndbuf)
	}
	per := 1<<bits.Len(uint(max(c.mssClamp, c.mss))+512-1) + skbSize
	n := max(10, cwnd, int(c.rec.reordering)+1)
	return max(int(c.sndbuf), min(2*n*per, c.cfg.SendBuffer.Max))
}

// checkSpace wakes a blocked writer (tcp_check_space). The buffer grows if it,
// not the congestion window, is what limits the connection.
func (c *Conn) checkSpace() {
	if c.flag&blocked == 0 {
		return
	}
	if c.inFlight() < int(c.cc.cwnd) {
		c.expandSendBuffer()
		c.cc.stamp = c.now
	}
	if c.Writable() {
		c.flag &^= blocked
		c.events |= Writable
	}
}

// Take copies received bytes into p; Push sends a window update if there is one due. Zero means
// that nothing is there; EOF and Err say whether anything will come.
func (c *Conn) Take(p []byte) int {
	n, freed := c.rcvq.read(p)
	c.copied += uint64(n)
	c.rmem -= freed
	c.taken += int32(n)
	return n
}

// Peek is Take without taking.
func (c *Conn) Peek(p []byte) int { return c.rcvq.peek(p) }

// Copied is the sequence number up to which the program has read.
func (c *Conn) Copied() uint64 { return c.copied }

// Readable is the number of bytes that Take has for the program.
func (c *Conn) Readable() int {
	n := int(c.rcvNxt - c.copied)
	if c.flag&finReceived != 0 {
		n--
	}
	return n
}

// EOF reports that nothing will come any more and everything was read: the peer's
// FIN was reached, reading was shut down, or the connection is dead.
func (c *Conn) EOF() bool {
	return c.Readable() == 0 && (c.flag&readShut != 0 || c.state == StateClosed || c.state == TimeWait)
}

// CloseRead is shutdown(SHUT_RD): reads return what is there, then EOF. Nothing
// is sent; data that arrives later is still acknowledged and can be read.
func (c *Conn) CloseRead(now Time) {
	c.now = now
	c.flag |= readShut
	c.events |= Readable
}

// CloseWrite is shutdown(SHUT_WR): a FIN follows the data in the send buffer.
func (c *Conn) CloseWrite(now Time) {
	c.Push(now)
	switch c.state {
	case SynSent:
		return
	case SynReceived:
		if c.flag&finQueued == 0 {
			c.queueFIN()
		}
		return
	case Established:
		c.state = FinWait1
	case CloseWait:
		c.state = LastAck
	default:
		return
	}
	c.queueFIN()
	c.push()
}

func (c *Conn) queueFIN() {
	c.flag |= finQueued
	c.end++
}

// Close is close(2) without linger: what was written is still sent, in the
// background, then a FIN. If received bytes are unread a RST is sent instead
// (RFC 2525 section 2.17).
func (c *Conn) Close(now Time) {
	c.now = now
	if c.flag&orphan != 0 {
		return
	}
	c.flag |= orphan
	switch c.state {
	case StateClosed:
		return
	case SynSent:
		c.die(OK)
		return
	case SynReceived:
		if c.flag&passive != 0 {
			c.die(OK)
			return
		}
	case TimeWait:
		c.dropReceived()
		return
	}
	if c.Readable() > 0 {
		c.reset()
		return
	}
	c.flag |= readShut
	c.CloseWrite(now)
	if c.state == FinWait2 {
		c.waitForFIN()
	}
}

// Abort is close(2) with a linger of zero: a RST, and everything is forgotten.
func (c *Conn) Abort(now Time) {
	c.now = now
	c.flag |= orphan
	switch c.state {
	case StateClosed:
	case SynSent, TimeWait:
		c.die(OK)
	default:
		c.reset()
	}
}

func (c *Conn) reset() {
	c.sendReset()
	c.die(OK)
}

// SetReadBuffer fixes the size of the receive buffer in bytes, which ends its
// tuning. As in Linux twice the size is set aside, since the bookkeeping counts.
func (c *Conn) SetReadBuffer(bytes int) {
	c.flag |= rcvLocked
	c.rcvbuf = int32(min(max(2*bytes, minReceiveBuffer), 1<<30))
}

// SetWriteBuffer fixes the size of the send buffer in the same way.
func (c *Conn) SetWriteBuffer(bytes int) {
	c.flag |= sndLocked
	c.sndbuf = int32(min(max(2*bytes, minSendBuffer), 1<<30))
}

const (
	minReceiveBuffer = 2304 // SOCK_MIN_RCVBUF
	minSendBuffer    = 4608 // SOCK_MIN_SNDBUF
)
