package conntrack

import (
	"strings"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

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
	side     sideState
	mayClose bool // it came while the last FIN waited for its acknowledgement: the answer may only look like that one
}

// A Verdict is a box's judgement of a segment.
type Verdict uint8

const (
	Counts  Verdict = iota // it belongs to the connection, whose timeout starts anew
	Passes                 // it may belong to it: it is let through, and changes nothing
	Invalid                // it does not belong to it
)

// linuxTransitions are the states after a segment of the side that opened a connection, and of the other
// side, by the segment's kind and by the state before (tcp_conntracks).
var linuxTransitions = func() (all [2][kindNone][Close + 1]State) {
	const letters = "s2rewclto" // in the order of the states; i: let through, x: invalid
	for side, kinds := range [2][kindNone]string{
		{kindSYN: "s2iiiiiss", kindSYNACK: "xrrxxxxxx", kindFIN: "xxwwlllto", kindACK: "xxeecctto", kindRST: "ooooooooo"},
		{kindSYN: "22xxxxxsx", kindSYNACK: "rriiiiiii", kindFIN: "xxwwlllto", kindACK: "iirecctto", kindRST: "ooooooooo"},
	} {
		for kind, row := range kinds {
			for from, letter := range row {
				to := State(strings.IndexRune(letters, letter))
				switch letter {
				case 'i':
					to = staysPasses
				case 'x':
					to = staysInvalid
				}
				all[side][kind][from] = to
			}
		}
	}
	return all
}()

// Entries of linuxTransitions for segments that leave the state as it is.
const (
	staysPasses State = 0xfe - iota
	staysInvalid
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

// heed follows a TCP connection (nf_conntrack_tcp_packet). again says that the timeout starts anew, and for
// an invalid segment that the connection is doubtful.
func (c *Conn) heed(s *tcp.Segment, opener, liberal bool) (v Verdict, again bool) {
	kind, side := kindOf(s.Flags), sideOf(opener)
	if kind == kindNone {
		return Invalid, false
	}
	me, peer := &c.sides[side], &c.sides[1-side]
	next := linuxTransitions[side][kind][c.state]
	unchecked := false
	switch {
	case next == staysInvalid:
		return Invalid, false
	case next == SynSent && c.Ended() && c.mayReopen(opener): // the same addresses again
		c.begin(s)
	case next == staysPasses, next == SynSent && c.Ended():
		if _, _, ack := numbers(s); kind != kindSYNACK || c.last.kind != kindSYN || c.last.opener == opener || ack != c.last.end {
			c.letThrough(s, kind, opener)
			return Passes, false
		}
		// It answers a SYN that did not fit: the box was wrong, and there is a new connection.
		*peer, *me = c.strange.side, sideState{}
		c.state, next = SynSent, SynRecv
	case next == TimeWait && c.state == LastAck && kind == kindACK && c.strange.mayClose && c.last.kind == kindSYN && c.last.opener != opener:
		c.strange.mayClose = false
		return Passes, false
	case next == SynSent2:
		c.fromBoth = true
	case next == SynRecv && kind == kindACK && c.fromBoth:
		next = Established
	case kind == kindRST:
		if next, unchecked, v = c.reset(s, peer, opener); v == Invalid {
			return Invalid, false
		}
	}
	if !unchecked {
		switch v = c.inWindow(s, kind, me, peer, opener, liberal); v {
		case Passes:
			return v, false
		case Invalid:
			return v, c.outOfWindow(kind, opener)
		}
	}
	me.closed = me.closed || next == FinWait && c.state != FinWait
	again = c.begins || kind != kindSYN || c.answered || c.state > SynSent2 || next != SynSent && next != SynSent2
	c.assured = c.assured || c.answered && next == Established && (c.state == SynRecv || c.state == Established)
	c.last.kind, c.last.opener, c.state, c.begins = kind, opener, next, false
	if s.Flags&tcp.ACK != 0 {
		me.heard, me.spoke = Heard{s.Ack, s.ISS, s.IRS}, true
	}
	return Counts, again
}

// mayReopen reports whether a SYN reopens at once a connection that has Ended: if the connection was closed,
// or if the SYN's sender has just reset it. If the other side has reset it, the SYN does not reopen it.
func (c *Conn) mayReopen(opener bool) bool {
	return c.sides[0].closed || c.sides[1].closed || c.last.kind == kindRST && c.last.opener == opener
}

// letThrough records a segment that does not fit, but may be right where the box is wrong.
func (c *Conn) letThrough(s *tcp.Segment, kind segmentKind, opener bool) {
	seq, end, ack := numbers(s)
	c.last.kind, c.last.opener, c.last.seq, c.last.end, c.last.window = kind, opener, seq, end, s.Window
	switch {
	case kind == kindSYN && opener:
		c.strange = strangeSYN{mayClose: c.state == LastAck}
		c.strange.side.start(s)
	case kind == kindACK && c.state == SynSent: // it may report that the other side has an older connection
		c.last.ack = ack
	}
}

// reset returns the state after a RST. Until somebody has sent FIN, and unless the RST may be the answer to a
// SYN, a RST whose number may be wrong leaves an open connection as it is, since the other side asks whether
// it is meant (RFC 5961, section 3.2). A RST whose number is too old is invalid. unchecked says that the RST
// may acknowledge what the box did not record.
func (c *Conn) reset(s *tcp.Segment, peer *sideState, opener bool) (next State, unchecked bool, v Verdict) {
	seq, _, ack := numbers(s)
	open := c.state == Established && c.assured
	next = Close
	switch known := peer.acked && c.last.kind != kindSYN; {
	case c.state >= FinWait, c.state == SynSent && c.last.kind == kindACK && c.last.opener != opener && seq == c.last.ack: // or an older connection's
		return Close, true, Counts
	case known && seq == 0 && !open:
		return Close, false, Counts
	case known && beyond(peer.ack, seq):
		return c.state, false, Invalid
	case known && (!open || seq == peer.ack || c.last.kind == kindACK && c.last.opener == opener && seq == c.last.end):
		return Close, false, Counts
	case known:
		next = c.state
	}
	unchecked = (c.answered && c.last.kind == kindSYN || !c.assured && c.last.kind == kindACK) && c.last.opener != opener && ack == c.last.end
	return next, unchecked, Counts
}
