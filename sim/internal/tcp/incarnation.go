package tcp

import "time"

// twoJiffies is the shortest timeout there is: TCP_TIMEOUT_MIN, at 250 Hz.
const twoJiffies = 8 * time.Millisecond

// Knows says that s is of the connection that c is an end of: another one of the same
// addresses and ports has other initial sequence numbers.
func (c *Conn) Knows(s *Segment) bool {
	return s.ISS == c.irs && (s.IRS == c.iss || s.Flags&ACK == 0)
}

// Sent says that s is from c, and not from an earlier connection in its place.
func (c *Conn) Sent(s *Segment) bool { return s.ISS == c.iss }

// Answers says that p is the other end of c.
func (c *Conn) Answers(p *Conn) bool { return c.Numbers().Answer(p.Numbers()) }

// Numbers are the initial sequence numbers of a connection, by which it is known.
type Numbers struct{ ours, peers uint32 }

// Numbers returns those of c.
func (c *Conn) Numbers() Numbers { return Numbers{c.iss, c.irs} }

// Answer says that the connections with these numbers are the two ends of one.
func (n Numbers) Answer(other Numbers) bool { return n.ours == other.peers && n.peers == other.ours }

// translate returns a segment of another connection with the numbers that it has for c,
// for which they are 32 bits wide. Those below our initial ones are negative, in two's
// complement.
func (c *Conn) translate(s *Segment) *Segment {
	t := *s
	if s.ISS != c.irs {
		t.Seq = near(c.rcvNxt, s.ISS+uint32(s.Seq)-c.irs)
	}
	if s.Flags&ACK != 0 && s.IRS != c.iss {
		t.Ack = near(c.nxt, s.IRS+uint32(s.Ack)-c.iss)
		for i := range t.SACKLen {
			b := &t.SACK[i]
			b.Start, b.End = b.Start+t.Ack-s.Ack, b.End+t.Ack-s.Ack
		}
	}
	return &t
}

// near is the number that is n modulo 2^32 and closest to at.
func near(at uint64, n uint32) uint64 { return at + uint64(int64(int32(n-uint32(at)))) }

// restore undoes translate, but for the numbers' upper halves and the selective
// acknowledgements.
func (c *Conn) restore(s *Segment) *Segment {
	t := *s
	t.Seq = uint64(uint32(s.Seq) + c.irs - s.ISS)
	t.Ack = uint64(uint32(s.Ack) + c.iss - s.IRS)
	return &t
}

// echoesNoSYN says that s echoes a timestamp that no SYN of ours had (RFC 7323 section 5,
// tcp_rcv_synsent_state_process).
func (c *Conn) echoesNoSYN(s *Segment) bool {
	return s.HasTimestamps && s.TSEcr != 0 && c.has&timestampsOK != 0 &&
		(s.TSEcr < c.rec.retransStamp || s.TSEcr > stamp(c.now))
}

// Reopens says whether the SYN s may open a new connection in the place of c, which is in
// TIME_WAIT: if it is newer than all that c has seen, by its sequence number or its
// timestamp (RFC 6191, tcp_timewait_state_process). iss is the initial sequence number
// that the new one should have.
func (c *Conn) Reopens(s *Segment) (iss uint32, ok bool) {
	if c.state != TimeWait || s.Flags&(SYN|ACK|RST) != SYN {
		return 0, false
	}
	newer := int64(near(c.rcvNxt, s.ISS+uint32(s.Seq)-c.irs)) > int64(c.rcvNxt)
	if s.HasTimestamps && c.has&timestampsOK != 0 {
		newer = s.TSVal > c.tsRecent || s.TSVal == c.tsRecent && newer
	}
	return c.iss + uint32(c.nxt) + 65535 + 2, newer
}
