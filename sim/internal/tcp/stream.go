package tcp

import (
	"math"
	"math/bits"
)

// Append copies as much of p as fits into the send buffer. Push sends what the windows allow. Append returns 0 when the buffer is full (see
// Events for Writable), and also when nothing can be sent any more (see CanWrite).
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
		// The kernel checks the limit when it allocates a buffer, and then fills that buffer: the last one may exceed the limit.
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

// Push finishes the work that Append and Take have left. It sends the appended data as if it were written at this moment, one write after
// the other, so that each write ends a segment unless Nagle's algorithm or a window holds it back.
func (c *Conn) Push(now Time) {
	c.now = now
	if n := int(c.taken); n > 0 {
		if c.state != StateClosed {
			c.adjustBuffer(c.copied - uint64(c.taken-c.takenFirst))
			c.ackAfterRead(n)
		}
		c.taken, c.takenFirst = 0, 0
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

// enqueue queues n bytes of one write and sends what it may, buffer by buffer (tcp_sendmsg_locked). A full buffer is sent at once if it is
// the only one. If half of the largest window was written since the last push, all buffers are sent.
func (c *Conn) enqueue(n int) {
	b := c.snd
	goal := c.sizeGoal()
	open := c.synchronized()
	if !open {
		goal = math.MaxInt // the kernel has not yet divided data written this early into buffers
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

// sizeGoal returns the size of the kernel's buffers in the send queue: full segments up to 64 KiB or half the peer's window
// (tcp_xmit_size_goal).
func (c *Conn) sizeGoal() int {
	m := max(c.currentMSS(), 1)
	goal := min(maxBurst, int(c.maxWnd)/2)
	return max(goal/m, 1) * m
}

// keepWrites is the number of writes at one instant for which a connection keeps room, until trim.
const keepWrites = 64

// sendSpace returns how many more bytes the send buffer takes.
func (c *Conn) sendSpace() int { return int(c.sndbuf) - int(c.end-c.una) - c.appended() }

// appended returns the number of bytes that were written and not yet pushed.
func (c *Conn) appended() int {
	if c.snd == nil {
		return 0
	}
	return int(c.snd.appended)
}

// Writable reports whether a blocked writer would be woken. Linux wakes it when a third of the send buffer is free
// (sk_stream_is_writeable).
func (c *Conn) Writable() bool { return 2*c.sendSpace() >= int(c.end-c.una) && c.sendSpace() > 0 }

// MayUnblock reports whether acknowledgements up to ack could wake a blocked writer.
func (c *Conn) MayUnblock(ack uint64) bool {
	// The largest window by then: a reduction ends or is undone, and the window grows by the segments that are acknowledged, and by one
	// increase that is already due.
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

// Pending reports whether Append has added data that Push has not sent yet.
func (c *Conn) Pending() bool { return c.appended() > 0 }

// Finished reports whether everything is sent and acknowledged after acknowledgements up to ack.
func (c *Conn) Finished(ack uint64) bool { return ack == c.end && c.appended() == 0 }

// Idle reports whether everything that was written has been sent and acknowledged.
func (c *Conn) Idle() bool { return c.Finished(c.una) }

// Received returns the sequence number up to which data has arrived.
func (c *Conn) Received() uint64 { return c.rcvNxt }

// Acknowledged returns the sequence number up to which the peer has acknowledged our data.
func (c *Conn) Acknowledged() uint64 { return c.una }

// CanWrite returns false once the program has shut down writing, or the connection is dead. A write then fails with EPIPE, unless Err holds
// an error that was not reported yet.
func (c *Conn) CanWrite() bool {
	return c.state != StateClosed && c.state != TimeWait && c.flag&finQueued == 0
}

// initSend sets the send buffer to twice the initial window (tcp_sndbuf_expand). If there was no sample of the round-trip time, it applies
// the fallback of RFC 6298 section 5.7.
func (c *Conn) initSend() {
	c.expandSendBuffer()
	if c.rtt.srtt8 == 0 {
		c.rtt.rto = 3 * c.cfg.RTOInitial
		c.rtt.mdev, c.rtt.mdevMax, c.rtt.rttvar = c.rtt.rto, c.rtt.rto, c.rtt.rto
	}
}

func (c *Conn) expandSendBuffer() { c.sndbuf = int32(c.sendBufferFor(int(c.cc.cwnd))) }

// sendBufferFor returns the size of the send buffer that suits a congestion window, unless the program has set the size.
func (c *Conn) sendBufferFor(cwnd int) int {
	if c.flag&sndLocked != 0 {
		return int(c.sndbuf)
	}
	per := 1<<bits.Len(uint(max(c.mssClamp, c.mss))+512-1) + skbSize
	n := max(10, cwnd, int(c.rec.reordering)+1)
	return max(int(c.sndbuf), min(2*n*per, c.cfg.SendBuffer.Max))
}

// checkSpace wakes a blocked writer (tcp_check_space). The buffer grows if it limits the connection and the congestion window does not.
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

// Take copies received bytes into p. Push sends a window update if one is due. Take returns 0 if there is no data; EOF and Err say whether
// more can arrive.
func (c *Conn) Take(p []byte) int {
	if c.taken == 0 {
		c.takenFirst = int32(min(len(p), c.rcvq.firstLen()))
	}
	n, freed := c.rcvq.read(p)
	c.copied += uint64(n)
	c.rmem -= freed
	c.taken += int32(n)
	return n
}

// Peek is like Take, but leaves the data in the buffer.
func (c *Conn) Peek(p []byte) int { return c.rcvq.peek(p) }

// Copied returns the sequence number up to which the program has read.
func (c *Conn) Copied() uint64 { return c.copied }

// Readable returns the number of bytes that Take has for the program.
func (c *Conn) Readable() int {
	n := int(c.rcvNxt - c.copied)
	if c.flag&finReceived != 0 {
		n--
	}
	return n
}

// EOF reports whether everything was read and nothing more will arrive: the peer's FIN was reached, reading was shut down, or the
// connection is dead.
func (c *Conn) EOF() bool {
	return c.Readable() == 0 && (c.flag&readShut != 0 || c.state == StateClosed || c.state == TimeWait)
}

// CloseRead is shutdown(SHUT_RD): reads return the data that is there, then EOF. It sends nothing. Data that arrives later is still
// acknowledged and can be read.
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

// Close is close(2) without linger: data that was written is still sent in the background, followed by a FIN. If received bytes are unread,
// Close sends a RST instead (RFC 2525 section 2.17).
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

// Abort is close(2) with a linger of zero: it sends a RST and drops everything.
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

// SetReadBuffer fixes the size of the receive buffer in bytes and so ends its tuning. Like Linux, it sets aside twice the size, because the
// accounting overhead counts.
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
