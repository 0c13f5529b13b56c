package netem

import (
	"fmt"
	"reflect"
	"time"
)

// A Move is a change of the times of one packet, or of one copy.
type Move struct {
	Departure, At       time.Duration // as its verdict, or its last Move, gave them
	NewDeparture, NewAt time.Duration // what replaces them
}

// Change is [Pipe.Set] at the time now, and also moves the packets whose last bit is not yet sent, as a real
// queue does. They leave it at the new Rate, one after another from now on, and then take the new Delay and
// Jitter. The rest of the packet being sent goes at the new Rate; with a Shaper or Slots, old or new, the
// whole packet is sent. Whatever else was decided about these packets stays: which are lost, reordered,
// corrupt or copied. They stay in the queue, even if it is longer than the new Queue's limit.
//
// Change returns a [Move] for each of these packets, in the order in which they leave. Call Take first for
// fates decided by now. Packets whose fates are still open go on waiting in the new Queue, or are decided if
// that Queue decides at once. now must not be before the last Send.
func (p *Pipe) Change(cfg Config, now time.Duration) ([]Move, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if now < p.now {
		panic(fmt.Sprintf("netem: Change: time runs backwards, from %v to %v", p.now, now))
	}
	if p.extras != nil && p.room != nil {
		p.now = now
		p.serveRoom(now)
	}
	p.queue.drain(now)
	before := p.cfg
	var left uint64
	if p.queue.len > 0 {
		first := p.queue.nth(0)
		end := first.departure
		if first.frac > 0 {
			end--
		}
		left = p.line.left(before.Framing.wire(first.size), end, first.frac, now)
	}
	if err := p.configure(cfg); err != nil {
		return nil, err
	}
	defer p.setRoom(before.Queue) // packets that wait there come after those on the line
	if p.queue.len == 0 {
		return nil, nil
	}
	if first := p.queue.nth(0); left == workOf(before.Framing.wire(first.size)) { // nothing of it is sent
		left = workOf(p.cfg.Framing.wire(first.size))
	}
	// Where Rate alone says when packets leave, the sent part of the first one is sent. A Shaper and Slots
	// that change begin anew with the waiting packets; those that do not change have decided already.
	byRate := before.Shaper == nil && before.Slots.none() && cfg.Shaper == nil && cfg.Slots.none()
	stays := !byRate && sameService(&before, &p.cfg)
	if !stays {
		p.line.free, p.line.frac = now, 0
		if p.extras != nil {
			p.serveAnew(now)
		}
	}
	p.arrival = p.queue.nth(0).before
	moves := make([]Move, p.queue.len)
	for i := range moves {
		q := p.queue.nth(i)
		m := &moves[i]
		m.Departure, m.At = q.departure, q.at
		q.before = p.arrival
		switch {
		case byRate:
			q.departure = p.line.do(left)
			if i+1 < len(moves) {
				left = workOf(p.cfg.Framing.wire(p.queue.nth(i + 1).size))
			}
		case !stays:
			q.departure = p.serve(q, now)
		}
		q.frac = p.line.frac
		q.at = p.propagate(q)
		m.NewDeparture, m.NewAt = q.departure, q.at
	}
	if p.cfg.Limit > 0 {
		p.holds.move(moves)
	}
	p.queue.drain(now)
	return moves, nil
}

// sameService reports whether packets leave two configurations alike.
func sameService(a, b *Config) bool {
	return a.Rate == b.Rate && a.Framing == b.Framing && reflect.DeepEqual(a.Shaper, b.Shaper) && reflect.DeepEqual(a.Slots, b.Slots)
}
