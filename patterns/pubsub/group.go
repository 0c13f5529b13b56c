package pubsub

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// partitions is the number of parts into which the keys of a group are split. Each part
// has one owner.
const partitions = 64

// group is the broker's state of one subscription: how far it has read the log, which
// messages are in flight to which member, and the members. It does no I/O and gets the
// time from its caller. It belongs to the holder of its dispatcher's mutex.
type group struct {
	limits

	// Every matching message up to next is done, unless it is among flights.
	next    uint64
	high    uint64    // the newest message that was ever delivered
	flights []*flight // in the order of their offsets
	waiting int       // of them, not under way
	live    bool      // all members have once caught up: what is too much now comes from being slow

	members    []*member // in the order of their names
	generation uint64    // grows with every change of the members
	parts      [partitions]part

	// Losses that members must be told of, numbered; missed counts messages over all.
	gaps, told uint64
	missed     uint64
	reason     eventlog.Reason

	stats GroupStats
}

// limits are the options of a subscription that matter to its group.
type limits struct {
	atMostOnce  bool
	ackWait     time.Duration
	maxAttempts int
	window      int // messages, for each member
	windowBytes int
	maxPending  int
	slow        SlowPolicy
}

// flight is a message that a group is delivering.
type flight struct {
	offset   uint64
	part     int
	bytes    int
	expires  time.Time
	attempts int       // deliveries so far
	lost     int       // of them, never arrived, as far as is known
	to       *member   // nil: it waits
	due      time.Time // under way: redelivery; waiting: not before
	doubt
}

// part is one of the parts of the keys.
type part struct {
	owner *member // nil: none
	next  *member // who gets it when owner has nothing of it under way; nil: it stays
	out   int     // flights under way to owner
}

// member is a subscriber that takes part in a group.
type member struct {
	name       string
	generation uint64 // in which it joined; what it got in an earlier one is not its any more
	attachment        // nothing if its connection is gone and it may come back
	out        int    // flights under way
	outBytes   int
	parts      int
	clogged    bool       // its connection has not yet taken what it was sent
	acked      []delivery // the last that it acknowledged

	questions uint64    // that it was asked, whether what it was sent has arrived
	curious   bool      // it is to be asked
	heard     time.Time // when it settled something last, or had nothing to settle
	late      bool      // the time of a delivery has run out since
	hangs     bool      // for so long that others have its parts
}

// ackMemory is how many of a member's acknowledgements can be repeated.
const ackMemory = 256

// partOf returns the part of a message. Members own adjacent parts, so messages
// without a key take turns among parts that are far apart.
func partOf(key []byte, offset uint64) int {
	if len(key) == 0 {
		return int(bits.Reverse8(uint8(offset%partitions)) >> 2)
	}
	h := fnv.New32a()
	h.Write(key)
	return int(h.Sum32() % partitions)
}

// wantsMore reports whether messages should be read from the log.
func (g *group) wantsMore() bool {
	return len(g.members) > 0 && (g.waiting < g.maxPending || g.live && g.slow != Backpressure)
}

// add takes in a matching message. If there are too many, the slow policy applies;
// add returns the members to disconnect.
func (g *group) add(f *flight) (slow []*member) {
	g.next = f.offset
	if g.live && g.waiting >= g.maxPending {
		switch g.slow {
		case DropNewest:
			g.lose(1, ReasonSlow)
			return nil
		case DropOldest:
			for _, old := range g.flights {
				if old.to == nil && old.attempts == 0 {
					g.remove(old)
					g.lose(1, ReasonSlow)
					break
				}
			}
		case Disconnect:
			for _, m := range g.members {
				if m.connected() && g.full(m) {
					slow = append(slow, m)
				}
			}
			g.live = false // who comes back may take its time over what it missed
		}
	}
	g.flights = append(g.flights, f)
	g.waiting++
	return slow
}

// caughtUp records that the log has nothing more now.
func (g *group) caughtUp() {
	if g.waiting == 0 && len(g.members) > 0 {
		g.live = true
	}
}

// lose records that messages are lost; 0: an unknown number.
func (g *group) lose(messages uint64, why eventlog.Reason) {
	g.gaps++
	g.missed += messages
	g.reason = why
	g.stats.Dropped += int64(messages)
}

// floor returns the offset up to which everything is done.
func (g *group) floor() uint64 {
	if len(g.flights) > 0 {
		return g.flights[0].offset - 1
	}
	return g.next
}

func (g *group) full(m *member) bool { return m.out >= g.window || m.outBytes >= g.windowBytes }

// pick returns the next messages to deliver, at most most, and marks them as in flight. A
// member's first deliveries are in the order of the log.
func (g *group) pick(now time.Time, most int) (picked []*flight) {
	for _, f := range g.flights {
		if len(picked) == most {
			break
		}
		if f.to != nil || now.Before(f.due) {
			continue
		}
		p := &g.parts[f.part]
		if p.owner == nil || p.next != nil || !p.owner.connected() || g.full(p.owner) || g.spent(f) {
			continue
		}
		if f.attempts > 0 && (p.owner.clogged || f.last == p.owner && f.unheard >= maxUnheard) {
			continue // the last attempt may be on its way still: another would only be in its way
		}
		f.send(p.owner)
		g.high = max(g.high, f.offset)
		f.due = now.Add(g.ackWait)
		if f.to.out == 0 && !f.to.late {
			f.to.heard = now
		}
		f.to.out++
		f.to.outBytes += f.bytes
		p.out++
		g.waiting--
		g.stats.Delivered++
		if f.attempts > 1 {
			g.stats.Redelivered++
		}
		picked = append(picked, f)
	}
	return picked
}

