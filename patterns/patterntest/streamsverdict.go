package patterntest

import (
	"fmt"
	"strings"
	"time"
)

// judgeStrays looks for parts of answers to other calls in what a caller has read, and records
// whose answers went elsewhere.
func (w *CallWorld) judgeStrays(x *call, misled map[*subject]bool, f *findings) {
	_, place, rest := x.source()
	for line := range strings.Lines(rest) {
		nth, _, whose := named(line)
		if other := w.subjects[whose]; other != nil && other != x.of {
			misled[x.of], misled[other] = true, true
			f.addAt(x.at, Matched, x.by.Name, "%s got until %v part %d of the answer to %s for part %d of that to %s", x.by.Name, x.end(), nth, whose, place, x.of.id)
		}
		place++
	}
}

// named returns which part a line is, of which run, for which call.
func named(line string) (nth, run int, whose string) {
	fmt.Sscanf(line, "part %d of answer %d to %s", &nth, &run, &whose)
	return nth, run, whose
}

// judgeStream checks what a caller has read of a stream, whatever outcome it was told.
func (w *CallWorld) judgeStream(x *call, f *findings) {
	if !x.question.isStream() || x.by.stopped.Load() {
		return
	}
	who, id, at := x.by.Name, x.of.id, x.end()
	e, parts, rest := x.source()
	switch line := firstLine(rest); {
	case e == nil && rest == "" && x.isDone():
		f.addAt(x.at, Truthful, who, "%s was told at %v that %s is done, but nothing had taken effect", who, at, id)
	case e == nil && rest == "":
	case e == nil || rest != "" && !strings.HasPrefix(e.part(parts), rest):
		w.judgePart(x, e, parts, line, f)
	case x.ended && x.said() == "not executed" && len(e.sent) > 0 && parts > 0:
		f.addAt(x.at, Truthful, who, "%s was told at %v that %s was not executed, but had %d parts of its answer", who, at, id, parts)
	case x.isDone() && (rest != "" || parts < x.question.Parts+x.question.Said) && e.misheard == "":
		f.addAt(x.at, Whole, who, "%s got at %v only %d of the %d parts of the answer to %s, and was told of no error", who, at, parts, x.question.Parts+x.question.Said, id)
	case x.isDone() && (!e.effect || e.end > at) && e.misheard == "":
		f.addAt(x.at, Truthful, who, "%s was told at %v that %s is done, but nothing had taken effect", who, at, id)
	}
}

// source returns the execution of which a caller has read most, the number of its parts, and the
// rest that the caller has read.
func (x *call) source() (from *execution, parts int, rest string) {
	rest = x.taken.String()
	all := rest
	for _, e := range x.of.runs {
		nth, left := 0, all
		for left != "" && strings.HasPrefix(left, e.part(nth)) {
			left = left[len(e.part(nth)):]
			nth++
		}
		if e.app.world.isLast(e.tier) && (from == nil || len(left) < len(rest)) {
			from, parts, rest = e, nth, left
		}
	}
	return from, parts, rest
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// judgePart reports a part that is in the place of another one.
func (w *CallWorld) judgePart(x *call, e *execution, place int, line string, f *findings) {
	who, id, at := x.by.Name, x.of.id, x.end()
	nth, run, _ := named(line)
	switch {
	case e != nil && run == e.nth && strings.Contains(x.taken.String(), e.part(place)):
		f.addAt(x.at, Ordered, who, "%s got until %v part %d of the answer to %s before part %d", who, at, nth, id, place)
	default:
		f.addAt(x.at, Whole, who, "%s got until %v %s in place of part %d of the answer to %s", who, at, short(line), place, id)
	}
}

// judgeSent checks what a server has read of a question, and how much it holds for its caller.
func (w *CallWorld) judgeSent(s *subject, f *findings) {
	if !s.question.isStream() {
		return
	}
	who := s.calls[0].by.Name
	from, parts, rest := s.calls[0].source()
	for _, e := range s.runs {
		if e.misheard != "" {
			f.addAt(e.misheardAt, Whole, who, "%s took at %v %s %s for all of it", e.app.server, e.misheardAt, e.misheard, s.id)
		}
		lost := e == from && !strings.HasPrefix(e.part(parts), rest) // and is not held by anybody
		if w.service.Streams != nil && e.held > w.service.Streams.Buffer && !lost && !w.onLoopback {
			f.addAt(e.heldAt, Bounded, who, "%s had written at %v %d bytes of the answer to %s that %s had not taken; %d are promised", e.app.server, e.heldAt, e.held, s.id, who, w.service.Streams.Buffer)
		}
	}
}

// judgeParts checks when the parts of a stream reached a caller to which nothing
// happens.
func (w *CallWorld) judgeParts(x *call, f *findings) {
	q := x.question
	e, parts, _ := x.source()
	if e == nil || q.Every == 0 || q.Slow > 0 { // else it may wait behind others
		return
	}
	limit := time.Duration(1+len(w.servers)-len(w.front))*w.service.Bound + time.Duration((q.Size+q.Answer)/4000)*Transit + tie
	for nth := range min(parts, len(e.sent)) {
		from := e.sent[nth]
		if nth < len(x.saidAt) {
			from = x.saidAt[nth]
		}
		if x.takenAt[nth]-from > limit {
			f.addAt(from, Answering, x.by.Name, "part %d of the answer to %s, due at %v, came to %s at %v; %v is promised", nth, x.of.id, from, x.by.Name, x.takenAt[nth], limit-tie)
			return
		}
	}
}
