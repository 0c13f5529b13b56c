package tcp

import (
	"math"
	"time"
)

// bufferTuning measures how fast the program reads (struct rcvq_space) and estimates the
// round-trip time from the receiver's side (struct rcv_rtt_est).
type bufferTuning struct {
	seq, rttSeq uint64
	at          Time
	rttAt       Time   // start of the window that is being timed
	rtt8        Time   // the receiver's estimate of the round-trip time, times 8; 0 before the first sample
	space       uint32 // bytes read in the last round trip
	echo        uint32 // timestamp that was last looked at, in ms
}

// measureEcho estimates the round-trip time from the first segment that echoes a timestamp,
// if that has enough data (tcp_rcv_rtt_measure_ts). An acknowledgement without data uses the
// timestamp up: the answer that follows that of the request is no sample.
func (c *Conn) measureEcho(n int) {
	t := &c.tune
	echo := uint32(c.rcvEcho / time.Millisecond)
	if echo == t.echo {
		return
	}
	t.echo = echo
	if n >= int(c.rcvMSS) && echo != 0 {
		if rtt := stamp(c.now) - c.rcvEcho; rtt > 0 {
			c.estimateRTT(rtt)
		}
	}
}

// measureWindow estimates it from how long a window full of data takes to come
// (tcp_rcv_rtt_measure).
func (c *Conn) measureWindow() {
	t := &c.tune
	if t.rttAt != 0 {
		if c.rcvNxt < t.rttSeq {
			return
		}
		c.estimateRTT(max(c.now-t.rttAt, time.Microsecond))
	}
	t.rttSeq, t.rttAt = c.rcvNxt+uint64(c.rcvWnd), c.now
}

// estimateRTT takes a sample: a shorter one at once, a longer one gradually, and not while data
// is unread, as it always is when a window has just been filled (tcp_rcv_rtt_update).
func (c *Conn) estimateRTT(rtt Time) {
	t := &c.tune
	switch {
	case t.rtt8 == 0 || rtt<<3 < t.rtt8:
		t.rtt8 = rtt << 3
	case c.rcvNxt == c.copied:
		t.rtt8 += rtt - t.rtt8>>3
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

// adjustBuffer grows the receive buffer to the amount that the program reads in two round trips
// (tcp_rcv_space_adjust). Linux looks at that after each segment that is read, so of the segments read at one
// instant only the first counts, up to the sequence number copied. Data left in the queue counts against it,
// except data that a program which takes no time would not have left there.
func (c *Conn) adjustBuffer(copied uint64) {
	t := &c.tune
	if t.rtt8 == 0 || c.now-t.at < t.rtt8>>3 {
		return
	}
	read := int64(copied - t.seq)
	if c.flag&awaited == 0 || c.lastData != c.now {
		read -= int64(c.rcvNxt - copied)
	}
	if read > int64(t.space) {
		c.growBuffer(uint32(min(read, math.MaxUint32)))
	}
	t.seq, t.at = copied, c.now
}

// growBuffer makes room for what comes if the program reads so much in a round trip, and for
// what is out of order (tcp_rcvbuf_grow).
func (c *Conn) growBuffer(space uint32) {
	t := &c.tune
	before := t.space
	t.space = space
	if c.flag&rcvLocked != 0 || c.cfg.NoBufferTuning {
		return
	}
	win := uint64(space) << 1
	win += 2 * (win * uint64(space-before) / uint64(before))
	if o := c.ooo; o != nil && len(o.segs) > 0 {
		win += o.segs[len(o.segs)-1].end() - c.rcvNxt
	}
	buf := min(win*256/uint64(c.scalingRatio), uint64(c.cfg.ReceiveBuffer.Max))
	if int(buf) > int(c.rcvbuf) {
		c.rcvbuf = int32(buf)
		c.wndClamp = uint32(c.winFromSpace(int(buf)))
	}
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