// expire takes back messages that were not acknowledged in time, and ends
// pauses.
func (g *group) expire(now time.Time) {
	hung := false
	for _, f := range g.flights {
		if f.due.IsZero() || now.Before(f.due) || f.to != nil && g.atMostOnce {
			continue
		}
		if f.to != nil {
			g.stats.TimedOut++
			hung = g.hung(f.to, now) || hung
			g.ask(f)
			g.land(f)
		}
		f.due = time.Time{}
	}
	if hung {
		g.rebalance()
	}
}

// hung records that a member let the time of a delivery run out. It reports whether the member
// counts as hung: it has settled nothing for twice the time, and another member is able to. A
// member that only takes longer than AckWait keeps its parts, so that its late acknowledgement is
// accepted.
func (g *group) hung(m *member, now time.Time) bool {
	m.late = true
	m.hangs = m.hangs || m.connected() && now.Sub(m.heard) >= 2*g.ackWait &&
		slices.ContainsFunc(g.members, func(other *member) bool { return other != m && other.connected() && !other.hangs })
	return m.hangs
}

// lives records a sign of life about a member's deliveries.
func (g *group) lives(m *member, now time.Time) {
	m.heard, m.late = now, false
	if m.hangs {
		m.hangs = false
		g.rebalance()
	}
}

// due returns when something next happens by itself, and zero if nothing will.
func (g *group) due() time.Time {
	var first time.Time
	for _, f := range g.flights {
		if f.due.IsZero() || f.to != nil && g.atMostOnce || f.to == nil && g.spent(f) {
			continue
		}
		if first.IsZero() || f.due.Before(first) {
			first = f.due
		}
	}
	return first
}

// settle applies a member's settlement of a delivery. The member that has the message, or
// would get it next, can also acknowledge it by an earlier delivery, because it is the same
// work. If only the latest delivery counted, nothing would ever be done over a link slower
// than AckWait.
func (g *group) settle(m *member, d delivery, verb verb, pause time.Duration, now time.Time) outcome {
	defer g.lives(m, now)
	f := g.find(d.Offset)
	if f != nil && f.last == m {
		f.hasArrived(d.Attempt)
	}
	switch {
	case f == nil && verb == verbAck && slices.Contains(m.acked, d):
		return outcomeOK // again: the first answer was lost
	case f != nil && verb == verbAck && d.Attempt <= f.attempts && (f.to == m || f.to == nil && g.parts[f.part].owner == m):
	case f == nil || f.to != m || f.attempts != d.Attempt:
		if g.stats.Late++; f != nil && f.to == nil && f.last == m {
			g.ask(f) // of what was sent since
		}
		return outcomeLate
	}
	switch verb {
	case verbAck:
		g.stats.Acked++
		m.acked = append(m.acked[max(0, len(m.acked)+1-ackMemory):], d)
		if f.to != nil {
			g.land(f)
		}
		g.remove(f)
	case verbNack:
		g.stats.Nacked++
		g.land(f)
		f.due = now.Add(pause)
	case verbExtend:
		if g.parts[f.part].next != nil {
			return outcomeMoving
		}
		f.due = now.Add(pause)
	}
	return outcomeOK
}

func (g *group) find(offset uint64) *flight {
	i, found := slices.BinarySearchFunc(g.flights, offset, func(f *flight, o uint64) int { return cmp.Compare(f.offset, o) })
	if !found {
		return nil
	}
	return g.flights[i]
}

// land ends a delivery, whatever comes next.
func (g *group) land(f *flight) {
	m := f.to
	m.out--
	m.outBytes -= f.bytes
	f.to = nil
	g.waiting++
	p := &g.parts[f.part]
	p.out--
	if p.out == 0 && p.next != nil {
		g.hand(p, p.next)
	}
}

// remove forgets a message that is not in flight.
func (g *group) remove(f *flight) {
	i, found := slices.BinarySearchFunc(g.flights, f.offset, func(f *flight, o uint64) int { return cmp.Compare(f.offset, o) })
	if !found {
		return // twice
	}
	if g.waiting--; i == 0 { // mostly
		g.flights[0] = nil
		g.flights = g.flights[1:]
		return
	}
	g.flights = slices.Delete(g.flights, i, i+1)
}

// giveUp takes back the messages in flight to a member that will not settle them. With
// at least once another member gets them, with at most once none does.
func (g *group) giveUp(m *member, keep func(*flight) bool) {
	lost := 0
	for _, f := range g.flights {
		if f.to != m || keep != nil && keep(f) {
			continue
		}
		g.land(f)
		f.due = time.Time{}
		if g.atMostOnce && keep == nil {
			f.attempts = -1
			lost++
		}
	}
	if lost > 0 {
		g.flights = slices.DeleteFunc(g.flights, func(f *flight) bool { return f.attempts < 0 })
		g.waiting -= lost
		g.stats.Lost += int64(lost)
	}
}

// discard removes waiting messages that have expired.
func (g *group) discard(now time.Time) {
	before := len(g.flights)
	g.flights = slices.DeleteFunc(g.flights, func(f *flight) bool {
		return f.to == nil && !f.expires.IsZero() && !now.Before(f.expires)
	})
	gone := before - len(g.flights)
	g.waiting -= gone
	g.stats.Expired += int64(gone)
}
