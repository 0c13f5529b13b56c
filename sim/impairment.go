package sim

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/netem"
)

// An impairment is one value of a field of netem.Config on a pipe, for as long as it was set, perhaps several
// times. So the report can name one that met nothing, whatever was set before and after.
type impairment struct {
	field int // its place among the aspects
	value any
	first time.Duration // when it was first set
	since time.Duration // when it was last set
	took  time.Duration // how long it had been set before that
	sent  int64         // packets that entered the pipe while it was set
	hits  int64         // packets that it affected; while it is set, both are relative to the counters at that time
	over  bool          // it is no longer set
}

// proof is the evidence of what the impairments of a pipe met.
type proof struct {
	since       time.Duration // when the pipe was made
	impairments []impairment  // nil until the pipe is configured again
	corrupted   int64         // packets that netem.Config.Corrupt met
	marked      int64         // packets that netem.Config.Loss picked, and ECN marked
	wanted      bool          // a partition took a packet that would have entered
}

// An aspect is the current state of a field of netem.Config.
type aspect struct {
	name  string
	value any    // nil if it is not set
	hits  int64  // packets that the field affected, whatever its value was
	miss  string // what no packet met if hits is 0; empty for a field that each packet meets
}

// aspectDelay is the place of netem.Config.Delay among the aspects.
const aspectDelay = 0

// aspects returns the fields of p's configuration that are impairments. The bounds of a link (Queue, Limit,
// MTU) are not: a link that never reached its bound is as it should be.
func (p *pipe) aspects() [13]aspect {
	cfg, s := p.em.Config(), &p.stats
	return [...]aspect{
		aspectDelay: {"Delay", unlessZero(cfg.Delay), s.Sent, ""},
		{"Jitter", unlessZero(cfg.Jitter), s.Sent, ""},
		{"Loss", cfg.Loss, s.Lost + p.proof.marked, "was affected"},
		{"ECN", unlessZero(cfg.ECN), p.proof.marked, "was marked"},
		{"Duplicate", unlessZero(cfg.Duplicate), s.Duplicated, "was affected"},
		{"Reorder", unlessZero(cfg.Reorder), s.Reordered, "was affected"},
		{"Corrupt", unlessZero(cfg.Corrupt), p.proof.corrupted, "was affected"},
		{"Damage", unlessZero(cfg.Damage), s.Altered, "was altered"},
		{"Correlation", unlessZero(cfg.Correlation), s.Sent, ""},
		{"Rate", unlessZero(cfg.Rate), s.Sent, ""},
		{"Framing", unlessZero(cfg.Framing), s.Sent, ""},
		{"Shaper", cfg.Shaper, s.Sent, ""},
		{"Slots", unlessZero(cfg.Slots), s.Sent, ""},
	}
}

// eachPacketDiffers reports whether every packet of a link has a different fate with one configuration than
// with another.
func eachPacketDiffers(a, b netem.Config) bool {
	return a.Delay != b.Delay || a.Jitter != b.Jitter || a.Rate != b.Rate || a.Framing != b.Framing ||
		!reflect.DeepEqual(a.Slots, b.Slots) || !reflect.DeepEqual(a.Shaper, b.Shaper) || !reflect.DeepEqual(a.Distribution, b.Distribution)
}

func unlessZero[T comparable](v T) any {
	if v == *new(T) {
		return nil
	}
	return v
}

// initial returns the impairments of a pipe that was never configured again.
func (p *pipe) initial(now [13]aspect) (all []impairment) {
	for i, a := range now {
		if a.value != nil {
			all = append(all, impairment{field: i, value: a.value, first: p.proof.since, since: p.proof.since})
		}
	}
	return all
}

// reconfigured records what is set from now on, and what is not any more; before is the old configuration.
func (p *pipe) reconfigured(before [13]aspect, now time.Duration) {
	if p.proof.impairments == nil {
		p.proof.impairments = p.initial(before)
	}
	for i, a := range p.aspects() {
		if reflect.DeepEqual(a.value, before[i].value) {
			continue
		}
		for j := range p.proof.impairments {
			if m := &p.proof.impairments[j]; m.field == i && !m.over {
				m.over, m.took = true, m.took+now-m.since
				m.sent += p.stats.Sent
				m.hits += a.hits
			}
		}
		if a.value == nil {
			continue
		}
		same := func(m impairment) bool { return m.field == i && reflect.DeepEqual(m.value, a.value) }
		j := slices.IndexFunc(p.proof.impairments, same)
		if j < 0 {
			j = len(p.proof.impairments)
			p.proof.impairments = append(p.proof.impairments, impairment{field: i, value: a.value, first: now})
		}
		m := &p.proof.impairments[j]
		m.over, m.since = false, now
		m.sent -= p.stats.Sent
		m.hits -= a.hits
	}
}

// history returns every impairment that p has or had, with its counts so far.
func (p *pipe) history() []impairment {
	now := p.aspects()
	all := slices.Clone(p.proof.impairments)
	if all == nil {
		all = p.initial(now)
	}
	for i := range all {
		if m := &all[i]; !m.over {
			m.sent += p.stats.Sent
			m.hits += now[m.field].hits
		}
	}
	return all
}

// idle describes the impairments of p that met nothing. If packets went in the other direction only, that
// says nothing about an impairment that both directions have.
func (p *pipe) idle() (lines []string) {
	fields, other := p.aspects(), p.reverse.history()
	for _, m := range p.history() {
		a := fields[m.field]
		both := slices.IndexFunc(other, func(o impairment) bool { return o.field == m.field && reflect.DeepEqual(o.value, m.value) })
		switch {
		case m.hits > 0:
			continue
		case m.over && m.took == 0: // another one was set at the instant at which this one was
			continue
		case m.sent == 0 && a.miss == "" && m.first == p.proof.since: // a link that took no packet at all is reported as such
			continue
		case both >= 0 && m.sent == 0 && p.reverse.used():
			continue
		}
		line := fmt.Sprintf("  %s on %v", a.name, p)
		if m.first > p.proof.since {
			line += fmt.Sprintf(", set at %v", m.first)
		}
		if m.sent == 0 {
			line += ": it met no packet"
		} else {
			line += fmt.Sprintf(": none of %s %s", count.Of(int(m.sent), "packet", "packets"), a.miss)
		}
		lines = append(lines, line)
	}
	return lines
}

// used reports whether packets arrived at p, even if it dropped or held them, or would have arrived but for a
// partition.
func (p *pipe) used() bool { return p.came() > 0 || p.proof.wanted }

// awaits reports whether p has or had an impairment, so that the report mentions it if no packet came. The
// Delay with which a link was made does not count: it says where the hosts are.
func (p *pipe) awaits() bool {
	delay := func(m impairment) bool { return m.field == aspectDelay && m.first == p.proof.since }
	return slices.ContainsFunc(p.history(), func(m impairment) bool { return !delay(m) })
}
