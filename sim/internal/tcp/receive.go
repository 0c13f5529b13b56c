package tcp

import (
	"math"
	"time"
)

const (
	maxQuickAcks        = 16                     // TCP_MAX_QUICKACKS
	defaultScalingRatio = 128                    // TCP_DEFAULT_SCALING_RATIO: half of the buffer is offered as window
	compressAfter       = 3                      // duplicate acknowledgements are sent without delay
	compressMax         = 44                     // net.ipv4.tcp_comp_sack_nr
	compressDelay       = 1 * time.Millisecond   // net.ipv4.tcp_comp_sack_delay_ns
	compressRTT         = 5                      // percent of the round-trip time (__tcp_ack_snd_check)
	blocksExpected      = 2                      // TCP_SACK_BLOCKS_EXPECTED
	delayedAckCap       = 500 * time.Millisecond // HZ/2
	outOfWindowPause    = 500 * time.Millisecond // net.ipv4.tcp_invalid_ratelimit
	pawsWindow          = 1 * time.Millisecond   // TCP_PAWS_WINDOW
)

// winFromSpace returns the window that a buffer of n bytes can hold.
func (c *Conn) winFromSpace(n int) int { return n * int(c.scalingRatio) / 256 }

// initialWindow computes the first window to offer, and the scale that the largest buffer needs (tcp_select_initial_window).
func (c *Conn) initialWindow() {
	mss := int(c.advMSS)
	if c.has&timestampsOK != 0 && c.flag&passive != 0 {
		mss -= timestampOption
	}
	space := c.winFromSpace(int(c.rcvbuf))
	if space > mss {
		space -= space % mss
	}
	c.rcvWnd = uint32(min(space, math.MaxUint16))
	c.rcvScale = 0
	if c.has&scaleOK != 0 {
		largest := max(space, c.cfg.ReceiveBuffer.Max)
		for n := largest; n > math.MaxUint16 && c.rcvScale < maxScale; n >>= 1 {
			c.rcvScale++
		}
	}
	c.wndClamp = uint32(min(uint64(math.MaxUint32), math.MaxUint16<<c.rcvScale))
	c.rcvSSThresh = c.rcvWnd
}

// initReceive sets up the receive side of an established connection
// (tcp_init_buffer_space, tcp_initialize_rcv_mss).
func (c *Conn) initReceive() {
	if c.has&timestampsOK != 0 {
		c.advMSS -= timestampOption
	}
	adv := uint32(c.advMSS)
	full := uint32(max(c.winFromSpace(int(c.rcvbuf)), 0))
	if c.wndClamp >= full {
		c.wndClamp = full
	}
	if c.wndClamp > 2*adv && c.wndClamp+adv > full {
		c.wndClamp = max(2*adv, full-min(adv, full))
	}
	c.rcvSSThresh = min(c.rcvSSThresh, c.wndClamp)
	c.tune.at = c.now
	c.tune.seq = c.copied
	c.tune.space = min(c.rcvSSThresh, c.rcvWnd, 10*adv)
	c.rcvMSS = uint16(max(min(uint32(c.advMSS), uint32(c.mss), c.rcvWnd/2, defaultMSS), minMSS))
}

// receiveWindow returns how many bytes of the offered window the peer may still send.
func (c *Conn) receiveWindow() uint32 {
	if end := c.rcvWup + uint64(c.rcvWnd); end > c.rcvNxt {
		return uint32(end - c.rcvNxt)
	}
	return 0
}

// freeWindow returns the window that c could offer (__tcp_select_window).
func (c *Conn) freeWindow() uint32 {
	mss := int(c.rcvMSS)
	free := c.winFromSpace(int(c.rcvbuf - c.rmem))
	allowed := c.winFromSpace(int(c.rcvbuf))
	full := min(int(c.wndClamp), allowed)
	if mss > full {
		if mss = full; mss <= 0 {
			return 0
		}
	}
	unit := 1 << c.rcvScale
	if free < full/2 {
		c.quick = 0
		free = max(free, 0) &^ (unit - 1)
		if free < allowed/16 || free < mss {
			return 0
		}
	}
	free = min(free, int(c.rcvSSThresh))
	if c.rcvScale > 0 {
		return uint32((free + unit - 1) &^ (unit - 1))
	}
	w := int(c.rcvWnd)
	if w <= free-mss || w > free {
		w = free - free%mss
	} else if mss == full && free > w+full/2 {
		w = free
	}
	return uint32(w)
}

// selectWindow returns the window to offer in the next segment. It never reduces a window that was offered (tcp_select_window).
func (c *Conn) selectWindow() uint32 {
	if c.ack&ackNoMem != 0 {
		c.rcvWnd, c.rcvWup = 0, c.rcvNxt
		return 0
	}
	now, w := c.receiveWindow(), c.freeWindow()
	unit := uint32(1) << c.rcvScale
	if w < now {
		w = (now + unit - 1) &^ (unit - 1)
	}
	w = min(w, math.MaxUint16<<c.rcvScale)
	c.rcvWnd = w
	c.rcvWup = c.rcvNxt
	c.rcvMax = max(c.rcvMax, c.rcvWup+uint64(w))
	return c.offered()
}

