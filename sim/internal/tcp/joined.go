package tcp

// Joined is what generic receive offload has joined so far of the segments that a host handles together: its
// last part, and what counts of the others (tcp_gro_receive).
type Joined struct {
	last  Segment
	first int  // bytes of payload of the first segment, which the others share but for the last
	size  int  // bytes of the IP packet that they would make
	open  bool // something may be joined
	more  bool // and is
}

// mostJoined is GRO_LEGACY_MAX_SIZE: a joined packet is smaller.
const mostJoined = 1 << 16

// Add takes s as the next segment, of an IP packet of size bytes: a part of what is joined already if Joins has said so,
// or the first of something new.
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

// Joins says whether t is joined to what was added last.
func (j *Joined) Joins(t *Segment) bool {
	s := &j.last
	j.more = j.open && len(t.Payload) > 0 && len(t.Payload) <= j.first && j.size+len(t.Payload) < mostJoined &&
		t.Seq == s.Seq && t.Ack == s.Ack && (t.Flags^s.Flags)&^(FIN|PSH|CWR) == 0 && t.Flags&CWR == 0 &&
		t.HasTimestamps == s.HasTimestamps && t.TSVal == s.TSVal && t.TSEcr == s.TSEcr &&
		t.SACKLen == s.SACKLen && t.SACK == s.SACK && t.ECT == s.ECT
	return j.more
}
