package tcp

// A run is a segment that represents several. The others follow the first at once. They differ from it only in their payload and sequence
// number, and the last one also in its flags.

// Run returns how many segments s represents.
func (s *Segment) Run() int {
	if len(s.behind) == 0 {
		return 1
	}
	return 1 + (len(s.behind)+len(s.Payload)-1)/len(s.Payload)
}

// RunLen returns the payload of all segments of the run, in bytes.
func (s *Segment) RunLen() int { return len(s.Payload) + len(s.behind) }

// RunFlags returns the flags that any segment of the run has.
func (s *Segment) RunFlags() Flags { return s.Flags | s.last }

// Advance removes the first segment from the run s. If s has no other segment, it does nothing and returns false.
func (s *Segment) Advance() bool {
	if len(s.behind) == 0 {
		return false
	}
	k := min(len(s.Payload), len(s.behind))
	s.Seq += uint64(len(s.Payload))
	s.Payload, s.behind = s.behind[:k], s.behind[k:]
	if len(s.behind) == 0 {
		s.Flags |= s.last
		s.last, s.behind = 0, nil
	}
	return true
}

// SplitTo moves all segments of the run s but the first to rest. If s has no other segment, it does nothing and returns false.
func (s *Segment) SplitTo(rest *Segment) bool {
	if len(s.behind) == 0 {
		return false
	}
	*rest = *s
	rest.Advance()
	s.last, s.behind = 0, nil
	return true
}

// SendApart sends the segments of a run one by one.
func SendApart(out Output, c *Conn, s *Segment) {
	for s.Run() > 1 {
		rest := out.NewSegment()
		s.SplitTo(rest)
		out.Send(c, s)
		s = rest
	}
	out.Send(c, s)
}

// sendRun sends the next bytes of the first buffer, up to the sequence number end, as a run, if they are alike. They follow a segment of the same
// buffer that has just been sent. The run contains only bytes that lie in one block. sendRun returns the number of segments, which may be 0.
func (c *Conn) sendRun(end uint64, fin, push bool, mss int, kind Kind) (count uint32) {
	data := c.snd.cutWhole(int(end-c.nxt), mss, c.out)
	if data == nil {
		return 0
	}
	out := c.newSegment(ACK)
	out.Kind, out.Seq, out.Window = kind, c.nxt, c.offered()
	out.Payload, out.behind = data[:mss], data[mss:]
	for len(data) > 0 {
		i, s := c.tx.add()
		k := min(mss, len(data))
		s.seq, s.data, s.flag = c.nxt, data[:k], txJoined
		data = data[k:]
		c.nxt += uint64(k)
		c.segsOut++
		s.sent, s.order, s.delivered = c.now, c.segsOut, c.rec.delivered
		count++
		if c.nxt == end {
			out.last = PSH
			if push {
				s.flag |= txPush
			}
			if fin {
				s.flag |= txFIN
				out.last |= FIN
				c.nxt++
			}
		}
		c.tx.linkLast(i, s)
	}
	c.out.SendRun(c, out)
	return count
}

// cutWhole is cut for up to n bytes that lie in one block. It cuts whole segments of mss, except at the end of the n bytes. It returns nil if
// only one segment would result.
func (b *sendBuffer) cutWhole(n, mss int, out Output) []byte {
	there := len(b.tail)
	if len(b.full) > 0 {
		there = len(b.full[0])
	}
	if there < n {
		n = there / mss * mss
	}
	if n <= mss {
		return nil
	}
	return b.cut(n, 0, out)
}
