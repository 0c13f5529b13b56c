package sim

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/netem"
)

// An impairment is one value of a field of netem.Config on a pipe, for as long as it was set, or
// several times. So one that met nothing can be told, whatever came before and after.
type impairment struct {
	field int // its place among the aspects
	value any
	first time.Duration // when it was set, the first time
	since time.Duration // and the last time
	took  time.Duration // how long it was set before that
	sent  int64         // packets that the pipe took meanwhile, and those of them that it did
	hits  int64         // something to; while it is set, less what the counters were when it was
	over  bool          // it is no longer set
}

// proof is what shows that the impairments of a pipe met something.
type proof struct {
	since       time.Duration // when the pipe was made
	impairments []impairment  // nil until it is configured anew
	corrupted   int64         // packets that netem.Config.Corrupt met
	marked      int64         // packets that netem.Config.Loss picked, and ECN marked
	wanted      bool          // a packet was to come, and a partition took it
}

// An aspect is a field of netem.Config as it stands.
type aspect struct {
	name  string
	value any    // nil if it is not set
	hits  int64  // packets that the field did something to, whatever its value was
	miss  string // what no packet did if there is none; empty for what each packet meets
}

// aspectDelay is the place of netem.Config.Delay among the aspects.
const aspectDelay = 0

// aspects are the fields of p's configuration that are impairments. What bounds a link (Queue, Limit, MTU) is none: a
// link whose bound nothing came to is as it should be.
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

// eachPacketDiffers says whether each packet of a link has another fate with one configuration than with another.
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

// initial are the impairments of a pipe that was never configured anew.
func (p *pipe) initial(now [13]aspect) (all []impairment) {
	for i, a := range now {
		if a.value != nil {
			all = append(all, impairment{field: i, value: a.value, first: p.proof.since, since: p.proof.since})
		}
	}
	return all
}

// reconfigured notes what is set from now on, and what no longer; before is what it was.
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

// history is every impairment that p has or had, with its counts up to now.
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

// idle describes the impairments of p that met nothing. If packets went in the other
// direction only, that says nothing about an impairment that both directions have.
func (p *pipe) idle() (lines []string) {
	fields, other := p.aspects(), p.reverse.history()
	for _, m := range p.history() {
		a := fields[m.field]
		both := slices.IndexFunc(other, func(o impairment) bool { return o.field == m.field && reflect.DeepEqual(o.value, m.value) })
		switch {
		case m.hits > 0:
			continue
		case m.over && m.took == 0: // at the instant at which it was set there was another one
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

// used says that packets came to p, be it to be dropped or held, or would have but for a partition.
func (p *pipe) used() bool { return p.came() > 0 || p.proof.wanted }

// awaits says that p has or had an impairment, so that it is worth a remark if no packet came. The Delay that a link was made
// with is none: it says where the hosts are.
func (p *pipe) awaits() bool {
	delay := func(m impairment) bool { return m.field == aspectDelay && m.first == p.proof.since }
	return slices.ContainsFunc(p.history(), func(m impairment) bool { return !delay(m) })
}
