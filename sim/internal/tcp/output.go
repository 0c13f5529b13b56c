package tcp

import (
	"math"
	"time"
)

// wndEnd returns the first sequence number beyond the peer's window.
func (c *Conn) wndEnd() uint64 { return c.una + uint64(c.wnd) }

// unsent returns the number of bytes that wait to be sent for the first time.
func (c *Conn) unsent() int {
	n := int(c.end - c.nxt)
	if n > 0 && c.flag&finQueued != 0 {
		n--
	}
	return n
}

// currentMSS returns the payload of a full segment at this moment: the SACK option takes some room.
func (c *Conn) currentMSS() int {
	m := int(c.mss)
	if n := c.sackBlocks(); n > 0 {
		m -= sackOptionBase + sackBlockSize*n
	}
	return m
}

// headSize describes the first buffer that was never sent: its payload, whether a FIN follows it, and whether it is the last buffer.
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

// takes reports whether the first segment of a buffer of n bytes, with its FIN if fin, fits the peer's window (tcp_snd_wnd_test).
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

// push sends new data as far as the windows allow. If the window is closed, it starts to probe it.
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

// canSend reports whether the state allows sending data and a FIN.
func (c *Conn) canSend() bool {
	switch c.state {
	case Established, CloseWait, FinWait1, Closing, LastAck:
		return true
	}
	return false
}

// A pushMode limits what writePending may send.
type pushMode uint8

const (
	pushAll   pushMode = iota // what Nagle's algorithm allows
	pushFull                  // also what Nagle's algorithm holds back (TCP_NAGLE_PUSH)
	pushOne                   // the same, but only one buffer (tcp_push_one)
	pushProbe                 // one buffer, even beyond the congestion window
)

// writePending sends buffers that were never sent (tcp_write_xmit), each as far as the windows and the pacing allow. It reports whether it
// sent any.
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

// cwndQuota returns how many segments the congestion window allows now, at most half of the window at a time (tcp_cwnd_test).
func (c *Conn) cwndQuota() int {
	cwnd := int(c.cc.cwnd)
	return max(0, min(max(cwnd/2, 1), cwnd-c.inFlight()))
}

// burst returns how many segments Linux sends as one buffer: the amount that the pacing rate allows in 1 ms, and more on short paths
// (tcp_tso_autosize).
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

// pacingRate returns Linux's pacing rate in bytes per second: 200 % of the window per round trip in slow start, 120 % later
// (tcp_update_pacing_rate). It does not pace anything.
func (c *Conn) pacingRate() uint64 {
	percent := uint64(120)
	if c.cc.cwnd < c.cc.ssthresh/2 {
		percent = 200
	}
	out := max(c.cc.cwnd, uint32(c.tx.packets()))
	return uint64(c.mss) * uint64(out) * percent / 100 * uint64(8*time.Second) / uint64(c.rtt.srtt8)
}

// defers reports whether a buffer of n bytes, larger than a segment, should wait, because an acknowledgement that is about to arrive will
// let more of it be sent at once (tcp_tso_should_defer). It sets limited if the congestion window is the reason.
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

// splitPoint returns how many of the n bytes of the first buffer are sent at once (tcp_mss_split_point). An incomplete segment is sent only
// at the end of the buffer or at the edge of the window.
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

// nagleHolds reports whether a segment waits for the acknowledgement of an earlier small segment, because it is small itself (Minshall's
// form of Nagle's algorithm, tcp_nagle_check).
func (c *Conn) nagleHolds(small bool) bool {
	return small && c.flag&nagle != 0 && !c.tx.empty() &&
		c.snd.smallEnd > c.una && c.snd.smallEnd <= c.nxt
}

// sendNew sends the first n bytes of the first buffer in segments of at most mss. The last segment carries PSH if push is true, and the FIN
// if fin is true. It returns the number of segments.
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

// transmit sends segment i of the queue. The segment carries PSH if it ends a buffer that has to be pushed, or if burst reports that it
// ends a burst of several segments (__tcp_transmit_skb).
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
		// This is an answer within the delay of an acknowledgement, so the program is interactive: the next acknowledgement may wait for
		// its answer.
		if c.now-c.lastData < c.ato {
			c.ack |= pingpong
		}
		c.lastSent = c.now
	}
	c.send(out)
}

// alike reports whether the segments that c sends at once have the same header except for their own sequence numbers and flags: the later
// ones offer the same window as the first, and report no duplicate or gap.
func (c *Conn) alike() bool {
	return c.ooo == nil && c.ack&ackNoMem == 0 && c.rcvScale > 0
}

// transmitBehind is transmit for a segment of new data that follows another segment of its buffer, if they are alike.
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

// newSegment returns a segment with the fields that all segments have in common.
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

// send hands s to the network. A segment with ACK carries the window and satisfies a pending acknowledgement.
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

// synOptions sets the options that only a SYN carries.
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

// acceptableSeq returns the sequence number for a segment without data: one that the peer accepts even if it has shrunk its window.
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

// sendProbeSegment sends a segment without data whose old sequence number makes the peer answer (tcp_xmit_probe_skb).
func (c *Conn) sendProbeSegment(kind Kind) {
	s := c.newSegment(ACK)
	s.Kind = kind
	s.Seq = c.una - 1
	c.send(s)
}

// wakeup sends a piece of new data that fits the window, or a probe (tcp_write_wakeup).
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
