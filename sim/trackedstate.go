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
	closed      [2]closing // by who opened it, and by the other side
	heard       [2]heard   // from the same
	ends        [2]uint64  // the number behind what each has sent,
	owed        [2]bool    // and whether the other has not acknowledged that
	last        repeated
	answered    bool  // something came from the other side before the last packet
	since       int64 // of UDP: when the first answer came
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

// A closing is the FIN of one side.
type closing struct {
	sent, acked bool
	end         uint64 // the number behind it
}

// A heard is the last acknowledgement of one side, and by which numbers it counts.
type heard struct {
	ack      uint64
	iss, irs uint32
	ok       bool
}

// A repeated is a segment, and how often it has come again with nothing in between.
type repeated struct {
	opener, known  bool
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
	if c.state == trackEstablished && k.conf.Established == 0 && c.doubtful() {
		return int64(doubtfulTimeout)
	}
	return k.conf.timeout(c.state)
}

// doubtful says that one side of an open connection may be gone.
func (c *tracked) doubtful() bool {
	return c.owed[0] || c.owed[1] || !c.answered || c.last.before >= mostRepeated
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

// heed follows a connection of TCP (tcp_conntracks in nf_conntrack_proto_tcp.c).
func (c *tracked) heed(s *tcp.Segment, opener bool) {
	me, peer := 1, 0
	if opener {
		me, peer = 0, 1
	}
	if opens(s) && opener && c.state >= trackTimeWait { // the same addresses again
		c.state, c.closed, c.ends, c.owed, c.answered = trackSynSent, [2]closing{}, [2]uint64{}, [2]bool{}, false
	}
	if s.Flags&(tcp.SYN|tcp.FIN|tcp.RST|tcp.ACK) == tcp.ACK {
		r := repeated{opener, true, s.Seq, s.Seq + uint64(s.Len()), s.Ack, s.Window, c.last.before}
		if c.last == r {
			c.last.before++
		} else {
			r.before, c.last = 0, r
		}
	}
	if end := s.Seq + uint64(s.Len()); end > c.ends[me] { // tcp_in_window
		c.ends[me], c.owed[me] = end, s.Len() > 0 && s.Flags&tcp.SYN == 0
	}
	if s.Flags&tcp.ACK != 0 {
		c.owed[peer] = c.owed[peer] && s.Ack != c.ends[peer]
		c.heard[me] = heard{s.Ack, s.ISS, s.IRS, true}
		if c.closed[peer].sent && s.Ack >= c.closed[peer].end {
			c.closed[peer].acked = true
		}
	}
	if s.Flags&tcp.FIN != 0 && !c.closed[me].sent {
		c.closed[me] = closing{sent: true, end: s.Seq + uint64(s.Len())}
	}
	a, b := c.closed[0], c.closed[1]
	switch {
	case s.Flags&tcp.RST != 0:
		c.state = trackClose
	case opens(s):
	case c.state == trackClose:
	case c.state == trackSynSent && s.Flags&tcp.SYN != 0:
		c.state = trackSynRecv
	case c.state <= trackSynRecv && !opener: // the SYN-ACK again
	case a.acked && b.acked:
		c.state = trackTimeWait
	case a.sent && b.sent:
		c.state = trackLastAck
	case a.acked || b.acked:
		c.state = trackCloseWait
	case a.sent || b.sent:
		c.state = trackFinWait
	default:
		c.state = trackEstablished
	}
}
