package sim

import (
	"cmp"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// mostRepeated is how often a segment can be repeated before its connection is no longer remembered for long
// (nf_conntrack_tcp_max_retrans).
const mostRepeated = 3

// linuxTimeouts are those of nf_conntrack_proto_tcp.c and nf_conntrack_proto_udp.c.
var linuxTimeouts = [...]time.Duration{
	trackSynSent: 120 * time.Second, trackSynSent2: 120 * time.Second, trackSynRecv: 60 * time.Second, trackEstablished: 120 * time.Hour,
	trackFinWait: 120 * time.Second, trackCloseWait: 60 * time.Second, trackLastAck: 30 * time.Second,
	trackTimeWait: 120 * time.Second, trackClose: 10 * time.Second, trackUDP: 30 * time.Second, trackUDPStream: 120 * time.Second,
}

// doubtfulTimeout is the timeout of an open connection one side of which may be gone
// (nf_conntrack_tcp_timeout_unacknowledged and _max_retrans).
const doubtfulTimeout = 300 * time.Second

// patience returns how long c can be silent from now on.
func (k *tracker) patience(c *tracked) int64 {
	doubtful := c.state == trackEstablished && k.conf.Established == 0
	switch {
	case doubtful && c.last.before >= mostRepeated:
		return int64(doubtfulTimeout)
	case c.last.kind == kindRST: // an open connection: its number is not sure
		return k.conf.timeout(trackClose)
	case doubtful && (c.sides[0].owed || c.sides[1].owed || !c.answered || c.last.window == 0):
		return int64(doubtfulTimeout)
	}
	return k.conf.timeout(c.state)
}

// A course is what happens to a connection after a segment.
type course struct {
	verdict verdict
	lasts   int64 // for how long it may be silent now; 0: nothing new
	atMost  bool  // and not for longer than before
	over    bool  // it is forgotten at once
}

// until returns when a connection is forgotten that was to be forgotten at an instant before.
func (o course) until(now, before int64) int64 {
	switch {
	case o.lasts == 0:
		return before
	case o.atMost:
		return min(before, after(now, o.lasts))
	}
	return after(now, o.lasts)
}

// follow records a segment of a connection.
func (k *tracker) follow(c *tracked, s *tcp.Segment, opener bool) (o course) {
	v, again := c.heed(s, opener, k.conf.Liberal)
	o.verdict = v
	switch {
	case v == invalid:
		if again && k.conf.Established == 0 && c.state == trackEstablished {
			o.lasts, o.atMost = int64(doubtfulTimeout), true
		}
		return o
	case again:
		o.lasts = k.patience(c)
	}
	o.over = c.vain() && k.conf.Closing == 0
	c.answered = c.answered || !opener
	return o
}

// streamAfter is how long UDP addresses must have spoken to count as a stream.
const streamAfter = int64(2e9)

// timeout returns how long a connection can be silent.
func (t *Tracking) timeout(s trackedState) int64 { return int64(cmp.Or(t.own(s), linuxTimeouts[s])) }

// own returns the field for a state.
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

// spoken follows a connection of UDP.
func (c *tracked) spoken(now int64, opener bool) {
	switch {
	case !opener && c.since == 0:
		c.since = now
	case c.since > 0 && now-c.since > streamAfter:
		c.state = trackUDPStream
	}
}
