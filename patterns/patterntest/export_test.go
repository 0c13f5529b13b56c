package patterntest

import (
	"time"

	"github.com/squall-sim/squall/sim"
)

// Search is what Delivery does with storms, but returns what it finds.
var Search = searchDelivery

// SearchWork is what it does with storms of workers.
var SearchWork = searchWork

// Around is what Delivery says of what happened around a breach.
func Around(w *World, b Breach) string { return w.around(b) }

// SearchCall is what Call does with storms.
var SearchCall = searchCall

// AroundCall is what Call says of what happened around a breach.
func AroundCall(w *CallWorld, b Breach) string { return w.around(b) }

// What Loopback does with a story.
var (
	LoopbackStories = loopbackStories
	JudgeOnLoopback = func(n *sim.Network, s System, folder string, story Story) []Breach {
		return playOnLoopback(n, s, folder, story).Verdict()
	}
)

// UnknownStories is what Delivery says of names that no story has.
func UnknownStories(stories []string, opts ...Option) string {
	return choose(opts).unknown(stories)
}

// SetShrinkTime has storms made smaller for less time. It returns a function that undoes that.
func SetShrinkTime(d time.Duration) (undo func()) {
	before := shrinkTime
	shrinkTime = d
	return func() { shrinkTime = before }
}

// Dials is when each client tried to open connections.
func Dials(n *sim.Network) map[string][]time.Duration { return (&Stage{Net: n}).dials() }

// A Happening is a moment that is told.
type Happening struct {
	At         time.Duration
	What, Kind string
}

// Told is how what happened is told around a breach.
func Told(text string, at time.Duration, happened []Happening) string {
	var all []moment
	for _, h := range happened {
		all = append(all, moment{at: h.At, what: h.What, kind: h.Kind})
	}
	return told(all, Breach{Text: text, at: at})
}
