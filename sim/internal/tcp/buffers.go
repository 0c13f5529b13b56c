package tcp

import "math"

// bufferTuning measures how fast the program reads (struct rcvq_space).
type bufferTuning struct {
	seq, rttSeq uint64
	at          Time
	rttAt       Time   // start of the current round trip; with timestamps, the echo used last
	rtt8        Time   // the receiver's estimate of the round-trip time, times 8
	space       uint32 // bytes read in the last round trip
}

// measureRTT estimates the round-trip time from the receiver's side.
func (c *Conn) measureRTT(n int) {
	t := &c.tune
	switch {
	case c.has&timestampsOK != 0:
		if c.rcvEcho != t.rttAt {
			t.rttAt = c.rcvEcho
			if n >= int(c.rcvMSS) && c.rcvEcho != 0 {
				rtt := c.echoRTT()
				if t.rtt8 == 0 {
					t.rtt8 = rtt << 3
				} else {
					t.rtt8 += rtt - t.rtt8>>3
				}
			}
		}
	case t.rttAt == 0:
		t.rttSeq, t.rttAt = c.rcvNxt+uint64(c.rcvWnd), c.now
	case c.rcvNxt >= t.rttSeq:
		if rtt8 := max(c.now-t.rttAt, 1) << 3; t.rtt8 == 0 || rtt8 < t.rtt8 {
			t.rtt8 = rtt8
		}
		t.rttSeq, t.rttAt = c.rcvNxt+uint64(c.rcvWnd), c.now
	}
}

// growWindow opens the window further for a sender that fills it (tcp_grow_window).
func (c *Conn) growWindow(n int) {
	room := min(int(c.wndClamp), c.winFromSpace(int(c.rcvbuf-c.rmem))) - int(c.rcvSSThresh)
	if room <= 0 {
		return
	}
	incr := 0
	size := c.winFromSpace(int(trueSize(n)))
	if size <= n {
		incr = 2 * int(c.advMSS)
	} else {
		size /= 2
		for w := c.winFromSpace(c.cfg.ReceiveBuffer.Max) / 2; int(c.rcvSSThresh) <= w; w /= 2 {
			if size <= n {
				incr = 2 * int(c.rcvMSS)
				break
			}
			size /= 2
		}
	}
	if incr > 0 {
		c.rcvSSThresh += uint32(min(room, max(incr, 2*n)))
		c.quick |= 1
	}
}

// adjustBuffer grows the receive buffer to the amount that the program reads in two round trips (tcp_rcv_space_adjust).
func (c *Conn) adjustBuffer() {
	t := &c.tune
	if t.rtt8 == 0 || c.now-t.at < t.rtt8>>3 {
		return
	}
	copied := c.copied - t.seq
	if copied > uint64(t.space) {
		if c.flag&rcvLocked == 0 && !c.cfg.NoBufferTuning {
			win := copied << 1
			win += 2 * (win * (copied - uint64(t.space)) / uint64(t.space))
			if o := c.ooo; o != nil && len(o.segs) > 0 {
				win += o.segs[len(o.segs)-1].end() - c.rcvNxt
			}
			buf := min(win*256/uint64(c.scalingRatio), uint64(c.cfg.ReceiveBuffer.Max))
			if int(buf) > int(c.rcvbuf) {
				c.rcvbuf = int32(buf)
				c.wndClamp = uint32(c.winFromSpace(int(buf)))
			}
		}
		t.space = uint32(min(copied, math.MaxUint32))
	}
	t.seq, t.at = c.copied, c.now
}

// makeRoom reports whether the receive buffer can take size more bytes. Like Linux, it accepts one segment too many, then drops
// out-of-order data, and lets the buffer grow to its maximum (tcp_try_rmem_schedule, tcp_prune_queue).
func (c *Conn) makeRoom(size int32) bool {
	if c.rmem <= c.rcvbuf {
		return true
	}
	if c.flag&rcvLocked == 0 && !c.cfg.NoBufferTuning {
		c.quick = 0
		c.rcvbuf = max(c.rcvbuf, min(c.rmem, int32(c.cfg.ReceiveBuffer.Max)))
	}
	if c.rmem > c.rcvbuf {
		c.rcvSSThresh = min(c.wndClamp, 2*uint32(c.advMSS))
	}
	if c.rmem <= c.rcvbuf {
		return true
	}
	if c.ooo != nil && len(c.ooo.segs) > 0 {
		c.dropOutOfOrder()
		return c.rmem <= c.rcvbuf
	}
	return false
}
