package tcp

import (
	"math"
	"time"
)

// wndEnd is the first sequence number that the peer does not take yet.
func (c *Conn) wndEnd() uint64 { return c.una + uint64(c.wnd) }

// unsent is the number of bytes that wait to be sent for the first time.
func (c *Conn) unsent() int {
	n := int(c.end - c.nxt)
	if n > 0 && c.flag&finQueued != 0 {
		n--
	}
	return n
}

// currentMSS is the payload of a full segment now: the SACK option takes some.
func (c *Conn) currentMSS() int {
	m := int(c.mss)
	if n := c.sackBlocks(); n > 0 {
		m -= sackOptionBase + sackBlockSize*n
	}
	return m
}

// headSize is the payload of the first buffer that was never sent, whether a FIN goes
// with it, and whether it is the last one.
func (c *Conn) headSize() (n int, fin, last bool) {
	fin = c.flag&finQueued != 0
	switch b := c.snd; b.enqueued() {
	case 0:
		return 0, fin, true
	case 1:
		return int(b.queue[b.front].end - c.nxt), fin, true
	default:
		return int(b.queue[b.front].end - c.nxt), false, false
	}
}

// takes says that the peer's window takes the first segment of a buffer of n bytes, and
// of a FIN (tcp_snd_wnd_test).
func (c *Conn) takes(n int, fin bool, mss int) bool {
	if n > mss {
		n, fin = mss, false
	}
	end := c.nxt + uint64(n)
	if fin {
		end++
	}
	return end <= c.wndEnd()
}

// push sends new data as far as the windows allow, and starts probing a closed
// window.
func (c *Conn) push() { c.pushPending(pushAll) }

// pushPending is push with a mode (__tcp_push_pending_frames).
func (c *Conn) pushPending(mode pushMode) {
	if c.nxt == c.end || !c.canSend() {
		return
	}
	c.writePending(mode)
	if c.tx.empty() && c.nxt < c.end && c.timer == timerOff {
		c.setTimer(timerWindow, max(c.rtt.rto, c.cfg.RTOMin))
	}
}

// canSend reports a state in which data and a FIN may be sent.
func (c *Conn) canSend() bool {
	switch c.state {
	case Established, CloseWait, FinWait1, Closing, LastAck:
		return true
	}
	return false
}

// A pushMode says what writePending may send.
type pushMode uint8

const (
	pushAll   pushMode = iota // as Nagle's algorithm allows
	pushFull                  // what it holds back too (TCP_NAGLE_PUSH)
	pushOne                   // that, but only one buffer (tcp_push_one)
	pushProbe                 // one buffer, also beyond the congestion window
)

// writePending sends buffers that were never sent (tcp_write_xmit), each as far as the
// windows allow and the pace wants. It reports whether it sent any.
func (c *Conn) writePending(mode pushMode) bool {
	g := &c.cc
	sent, most := uint32(0), 0
	limited := false
	mss := c.currentMSS()
	for c.nxt < c.end {
		quota := c.cwndQuota()
		if quota == 0 {
			if mode != pushProbe {
				break
			}
			quota = 1
		}
		n, fin, last := c.headSize()
		if quota > 1 && (n > mss || !last) {
			if most == 0 {
				most = c.burst(mss)
			}
			quota = min(quota, most)
		}
		if !last && n < quota*mss {
			c.snd.grow(quota*mss - n)
			n, fin, last = c.headSize()
		}
		if !c.takes(n, fin, mss) {
			break
		}
		whole := true
		if n <= mss {
			if mode == pushAll && last && !fin && c.nagleHolds(n < mss) {
				break
			}
		} else if mode < pushOne && c.defers(n, fin, last, most, &limited) {
			break
		} else if limit := c.splitPoint(n, last, mss, quota, mode); n > limit {
			n, fin = limit, false
			whole = false
		}
		kind := Original
		if mode == pushProbe {
			kind = TailLossProbe
		}
		sent += c.sendNew(n, fin, whole && n > 0 && c.snd.queue[c.snd.front].push, mss, kind)
		if mode >= pushOne {
			break
		}
	}
	limited = limited || c.inFlight() >= int(g.cwnd)
	if sent > 0 || limited {
		c.validateCwnd(limited)
	}
	if sent == 0 {
		return false
	}
	if g.reducing() {
		c.episode().prrOut += sent
	}
	if mode != pushProbe {
		c.scheduleProbe(false)
	}
	return true
}

