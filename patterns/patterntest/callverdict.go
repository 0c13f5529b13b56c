package patterntest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim"
)

// Verdict returns the promises that were broken so far, one [Breach] for each promise
// and caller. It describes the first occurrence and counts the others. Call it after
// [CallWorld.Settle].
func (w *CallWorld) Verdict() []Breach {
	var f findings
	w.judgeStops(&f)
	w.judgeTraffic(&f)
	w.judgeCounts(&f)
	w.mu.Lock() // what runs on does not change what is judged
	defer w.mu.Unlock()
	calls := w.calls
	misled := map[*subject]bool{} // whose answers went astray, so that it is no wonder if they came late or never
	for _, x := range calls {
		w.judgeOutcome(x, &f)
		w.judgeAnswer(x, misled, &f)
	}
	for _, x := range calls {
		w.judgeStrays(x, misled, &f)
	}
	for _, x := range calls {
		if !misled[x.of] {
			w.judgeStream(x, &f)
			w.judgePromptness(x, &f)
			w.judgeMarks(x, &f)
		}
	}
	w.judgeState(&f)
	for _, s := range w.inOrder() {
		w.judgeEffects(s, &f)
		w.judgeSent(s, &f)
		w.judgeCancelled(s, &f)
		w.judgeDeadlines(s, &f)
		w.judgeDelays(s, &f)
		w.judgeTaken(s, &f)
	}
	w.judgeStrangers(&f)
	w.judgeSilence(calls, &f)
	w.judgeBudget(calls, &f)
	w.judgeRest(&f)
	return f.breaches()
}

// inOrder returns the subjects, in order of time.
func (w *CallWorld) inOrder() []*subject {
	var all []*subject
	for _, x := range w.calls {
		if x.of.calls[0] == x {
			all = append(all, x.of)
		}
	}
	return all
}

// end is when a call ended.
func (x *call) end() time.Duration { return x.at + x.Took }

// isDone reports whether its caller was told that it is done.
func (x *call) isDone() bool { return x.ended && !x.abandoned && x.Err == nil }

// judgeOutcome checks what a caller was told, and whether it was told in time.
func (w *CallWorld) judgeOutcome(x *call, f *findings) {
	who, id := x.by.Name, x.of.id
	if x.abandoned || x.by.stopped.Load() {
		return
	}
	if !x.ended {
		if w.late(x, w.Net.Elapsed()) {
			f.addAt(x.at, Truthful, who, "%s, asked by %s at %v, has not ended, although it waits only until %v", id, who, x.at, x.wait)
		}
		return
	}
	if w.late(x, x.end()) {
		f.addAt(x.at, Truthful, who, "%s, asked by %s at %v, ended at %v, although it waits only until %v", id, who, x.at, x.end(), x.wait)
	}
	effects := x.of.effects()
	switch said := x.said(); {
	case said == "not executed" && len(effects) > 0 && x.of.question.Object == "" && x.of.nobodyElse():
		f.addAt(x.at, Truthful, who, "%s was told at %v that %s was not executed, but that took effect at %v", who, x.end(), id, effects[0].end)
	case said == "done" && !x.question.isStream() && x.of.other == nil && w.answerOf(x.Answer) == nil && (len(effects) == 0 || effects[0].end > x.end()):
		f.addAt(x.at, Truthful, who, "%s was told at %v that %s is done, but nothing had taken effect", who, x.end(), id)
	}
}

// nobodyElse reports whether every call of a subject ended as not executed, so that none can have
// caused an effect.
func (s *subject) nobodyElse() bool {
	return !slices.ContainsFunc(s.calls, func(x *call) bool { return !x.ended || x.abandoned || x.said() != "not executed" })
}

// answerOf returns the execution that gave an answer, or nil.
func (w *CallWorld) answerOf(answer string) *execution {
	_, rest, _ := strings.Cut(answer, " to ")
	id, _, _ := strings.Cut(rest, " ")
	s := w.subjects[id]
	if s == nil {
		return nil
	}
	for _, e := range s.effects() {
		if e.answer == answer {
			return e
		}
	}
	return nil
}

