package patterntest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// budgetWindows are the windows in which attempts are counted, for [Thrifty]; the last one is the
// whole story.
var budgetWindows = []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 1 << 62}

// A source is where attempts come from: a caller, or the server before a tier.
type source struct {
	by   *Caller // nil: a server
	tier int     // of those that it asks
}

// judgeBudget counts the retries of each caller whose network is good, and of each server that asks
// another.
func (w *CallWorld) judgeBudget(calls []*call, f *findings) {
	if w.service.Retries == nil {
		return
	}
	asked, again := map[source][]span{}, map[source][]time.Duration{}
	var sources []source
	asks := func(from source, at, end time.Duration) {
		if asked[from] == nil {
			sources = append(sources, from)
		}
		asked[from] = append(asked[from], span{at, cmp.Or(end, w.Net.Elapsed())})
	}
	for _, x := range calls {
		if x.by.good {
			asks(source{x.by, 0}, x.at, x.end())
		}
		if x.of.calls[0] != x || !x.by.good {
			continue
		}
		had := map[int]int{} // attempts of it that a tier may yet see without one that is a retry
		later := x.of.calls  // those with its key that are not counted there yet, since they come later
		for _, e := range x.of.runs {
			for len(later) > 0 && later[0].at <= e.at {
				later = later[1:]
				had[0]++
			}
			from := source{x.by, 0}
			if e.tier > 0 {
				from = source{nil, e.tier}
			}
			if had[e.tier] == 0 {
				again[from] = append(again[from], e.at)
			} else {
				had[e.tier]--
			}
			if !w.isLast(e.tier) {
				asks(source{nil, e.tier + 1}, e.at, e.end)
				had[e.tier+1]++
			}
		}
	}
	for _, from := range sources {
		slices.Sort(again[from])
		w.judgeRetries(from, again[from], asked[from], f)
	}
}

// judgeRetries compares the retries in each window with the calls in progress then.
func (w *CallWorld) judgeRetries(from source, again []time.Duration, asked []span, f *findings) {
	who, name := "", fmt.Sprintf("the server before tier %d", from.tier+1)
	if from.by != nil {
		who, name = from.by.Name, from.by.Name
	}
	for _, window := range budgetWindows {
		for first, begin := range again {
			last, _ := slices.BinarySearchFunc(again, begin, func(at, from time.Duration) int { return cmp.Compare(at-from, window) })
			calls := 0
			for _, c := range asked {
				if c.from-begin < window && c.to >= begin-Transit {
					calls++
				}
			}
			if most := calls*w.service.Retries.Percent/100 + w.service.Retries.Burst; last-first > most {
				f.addAt(begin, Thrifty, who, "%s asked again %d times within %v from %v on, for %d calls; the budget allows %d",
					name, last-first, min(window, w.Net.Elapsed()-begin), begin, calls, most)
				return
			}
		}
	}
}