// cwndQuota is how many segments the congestion window takes now, at most half of it at a
// time (tcp_cwnd_test).
func (c *Conn) cwndQuota() int {
	cwnd := int(c.cc.cwnd)
	return max(0, min(max(cwnd/2, 1), cwnd-c.inFlight()))
}

// burst is how many segments Linux sends as one buffer: what the pacing rate lets go in
// 1 ms, on short paths more (tcp_tso_autosize).
func (c *Conn) burst(mss int) int {
	n := maxBurst
	if c.rtt.srtt8 != 0 {
		n = int(min(c.pacingRate()>>pacingShift, maxBurst))
	}
	if r := c.rtt.min() / time.Microsecond >> burstRTTLog; r < 32 {
		n += maxBurst >> r
	}
	return max(min(n, maxBurst)/mss, minBurst)
}

const (
	maxBurst    = 1<<16 - 257 // bytes: sk_gso_max_size, which is GSO_LEGACY_MAX_SIZE without MAX_TCP_HEADER
	minBurst    = 2           // segments: net.ipv4.tcp_min_tso_segs
	pacingShift = 10          // sk_pacing_shift
	burstRTTLog = 9           // net.ipv4.tcp_tso_rtt_log
)

// pacingRate is Linux's, in bytes per second: twice what the window gives in slow start,
// and a fifth more later (tcp_update_pacing_rate). Nothing is paced by it.
func (c *Conn) pacingRate() uint64 {
	percent := uint64(120)
	if c.cc.cwnd < c.cc.ssthresh/2 {
		percent = 200
	}
	out := max(c.cc.cwnd, uint32(c.tx.packets()))
	return uint64(c.mss) * uint64(out) * percent / 100 * uint64(8*time.Second) / uint64(c.rtt.srtt8)
}

// defers says that a buffer of n bytes, more than a segment, had better wait, since an
// acknowledgement that is about to come lets more of it go at once (tcp_tso_should_defer).
// It sets limited if that is because of the congestion window.
func (c *Conn) defers(n int, fin, last bool, most int, limited *bool) bool {
	g := &c.cc
	if g.state >= caRecovery || c.now-c.lastSegment > deferTime || c.tx.empty() {
		return false
	}
	mss := int(c.mss)
	window := int(c.wndEnd() - c.nxt)
	room := (int(g.cwnd) - c.inFlight()) * mss
	limit := min(window, room)
	switch {
	case limit >= most*mss, !last && limit >= n, limit >= min(int(c.wnd), int(g.cwnd)*mss)/deferShare:
		return false
	}
	srtt := c.rtt.srtt8 >> 3
	if c.tx.front().sent+srtt-c.now > min(srtt/2, deferTime) {
		return false
	}
	if room < window && room <= n {
		*limited = true
		return true
	}
	return room >= window && window <= n || !fin
}

const (
	deferTime  = time.Millisecond
	deferShare = 3 // net.ipv4.tcp_tso_win_divisor
)

// splitPoint is how much of the first buffer, of n bytes, goes at once
// (tcp_mss_split_point): what does not fill a segment only at the buffer's end or at the
// edge of the window.
func (c *Conn) splitPoint(n int, last bool, mss, quota int, mode pushMode) int {
	most := quota * mss
	window := int(c.wndEnd() - c.nxt)
	if most <= window && !last {
		return most
	}
	n = min(n, window)
	if most <= n {
		return most
	}
	if part := n % mss; mode == pushAll && c.nagleHolds(part != 0) {
		return n - part
	}
	return n
}

