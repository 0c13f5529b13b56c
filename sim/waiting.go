package sim

import "time"

// A room holds the packets that wait at a pipe whose queue decides late what happens to them (netem.CoDel and
// the like). The engine asks the queue when the next one can leave.
type room struct {
	packets map[uint64]*packet // by their tickets
	timer   *timer
}

// wait keeps a packet until its fate is decided.
func (p *pipe) wait(pkt *packet, ticket uint64) {
	if p.waiting == nil {
		p.waiting = &room{packets: make(map[uint64]*packet), timer: p.n.newTimer(p.leave)}
	}
	p.waiting.packets[ticket] = pkt
}

// doom marks packets that end when their turn comes.
func (r *room) doom(which func(pkt *packet) bool) {
	for _, pkt := range r.packets {
		pkt.leaves.never = pkt.leaves.never || which(pkt)
	}
}

// leave releases the packets whose fate is decided by now. The engine calls it, so it need not be woken.
func (p *pipe) leave(now int64) {
	r := p.waiting
	for {
		f, ok := p.em.Take(time.Duration(now))
		if !ok {
			break
		}
		pkt := r.packets[f.Ticket]
		delete(r.packets, f.Ticket)
		if pkt.leaves.never && !f.Verdict.Dropped() {
			p.stats.CutOff++
			p.n.drop(now, pkt, p, "partition, in flight")
			continue
		}
		p.decided(now, pkt, f.Verdict)
	}
	r.timer.at = never
	if due, ok := p.em.Due(); ok {
		r.timer.at = int64(due)
	}
	p.n.queue.schedule(r.timer, classTimer, r.timer.id)
}
