package conntrack

import (
	"cmp"
	"math"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Rules are what a middlebox can set.
type Rules struct {
	Timeouts Timeouts
	Liberal  bool // a segment belongs to its connection whatever its numbers are (nf_conntrack_tcp_be_liberal)
}

// Timeouts are how long a connection can be silent before it is forgotten. Zero stands for Linux's own.
type Timeouts struct {
	Opening     time.Duration // in the states up to SynRecv
	Established time.Duration
	Closing     time.Duration // from FinWait to Close
	UDP         time.Duration
}

// mostRepeated is how often a segment can be repeated before its connection is no longer remembered for long
// (nf_conntrack_tcp_max_retrans).
const mostRepeated = 3

// linuxTimeouts are those of nf_conntrack_proto_tcp.c and nf_conntrack_proto_udp.c.
var linuxTimeouts = [...]time.Duration{
	SynSent: 120 * time.Second, SynSent2: 120 * time.Second, SynRecv: 60 * time.Second, Established: 120 * time.Hour,
	FinWait: 120 * time.Second, CloseWait: 60 * time.Second, LastAck: 30 * time.Second,
	TimeWait: 120 * time.Second, Close: 10 * time.Second, UDP: 30 * time.Second, UDPStream: 120 * time.Second,
}

// doubtfulTimeout is the timeout of an open connection one side of which may be gone
// (nf_conntrack_tcp_timeout_unacknowledged and _max_retrans).
const doubtfulTimeout = 300 * time.Second

// Own returns the field for a state, or zero if the state has Linux's timeout.
func (t Timeouts) Own(s State) time.Duration {
	switch {
	case s <= SynRecv:
		return t.Opening
	case s == Established:
		return t.Established
	case s <= Close:
		return t.Closing
	}
	return t.UDP
}

// of returns the timeout of a state.
func (t Timeouts) of(s State) time.Duration { return cmp.Or(t.Own(s), linuxTimeouts[s]) }

// A Course is what happens to a connection after a segment or datagram.
type Course struct {
	Verdict Verdict
	Over    bool // the connection is forgotten at once

	lasts  time.Duration // for how long it may be silent now; 0: nothing new
	atMost bool          // and not for longer than before
}

// Until returns the instant, in nanoseconds, at which the connection is forgotten, if it was to be forgotten at
// another one before. It is never after the last instant, math.MaxInt64.
func (o Course) Until(now, before int64) int64 {
	if o.lasts == 0 {
		return before
	}
	at := int64(math.MaxInt64)
	if int64(o.lasts) <= at-now {
		at = now + int64(o.lasts)
	}
	if o.atMost {
		return min(before, at)
	}
	return at
}

// Segment follows a TCP segment of one side.
func (c *Conn) Segment(s *tcp.Segment, opener bool, r Rules) (o Course) {
	v, again := c.heed(s, opener, r.Liberal)
	o.Verdict = v
	switch {
	case v == Invalid:
		if again && r.Timeouts.Established == 0 && c.state == Established {
			o.lasts, o.atMost = doubtfulTimeout, true
		}
		return o
	case again:
		o.lasts = c.patience(r.Timeouts)
	}
	o.Over = c.vain() && r.Timeouts.Closing == 0
	c.answered = c.answered || !opener
	return o
}

// patience returns how long the connection can be silent from now on.
func (c *Conn) patience(t Timeouts) time.Duration {
	doubtful := c.state == Established && t.Established == 0
	switch {
	case doubtful && c.last.before >= mostRepeated:
		return doubtfulTimeout
	case c.last.kind == kindRST: // an open connection: its number is not sure
		return t.of(Close)
	case doubtful && (c.sides[0].owed || c.sides[1].owed || !c.answered || c.last.window == 0):
		return doubtfulTimeout
	}
	return t.of(c.state)
}

// vain reports whether nothing but RST ever came back.
func (c *Conn) vain() bool { return c.state == Close && !c.answered }

// streamAfter is how long UDP addresses must have spoken to count as a stream.
const streamAfter = int64(2 * time.Second)

// Datagram follows a datagram of one side that came at an instant in nanoseconds after zero.
func (c *Conn) Datagram(now int64, opener bool, t Timeouts) Course {
	switch {
	case !opener && c.since == 0:
		c.since = now
	case c.since > 0 && now-c.since > streamAfter:
		c.state = UDPStream
	}
	return Course{Verdict: Counts, lasts: t.of(c.state)}
}
