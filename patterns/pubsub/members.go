package pubsub

import (
	"cmp"
	"slices"
	"time"
)

// join adds a member, in a new generation.
func (g *group) join(name string, a attachment) *member {
	g.generation++
	m := &member{name: name, generation: g.generation, attachment: a}
	i, _ := slices.BinarySearchFunc(g.members, name, func(m *member, n string) int { return cmp.Compare(m.name, n) })
	g.members = slices.Insert(g.members, i, m)
	g.rebalance()
	return m
}

// leave removes a member. Its deliveries no longer belong to it.
func (g *group) leave(m *member) {
	i := slices.Index(g.members, m)
	if i < 0 {
		return
	}
	g.giveUp(m, nil)
	g.noteGone(m)
	g.generation++
	g.members = slices.Delete(g.members, i, i+1)
	g.rebalance()
	if len(g.members) == 0 {
		g.live = false
	}
}

// disconnect records that a member is unreachable. It stays as long as its session lasts, and
// so do its messages in flight: if it reconnects, nothing has moved.
func (g *group) disconnect(m *member) {
	m.attachment = attachment{}
}

// resume brings a member back. Messages that it does not have were lost in transit,
// and are delivered again at once.
func (g *group) resume(m *member, a attachment, r *resume, now time.Time) {
	m.attachment = a
	g.lives(m, now)
	for _, d := range r.Acked {
		g.settle(m, d, verbAck, 0, now)
	}
	g.noteLost(m, r.Held)
	g.giveUp(m, func(f *flight) bool {
		return slices.Contains(r.Held, delivery{f.offset, f.attempts})
	})
}

// rebalance decides who owns which part. All members own equally many, or one more, and
// no part changes its owner without need. A part with messages in flight moves when
// they are settled or their time is up; the other parts continue in the meantime.
//
// A hung member owns no part, unless all members hang.
func (g *group) rebalance() {
	able := slices.DeleteFunc(slices.Clone(g.members), func(m *member) bool { return m.hangs })
	if len(able) == 0 {
		able = slices.Clone(g.members)
	}
	n := len(able)
	for _, m := range g.members {
		m.parts = 0
	}
	for i := range g.parts {
		p := &g.parts[i]
		p.next = nil
		if p.owner != nil && !slices.Contains(g.members, p.owner) {
			p.owner = nil
		}
		if p.owner != nil {
			p.owner.parts++
		}
	}
	if n == 0 {
		return
	}
	g.stats.Rebalances++
	fair, extra := partitions/n, partitions%n // so many members have one more than fair
	// The members with the most parts keep the extra one.
	byShare := able
	slices.SortStableFunc(byShare, func(a, b *member) int { return cmp.Compare(b.parts, a.parts) })
	quota := make(map[*member]int, n)
	for i, m := range byShare {
		quota[m] = fair
		if i < extra {
			quota[m]++
		}
	}
	takers := byShare
	for i := range slices.Backward(g.parts[:]) {
		p := &g.parts[i]
		if p.owner != nil && p.owner.parts <= quota[p.owner] {
			continue
		}
		for takers[0].parts >= quota[takers[0]] {
			takers = takers[1:]
		}
		to := takers[0]
		to.parts++
		if p.owner != nil {
			p.owner.parts--
		}
		if p.owner == nil || p.out == 0 {
			g.hand(p, to)
		} else {
			p.next = to
		}
	}
}

// hand gives a part to its next owner.
func (g *group) hand(p *part, to *member) {
	if p.owner != nil {
		g.stats.Moved++
	}
	p.owner, p.next = to, nil
}

// forget drops all messages, because their offsets are no longer valid, and begins a
// new generation in which no member has any messages.
func (g *group) forget() {
	g.generation++
	g.flights, g.waiting, g.live = nil, 0, false
	for _, m := range g.members {
		m.generation, m.out, m.outBytes, m.acked = g.generation, 0, 0, nil
		m.sentGap, m.toldGap = g.told, g.told
	}
	for i := range g.parts {
		g.parts[i].out = 0
	}
	g.rebalance()
}
