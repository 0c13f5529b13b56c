package patterntest

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// A callStorm is what goes wrong when, and what is asked meanwhile, drawn at random. Its faults are those of
// other storms.
type callStorm struct {
	callers int
	faults  schedule
	bursts  []callBurst
}

// A callBurst is a row of questions, after a pause.
type callBurst struct {
	pause, every time.Duration
	count        int
	question     Question
}

// drawCallStorm draws some minutes of trouble.
func drawCallStorm(seed uint64) callStorm {
	d := newDraws(seed)
	s := callStorm{callers: 1 + d.below(3)}
	s.faults = drawSchedule(d, s.callers)
	for i := range 1 + d.below(6) {
		b := callBurst{
			pause: d.someTime(),
			every: pick(d, 0, time.Second, 5*time.Second, 200*time.Millisecond, 30*time.Millisecond),
			count: 1 + d.below(20),
			question: Question{
				Work:    pick(d, 0, 0, 100*time.Millisecond, 3*time.Second),
				Timeout: pick(d, 0, 0, time.Second, time.Minute),
				Cancel:  pick(d, 0, 0, 0, 150*time.Millisecond),
				Size:    pick(d, 0, 0, 1000, 8000),
				Answer:  pick(d, 0, 0, 1000, 8000),
			},
		}
		switch d.below(4) {
		case 0:
			b.question.Keyed = true
		case 1: // all ask the same
			b.question.Key = fmt.Sprintf("order-%d", i+1)
		}
		s.bursts = append(s.bursts, b)
	}
	return s
}

// CallStorm returns the story that is drawn from a seed: up to three callers, up to eight faults, and
// questions of all kinds. Its code is [CallStory].Code.
func CallStorm(seed uint64) CallStory {
	s := drawCallStorm(seed)
	story := s.story(fmt.Sprintf("storm %d", seed))
	story.Code = s.code()
	return story
}

func (s callStorm) story(name string) CallStory {
	return CallStory{Name: name, Reason: "nobody thought of it: it was drawn at random", Play: s.play}
}

// play is what code says.
func (s callStorm) play(w *CallWorld) {
	callers := w.Callers(s.callers)
	for _, i := range s.faults.spared(s.callers) {
		w.GoodFor(callers[i])
	}
	var peers []*Peer
	for _, c := range callers {
		peers = append(peers, &c.Peer)
	}
	s.faults.play(&w.Stage, peers)
	for _, b := range s.bursts {
		w.Sleep(b.pause)
		w.AskEvery(b.every, b.count, b.question)
	}
	w.Sleep(s.rest())
}

// rest is how long the last fault lasts after the last question.
func (s callStorm) rest() time.Duration {
	var asked time.Duration
	for _, b := range s.bursts {
		asked += b.pause + time.Duration(b.count)*b.every
	}
	return max(0, s.faults.over()-asked)
}

// code returns the story as Go.
func (s callStorm) code() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\t"+format+"\n", args...) }
	b.WriteString("func(w *patterntest.CallWorld) {\n")
	faults := s.faults.code(s.callers)
	spared := s.faults.spared(s.callers)
	for i := range s.callers {
		named := slices.ContainsFunc(faults, func(line string) bool { return strings.Contains(line, phone(i)+".") })
		if named || slices.Contains(spared, i) {
			line("%s := w.Caller(%q)", phone(i), phone(i))
		} else {
			line("w.Caller(%q)", phone(i))
		}
	}
	for _, i := range spared {
		line("w.GoodFor(%s)", phone(i))
	}
	for _, l := range faults {
		line("%s", l)
	}
	for _, p := range s.bursts {
		if p.pause > 0 {
			line("w.Sleep(%s)", goTime(p.pause))
		}
		line("w.AskEvery(%s, %d, %s)", goTime(p.every), p.count, p.question.code())
	}
	if rest := s.rest(); rest > 0 {
		line("w.Sleep(%s)", goTime(rest))
	}
	b.WriteString("}")
	return b.String()
}

// code returns a question as Go.
func (q Question) code() string {
	var fields []string
	for _, x := range []struct {
		name  string
		value time.Duration
	}{{"Work", q.Work}, {"Timeout", q.Timeout}, {"Cancel", q.Cancel}} {
		if x.value > 0 {
			fields = append(fields, x.name+": "+goTime(x.value))
		}
	}
	for _, x := range []struct {
		name  string
		value int
	}{{"Size", q.Size}, {"Answer", q.Answer}} {
		if x.value > 0 {
			fields = append(fields, fmt.Sprintf("%s: %d", x.name, x.value))
		}
	}
	switch {
	case q.Keyed:
		fields = append(fields, "Keyed: true")
	case q.Key != "":
		fields = append(fields, fmt.Sprintf("Key: %q", q.Key))
	}
	return "patterntest.Question{" + strings.Join(fields, ", ") + "}"
}

// smaller yields storms that are simpler.
func (s callStorm) smaller() iter.Seq[callStorm] {
	return func(yield func(callStorm) bool) {
		if s.callers > 1 {
			t := s
			t.callers--
			t.faults = slices.DeleteFunc(slices.Clone(s.faults), func(x scheduled) bool { return x.client == t.callers })
			if !yield(t) {
				return
			}
		}
		for f := range s.faults.smaller() {
			t := s
			if t.faults = f; !yield(t) {
				return
			}
		}
		for part := range parts(len(s.bursts)) {
			if part.to-part.from == len(s.bursts) {
				continue // a story of nothing shows nothing
			}
			t := s
			if t.bursts = slices.Delete(slices.Clone(s.bursts), part.from, part.to); !yield(t) {
				return
			}
		}
		for i, b := range s.bursts {
			for _, c := range b.smaller() {
				t := s
				t.bursts = slices.Clone(s.bursts)
				if t.bursts[i] = c; !yield(t) {
					return
				}
			}
		}
	}
}

// smaller returns bursts that are simpler, the simplest first.
func (b callBurst) smaller() (all []callBurst) {
	try := func(change func(c *callBurst)) {
		c := b
		if change(&c); c != b {
			all = append(all, c)
		}
	}
	try(func(c *callBurst) { c.count = 1 })
	try(func(c *callBurst) { c.count = (c.count + 1) / 2 })
	try(func(c *callBurst) { c.count = max(1, c.count-1) })
	try(func(c *callBurst) { c.question = Question{} })
	try(func(c *callBurst) { c.question.Size, c.question.Answer = 0, 0 })
	try(func(c *callBurst) { c.question.Work = 0 })
	try(func(c *callBurst) { c.question.Timeout = 0 })
	try(func(c *callBurst) { c.question.Cancel = 0 })
	try(func(c *callBurst) { c.question.Keyed, c.question.Key = false, "" })
	for _, to := range []time.Duration{time.Minute, 10 * time.Second, time.Second} {
		try(func(c *callBurst) { c.pause = c.pause.Truncate(to) })
	}
	return all
}

func (s callStorm) size() string {
	questions := 0
	for _, b := range s.bursts {
		questions += b.count
	}
	return counted(s.callers, "caller") + ", " + counted(len(s.faults), "fault") + " and " + counted(questions, "question")
}
