package pubsub

import (
	"cmp"
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// deliver picks what can be delivered, keeps what has changed, and sends. It reports
// whether there may be more.
func (p *pump) deliver(now time.Time) (more bool, err error) {
	type item struct {
		*flight
		m  *member
		to attachment // as of now: what the member gets on another connection is not this
		d  delivery
	}
	out := batch{frames: map[*connection][][]byte{}}
	defer out.send()
	p.mu.Lock()
	for _, m := range p.g.members {
		m.clogged = m.connected() && m.conn.held() >= p.options.MaxInFlightBytes
	}
	var picked []item
	for len(picked) < pageEntries {
		f := p.g.pick(now)
		if f == nil {
			break
		}
		picked = append(picked, item{f, f.to, f.to.attachment, delivery{f.offset, f.attempts}})
	}
	if p.g.atMostOnce && len(picked) > 0 {
		p.dirty = true
	}
	p.mu.Unlock()

	if err := p.keep(&out); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, it := range picked {
			if it.flight.to == it.m && it.attempts == it.d.Attempt {
				p.g.land(it.flight)
				it.attempts--
				it.due = time.Time{}
			}
		}
		return false, err
	}

	p.tell(&out)
	for _, it := range picked {
		e, status, err := p.fetch(it.d.Offset)
		if err != nil {
			return false, err // its AckWait brings it back
		}
		p.mu.Lock()
		if e == nil {
			if it.flight.to != nil {
				p.g.land(it.flight)
			}
			p.g.remove(it.flight)
			p.gone(status)
			p.mu.Unlock()
			p.tell(&out)
			continue
		}
		floor := p.g.floor()
		p.mu.Unlock()
		out.add(it.to.conn, frame(kindDeliver, it.to.sub, it.m.generation, it.d.Offset, floor, it.d.Attempt,
			uint64(e.Time.UnixNano()), e.Topic, e.Data))
	}
	return len(picked) == pageEntries, nil
}

// batch is what a round sends, by connection, so that it goes out together.
type batch struct {
	order  []*connection
	frames map[*connection][][]byte
}

func (b *batch) add(c *connection, f []byte) {
	if b.frames[c] == nil {
		b.order = append(b.order, c)
	}
	b.frames[c] = append(b.frames[c], f)
}

func (b *batch) send() {
	for _, c := range b.order {
		c.send(b.frames[c]...)
	}
}

// keep stores what has changed, and lets go the answers that waited for it.
func (p *pump) keep(out *batch) error {
	p.mu.Lock()
	replies, dirty := p.replies, p.dirty
	var s state
	if dirty {
		s = p.state()
	}
	p.replies, p.dirty = nil, false
	p.mu.Unlock()
	if dirty && p.options.Name != "" {
		if err := p.b.store.save(p.key, nil, s.encode()); err != nil {
			p.mu.Lock()
			p.replies, p.dirty = append(replies, p.replies...), true
			p.mu.Unlock()
			return err
		}
	}
	for _, r := range replies {
		out.add(r.to, r.frame)
	}
	return nil
}

// state is what is to be kept. What was read, and neither it nor anything after it was
// ever delivered, is left to be read again.
func (p *pump) state() state {
	s := state{
		epoch: p.epoch, next: p.g.next, gaps: p.g.gaps, missed: p.g.missed,
		told: p.g.told, toldMissed: p.toldMissed, reason: p.g.reason, idleSince: p.idleSince,
	}
	n := len(p.g.flights)
	for n > 0 && p.g.flights[n-1].offset > p.g.high {
		n--
		s.next = p.g.flights[n].offset - 1
	}
	for _, f := range p.g.flights[:n] {
		if p.g.atMostOnce && f.to != nil {
			continue // sent is done
		}
		s.pending = append(s.pending, delivery{f.offset, f.attempts})
	}
	s.pending = append(s.pending, p.reload...)
	slices.SortFunc(s.pending, func(a, b delivery) int { return cmp.Compare(a.Offset, b.Offset) })
	return s
}

// tell sends the gaps that members have not been told of. What is lost until a subscriber
// has taken notice of one gap is the next.
func (p *pump) tell(out *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.g.members {
		if m.connected() && m.sentGap < p.g.gaps && m.sentGap == m.toldGap {
			m.sentGap = p.g.gaps
			out.add(m.conn, frame(kindGap, m.sub, p.g.gaps, p.g.missed, string(p.g.reason), p.epoch, p.g.next))
		}
	}
}

// subscribed is what a member is told when it begins. It hears of the gaps that no
// member has heard of.
func (p *pump) subscribed(m *member) control {
	return control{
		Type: typeSubscribed, Sub: m.sub, Generation: m.generation,
		Cursor: eventlog.Cursor{Epoch: p.epoch, Offset: p.floor()}, Told: p.g.told, Missed: p.toldMissed,
	}
}

// floor is the offset up to which everything is done. The caller has p.mu.
func (p *pump) floor() uint64 {
	floor := p.g.floor()
	if len(p.reload) > 0 {
		floor = min(floor, p.reload[0].Offset-1)
	}
	return floor
}

// wasTold notes that a subscriber knows of a gap.
func (p *pump) wasTold(m *member, number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number == m.sentGap {
		m.toldGap = number
	}
	p.noteTold(number)
	p.kick()
}

// noteTold notes that somebody knows of all gaps up to a number.
func (p *pump) noteTold(number uint64) {
	if number == p.g.gaps && number > p.g.told {
		p.g.told, p.toldMissed, p.dirty = number, p.g.missed, true
	}
}

// settle passes on what a subscriber says about a delivery.
func (p *pump) settle(m *member, generation uint64, d delivery, v verb, pause time.Duration, request uint64, from *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	result := outcomeFenced
	if !p.ended && m.generation == generation && m.connected() {
		result = p.g.settle(m, d, v, pause, time.Now())
	} else {
		p.g.stats.Rejected++
	}
	if result == outcomeOK && v != verbExtend {
		p.dirty = true
	}
	switch {
	case request == 0:
	case p.ended:
		from.send(settled(request, result))
	default:
		p.replies = append(p.replies, reply{from, settled(request, result)})
	}
	p.kick()
}

func settled(request uint64, o outcome) []byte { return frame(kindSettled, request, uint64(o)) }
