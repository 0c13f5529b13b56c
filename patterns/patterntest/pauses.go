package patterntest

import (
	"math"
	"time"

	"github.com/squall-sim/squall/sim"
)

// pauses returns when the processes of a host were frozen, in order of time. The last pause can be
// unfinished.
func (s *Stage) pauses(host string) (all []span) {
	under, down := 0, false // way; the host, which has no processes then
	for e := range s.Net.Trace().Events() {
		if e.Kind != sim.Noted || e.From != host {
			continue
		}
		before := under
		switch e.Note {
		case "pause":
			if !down { // of a host that is, it ends at once, without a word
				under++
			}
		case "pause, over":
			under = max(0, under-1)
		case "resume":
			under = 0
		case "crash", "power off":
			under, down = 0, true
		case "restart":
			down = false
		}
		switch {
		case before == 0 && under > 0:
			all = append(all, span{e.At, math.MaxInt64})
		case before > 0 && under == 0:
			all[len(all)-1].to = e.At
		}
	}
	return all
}

// late reports whether a time is later than a call may end. A process that is frozen when the call
// times out cannot report that before it resumes.
func (w *CallWorld) late(x *call, at time.Duration) bool {
	until := x.wait + w.overtime()
	if at <= until {
		return false
	}
	for _, p := range w.pauses(x.by.Name) {
		switch {
		case p.from > until || p.to <= x.wait:
		case p.to > at:
			return false
		default:
			until = max(until, p.to+w.overtime())
		}
	}
	return at > until
}
