package netem

import (
	"cmp"
	"slices"
	"time"
)

// A room is where packets wait for the line in a queue that decides after their arrival which of them go and
// which are dropped: [DropHead], [DropRandom], [CoDel], [FQCoDel]. Their Send returns a ticket, and Take the
// verdict.
type room struct {
	discipline discipline
	tickets    uint64
	since      time.Duration // when it was last empty
	fates      []Fate        // decided fates
	taken      int           // number of them that Take has returned
}

// A Fate is the verdict on a packet, or a copy, whose fate was open.
type Fate struct {
	Ticket uint64 // as in its Verdict or Copy
	Verdict
}

// A waiter is a packet in a room.
type waiter struct {
	queued
	ticket  uint64
	entered time.Duration
	flow    uint64
	ect     bool
	verdict Verdict // what was decided when it arrived
}

// A discipline is the state of such a queue.
type discipline interface {
	// enter adds a packet. The room decides which of the waiting packets it drops to make room.
	enter(w waiter, now time.Duration, r *room)
	// leave returns the packet that goes next, if there is one.
	leave(now time.Duration, r *room) (waiter, bool)
	// backlog returns the number of waiting packets, and of their bytes.
	backlog() (packets, bytes int)
	// empty removes all packets.
	empty() []waiter
}

// drop decides that a packet is dropped.
func (r *room) drop(w waiter) {
	r.fates = append(r.fates, Fate{w.ticket, Verdict{Reason: DropQueue}})
}

// mark marks a packet instead of dropping it, if its sender understands that.
func (w *waiter) mark() bool {
	if w.ect {
		w.verdict.Marked = true
	}
	return w.ect
}

// wait makes a packet wait, and returns its ticket.
func (p *Pipe) wait(w waiter, now time.Duration) uint64 {
	r := p.room
	if packets, _ := r.discipline.backlog(); packets == 0 {
		r.since = now
	}
	r.tickets++
	w.ticket, w.entered = r.tickets, now
	r.discipline.enter(w, now, r)
	p.serveRoom(now)
	return w.ticket
}

// nextService returns when the next packet leaves the room, if there is one.
func (p *Pipe) nextService() (at time.Duration, ok bool) {
	packets, _ := p.room.discipline.backlog()
	return max(p.lastDeparture(), p.room.since), packets > 0
}

// serveRoom puts on the line the packets whose turn has come by now.
func (p *Pipe) serveRoom(now time.Duration) {
	for {
		at, ok := p.nextService()
		if !ok || at > now {
			return
		}
		w, ok := p.room.discipline.leave(at, p.room)
		if ok {
			p.decide(w, at)
		}
	}
}

// decide gives the verdict on a packet that is put on the line.
func (p *Pipe) decide(w waiter, now time.Duration) {
	p.queue.drain(now)
	// If the line was busy, it became free less than a nanosecond ago.
	w.verdict.Departure, w.verdict.At = p.enqueue(w.queued, max(w.entered, now-1), now)
	p.room.fates = append(p.room.fates, Fate{w.ticket, w.verdict})
}

// Due returns the time by which Take has a fate; ok is false if no fates are open.
func (p *Pipe) Due() (at time.Duration, ok bool) {
	switch {
	case p.extras == nil || p.room == nil:
		return 0, false
	case len(p.room.fates) > 0:
		return p.now, true
	default:
		return p.nextService()
	}
}

// Take returns the next fate that is decided by now, which is never less than in the previous call. A packet
// that waited was sent at its Departure, or dropped.
func (p *Pipe) Take(now time.Duration) (Fate, bool) {
	if p.extras == nil || p.room == nil {
		return Fate{}, false
	}
	p.now = max(p.now, now)
	p.serveRoom(now)
	if len(p.room.fates) == 0 {
		return Fate{}, false
	}
	r := p.room
	f := r.fates[r.taken]
	if r.taken++; r.taken == len(r.fates) {
		r.fates, r.taken = r.fates[:0], 0
	}
	return f, true
}

// deciding reports whether packets wait in a room for their fates.
func (p *Pipe) deciding() bool {
	if p.extras == nil || p.room == nil {
		return false
	}
	_, closed := p.room.discipline.(nothing)
	return !closed
}

// setRoom prepares for a changed Queue. Packets that wait in a room stay in the order in which they arrived.
func (p *Pipe) setRoom(before Queue) {
	q, deciding := p.cfg.Queue.(decidingQueue)
	if p.extras == nil || p.room == nil {
		if !deciding {
			return
		}
		p.room = new(room)
	}
	var all []waiter
	if d := p.room.discipline; d != nil {
		if deciding && before == p.cfg.Queue {
			return
		}
		all = d.empty()
		slices.SortFunc(all, func(a, b waiter) int { return cmp.Compare(a.ticket, b.ticket) })
	}
	if !deciding {
		p.room.discipline = nothing{}
		for _, w := range all {
			p.decide(w, p.now)
		}
		return
	}
	p.room.since = p.now
	p.room.discipline = q.discipline(&p.cfg)
	for _, w := range all {
		p.room.discipline.enter(w, p.now, p.room)
	}
}

// decidingQueue is a Queue with a room.
type decidingQueue interface {
	Queue
	discipline(cfg *Config) discipline
}

// nothing is the discipline of a closed room whose fates are not all taken yet.
type nothing struct{}

func (nothing) enter(waiter, time.Duration, *room)             {}
func (nothing) leave(time.Duration, *room) (w waiter, ok bool) { return }
func (nothing) backlog() (packets, bytes int)                  { return 0, 0 }
func (nothing) empty() []waiter                                { return nil }

// A lineup is packets in the order in which they arrived.
type lineup struct {
	all   []waiter
	head  int
	bytes int
}

func (l *lineup) len() int { return len(l.all) - l.head }

func (l *lineup) push(w waiter) {
	if l.head > 64 && 2*l.head > len(l.all) {
		n := copy(l.all, l.all[l.head:])
		clear(l.all[n:])
		l.all, l.head = l.all[:n], 0
	}
	l.all = append(l.all, w)
	l.bytes += w.size
}

func (l *lineup) pop() (waiter, bool) {
	if l.len() == 0 {
		return waiter{}, false
	}
	w := l.all[l.head]
	l.head++
	l.bytes -= w.size
	return w, true
}

// take removes the packet with i others before it.
func (l *lineup) take(i int) waiter {
	w := l.all[l.head+i]
	l.all = slices.Delete(l.all, l.head+i, l.head+i+1)
	l.bytes -= w.size
	return w
}

func (l *lineup) empty() []waiter {
	all := l.all[l.head:]
	*l = lineup{}
	return all
}
