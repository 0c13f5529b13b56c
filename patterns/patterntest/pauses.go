package patterntest

import (
	"math"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A stretch of time.
type stretch struct{ from, to time.Duration }

// pauses returns when the processes of a host were frozen, in the order of time. The last one may have no end.
func (s *Stage) pauses(host string) (all []stretch) {
	under := 0 // way
	for e := range s.Net.Trace().Events() {
		if e.Kind != sim.Noted || e.From != host {
			continue
		}
		before := under
		switch e.Note {
		case "pause":
			under++
		case "pause, over":
			under = max(0, under-1)
		case "resume", "crash", "power off":
			under = 0
		}
		switch {
		case before == 0 && under > 0:
			all = append(all, stretch{e.At, math.MaxInt64})
		case before > 0 && under == 0:
			all[len(all)-1].to = e.At
		}
	}
	return all
}

// patience is until when a call must have ended. A process that is frozen then tells nobody anything before it goes on.
func (w *CallWorld) patience(x *call) time.Duration {
	until := x.wait
	for _, p := range w.pauses(x.by.Name) {
		if p.from <= until+w.overtime() && until < p.to {
			until = p.to
		}
	}
	if until > math.MaxInt64-w.overtime() {
		return math.MaxInt64
	}
	return until + w.overtime()
}
