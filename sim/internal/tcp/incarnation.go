package tcp

import "time"

// twoJiffies is the shortest possible timeout: TCP_TIMEOUT_MIN, at 250 Hz.
const twoJiffies = 8 * time.Millisecond

// Knows reports whether s belongs to c's connection. Another connection with the same addresses and ports has other initial sequence
// numbers.
func (c *Conn) Knows(s *Segment) bool {
	return s.ISS == c.irs && (s.IRS == c.iss || s.Flags&ACK == 0)
}

// Sent reports whether s is from c, and not from an earlier connection with the same addresses and ports.
func (c *Conn) Sent(s *Segment) bool { return s.ISS == c.iss }

// Answers reports whether p is the other end of c.
func (c *Conn) Answers(p *Conn) bool { return c.Numbers().Answer(p.Numbers()) }

// Numbers are the initial sequence numbers of a connection. They identify it.
type Numbers struct{ ours, peers uint32 }

// Numbers returns the initial sequence numbers of c.
func (c *Conn) Numbers() Numbers { return Numbers{c.iss, c.irs} }

// Answer reports whether the connections with these numbers are the two ends of the same connection.
func (n Numbers) Answer(other Numbers) bool { return n.ours == other.peers && n.peers == other.ours }

// translate returns a segment of another connection with the sequence numbers that c sees in it. On the wire they have 32 bits. Numbers
// below c's initial ones are negative, in two's complement.
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

// near returns the number that equals n modulo 2^32 and is closest to at.
func near(at uint64, n uint32) uint64 { return at + uint64(int64(int32(n-uint32(at)))) }

// restore undoes translate, except for the upper halves of the numbers and the selective acknowledgements.
func (c *Conn) restore(s *Segment) *Segment {
	t := *s
	t.Seq = uint64(uint32(s.Seq) + c.irs - s.ISS)
	t.Ack = uint64(uint32(s.Ack) + c.iss - s.IRS)
	return &t
}

// echoesNoSYN reports whether s echoes a timestamp that none of our SYNs had (RFC 7323 section 5, tcp_rcv_synsent_state_process).
func (c *Conn) echoesNoSYN(s *Segment) bool {
	return s.HasTimestamps && s.TSEcr != 0 && c.has&timestampsOK != 0 &&
		(s.TSEcr < c.rec.retransStamp || s.TSEcr > stamp(c.now))
}

// Reopens reports whether the SYN s may replace c, which is in TIME_WAIT, by a new connection. It may if it is newer than everything that c
// has seen, by its sequence number or its timestamp (RFC 6191, tcp_timewait_state_process). iss is the initial sequence number for the new
// connection.
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
