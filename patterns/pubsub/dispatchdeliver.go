package pubsub

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// sending is a message that was picked for delivery.
type sending struct {
	*flight
	m  *member
	to attachment // as of now: what the member gets on another connection is not this
	as delivery
}

// current reports whether it must still be sent: it was neither settled in the meantime nor given
// to another member.
func (s sending) current() bool { return s.flight.to == s.m && s.attempts == s.as.Attempt }

// deliver picks messages, stores the changes, and sends. It reports whether there
// may be more.
func (d *dispatcher) deliver(now time.Time) (more bool, err error) {
	var out batch
	defer out.send()
	d.mu.Lock()
	for _, m := range d.g.members {
		m.clogged = m.connected() && m.conn.held() >= d.options.MaxInFlightBytes
	}
	flights := d.g.pick(now, pageEntries)
	picked := make([]sending, 0, len(flights))
	for _, f := range flights {
		picked = append(picked, sending{f, f.to, f.to.attachment, delivery{f.offset, f.attempts}})
	}
	if d.g.atMostOnce && len(picked) > 0 {
		d.dirty = true
	}
	d.mu.Unlock()

	if err := d.keep(&out); err != nil {
		d.takeBack(picked)
		return false, err
	}

	d.mu.Lock()
	d.tell(&out)
	d.ask(&out)
	picked = slices.DeleteFunc(picked, func(it sending) bool { return !it.current() })
	floor := d.g.floor()
	d.mu.Unlock()
	for i, it := range picked {
		e, reason, err := d.fetch(it.as.Offset, len(picked)-i)
		if err != nil {
			d.takeBack(picked[i:])
			return false, err
		}
		if e == nil {
			d.mu.Lock()
			if it.flight.to != nil {
				d.g.land(it.flight)
			}
			d.g.remove(it.flight)
			d.gone(reason)
			d.tell(&out)
			floor = d.g.floor()
			d.mu.Unlock()
			continue
		}
		b := out.of(it.to.conn)
		from := len(*b)
		*b = beginFrame(*b, kindDeliver)
		for _, n := range [...]uint64{it.to.sub, it.m.generation, it.as.Offset, floor, uint64(it.as.Attempt), uint64(e.Time.UnixNano())} {
			*b = binary.AppendUvarint(*b, n)
		}
		*b = endFrame(append(appendText(*b, e.Topic), e.Data...), from)
	}
	return len(flights) == pageEntries, nil
}

// takeBack undoes pick for messages that could not be sent.
func (d *dispatcher) takeBack(picked []sending) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, it := range picked {
		if it.current() {
			d.g.land(it.flight)
			it.unsend()
			it.due = time.Time{}
		}
	}
}

// batch is everything that a round sends, by connection, so that it is written
// together.
type batch []outgoing

type outgoing struct {
	to     *connection
	frames *[]byte // of framePool
}

// framePool has buffers for frames that are about to be sent.
var framePool = sync.Pool{New: func() any { return new([]byte) }}

// of returns the frames for a connection, to append to.
func (b *batch) of(c *connection) *[]byte {
	for i := range slices.Backward(*b) {
		if (*b)[i].to == c {
			return (*b)[i].frames
		}
	}
	frames := framePool.Get().(*[]byte)
	*b = append(*b, outgoing{c, frames})
	return frames
}

func (b *batch) add(c *connection, f []byte) {
	frames := b.of(c)
	*frames = append(*frames, f...)
}

func (b *batch) send() {
	for _, o := range *b {
		o.to.send(*o.frames)
		if cap(*o.frames) <= largeBuffer {
			*o.frames = (*o.frames)[:0]
			framePool.Put(o.frames)
		}
	}
}

// keep stores the changes, and releases the answers that waited for them.
func (d *dispatcher) keep(out *batch) error {
	d.mu.Lock()
	replies, dirty := d.replies, d.dirty
	var s state
	if dirty && d.kept() {
		s = d.state()
	}
	d.replies, d.dirty = nil, false
	d.mu.Unlock()
	if dirty && d.kept() {
		if err := d.b.Store.save(d.key, nil, s.encode()); err != nil {
			d.mu.Lock()
			d.replies, d.dirty = append(replies, d.replies...), true
			d.mu.Unlock()
			return err
		}
	}
	for _, r := range replies {
		out.add(r.to, r.frame)
	}
	return nil
}

