package conntrack

import "github.com/squall-sim/squall/sim/internal/tcp"

// A sideState is what a box knows about one side of a TCP connection (ip_ct_tcp_state). Numbers are those
// on the wire.
type sideState struct {
	end     uint32 // number after the last byte that it has sent
	most    uint32 // number after the last byte that the other side's window lets it send
	window  uint32 // largest that it has announced; 0: nothing is known
	ack     uint32 // highest number that it has acknowledged
	acked   bool   // whether it has acknowledged any
	owed    bool   // the other side has not acknowledged everything
	closed  bool   // it was the first to send FIN
	liberal bool   // its windows are not checked, since the box missed the beginning
	sacks   bool   // it accepts selective acknowledgements
	spoke   bool   // heard is set; other than acked, it stays when another SYN starts the side anew
	heard   Heard  // what it last acknowledged
}

// start starts a side with a segment with SYN (tcp_init_sender).
func (e *sideState) start(s *tcp.Segment) {
	_, end, _ := numbers(s)
	*e = sideState{end: end, most: end, window: max(s.Window, 1), sacks: s.SACKPermitted, liberal: e.liberal, spoke: e.spoke, heard: e.heard}
}

// numbers are a segment's numbers on the wire: the first, the one after the last, and the one that it
// acknowledges.
func numbers(s *tcp.Segment) (seq, end, ack uint32) {
	seq = s.ISS + uint32(s.Seq)
	if s.Flags&tcp.ACK != 0 {
		ack = s.IRS + uint32(s.Ack)
	}
	return seq, seq + uint32(s.Len()), ack
}

// beyond reports whether a number is after another one by TCP's comparison, which wraps around.
func beyond(a, b uint32) bool { return int32(a-b) > 0 }

// leastAckWindow is the least distance by which an acknowledgement can be behind (MAXACKWINCONST).
const leastAckWindow = 66000

// inWindow compares the numbers of a segment with what both sides have sent and allowed, and records them
// (tcp_in_window).
func (c *Conn) inWindow(s *tcp.Segment, kind segmentKind, me, peer *sideState, opener, liberal bool) Verdict {
	seq, end, ack := numbers(s)
	sack := ack
	if peer.sacks {
		for _, b := range s.SACK[:s.SACKLen] {
			if to := s.IRS + uint32(b.End); beyond(to, sack) {
				sack = to
			}
		}
	}
	syn := s.Flags&tcp.SYN != 0
	switch {
	case me.window == 0 && syn, syn && beyond(end, me.end) && (c.state == SynSent || c.state == SynRecv):
		me.start(s)
		if kind == kindSYN && !opener { // from both sides at once
			return Counts
		}
	case me.window == 0: // the box has not seen how it began
		me.end, me.window = end, max(s.Window, 1)
		me.most = end + me.window
		switch {
		case peer.window == 0:
			peer.end, peer.most = sack, sack
		case sack == peer.end+1: // of a keep-alive probe
			peer.end++
		}
	}
	if s.Flags&tcp.ACK == 0 || kind == kindRST && ack == 0 {
		ack, sack = peer.end, peer.end
	}
	if kind == kindRST && seq == 0 && c.state == SynSent { // it answers the SYN
		seq, end = me.end, me.end
	}
	if v := me.judge(peer, seq, end, sack); v != Counts {
		if liberal || me.liberal {
			return Counts
		}
		return v
	}

	me.window = max(me.window, s.Window+sack-ack)
	if beyond(end, me.end) {
		me.end, me.owed = end, true
	}
	if s.Flags&tcp.ACK != 0 && (!me.acked || beyond(ack, me.ack)) {
		me.ack, me.acked = ack, true
	}
	if peer.window != 0 && beyond(end, me.most) {
		peer.window += end - me.most
	}
	if most := sack + s.Window; beyond(most, peer.most-1) {
		peer.most = most
		if s.Window == 0 { // for a probe
			peer.most++
		}
	}
	peer.owed = peer.owed && ack != peer.end
	if kind == kindACK {
		r := lastSegment{c.last.kind, opener, seq, end, ack, s.Window, c.last.before}
		if c.last == r {
			r.before++
		} else {
			r.before = 0
		}
		c.last = r
	}
	return Counts
}

// judge judges the numbers of a segment for a box that has followed both sides.
func (e *sideState) judge(peer *sideState, seq, end, ack uint32) Verdict {
	late := peer.window != 0 && !beyond(end, e.end-peer.window-1) // retransmitted, long after it was acknowledged
	lateAck := !beyond(ack, peer.end-max(e.window, leastAckWindow)-1)
	unseen := beyond(ack, peer.end) // it acknowledges what the box has not seen
	switch {
	case beyond(seq, e.most) && peer.window != 0 && !late && !lateAck && !unseen && end-e.most+1 <= peer.window: // a little too much
		e.end, e.owed = end, true
		return Passes
	case beyond(seq, e.most), unseen:
		return Invalid
	case late, lateAck:
		return Passes
	}
	return Counts
}

// outOfWindow records an invalid segment, and reports whether the connection is doubtful now: both sides end
// it with numbers that the box does not understand (nf_tcp_handle_invalid).
func (c *Conn) outOfWindow(kind segmentKind, opener bool) (doubtful bool) {
	switch {
	case !c.assured || kind != kindFIN && kind != kindRST:
		return false
	case c.last.opener != opener && (c.last.kind == kindFIN || c.last.kind == kindRST):
		return true
	}
	c.last.kind, c.last.opener = kind, opener
	return false
}