// judgeAnswer checks the answer of a call that is done, and records calls whose answers went
// elsewhere.
func (w *CallWorld) judgeAnswer(x *call, misled map[*subject]bool, f *findings) {
	if !x.isDone() || x.question.isStream() {
		return
	}
	who, id, at := x.by.Name, x.of.id, x.end()
	if x.of.other != nil {
		if len(x.of.effects()) > 0 {
			return // which is a breach itself
		}
		f.addAt(x.at, Matched, who, "%s was told at %v that %s is done, but its key, %s, had been used for %s, which was other data", who, at, id, x.of.key, x.of.other.id)
		return
	}
	effects := x.of.effects()
	if len(effects) == 0 || effects[0].end > at { // else there is none to compare it with
		if e := w.answerOf(x.Answer); e != nil && e.of != x.of {
			misled[x.of], misled[e.of] = true, true
			f.addAt(x.at, Matched, who, "%s got at %v the answer to %s for %s", who, at, e.of.id, id)
		}
		return
	}
	if slices.ContainsFunc(effects, func(e *execution) bool { return e.answer == x.Answer }) {
		return // if there are several that is another breach
	}
	own := effects[0].answer
	switch e := w.answerOf(x.Answer); {
	case e != nil && e.of != x.of:
		misled[x.of], misled[e.of] = true, true
		f.addAt(x.at, Matched, who, "%s got at %v the answer to %s for %s", who, at, e.of.id, id)
	case strings.HasPrefix(own, x.Answer):
		f.addAt(x.at, Whole, who, "%s got at %v only %d of the %d bytes of the answer to %s, and was told of no error", who, at, len(x.Answer), len(own), id)
	case x.of.key != "" && x.of.calls[0] != x:
		f.addAt(x.at, Matched, who, "%s got at %v %s for %s, but others with its key, %s, get %s", who, at, short(x.Answer), id, x.of.key, short(own))
	default:
		f.addAt(x.at, Whole, who, "%s got at %v %s as the answer to %s, which was %s", who, at, short(x.Answer), id, short(own))
	}
}

// judgeEffects checks how often each subject took effect.
func (w *CallWorld) judgeEffects(s *subject, f *findings) {
	effects := s.effects()
	who := s.calls[0].by.Name
	switch {
	case s.other != nil && len(effects) > 0:
		f.add(Single, who, "%s took effect at %v, although its key, %s, had been used for %s, which was other data", s.id, effects[0].end, s.key, s.other.id)
	default:
		if e := w.again(s); e != nil {
			f.addAt(effects[0].end, Single, who, "%s took effect at %v and again at %v", s.id, effects[0].end, e.end)
		}
	}
}

// again returns the effect that should not have happened, or nil.
func (w *CallWorld) again(s *subject) *execution {
	effects := s.effects()
	if s.question.Object != "" {
		return nil // what was made of a state may not have been stored; the states tell
	}
	for i, e := range effects[min(1, len(effects)):] {
		before := effects[i].end
		over := s.key != "" && w.service.Keys.Window > 0 && e.end-before >= w.service.Keys.Window
		forgotten := s.key != "" && !w.service.Keys.Durable && w.restarted(before, e.end)
		if !over && !forgotten {
			return e
		}
	}
	return nil
}

// restarted reports whether a server has started within a time and so has lost what was in its
// memory.
func (w *CallWorld) restarted(from, to time.Duration) bool {
	return slices.ContainsFunc(w.servers, func(r *Replica) bool { return r.startsUntil(to) > r.startsUntil(from) })
}

// judgeStrangers looks for requests that servers executed and nobody had sent.
func (w *CallWorld) judgeStrangers(f *findings) {
	for _, x := range w.strange {
		id, _, _ := strings.Cut(x.data, " ")
		s := w.subjects[id]
		switch {
		case s != nil && strings.HasPrefix(s.text, x.data):
			f.add(Whole, "", "%s was to execute at %v only %d of the %d bytes of %s", x.where, x.at, len(x.data), len(s.text), id)
		default:
			f.add(Whole, "", "%s was to execute at %v %s, which nobody had asked", x.where, x.at, short(x.data))
		}
	}
}

// bound returns how long a call may take over a good network.
func (w *CallWorld) bound(x *call) time.Duration {
	return w.service.Bound + x.of.question.takes() + x.question.transfer() + time.Duration(len(w.servers)-len(w.front))*w.service.Bound
}

// upload is the transfer time of a question, and of the small answer to one whose answer is not a
// stream.
func (q Question) upload() time.Duration {
	if q.isStream() {
		q.Answer = 0
	}
	return q.transfer()
}