// kept reports whether there is a state on disk.
func (d *dispatcher) kept() bool { return d.options.Name != "" && d.b.Store != nil }

// state returns the state to store. Messages that were read but, like all after them,
// never delivered are left out; they are read again.
func (d *dispatcher) state() state {
	s := state{
		epoch: d.epoch, next: d.g.next, gaps: d.g.gaps, missed: d.g.missed,
		told: d.g.told, toldMissed: d.toldMissed, reason: d.g.reason, idleSince: d.idleSince,
	}
	n := len(d.g.flights)
	for n > 0 && d.g.flights[n-1].offset > d.g.high {
		n--
		s.next = d.g.flights[n].offset - 1
	}
	for _, f := range d.g.flights[:n] {
		if d.g.atMostOnce && f.to != nil {
			continue // sent is done
		}
		s.pending = append(s.pending, delivery{f.offset, f.counted()})
	}
	s.pending = append(s.pending, d.reload...)
	slices.SortFunc(s.pending, func(a, b delivery) int { return cmp.Compare(a.Offset, b.Offset) })
	return s
}

// tell sends the gaps of which members have not been notified. Messages lost before a
// subscriber has confirmed one gap belong to the next. The caller has d.mu.
func (d *dispatcher) tell(out *batch) {
	for _, m := range d.g.members {
		if m.connected() && m.sentGap < d.g.gaps && m.sentGap == m.toldGap {
			m.sentGap = d.g.gaps
			out.add(m.conn, frame(kindGap, m.sub, d.g.gaps, d.g.missed, string(d.g.reason), d.epoch, d.floor()))
		}
	}
}

// ask asks members whether their deliveries have arrived. The caller has d.mu.
func (d *dispatcher) ask(out *batch) {
	for _, m := range d.g.questions() {
		if m.connected() {
			out.add(m.conn, frame(kindAsk, m.sub, m.questions))
		}
	}
}

// subscribed returns the first frame for a new member, with the gaps of which no
// member has been notified.
func (d *dispatcher) subscribed(m *member) control {
	return control{
		Type: typeSubscribed, Sub: m.sub, Generation: m.generation,
		Cursor: eventlog.Cursor{Epoch: d.epoch, Offset: d.floor()}, Told: d.g.told, Missed: d.toldMissed,
	}
}

// floor returns the offset up to which everything is done. The caller has d.mu.
func (d *dispatcher) floor() uint64 {
	floor := d.g.floor()
	if len(d.reload) > 0 {
		floor = min(floor, d.reload[0].Offset-1)
	}
	return floor
}

// wasTold records that a subscriber knows of a gap.
func (d *dispatcher) wasTold(m *member, number uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if number == m.sentGap {
		m.toldGap = number
	}
	d.noteTold(number)
	d.kick()
}

// noteTold records that a subscriber knows of all gaps up to a number.
func (d *dispatcher) noteTold(number uint64) {
	if number == d.g.gaps && number > d.g.told {
		d.g.told, d.toldMissed, d.dirty = number, d.g.missed, true
	}
}

// settle passes on a subscriber's settlement of a delivery. The caller must wake the
// dispatcher.
func (d *dispatcher) settle(m *member, generation uint64, which delivery, v verb, pause time.Duration, request uint64, from *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	result := outcomeFenced
	if !d.ended && m.generation == generation && m.connected() {
		result = d.g.settle(m, which, v, pause, time.Now())
	} else {
		d.g.stats.Rejected++
	}
	if result == outcomeOK && v != verbExtend {
		d.dirty = true
	}
	switch {
	case request == 0:
	case d.ended:
		from.send(settled(request, result))
	default:
		d.replies = append(d.replies, reply{from, settled(request, result)})
	}
}

func settled(request uint64, o outcome) []byte { return frame(kindSettled, request, uint64(o)) }
