package patterntest

import (
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim"
)

// judgeTaken checks the calls that a server had begun when it was asked to stop, or crashed.
func (w *CallWorld) judgeTaken(s *subject, f *findings) {
	if len(s.calls) != 1 || !s.calls[0].by.good || len(s.runs) == 0 {
		return
	}
	x, e := s.calls[0], s.runs[0]
	if !x.ended || x.abandoned || x.question.Cancel > 0 {
		return
	}
	for _, r := range w.servers {
		if w.service.Drains && w.judgeDrained(x, r, f) {
			return
		}
		last := r.lastStart()
		if w.service.Durable && !x.isDone() && e.app.server == r.Name && e.at < last && x.wait > last+w.service.Recovery {
			f.addAt(x.at, Lasting, x.by.Name, "%s, asked by %s at %v and begun at %v, was %s, although %s came back at %v and keeps what it has taken", s.id, x.by.Name, x.at, e.at, x.said(), r.Name, last)
			return
		}
	}
}

// judgeDrained checks what a server had begun of a call when it was asked to stop, and reports
// whether there is a breach. It is also a breach if another attempt completed the call: a client
// that retries hides what the server broke off.
func (w *CallWorld) judgeDrained(x *call, r *Replica, f *findings) bool {
	s := x.of
	r.mu.Lock()
	asked := slices.Clone(r.asked)
	r.mu.Unlock()
	for i, at := range asked {
		if x.wait <= at+s.question.takes()+w.service.Bound {
			continue
		}
		for _, e := range s.runs {
			switch {
			case e.app.server != r.Name || e.at > at:
			case !x.isDone() && w.lost(x, e, at):
				f.addAt(at, Drained, x.by.Name, "%s, asked by %s at %v and begun at %v, was %s, since %s was asked to stop at %v", s.id, x.by.Name, x.at, e.at, x.said(), r.Name, at)
				return true
			case x.end() >= e.end && w.isLast(e.tier) && e.brokenOff(at, r.stoppedAfter(i)):
				f.addAt(at, Drained, x.by.Name, "%s, asked by %s at %v and begun at %v, was broken off at %v, since %s was asked to stop at %v", s.id, x.by.Name, x.at, e.at, e.end, r.Name, at)
				return true
			}
		}
	}
	return false
}

// lost reports whether a call that is not done failed because of what its server did after it was
// asked to stop, and not because its client gave up an attempt. Any of these shows that:
//
//   - The call ended one transit after the server was asked to stop, or after its execution ended, unless the caller sent data
//     that may have ended the execution.
//   - The execution took effect, an answer could still have reached the caller, and the call has no key by which it could have
//     been repeated.
//   - The call ended while it was executed, together with the connection on which the server had got it.
func (w *CallWorld) lost(x *call, e *execution, asked time.Duration) bool {
	way := time.Duration(e.tier+1) * Transit
	if e.refused != 0 || e.end > 0 && e.end+way < asked {
		return false // that it was not to be executed, or its answer, had come
	}
	heard := func(at time.Duration) bool { return at > 0 && x.end() >= at+way && x.end() <= at+way+tie }
	return heard(asked) || heard(e.end) && (e.effect || !w.saidBy(x.by, e.end-way)) || e.effect && x.of.key == "" && x.end() >= e.end+way ||
		x.end() >= asked+way && (e.end == 0 || e.end+way > x.end()) && w.hungUpOn(x, e)
}

// saidBy reports whether a caller sent data at a time, and not only acknowledgements.
func (w *CallWorld) saidBy(c *Caller, at time.Duration) bool {
	for e := range w.Net.Trace().Events() {
		if e.Kind == sim.Sent && e.From == c.Name && (e.Length > 0 || ends(e)) && e.At >= at-tie && e.At <= at+tie {
			return true
		}
	}
	return false
}

// hungUpOn reports whether a call ended together with a connection on which its caller had sent
// data before the execution began, and which the other side ended.
func (w *CallWorld) hungUpOn(x *call, e *execution) bool {
	began, spoken := e.at-time.Duration(e.tier+1)*Transit+tie, map[uint16]bool{} // by its port
	for p := range w.Net.Trace().Events() {
		switch {
		case p.Kind == sim.Sent && p.From == x.by.Name && p.Length > 0 && p.At <= began:
			spoken[p.SourcePort] = true
		case p.Kind == sim.Delivered && p.To == x.by.Name && ends(p) && spoken[p.TargetPort] && p.At >= x.end()-tie && p.At <= x.end():
			return true
		}
	}
	return false
}

// ends reports whether a packet ends a connection.
func ends(p sim.Event) bool { return p.Protocol == "tcp" && strings.ContainsAny(p.Flags, "FR") }

// brokenOff reports whether an execution ended without an effect when its server was asked to stop,
// or when that had stopped. In between, the client may have given up the attempt.
func (e *execution) brokenOff(asked, stopped time.Duration) bool {
	when := func(at time.Duration) bool { return e.end >= at && e.end <= at+tie }
	return !e.effect && e.refused == 0 && (when(asked) || when(stopped))
}