// transfer is how much longer a question and its answer may take than short
// ones.
func (q Question) transfer() time.Duration {
	return time.Duration((q.Size*(1+q.Said)+q.Answer*max(1, q.Parts+q.Said))/4000) * Transit
}

// judgePromptness checks the calls of callers to which nothing happens.
func (w *CallWorld) judgePromptness(x *call, f *findings) {
	bound := w.bound(x)
	q := x.question
	// A caller that does not wait that long, or repeats a key in use, may get no answer.
	if !x.by.inTime || x.abandoned || !x.ended || x.wait < x.at+bound || q.Refusals > 0 || x.of.other != nil || q.Key != "" && x.of.calls[0] != x ||
		max(q.Size, q.Answer) > w.service.MaxBytes {
		return
	}
	switch {
	case x.Err != nil:
		f.addAt(x.at, Answering, x.by.Name, "%s, asked by %s at %v over a good network, was %s at %v (%v)", x.of.id, x.by.Name, x.at, x.said(), x.end(), x.Err)
	case x.Took > bound+tie:
		f.addAt(x.at, Answering, x.by.Name, "%s, asked by %s at %v, took %v over a good network; %v is promised", x.of.id, x.by.Name, x.at, x.Took, bound)
	default:
		w.judgeParts(x, f)
	}
}

// judgeRest looks for callers that can no longer call.
func (w *CallWorld) judgeRest(f *findings) {
	for _, c := range w.callers {
		if c.runs() && !c.stopped.Load() && !w.answeredAtRest(c) && len(f.all) == 0 {
			f.add(Answering, c.Name, "no call of %s was done within %v after all faults were over", c.Name, w.service.Recovery)
		}
	}
	for _, x := range w.calls {
		if x.of.key != "" && x.of.other == nil && x.of.calls[0] == x && x.by.runs() && !x.of.answered() && len(f.all) == 0 {
			f.addAt(x.at, Answering, x.by.Name, "%s, repeated with its key, was not done within %v after all faults were over", x.of.id, w.service.Recovery)
		}
	}
}

// judgeMarks checks the calls that the story said must be done.
func (w *CallWorld) judgeMarks(x *call, f *findings) {
	for _, m := range w.marks {
		if x.at < m.from || m.until > 0 && x.at >= m.until || x.abandoned || x.isDone() || x.probe {
			continue
		}
		said := "nothing"
		if x.ended {
			said = x.said()
		}
		f.addAt(x.at, m.promise, x.by.Name, "%s, asked by %s at %v, was %s, although %s", x.of.id, x.by.Name, x.at, said, m.why)
	}
}

// judgeSilence looks for connections that are still used although they have gone
// silent.
func (w *CallWorld) judgeSilence(calls []*call, f *findings) {
	for _, c := range w.callers {
		for i, at := range c.cutSilent {
			until := w.settling
			if i+1 < len(c.cutSilent) {
				until = c.cutSilent[i+1]
			}
			known := time.Duration(-1) // when a call failed
			for _, x := range calls {
				if x.by == c && x.at >= at && x.at < until && x.ended && !x.isDone() && (known < 0 || x.end() < known) {
					known = x.end()
				}
			}
			for _, x := range calls {
				// A call that was not executed has used no connection: a breaker may have refused it.
				if x.by == c && known >= 0 && x.at > known && x.at < until && x.at > at+w.service.Detects && x.ended && !x.abandoned && x.said() == "unknown" {
					f.addAt(x.at, Wary, c.Name, "%s, asked by %s at %v, was %s, since it used a connection that was silent since %v and on which a call had failed at %v",
						x.of.id, c.Name, x.at, x.said(), at, known)
				}
			}
		}
	}
}

// judgeCancelled looks for work on calls that their callers gave up.
func (w *CallWorld) judgeCancelled(s *subject, f *findings) {
	if !w.service.Cancels || len(s.calls) != 1 || w.onLoopback { // where a busy machine takes the time
		return
	}
	x := s.calls[0]
	if !x.by.good || !x.ended || x.abandoned || x.isDone() || x.end() < x.wait {
		return
	}
	for _, e := range s.runs {
		// A request in transit at that time cannot be recalled.
		limit := max(x.wait, e.at) + time.Duration(e.tier+1)*2*Transit + w.ahead(x) + tie
		if e.end > limit || e.end == 0 && w.Net.Elapsed() > limit {
			f.addAt(x.wait, Cancelled, x.by.Name, "%s was given up by %s at %v, but %s worked on it until %v", s.id, x.by.Name, x.wait, e.app.server, cmp.Or(e.end, w.Net.Elapsed()))
		}
	}
}