// nagleHolds says that a segment waits for the acknowledgement of an earlier small one if
// it is small itself (Minshall's form of Nagle's algorithm, tcp_nagle_check).
func (c *Conn) nagleHolds(small bool) bool {
	return small && c.flag&nagle != 0 && !c.tx.empty() &&
		c.snd.smallEnd > c.una && c.snd.smallEnd <= c.nxt
}

// sendNew sends the first n bytes of the first buffer, in segments of at most mss, with
// PSH at their end if push, and the FIN behind them if fin. It returns the number of
// segments.
func (c *Conn) sendNew(n int, fin, push bool, mss int, kind Kind) (count uint32) {
	end := c.nxt + uint64(n)
	alike := c.alike()
	for {
		if count > 0 && alike && c.ecn == 0 {
			if run := c.sendRun(end, fin, push, mss, kind); run > 0 {
				count += run
				if c.nxt >= end {
					break
				}
			}
		}
		k := min(int(end-c.nxt), mss)
		wasEmpty := c.tx.empty()
		i, s := c.tx.add()
		s.seq = c.nxt
		if k > 0 {
			s.data = c.snd.cut(k, c.nxt, c.out)
			if count > 0 {
				s.flag |= txJoined
			}
		}
		count++
		last := s.end() == end
		if last {
			if push {
				s.flag |= txPush
			}
			if fin {
				s.flag |= txFIN
			}
		}
		if count > 1 && alike {
			c.transmitBehind(i, kind, last)
		} else {
			if c.inFlight() == 1 && c.cub != nil {
				c.cub.shift(c.now, c.lastSent)
			}
			c.transmit(i, kind, last && count > 1)
		}
		c.nxt = s.end()
		if wasEmpty || c.timer == timerProbe {
			c.rearmRTO()
		}
		if last {
			break
		}
	}
	if n > 0 {
		if n < int(count)*mss {
			c.snd.smallEnd = end
		}
		if c.snd.queue[c.snd.front].end == end {
			c.snd.dequeue()
		}
	}
	return count
}

// transmit puts segment i of the queue on the wire. It carries PSH if it ends a buffer
// that is to be pushed, or, with burst, one of several segments (__tcp_transmit_skb).
func (c *Conn) transmit(i uint32, kind Kind, burst bool) {
	s := c.tx.at(i)
	s.sent, s.order = c.now, c.segsOut+1
	s.delivered = c.rec.delivered
	c.tx.touch(i)
	out := c.newSegment(ACK)
	out.Kind = kind
	out.Seq = s.seq
	out.Payload = s.data
	if (burst || s.flag&txPush != 0) && len(s.data) > 0 {
		out.Flags |= PSH
	}
	if s.flag&txFIN != 0 {
		out.Flags |= FIN
	}
	if s.flag&txSYN != 0 {
		c.synOptions(out)
	} else {
		c.addSacks(out)
		c.sendECN(out)
	}
	if len(s.data) > 0 {
		// An answer within the delay of an acknowledgement: the program is
		// interactive, and the next one may wait for its answer.
		if c.now-c.lastData < c.ato {
			c.ack |= pingpong
		}
		c.lastSent = c.now
	}
	c.send(out)
}

// alike says that of the segments that c sends now at once, those behind the first have a header like its own, but for
// what is theirs: they offer the window that it has offered, and have nothing to report.
func (c *Conn) alike() bool {
	return c.ooo == nil && c.ack&ackNoMem == 0 && c.rcvScale > 0
}

// transmitBehind is transmit for a segment of new data behind another one of its buffer, if they are alike.
func (c *Conn) transmitBehind(i uint32, kind Kind, last bool) {
	s := c.tx.at(i)
	s.sent, s.order = c.now, c.segsOut+1
	s.delivered = c.rec.delivered
	c.tx.linkLast(i, s)
	out := c.newSegment(ACK)
	out.Kind = kind
	out.Seq = s.seq
	out.Payload = s.data
	if last {
		out.Flags |= PSH
		if s.flag&txFIN != 0 {
			out.Flags |= FIN
		}
	}
	c.sendECN(out)
	if c.ecn&ecnDemandCWR != 0 {
		out.Flags |= ECE
	}
	out.Window = c.offered()
	c.segsOut++
	c.out.Send(c, out)
}

