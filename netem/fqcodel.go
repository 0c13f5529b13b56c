package netem

import (
	"fmt"
	"time"
)

// FQCoDel has a [CoDel] for each flow and serves flows in turn, new ones first (RFC 8290, as Linux's
// net/sched/sch_fq_codel.c does). In sim a flow is what one socket sends to one destination. When the queue
// is full, the flow with the most waiting bytes loses the oldest half of them, but no more than 64 packets.
type FQCoDel struct {
	CoDel   CoDel // of each flow; its Packets is the limit for all together, 0 meaning 10240
	Flows   int   // queues into which flows are hashed; 0 means 1024; at most 65536
	Quantum int   // bytes that a flow may send in its turn; 0 means the MTU and 14 of Ethernet
}

func (q FQCoDel) defaults(mtu int) FQCoDel {
	q.CoDel.Packets = orDefault(q.CoDel.Packets, 10240)
	q.CoDel = q.CoDel.defaults()
	q.Flows = orDefault(q.Flows, 1024)
	q.Quantum = orDefault(q.Quantum, mtu+14)
	return q
}

func (q FQCoDel) invalid(c *Config) string {
	switch {
	case q.Flows < 0 || q.Flows > 1<<16:
		return "Flows must be 0 (for 1024) or in [1,65536]"
	case q.Quantum < 0 || q.Quantum > 1<<20:
		return "Quantum must be 0 (for the MTU and 14) or in [1,1048576]"
	}
	return q.CoDel.invalid(c)
}

func (q FQCoDel) discipline(c *Config) discipline {
	cfg := q.defaults(c.mtu())
	return &fqCoDel{cfg: cfg, mtu: c.mtu(), flows: make(map[int]*fqFlow)}
}

// String returns the queue as Go writes it.
func (q FQCoDel) String() string {
	return fmt.Sprintf("FQCoDel{CoDel: %v, Flows: %d, Quantum: %d}", q.CoDel, q.Flows, q.Quantum)
}

type fqCoDel struct {
	cfg            FQCoDel
	mtu            int
	flows          map[int]*fqFlow // flows that have had a packet, by hash
	fresh, old     []*fqFlow       // flows that take turns: new ones, then the others
	packets, bytes int
}

type fqFlow struct {
	index   int
	wait    lineup
	law     codelLaw
	deficit int // bytes left in its turn
	queued  bool
}

func (q *fqCoDel) enter(w waiter, _ time.Duration, r *room) {
	index := int(below(mix64(w.flow), uint64(q.cfg.Flows)))
	f := q.flows[index]
	if f == nil {
		f = &fqFlow{index: index}
		q.flows[index] = f
	}
	f.wait.push(w)
	q.packets++
	q.bytes += w.size
	if !f.queued {
		f.queued, f.deficit = true, q.cfg.Quantum
		q.fresh = append(q.fresh, f)
	}
	if q.packets > q.cfg.CoDel.Packets {
		q.dropFattest(r)
	}
}

// dropFattest is fq_codel_drop.
func (q *fqCoDel) dropFattest(r *room) {
	const most = 64
	var fat *fqFlow
	for _, f := range q.flows { // the order does not matter: among equals the lowest index wins
		if fat == nil || f.wait.bytes > fat.wait.bytes || f.wait.bytes == fat.wait.bytes && f.index < fat.index {
			fat = f
		}
	}
	half := fat.wait.bytes / 2
	for i, dropped := 0, 0; i < most && (i == 0 || dropped < half); i++ {
		w, _ := fat.wait.pop()
		dropped += w.size
		q.packets--
		q.bytes -= w.size
		r.drop(w)
		fat.law.count++
	}
}

func (q *fqCoDel) leave(now time.Duration, r *room) (waiter, bool) {
	for {
		list := &q.fresh
		if len(q.fresh) == 0 {
			list = &q.old
		}
		if len(*list) == 0 {
			return waiter{}, false
		}
		f := (*list)[0]
		if f.deficit <= 0 {
			f.deficit += q.cfg.Quantum
			*list = (*list)[1:]
			q.old = append(q.old, f)
			continue
		}
		w, ok := q.leaveFlow(f, now, r)
		if ok {
			f.deficit -= w.size
			return w, true
		}
		*list = (*list)[1:]
		if list == &q.fresh && len(q.old) > 0 {
			q.old = append(q.old, f) // so that new flows do not starve old ones
		} else {
			f.queued = false
		}
	}
}

// leaveFlow is the next packet of a flow that is not dropped.
func (q *fqCoDel) leaveFlow(f *fqFlow, now time.Duration, r *room) (waiter, bool) {
	before, packets := f.wait.bytes, f.wait.len()
	w, ok := f.law.leave(&q.cfg.CoDel, &f.wait, q.bytes-before, q.mtu, now, r)
	q.bytes -= before - f.wait.bytes
	q.packets -= packets - f.wait.len()
	return w, ok
}

func (q *fqCoDel) backlog() (packets, bytes int) { return q.packets, q.bytes }

func (q *fqCoDel) empty() (all []waiter) {
	for _, f := range q.flows { // whose order does not matter: they are sorted by ticket
		all = append(all, f.wait.empty()...)
	}
	*q = fqCoDel{cfg: q.cfg, mtu: q.mtu, flows: map[int]*fqFlow{}}
	return all
}
