package tcp

// Joined is the state of generic receive offload: the segments joined so far, of those that a host handles together. It keeps the last
// part, and the totals of the others (tcp_gro_receive).
type Joined struct {
	last  Segment
	first int  // bytes of payload of the first segment, and of all others but the last
	size  int  // bytes of the joined IP packet
	open  bool // something may be joined
	more  bool // something is joined
}

// mostJoined is GRO_LEGACY_MAX_SIZE. A joined packet is smaller than this.
const mostJoined = 1 << 16

// Add adds the segment s, which arrived in an IP packet of size bytes. If Joins has just returned true, s becomes a part of the joined
// packet; otherwise s is the first part of a new one.
func (j *Joined) Add(s *Segment, size int) {
	if j.more {
		j.size += len(s.Payload)
	} else {
		j.first, j.size = len(s.Payload), size
	}
	j.last = *s
	j.last.Payload = nil
	j.last.Seq += uint64(len(s.Payload))
	j.open = s.Flags&(SYN|FIN|RST|PSH) == 0 && len(s.Payload) == j.first && j.first > 0
	j.more = false
}

// Joins reports whether t is joined to the segment that was added last.
func (j *Joined) Joins(t *Segment) bool {
	s := &j.last
	j.more = j.open && len(t.Payload) > 0 && len(t.Payload) <= j.first && j.size+len(t.Payload) < mostJoined &&
		t.Seq == s.Seq && t.Ack == s.Ack && (t.Flags^s.Flags)&^(FIN|PSH|CWR) == 0 && t.Flags&CWR == 0 &&
		t.HasTimestamps == s.HasTimestamps && t.TSVal == s.TSVal && t.TSEcr == s.TSEcr &&
		t.SACKLen == s.SACKLen && t.SACK == s.SACK && t.ECT == s.ECT
	return j.more
}
