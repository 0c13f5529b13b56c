package sim

import (
	"strings"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A tracked is a connection that a middlebox knows. Packets from the side that opened it arrive with the
// tuple ask and go on with the reverse of the tuple answer. Packets from the other side arrive with answer
// and go on with the reverse of ask.
type tracked struct {
	ask, answer tuple
	there, back *flow  // flows of packets that are rewritten; nil if none is
	gone        func() // called when the connection is forgotten, or nil
	timer       *timer
	state       trackedState
	sides       [2]trackedSide // the side that opened it, and the other side
	last        lastSegment
	strange     strangeSYN
	begins      bool  // the next segment is the first
	fromBoth    bool  // both sides have sent SYN
	answered    bool  // the other side sent something before the last packet
	assured     bool  // and more after that
	since       int64 // of UDP: when the first answer came
}

// A trackedState is how far a connection has got. The names are Linux's (enum tcp_conntrack).
type trackedState uint8

const (
	trackSynSent trackedState = iota
	trackSynSent2
	trackSynRecv
	trackEstablished
	trackFinWait
	trackCloseWait
	trackLastAck
	trackTimeWait
	trackClose
	trackUDP       // unanswered
	trackUDPStream // answered, for more than 2 s
)

// A trackedSide is what a box knows about one side of a TCP connection (ip_ct_tcp_state). Numbers are those
// on the wire.
type trackedSide struct {
	end     uint32 // number after the last byte that it has sent
	most    uint32 // number after the last byte that the other side's window lets it send
	window  uint32 // largest that it has announced; 0: nothing is known
	ack     uint32 // highest number that it has acknowledged
	acked   bool   // whether it has acknowledged any
	owed    bool   // the other side has not acknowledged everything
	closed  bool   // it was the first to send FIN
	liberal bool   // its windows are not checked, since the box missed the beginning
	sacks   bool   // it accepts selective acknowledgements
	heard   heard
}

// A heard is the last acknowledgement of one side, and the initial sequence numbers from which it counts.
type heard struct {
	ack      uint64
	iss, irs uint32
	ok       bool
}

// A segmentKind is Linux's classification of a segment (get_conntrack_index).
type segmentKind uint8

const (
	kindSYN segmentKind = iota
	kindSYNACK
	kindFIN
	kindACK
	kindRST
	kindNone
)

// A lastSegment is what the box remembers of earlier segments: the last of all; the numbers of the last one
// that only acknowledged or had data; and how often that one has come again.
type lastSegment struct {
	kind                  segmentKind
	opener                bool
	seq, end, ack, window uint32
	before                uint32
}

// A strangeSYN is a SYN that did not fit a connection, and was let through since the box may be wrong. There
// is none if the last segment was another one.
type strangeSYN struct {
	side     trackedSide
	mayClose bool // it came while the last FIN waited for its acknowledgement: the answer may only look like that one
}

// A verdict is a box's judgement of a segment.
type verdict uint8

const (
	counts  verdict = iota // it belongs to the connection, whose timeout starts anew
	passes                 // it may belong to it: it is let through, and changes nothing
	invalid                // it does not belong to it
)

// ended reports whether the connection is over, so that only the box's memory of it is left.
func (c *tracked) ended() bool { return c.state == trackTimeWait || c.state == trackClose }

// linuxTransitions are the states after a segment of the side that opened a connection, and of the other
// side, by the segment's kind and by the state before (tcp_conntracks).
var linuxTransitions = func() (all [2][kindNone][trackClose + 1]trackedState) {
	const letters = "s2rewclto" // in the order of the states; i: let through, x: invalid
	for side, kinds := range [2][kindNone]string{
		{kindSYN: "s2iiiiiss", kindSYNACK: "xrrxxxxxx", kindFIN: "xxwwlllto", kindACK: "xxeecctto", kindRST: "ooooooooo"},
		{kindSYN: "22xxxxxsx", kindSYNACK: "rriiiiiii", kindFIN: "xxwwlllto", kindACK: "iirecctto", kindRST: "ooooooooo"},
	} {
		for kind, row := range kinds {
			for from, letter := range row {
				to := trackedState(strings.IndexRune(letters, letter))
				switch letter {
				case 'i':
					to = trackPasses
				case 'x':
					to = trackInvalid
				}
				all[side][kind][from] = to
			}
		}
	}
	return all
}()

// Entries of linuxTransitions that are not states.
const (
	trackPasses trackedState = 0xfe - iota
	trackInvalid
)

// kindOf classifies a segment. Segments with other flags are of no kind (tcp_valid_flags).
func kindOf(f tcp.Flags) segmentKind {
	switch f & (tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK) {
	case tcp.SYN:
		return kindSYN
	case tcp.SYN | tcp.ACK:
		return kindSYNACK
	case tcp.FIN | tcp.ACK:
		return kindFIN
	case tcp.ACK:
		return kindACK
	case tcp.RST, tcp.RST | tcp.ACK:
		return kindRST
	}
	return kindNone
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

// newTracked returns a connection that begins with a TCP segment or a datagram (tcp_new).
func newTracked(ask, answer tuple, s *tcp.Segment) *tracked {
	c := &tracked{ask: ask, answer: answer}
	if s == nil {
		c.state = trackUDP
	} else {
		c.begin(s)
	}
	return c
}

// begin starts a connection with a segment of the side that opens it.
func (c *tracked) begin(s *tcp.Segment) {
	me, peer := &c.sides[0], &c.sides[1]
	*me, *peer, c.last, c.strange = trackedSide{}, trackedSide{}, lastSegment{}, strangeSYN{}
	c.begins, c.fromBoth, c.answered, c.assured = true, false, false, false
	if opens(s) {
		me.start(s)
		c.state = trackSynSent
		return
	}
	_, me.end, _ = numbers(s)
	me.window = max(s.Window, 1)
	me.most = me.end + me.window
	me.liberal, me.sacks, peer.liberal, peer.sacks = true, true, true, true
	c.state = trackEstablished // adopted
}

// start starts a side with a segment with SYN (tcp_init_sender).
func (e *trackedSide) start(s *tcp.Segment) {
	_, end, _ := numbers(s)
	*e = trackedSide{end: end, most: end, window: max(s.Window, 1), sacks: s.SACKPermitted, liberal: e.liberal, heard: e.heard}
}

// vain reports whether nothing but RST ever came back.
func (c *tracked) vain() bool { return c.state == trackClose && !c.answered }

// heed follows a TCP connection (nf_conntrack_tcp_packet). again says that the timeout starts anew, and for
// an invalid segment that the connection is doubtful.
func (c *tracked) heed(s *tcp.Segment, opener, liberal bool) (v verdict, again bool) {
	kind, side := kindOf(s.Flags), 1
	if opener {
		side = 0
	}
	if kind == kindNone {
		return invalid, false
	}
	me, peer := &c.sides[side], &c.sides[1-side]
	next := linuxTransitions[side][kind][c.state]
	unchecked := false
	switch {
	case next == trackInvalid:
		return invalid, false
	case next == trackSynSent && c.ended() && c.mayReopen(opener): // the same addresses again
		c.begin(s)
	case next == trackPasses, next == trackSynSent && c.ended():
		if _, _, ack := numbers(s); kind != kindSYNACK || c.last.kind != kindSYN || c.last.opener == opener || ack != c.last.end {
			c.letThrough(s, kind, opener)
			return passes, false
		}
		// It answers a SYN that did not fit: the box was wrong, and there is a new connection.
		*peer, *me = c.strange.side, trackedSide{}
		c.state, next = trackSynSent, trackSynRecv
	case next == trackTimeWait && c.state == trackLastAck && kind == kindACK && c.strange.mayClose && c.last.kind == kindSYN && c.last.opener != opener:
		c.strange.mayClose = false
		return passes, false
	case next == trackSynSent2:
		c.fromBoth = true
	case next == trackSynRecv && kind == kindACK && c.fromBoth:
		next = trackEstablished
	case kind == kindRST:
		if next, unchecked, v = c.reset(s, peer, opener); v == invalid {
			return invalid, false
		}
	}
	if !unchecked {
		switch v = c.inWindow(s, kind, me, peer, opener, liberal); v {
		case passes:
			return v, false
		case invalid:
			return v, c.outOfWindow(kind, opener)
		}
	}
	me.closed = me.closed || next == trackFinWait && c.state != trackFinWait
	again = c.begins || kind != kindSYN || c.answered || c.state > trackSynSent2 || next != trackSynSent && next != trackSynSent2
	c.assured = c.assured || c.answered && next == trackEstablished && (c.state == trackSynRecv || c.state == trackEstablished)
	c.last.kind, c.last.opener, c.state, c.begins = kind, opener, next, false
	if s.Flags&tcp.ACK != 0 {
		me.heard = heard{s.Ack, s.ISS, s.IRS, true}
	}
	return counts, again
}

// mayReopen reports whether a SYN reopens at once a connection that has ended: if the connection was closed,
// or if the SYN's sender has just reset it. If the other side has reset it, the SYN does not reopen it.
func (c *tracked) mayReopen(opener bool) bool {
	return c.sides[0].closed || c.sides[1].closed || c.last.kind == kindRST && c.last.opener == opener
}

// letThrough records a segment that does not fit, but may be right where the box is wrong.
func (c *tracked) letThrough(s *tcp.Segment, kind segmentKind, opener bool) {
	seq, end, ack := numbers(s)
	c.last.kind, c.last.opener, c.last.seq, c.last.end, c.last.window = kind, opener, seq, end, s.Window
	switch {
	case kind == kindSYN && opener:
		c.strange = strangeSYN{mayClose: c.state == trackLastAck}
		c.strange.side.start(s)
	case kind == kindACK && c.state == trackSynSent: // it may report that the other side has an older connection
		c.last.ack = ack
	}
}

// reset returns the state after a RST. Until somebody has sent FIN, and unless the RST may be the answer to a
// SYN, a RST whose number may be wrong leaves an open connection as it is, since the other side asks whether
// it is meant (RFC 5961, section 3.2). A RST whose number is too old is invalid. unchecked says that the RST
// may acknowledge what the box did not record.
func (c *tracked) reset(s *tcp.Segment, peer *trackedSide, opener bool) (next trackedState, unchecked bool, v verdict) {
	seq, _, ack := numbers(s)
	open := c.state == trackEstablished && c.assured
	next = trackClose
	switch known := peer.acked && c.last.kind != kindSYN; {
	case c.state >= trackFinWait, c.state == trackSynSent && c.last.kind == kindACK && c.last.opener != opener && seq == c.last.ack: // or an older connection's
		return trackClose, true, counts
	case known && seq == 0 && !open:
		return trackClose, false, counts
	case known && beyond(peer.ack, seq):
		return c.state, false, invalid
	case known && (!open || seq == peer.ack || c.last.kind == kindACK && c.last.opener == opener && seq == c.last.end):
		return trackClose, false, counts
	case known:
		next = c.state
	}
	unchecked = (c.answered && c.last.kind == kindSYN || !c.assured && c.last.kind == kindACK) && c.last.opener != opener && ack == c.last.end
	return next, unchecked, counts
}

// leastAckWindow is the least distance by which an acknowledgement can be behind (MAXACKWINCONST).
const leastAckWindow = 66000

// inWindow compares the numbers of a segment with what both sides have sent and allowed, and records them
// (tcp_in_window).
func (c *tracked) inWindow(s *tcp.Segment, kind segmentKind, me, peer *trackedSide, opener, liberal bool) verdict {
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
	case me.window == 0 && syn, syn && beyond(end, me.end) && (c.state == trackSynSent || c.state == trackSynRecv):
		me.start(s)
		if kind == kindSYN && !opener { // from both sides at once
			return counts
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
	if kind == kindRST && seq == 0 && c.state == trackSynSent { // it answers the SYN
		seq, end = me.end, me.end
	}
	if v := me.judge(peer, seq, end, sack); v != counts {
		if liberal || me.liberal {
			return counts
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
	return counts
}

// judge judges the numbers of a segment for a box that has followed both sides.
func (e *trackedSide) judge(peer *trackedSide, seq, end, ack uint32) verdict {
	late := peer.window != 0 && !beyond(end, e.end-peer.window-1) // retransmitted, long after it was acknowledged
	lateAck := !beyond(ack, peer.end-max(e.window, leastAckWindow)-1)
	unseen := beyond(ack, peer.end) // it acknowledges what the box has not seen
	switch {
	case beyond(seq, e.most) && peer.window != 0 && !late && !lateAck && !unseen && end-e.most+1 <= peer.window: // a little too much
		e.end, e.owed = end, true
		return passes
	case beyond(seq, e.most), unseen:
		return invalid
	case late, lateAck:
		return passes
	}
	return counts
}

// outOfWindow records an invalid segment, and reports whether the connection is doubtful now: both sides end
// it with numbers that the box does not understand (nf_tcp_handle_invalid).
func (c *tracked) outOfWindow(kind segmentKind, opener bool) (doubtful bool) {
	switch {
	case !c.assured || kind != kindFIN && kind != kindRST:
		return false
	case c.last.opener != opener && (c.last.kind == kindFIN || c.last.kind == kindRST):
		return true
	}
	c.last.kind, c.last.opener = kind, opener
	return false
}
