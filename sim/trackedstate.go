package sim

import (
	"cmp"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A tracked is a connection that a middlebox knows. Packets of who opened it come with
// the tuple ask and go on with that of answers reversed, and the other way round.
type tracked struct {
	ask, answer tuple
	there, back *flow  // of packets that are rewritten; nil if none is
	gone        func() // what is to be done when it is forgotten, or nil
	timer       *timer
	state       trackedState
	sides       [2]trackedSide // who opened it, and the other side
	last        repeated
	ignored     uint32 // with which number the SYN began that came last and did not fit: it may be answered. 0: there is none, or something came since
	finished    bool   // one side has sent FIN
	answered    bool   // something came from the other side before the last packet
	assured     bool   // and more after that
	since       int64  // of UDP: when the first answer came
}

// trackedState is how far a connection is. The names are those of Linux (enum tcp_conntrack).
type trackedState uint8

const (
	trackSynSent trackedState = iota
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

// A trackedSide is one side of a connection of TCP.
type trackedSide struct {
	spoke bool   // the box knows where it is
	end   uint64 // the number behind what it has sent,
	owed  bool   // and whether the other has not acknowledged that
	most  uint64 // that it has acknowledged
	heard heard
}

// A heard is the last acknowledgement of one side, and by which numbers it counts.
type heard struct {
	ack      uint64
	iss, irs uint32
	ok       bool
}

// A repeated is the last segment that only acknowledged or had data, and how often it has come again with nothing in between.
type repeated struct {
	opener, plain  bool // of the last segment of all,
	reset          bool // and whether it was a RST
	seq, end, ack  uint64
	window, before uint32
}

// mostRepeated is after how often a connection is no longer remembered for long (nf_conntrack_tcp_max_retrans).
const mostRepeated = 3

// linuxTimeouts are those of nf_conntrack_proto_tcp.c and nf_conntrack_proto_udp.c.
var linuxTimeouts = [...]time.Duration{
	trackSynSent: 120 * time.Second, trackSynRecv: 60 * time.Second, trackEstablished: 120 * time.Hour,
	trackFinWait: 120 * time.Second, trackCloseWait: 60 * time.Second, trackLastAck: 30 * time.Second,
	trackTimeWait: 120 * time.Second, trackClose: 10 * time.Second, trackUDP: 30 * time.Second, trackUDPStream: 120 * time.Second,
}

// doubtfulTimeout is that of an open connection of which one side may be gone (nf_conntrack_tcp_timeout_unacknowledged and _max_retrans).
const doubtfulTimeout = 300 * time.Second

// patience is for how long c may be silent from now on.
func (k *tracker) patience(c *tracked) int64 {
	switch {
	case c.state == trackEstablished && c.last.reset: // its number is not sure
		return k.conf.timeout(trackClose)
	case c.state == trackEstablished && k.conf.Established == 0 && c.doubtful():
		return int64(doubtfulTimeout)
	}
	return k.conf.timeout(c.state)
}

// doubtful says that one side of an open connection may be gone.
func (c *tracked) doubtful() bool {
	return c.sides[0].owed || c.sides[1].owed || !c.answered || c.last.before >= mostRepeated || c.last.window == 0
}

// streamAfter is for how long addresses of UDP have to speak to count as a stream.
const streamAfter = int64(2e9)

// timeout is for how long a connection may be silent.
func (t *Tracking) timeout(s trackedState) int64 { return int64(cmp.Or(t.own(s), linuxTimeouts[s])) }

// own is the field for a state.
func (t *Tracking) own(s trackedState) time.Duration {
	switch {
	case s <= trackSynRecv:
		return t.Opening
	case s == trackEstablished:
		return t.Established
	case s <= trackClose:
		return t.Closing
	}
	return t.UDP
}

// ended says that nothing is left of a connection but what is remembered of it.
func (c *tracked) ended() bool { return c.state == trackTimeWait || c.state == trackClose }

// spoken follows a connection of UDP.
func (c *tracked) spoken(now int64, opener bool) {
	switch {
	case !opener && c.since == 0:
		c.since = now
	case c.since > 0 && now-c.since > streamAfter:
		c.state = trackUDPStream
	}
}

// newTracked is a connection that begins with a segment of TCP, or with a datagram.
func newTracked(ask, answer tuple, s *tcp.Segment) *tracked {
	c := &tracked{ask: ask, answer: answer}
	switch {
	case s == nil:
		c.state = trackUDP
	case s.Flags&tcp.SYN == 0:
		c.state = trackEstablished // adopted
	}
	return c
}

// vain says that nothing but RST ever came back.
func (c *tracked) vain() bool { return c.state == trackClose && !c.answered }

// heed follows a connection of TCP (tcp_packet). It is false for a segment that does not belong where the connection is, which is let through
// and changes nothing, not even for how long the connection is remembered.
func (c *tracked) heed(s *tcp.Segment, opener bool) bool {
	me, peer := &c.sides[1], &c.sides[0]
	if opener {
		me, peer = peer, me
	}
	next, fits := c.state.behind(s, opener)
	switch syn := s.Flags&tcp.SYN != 0; {
	case opens(s) && opener && (!me.spoke || c.mayReopen()): // the first, or the same addresses again
		c.renew()
		fits = true
	case opens(s) && opener && c.state > trackSynSent:
		c.ignore(s, opener)
		c.ignored = s.ISS
	case opens(s) && !opener && c.state == trackSynSent: // from both sides at once
		c.count(s, me, peer, opener)
	case syn && !fits && !opener && c.ignored != 0 && s.IRS == c.ignored: // the box was wrong: there is a new connection
		c.renew()
		peer.spoke, peer.end = true, 1
		next, fits = trackSynRecv, true
	case syn && !opens(s) && !fits && !opener:
		c.ignore(s, opener)
	case s.Flags&tcp.RST != 0:
		next, fits = c.reset(s, peer, opener)
	}
	if fits {
		c.count(s, me, peer, opener)
		c.assured = c.assured || c.answered && next == trackEstablished
		c.finished = c.finished || next == trackFinWait
		c.state = next
	}
	return fits
}

// behind is the state after a segment, and false if none comes in this one (tcp_conntracks). Whose FIN it is that comes again, and what an
// acknowledgement acknowledges, is all the same.
func (t trackedState) behind(s *tcp.Segment, opener bool) (next trackedState, fits bool) {
	switch syn, fin := s.Flags&tcp.SYN != 0, s.Flags&tcp.FIN != 0; {
	case s.Flags&tcp.RST != 0:
		return trackClose, true
	case opens(s):
		return trackSynSent, false
	case syn:
		return trackSynRecv, t == trackSynSent
	case t == trackSynSent:
		return t, false
	case t >= trackTimeWait:
		return t, true
	case fin && t <= trackEstablished:
		return trackFinWait, true
	case fin:
		return trackLastAck, true
	case t == trackSynRecv && opener:
		return trackEstablished, true
	case t == trackFinWait:
		return trackCloseWait, true
	case t == trackLastAck:
		return trackTimeWait, true
	}
	return t, true
}

// reset is behind for a RST. As long as nobody has sent FIN, and unless it may be the answer to a SYN, one with a number that may be wrong
// leaves an open connection as it is, since the other side asks whether it is meant (RFC 5961, section 3.2), and one whose number is too old is none.
func (c *tracked) reset(s *tcp.Segment, peer *trackedSide, opener bool) (next trackedState, fits bool) {
	open := c.state == trackEstablished && c.assured
	switch {
	case c.state > trackEstablished, !peer.heard.ok, c.ignored != 0, s.Seq == 0 && !open:
		return trackClose, true
	case s.Seq < peer.most:
		return c.state, false
	case !open, s.Seq == peer.most, c.last.plain && c.last.opener == opener && s.Seq == c.last.end:
		return trackClose, true
	}
	return c.state, true
}

// mayReopen says whether a SYN of who opened a connection that has ended begins it anew at once: if it was closed, or if he has just reset it. One
// that the other side has reset it may not let go.
func (c *tracked) mayReopen() bool {
	return c.ended() && (c.finished || c.last.reset && c.last.opener)
}

// renew has the same addresses begin again.
func (c *tracked) renew() {
	c.sides, c.last, c.ignored, c.answered, c.assured, c.finished = [2]trackedSide{}, repeated{}, 0, false, false, false
}

// ignore notes that a segment with SYN came that does not fit: what has come before is not the last any more.
func (c *tracked) ignore(s *tcp.Segment, opener bool) {
	c.ignored = 0
	c.last.opener, c.last.plain, c.last.reset, c.last.seq, c.last.end = opener, false, false, s.Seq, s.Seq+uint64(s.Len())
}

// count takes note of the numbers of a segment (tcp_in_window).
func (c *tracked) count(s *tcp.Segment, me, peer *trackedSide, opener bool) {
	end, ack := s.Seq+uint64(s.Len()), peer.end
	switch {
	case !me.spoke:
		me.spoke, me.end = true, end
	case s.Len() > 0 && end > me.end:
		me.end, me.owed = end, true
	}
	if s.Flags&tcp.ACK != 0 {
		ack = s.Ack
		me.most = max(me.most, ack)
		me.heard = heard{ack, s.ISS, s.IRS, true}
	}
	peer.owed = peer.owed && ack != peer.end

	plain := s.Flags&(tcp.SYN|tcp.FIN|tcp.RST|tcp.ACK) == tcp.ACK
	if plain {
		r := repeated{opener, c.last.plain, c.last.reset, s.Seq, end, ack, s.Window, c.last.before}
		if c.last == r {
			c.last.before++
		} else {
			r.before = 0
			c.last = r
		}
	}
	c.ignored = 0
	c.last.opener, c.last.plain, c.last.reset = opener, plain, s.Flags&tcp.RST != 0
}
