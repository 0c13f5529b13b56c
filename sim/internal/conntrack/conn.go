// Package conntrack judges the segments and datagrams of a connection as a middlebox with Linux's connection
// tracking does (nf_conntrack, Linux 5.0 and later), and says how long the middlebox remembers the connection.
// It has no table of connections, no clock and no addresses: those are its caller's.
package conntrack

import "github.com/squall-sim/squall/sim/internal/tcp"

// A Conn is what a middlebox knows of one connection. [New] makes one.
type Conn struct {
	state    State
	sides    [2]sideState // the side that opened it, and the other side
	last     lastSegment
	strange  strangeSYN
	begins   bool  // the next segment is the first
	fromBoth bool  // both sides have sent SYN
	answered bool  // the other side sent something before the last packet
	assured  bool  // and more after that
	since    int64 // of UDP: when the first answer came
}

// A State is how far a connection has got. The names are Linux's (enum tcp_conntrack).
type State uint8

const (
	SynSent State = iota
	SynSent2
	SynRecv
	Established
	FinWait
	CloseWait
	LastAck
	TimeWait
	Close
	UDP       // unanswered
	UDPStream // answered, for more than 2 s
)

// New returns the connection that a TCP segment begins, or, if s is nil, a datagram (tcp_new). The segment
// itself has yet to be followed.
func New(s *tcp.Segment) Conn {
	var c Conn
	if s == nil {
		c.state = UDP
	} else {
		c.begin(s)
	}
	return c
}

// Opens reports whether a segment is the first of a connection. Nil, a datagram, is not.
func Opens(s *tcp.Segment) bool { return s != nil && s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN }

// Begins reports whether a middlebox takes a segment of no known connection for the beginning of one. With
// adopts it also takes one from the middle of a connection (nf_conntrack_tcp_loose).
func Begins(s *tcp.Segment, adopts bool) bool {
	return Opens(s) || s.Flags&(tcp.SYN|tcp.FIN|tcp.RST) == 0 && adopts
}

// begin starts a connection with a segment of the side that opens it.
func (c *Conn) begin(s *tcp.Segment) {
	me, peer := &c.sides[0], &c.sides[1]
	*me, *peer, c.last, c.strange = sideState{}, sideState{}, lastSegment{}, strangeSYN{}
	c.begins, c.fromBoth, c.answered, c.assured = true, false, false, false
	if Opens(s) {
		me.start(s)
		c.state = SynSent
		return
	}
	_, me.end, _ = numbers(s)
	me.window = max(s.Window, 1)
	me.most = me.end + me.window
	me.liberal, me.sacks, peer.liberal, peer.sacks = true, true, true, true
	c.state = Established // adopted
}

// State returns how far the connection has got.
func (c *Conn) State() State { return c.state }

// Ended reports whether the connection is over, so that only the box's memory of it is left.
func (c *Conn) Ended() bool { return c.state == TimeWait || c.state == Close }

// TurnsRound reports whether a segment of the other side begins a new connection, which that side opens: it
// is a SYN, and the connection has been closed (tcp_packet).
func (c *Conn) TurnsRound(s *tcp.Segment) bool { return c.state == TimeWait && Opens(s) }

// A Heard is the last acknowledgement of one side, and the initial sequence numbers from which it counts.
type Heard struct {
	Ack      uint64
	ISS, IRS uint32
}

// Heard returns what the side that opened the connection, or the other side, last acknowledged. ok is false if
// it has acknowledged nothing.
func (c *Conn) Heard(opener bool) (h Heard, ok bool) {
	side := &c.sides[sideOf(opener)]
	return side.heard, side.spoke
}

// sideOf returns the index of a side.
func sideOf(opener bool) int {
	if opener {
		return 0
	}
	return 1
}