// offered returns the window that the last segment offered, rounded down to the units of the scale.
func (c *Conn) offered() uint32 { return c.rcvWnd &^ (1<<c.rcvScale - 1) }

// receiveData accepts the payload and FIN of an acceptable segment (tcp_data_queue).
func (c *Conn) receiveData(s *Segment) {
	seq, data := s.Seq, s.Payload
	if s.Flags&SYN != 0 {
		seq++
	}
	fin := s.Flags&FIN != 0
	end := seq + uint64(len(data))
	if fin {
		end++
	}
	if end == seq {
		return
	}
	c.acceptCWR(s)
	if c.ooo != nil {
		c.ooo.dsack = Block{} // an acknowledgement reports a duplicate only of the last segment
	}
	// A window that was reduced still counts: the room in the buffer decides.
	full := c.rcvMax <= c.rcvNxt
	switch {
	case end <= c.rcvNxt: // nothing in it is new
		c.reportDuplicate(Block{seq, end})
		c.ackAtOnce()
	case seq == c.rcvNxt && full && len(data) > 0, seq > c.rcvNxt && seq >= c.rcvMax:
		c.ackAtOnce()
	case seq <= c.rcvNxt:
		if skip := c.rcvNxt - seq; skip > 0 {
			c.reportDuplicate(Block{seq, c.rcvNxt})
			data = data[skip:]
			if full {
				c.ackAtOnce()
				return
			}
		}
		c.receiveInOrder(s, data, fin)
	default:
		c.receiveOutOfOrder(s, oooSegment{seq, data, fin})
	}
}

// receiveInOrder accepts the next data of the stream, which is data of s.
func (c *Conn) receiveInOrder(s *Segment, data []byte, fin bool) {
	if c.ooo != nil {
		c.ooo.sent = 0
	}
	if len(data) > 0 {
		size := trueSize(len(data))
		if !c.makeRoom(size) {
			c.ack |= ackNoMem | ackNow | ackScheduled
			c.events |= Readable
			if !c.rcvq.empty() {
				return
			}
		}
		if c.rcvNxt == c.copied {
			c.flag |= awaited
		} else if c.lastData != c.now {
			c.flag &^= awaited
		}
		c.rmem += size
		c.received().add(data)
		c.rcvNxt += uint64(len(data))
		c.dataReceived(s, len(data))
	}
	if fin {
		c.rcvNxt++
		c.receiveFIN()
	}
	if c.ooo != nil {
		c.drainOutOfOrder()
	}
	c.events |= Readable
}

// drainOutOfOrder moves data that is in order by then to the receive queue.
func (c *Conn) drainOutOfOrder() {
	o := c.ooo
	n := 0
	for ; n < len(o.segs) && o.segs[n].seq <= c.rcvNxt && c.flag&finReceived == 0; n++ {
		s := o.segs[n]
		if s.end() <= c.rcvNxt {
			c.rmem -= trueSize(len(s.data))
			c.extendDuplicate(Block{s.seq, s.end()})
			continue
		}
		if skip := c.rcvNxt - s.seq; skip > 0 {
			c.rmem += trueSize(len(s.data)-int(skip)) - trueSize(len(s.data))
			c.extendDuplicate(Block{s.seq, c.rcvNxt})
			s.data = s.data[skip:]
		}
		if len(s.data) > 0 {
			c.received().add(s.data)
			c.rcvNxt += uint64(len(s.data))
		}
		if s.fin {
			c.rcvNxt++
			o.segs = o.segs[n+1:] // the segments after it are useless
			c.receiveFIN()
			break
		}
	}
	if c.ooo == nil { // the FIN dropped it
		c.ack |= ackNow
		return
	}
	if n > 0 {
		c.flag &^= awaited
		k := copy(o.segs, o.segs[n:])
		clear(o.segs[k:])
		o.segs = o.segs[:k]
		if k == 0 {
			c.ack |= ackNow // RFC 5681 section 4.2: the gap is filled
		}
	}
	o.removeBlocks(c.rcvNxt)
	c.freeOutOfOrder()
}

// outOfOrder returns the out-of-order state, which it creates if necessary.
func (c *Conn) outOfOrder() *outOfOrder {
	if c.ooo == nil {
		q := c.received()
		if q.spare == nil {
			q.spare = &outOfOrder{at: Never}
		}
		c.ooo, q.spare = q.spare, nil
	}
	return c.ooo
}

