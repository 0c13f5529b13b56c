package patterntest

import (
	"fmt"
	"slices"
	"time"
)

// CallMeasures are the costs of a story of calls, as the network, the callers and the application
// see them.
type CallMeasures struct {
	Calls                      int // that have ended, or should have
	Done, NotExecuted, Unknown int // of these, as their callers were told
	Attempts                   int // executions that began on servers of the last tier
	Effects                    int // executions that took effect
	Wasted                     int // executions for calls that did not end as done

	// The time from a call to its caller being told that it is done: DoneP50 is
	// the median, DoneP99 the 99th percentile and DoneMax the maximum.
	DoneP50, DoneP99, DoneMax time.Duration

	Dials int // connections that the callers tried to open
}

// Measures returns the figures of the story so far.
func (w *CallWorld) Measures() CallMeasures {
	var m CallMeasures
	var took []time.Duration
	w.mu.Lock()
	for _, x := range w.calls {
		if x.of.calls[0] == x {
			w.measureRuns(x.of, &m)
		}
		if !x.ended || x.abandoned {
			continue
		}
		m.Calls++
		switch x.said() {
		case "done":
			m.Done++
			took = append(took, x.Took)
		case "not executed":
			m.NotExecuted++
		default:
			m.Unknown++
		}
	}
	w.mu.Unlock()
	if slices.Sort(took); len(took) > 0 {
		rank := func(percent int) time.Duration { return took[(len(took)*percent+99)/100-1] } // nearest rank
		m.DoneP50, m.DoneP99, m.DoneMax = rank(50), rank(99), rank(100)
	}
	for _, all := range w.dials() {
		m.Dials += len(all)
	}
	return m
}

// measureRuns counts the executions of a subject, whether or not anybody still waited for them. The
// world is locked.
func (w *CallWorld) measureRuns(s *subject, m *CallMeasures) {
	for _, e := range s.runs {
		if w.isLast(e.tier) {
			m.Attempts++
		}
		if e.effect {
			m.Effects++
		}
		if !s.answered() && w.isLast(e.tier) {
			m.Wasted++
		}
	}
}

func (w *CallWorld) cost() string { return w.Measures().String() }

// String returns the figures in one line.
func (m CallMeasures) String() string {
	return fmt.Sprintf("%d calls: %d done, %d not executed, %d unknown; %d attempts, %d effects, %d for nobody; done after %v (p50), %v (p99), %v (max); %d dials",
		m.Calls, m.Done, m.NotExecuted, m.Unknown, m.Attempts, m.Effects, m.Wasted, m.DoneP50, m.DoneP99, m.DoneMax, m.Dials)
}

// around describes what happened at the time of a breach to those that it concerns: the faults, and
// what was asked and executed.
func (w *CallWorld) around(b Breach) string {
	all := w.momentsOf(b.who)
	w.mu.Lock()
	for _, x := range w.calls {
		if b.who != "" && x.by.Name != b.who {
			continue
		}
		all = append(all, moment{at: x.at, kind: "asked by " + x.by.Name, what: x.of.id})
		if x.ended && !x.abandoned {
			all = append(all, moment{at: x.end(), kind: x.said() + ", as " + x.by.Name + " is told", what: x.of.id})
		}
		if x.of.calls[0] != x {
			continue
		}
		for _, e := range x.of.runs {
			all = append(all, moment{at: e.at, kind: "begun on " + e.app.server, what: x.of.id})
			switch {
			case e.effect:
				all = append(all, moment{at: e.end, kind: "took effect", what: x.of.id})
			case e.refused != 0:
				all = append(all, moment{at: e.end, kind: "refused by " + e.app.server, what: x.of.id})
			case e.end > 0:
				all = append(all, moment{at: e.end, kind: "ended without an effect", what: x.of.id})
			}
		}
	}
	w.mu.Unlock()
	return told(all, b)
}
