package patterntest

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/internal/storm"
)

// A plan is the common part of the storms of both contracts: the number of clients, the schedule of
// faults, and the bursts of activity in the meantime.
type plan[B row] struct {
	clients int
	faults  schedule
	bursts  []B
}

// A row is a series of equal items, of which bursts consist.
type row interface {
	comparable
	lasting() time.Duration
	many() int
}

// A pace is the timing of a burst: one item each interval, after a pause.
type pace struct {
	pause, every time.Duration
	count        int
}

func (p pace) lasting() time.Duration { return p.pause + time.Duration(p.count)*p.every }
func (p pace) many() int              { return p.count }

// smaller yields simpler plans. easier returns simpler bursts, the simplest first.
func (p plan[B]) smaller(easier func(B) []B) iter.Seq[plan[B]] {
	return func(yield func(plan[B]) bool) {
		if p.clients > 1 {
			t := p
			t.clients--
			t.faults = slices.DeleteFunc(slices.Clone(p.faults), func(x storm.Fault[hit]) bool { return x.What.client == t.clients })
			if !yield(t) {
				return
			}
		}
		for f := range p.faults.Smaller(simpler) {
			t := p
			if t.faults = f; !yield(t) {
				return
			}
		}
		for part := range storm.Parts(len(p.bursts)) {
			if part.To-part.From == len(p.bursts) {
				continue // a story of nothing shows nothing
			}
			t := p
			if t.bursts = slices.Delete(slices.Clone(p.bursts), part.From, part.To); !yield(t) {
				return
			}
		}
		for i, b := range p.bursts {
			for _, c := range easier(b) {
				t := p
				t.bursts = slices.Clone(p.bursts)
				if t.bursts[i] = c; !yield(t) {
					return
				}
			}
		}
	}
}

// easier returns simpler variants of a burst: with fewer items, with some of its peculiarities
// removed, and with pauses in whole units. pace returns the pace of a burst.
func easier[B row](b B, pace func(*B) *pace, without ...func(c *B)) (all []B) {
	try := func(change func(c *B)) {
		c := b
		if change(&c); c != b {
			all = append(all, c)
		}
	}
	try(func(c *B) { pace(c).count = 1 })
	try(func(c *B) { pace(c).count = (pace(c).count + 1) / 2 })
	try(func(c *B) { pace(c).count = max(1, pace(c).count-1) })
	for _, change := range without {
		try(change)
	}
	for _, to := range []time.Duration{time.Minute, 10 * time.Second, time.Second} {
		try(func(c *B) { pace(c).pause = pace(c).pause.Truncate(to) })
	}
	return all
}

// rest returns how long the last fault lasts after the last burst.
func (p plan[B]) rest() time.Duration {
	var passed time.Duration
	for _, b := range p.bursts {
		passed += b.lasting()
	}
	return max(0, p.faults.Over()-passed)
}

// size returns the numbers of clients, faults and items in words. client and
// thing name a client and an item.
func (p plan[B]) size(client, thing string) string {
	things := 0
	for _, b := range p.bursts {
		things += b.many()
	}
	return count.Of(p.clients, client, client+"s") + ", " + count.Of(len(p.faults), "fault", "faults") + " and " + count.Of(things, thing, thing+"s")
}

// speaksOf reports whether some lines of code use the variable of a client.
func speaksOf(lines []string, client int) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, phone(client)+".") })
}