// newSegment is a segment with the fields that all have in common.
func (c *Conn) newSegment(f Flags) *Segment {
	s := c.out.NewSegment()
	s.ipHeader = c.cfg.ipHeader
	s.ISS, s.IRS = c.iss, c.irs
	s.Flags = f
	if f&ACK != 0 {
		s.Ack = c.rcvNxt
	}
	if c.has&timestampsOK != 0 {
		s.HasTimestamps = true
		s.TSVal = stamp(c.now)
		s.TSEcr = c.tsRecent
	}
	return s
}

// send hands s to the network. A segment with ACK carries the window and settles
// an acknowledgement that is due.
func (c *Conn) send(s *Segment) {
	if s.Flags&ACK != 0 && s.Flags&(SYN|RST) == 0 {
		s.Window = c.selectWindow()
		c.ackSent()
	}
	if c.ecn&ecnDemandCWR != 0 {
		s.Flags |= ECE
	}
	c.segsOut++
	c.lastSegment = c.now
	c.out.Send(c, s)
}

// sendSYN sends the SYN, or the SYN-ACK, for the first time.
func (c *Conn) sendSYN() {
	i, s := c.tx.add()
	s.flag = txSYN
	c.nxt = 1
	c.rec.retransStamp = stamp(c.now)
	c.transmit(i, Original, false)
	c.setTimer(timerRTO, c.rtt.rto)
}

// synOptions fills in what only a SYN carries.
func (c *Conn) synOptions(s *Segment) {
	s.Flags = SYN
	if c.state == SynReceived {
		s.Flags |= ACK
	} else {
		s.Ack = 0
		s.TSEcr = 0
	}
	c.synECN(s)
	s.MSS = c.advMSS
	s.SACKPermitted = c.has&sackOK != 0
	if c.has&scaleOK != 0 {
		s.HasScale, s.Scale = true, c.rcvScale
	}
	s.Window = min(c.rcvWnd, math.MaxUint16)
}

// sendAck sends an acknowledgement without data.
func (c *Conn) sendAck() {
	if c.state == StateClosed {
		return
	}
	s := c.newSegment(ACK)
	s.Seq = c.acceptableSeq()
	c.addSacks(s)
	c.send(s)
}

// acceptableSeq is the sequence number of a segment without data: one that the
// peer accepts even if it has shrunk its window.
func (c *Conn) acceptableSeq() uint64 {
	if c.nxt <= c.wndEnd() || c.nxt-c.wndEnd() < 1<<c.sndScale {
		return c.nxt
	}
	return c.wndEnd()
}

// sendReset sends a RST for an open connection (tcp_send_active_reset).
func (c *Conn) sendReset() {
	s := c.newSegment(RST | ACK)
	s.Seq = c.acceptableSeq()
	c.addSacks(s)
	s.Window = c.selectWindow()
	c.send(s)
}

// sendProbeSegment sends a segment without data that the peer has to answer,
// because its sequence number is old (tcp_xmit_probe_skb).
func (c *Conn) sendProbeSegment(kind Kind) {
	s := c.newSegment(ACK)
	s.Kind = kind
	s.Seq = c.una - 1
	c.send(s)
}

// wakeup sends a piece of new data that the window takes, or a probe
// (tcp_write_wakeup).
func (c *Conn) wakeup(kind Kind) {
	if c.nxt < c.end && c.nxt < c.wndEnd() {
		n, fin, _ := c.headSize()
		if b := c.snd; n > 0 {
			head := &b.queue[b.front]
			head.push = true
			b.pushed = max(b.pushed, head.end)
		}
		mss := c.currentMSS()
		room := min(int(c.wndEnd()-c.nxt), mss)
		if n > room {
			n, fin = room, false
		} else if n == room {
			fin = false
		}
		c.sendNew(n, fin, true, mss, kind)
		return
	}
	c.sendProbeSegment(kind)
}