// freeOutOfOrder drops the out-of-order state if it is empty.
func (c *Conn) freeOutOfOrder() {
	if o := c.ooo; o != nil && len(o.segs) == 0 && o.dsack.Start == o.dsack.End {
		c.ooo = nil
		if c.rcvq != nil {
			*o = outOfOrder{segs: o.segs, at: Never}
			c.rcvq.spare = o
		}
	}
}

func (c *Conn) dropOutOfOrder() {
	if c.ooo == nil {
		return
	}
	for _, s := range c.ooo.segs {
		c.rmem -= trueSize(len(s.data))
	}
	c.ooo = nil
}

// receiveOutOfOrder accepts o, a part of s that lies beyond a gap (tcp_data_queue_ofo).
func (c *Conn) receiveOutOfOrder(s *Segment, o oooSegment) {
	c.checkCE(s)
	c.ack |= ackScheduled
	if !c.makeRoom(trueSize(len(o.data))) {
		return
	}
	c.outOfOrder()
	b := Block{o.seq, o.end()}
	n := len(o.data)
	c.measureMSS(s)
	grown, dup := c.ooo.insert(o)
	c.rmem += grown
	if dup.Start < dup.End {
		c.reportDuplicate(dup)
	}
	if c.ooo.held > 0 && c.ooo.place(b) >= blocksExpected {
		// After the new block the delayed acknowledgement might not have room for the blocks that it should report
		// (tcp_sack_compress_send_ack).
		c.sendAck()
	}
	c.ooo.addBlock(b)
	c.growWindow(n)
	if c.flag&orphan == 0 {
		c.growBuffer(c.tune.space)
	}
}

// receiveFIN records the end of the peer's stream (tcp_fin).
func (c *Conn) receiveFIN() {
	c.ack |= ackScheduled
	c.flag |= finReceived | readShut
	switch c.state {
	case Established:
		c.state = CloseWait
		c.ack |= pingpong
	case FinWait1:
		// Simultaneous close.
		c.sendAck()
		c.state = Closing
	case FinWait2:
		c.sendAck()
		c.timeWait()
	}
	c.dropOutOfOrder()
	c.events |= Readable
}

// dataReceived updates the delay of acknowledgements and grows the window after n new bytes of s arrived in order (tcp_event_data_recv).
func (c *Conn) dataReceived(s *Segment, n int) {
	c.ack |= ackScheduled
	c.measureMSS(s)
	c.measureWindow()
	switch {
	case c.flag&laterPart != 0: // a joined segment counts once
	case c.ato == 0:
		c.enterQuickAck(maxQuickAcks)
		c.ato = c.cfg.DelayedAckMin
	default:
		gap := c.now - c.lastData
		switch {
		case gap <= c.cfg.DelayedAckMin/2:
			c.ato = c.ato/2 + c.cfg.DelayedAckMin/2
		case gap < c.ato:
			c.ato = min(c.ato/2+gap, c.rtt.rto)
		case gap > c.rtt.rto:
			c.enterQuickAck(maxQuickAcks) // the peer's window may have restarted
		}
	}
	c.lastData = c.now
	c.checkCE(s)
	if n >= 128 {
		c.growWindow(n)
	}
}

// measureMSS estimates the peer's segment size. It also notes whether the peer waits for the acknowledgement of s, as it does after a small
// segment or one with PSH (tcp_measure_rcv_mss).
func (c *Conn) measureMSS(s *Segment) {
	n := len(s.Payload)
	last := c.lastLen
	c.lastLen = 0
	if n >= int(c.rcvMSS) {
		if n > int(c.rcvMSS) {
			c.learnScalingRatio(n)
		}
		c.rcvMSS = uint16(min(n, int(c.advMSS)))
		if s.Flags&PSH != 0 {
			c.ack |= ackPushed
		}
		return
	}
	// Selective acknowledgements may have taken some of the room. A segment without PSH is full, however small it is.
	size := s.tcpSize()
	if size >= tcpHeader+defaultMSS || size >= tcpHeader+minMSS && s.Flags&(PSH|SYN|FIN) == 0 {
		if c.has&timestampsOK != 0 {
			size -= timestampOption
		}
		size -= tcpHeader
		c.lastLen = uint16(size)
		if int(last) == size {
			c.rcvMSS = uint16(size)
			return
		}
	}
	if c.ack&ackPushed != 0 {
		c.ack |= ackPushed2
	}
	c.ack |= ackPushed
}

// learnScalingRatio measures which share of the buffer holds payload.
func (c *Conn) learnScalingRatio(n int) {
	ratio := max(1, n*256/int(trueSize(n)))
	if uint8(ratio) == c.scalingRatio {
		return
	}
	before := c.winFromSpace(int(c.rcvbuf))
	c.scalingRatio = uint8(ratio)
	if w := c.winFromSpace(int(c.rcvbuf)); w != before {
		c.wndClamp = uint32(w)
	}
}