// ahead returns how long the caller's other requests can occupy the connection on which it gives up
// a call.
func (w *CallWorld) ahead(x *call) (d time.Duration) {
	for _, other := range w.calls {
		if other.by == x.by && other.at <= x.wait && (!other.ended || other.end() >= x.at) {
			d += other.question.upload()
		}
	}
	return d
}

// judgeDeadlines checks the deadlines that servers know.
func (w *CallWorld) judgeDeadlines(s *subject, f *findings) {
	if !w.service.Deadlines || len(s.calls) != 1 {
		return
	}
	x := s.calls[0]
	who, until := x.by.Name, x.at+x.question.Timeout
	for _, e := range s.runs {
		limit := until + time.Duration(e.tier+1)*3*Transit + x.question.transfer() + tie // a time that is left is as old as its message, which may have waited for a connection
		switch {
		case e.deadline == 0:
			f.add(Timely, who, "%s, asked by %s at %v, had no deadline on %s", s.id, who, x.at, e.app.server)
		case w.onLoopback: // where a busy machine takes the time
		case e.deadline > limit && x.by.good:
			f.add(Timely, who, "%s, asked by %s at %v, had until %v on %s, but its caller waits only until %v", s.id, who, x.at, e.deadline, e.app.server, until)
		case e.at > min(e.deadline, limit) && (x.by.good || e.at > e.deadline):
			f.addAt(e.at, Timely, who, "%s, asked by %s at %v, began on %s at %v, but its time was over at %v", s.id, who, x.at, e.app.server, e.at, min(e.deadline, limit))
		}
	}
}

// judgeDelays checks when clients retried that were told when to.
func (w *CallWorld) judgeDelays(s *subject, f *findings) {
	if w.service.Retries == nil || !w.service.Retries.After || len(s.calls) != 1 {
		return
	}
	x := s.calls[0]
	for i, e := range s.runs {
		if e.refused <= 0 {
			continue
		}
		again := slices.IndexFunc(s.runs[i+1:], func(next *execution) bool { return next.tier == e.tier })
		switch {
		case again >= 0 && s.runs[i+1+again].at < e.at+e.refused:
			f.addAt(e.at, Patient, x.by.Name, "%s was refused at %v for %v, but asked again at %v", s.id, e.at, e.refused, s.runs[i+1+again].at)
		case again < 0 && x.by.good && x.ended && !x.abandoned && i == 0 && e.at+e.refused+w.bound(x)+time.Second < x.wait:
			f.addAt(e.at, Patient, x.by.Name, "%s was refused at %v for %v, and not asked again, although %s waits until %v", s.id, e.at, e.refused, x.by.Name, x.wait)
		}
	}
}

// aliveWithin returns how many calls of a client are in progress within a second, or began since
// the client was last heard: a client that was frozen does later what those calls require, although
// they have ended.
func (w *CallWorld) aliveWithin(p *Peer, from time.Duration) (count int) {
	silent := w.silentSince(p, from)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.calls {
		if &x.by.Peer == p && x.at < from+time.Second && (!x.ended || x.end() >= from || x.at >= silent) {
			count++
		}
	}
	return count
}

// silentSince returns since when a client has sent nothing, as of a time. If it was frozen and
// resumed within a second before or after, it returns since when it was frozen, because its kernel
// continues to send.
func (w *CallWorld) silentSince(p *Peer, at time.Duration) (silent time.Duration) {
	frozen := w.pauses(p.Name)
	for _, f := range frozen {
		if f.from < at+time.Second && f.to < at+time.Second && f.to+time.Second >= at {
			return f.from
		}
	}
	for e := range w.Net.Trace().Events() {
		if e.Kind == sim.Sent && e.From == p.Name && e.At < at && !slices.ContainsFunc(frozen, func(f span) bool { return f.from <= e.At && e.At < f.to }) {
			silent = e.At
		}
	}
	return silent
}
