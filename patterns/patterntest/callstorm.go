package patterntest

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/storm"
)

// A callStorm is a randomly drawn schedule of faults, and of questions asked in the meantime. Its
// faults are the same as in other storms.
type callStorm struct{ plan[callBurst] }

// A callBurst is a series of questions after a pause.
type callBurst struct {
	pace
	question Question
}

// drawCallStorm draws some minutes of trouble.
func drawCallStorm(seed uint64) callStorm {
	d := storm.NewDraws(seed)
	s := callStorm{plan[callBurst]{clients: 1 + d.Below(3)}}
	s.faults = drawSchedule(d, s.clients)
	for i := range 1 + d.Below(6) {
		b := callBurst{
			pace: pace{
				pause: someTime(d),
				every: storm.Pick(d, 0, time.Second, 5*time.Second, 200*time.Millisecond, 30*time.Millisecond),
				count: 1 + d.Below(20),
			},
			question: Question{
				Work:    storm.Pick(d, 0, 0, 100*time.Millisecond, 3*time.Second),
				Timeout: storm.Pick(d, 0, 0, time.Second, time.Minute),
				Cancel:  storm.Pick(d, 0, 0, 0, 150*time.Millisecond),
				Size:    storm.Pick(d, 0, 0, 1000, 8000),
				Answer:  storm.Pick(d, 0, 0, 1000, 8000),
			},
		}
		switch d.Below(4) {
		case 0:
			b.question.Keyed = true
		case 3: // of services with Streams; half of them in a talk, if these have Halves
			b.question.Parts, b.question.Said, b.question.Every = 5+10*(i%2), 4*(i/2%2), 100*time.Millisecond
		case 2: // of services with State
			b.question.Object, b.question.Read, b.question.Clear = "cart", i%3 == 2, i%4 == 3
		case 1: // all ask the same
			b.question.Key = fmt.Sprintf("order-%d", i+1)
		}
		s.bursts = append(s.bursts, b)
	}
	return s
}

// CallStorm returns the story drawn from a seed: one to three callers, up to eight faults, and
// questions of all kinds. [CallStory].Code is its Go code.
func CallStorm(seed uint64) CallStory {
	s := drawCallStorm(seed)
	story := s.story(fmt.Sprintf("storm %d", seed))
	story.Code = s.code()
	return story
}

func (s callStorm) story(name string) CallStory {
	return CallStory{Name: name, Reason: "a combination that nobody thought of, drawn at random", Play: s.play}
}

// play does what code prints.
func (s callStorm) play(w *CallWorld) {
	callers := w.Callers(s.clients)
	for _, i := range sparedBy(s.faults, s.clients) {
		w.GoodFor(callers[i])
	}
	var peers []*Peer
	for _, c := range callers {
		peers = append(peers, &c.Peer)
	}
	w.inject(s.faults, peers)
	for _, b := range s.bursts {
		w.Sleep(b.pause)
		w.AskEvery(b.every, b.count, b.question)
	}
	w.Sleep(s.rest())
}

// code returns the story as Go.
func (s callStorm) code() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\t"+format+"\n", args...) }
	b.WriteString("func(w *patterntest.CallWorld) {\n")
	faults := codeOf(s.faults, s.clients)
	spared := sparedBy(s.faults, s.clients)
	for i := range s.clients {
		if speaksOf(faults, i) || slices.Contains(spared, i) {
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
			line("w.Sleep(%s)", storm.GoTime(p.pause))
		}
		line("w.AskEvery(%s, %d, %s)", storm.GoTime(p.every), p.count, p.question.code())
	}
	if rest := s.rest(); rest > 0 {
		line("w.Sleep(%s)", storm.GoTime(rest))
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
	}{{"Work", q.Work}, {"Timeout", q.Timeout}, {"Cancel", q.Cancel}, {"Every", q.Every}} {
		if x.value > 0 {
			fields = append(fields, x.name+": "+storm.GoTime(x.value))
		}
	}
	for _, x := range []struct {
		name  string
		value int
	}{{"Size", q.Size}, {"Answer", q.Answer}, {"Parts", q.Parts}, {"Said", q.Said}} {
		if x.value > 0 {
			fields = append(fields, fmt.Sprintf("%s: %d", x.name, x.value))
		}
	}
	if q.Object != "" {
		fields = append(fields, fmt.Sprintf("Object: %q", q.Object))
	}
	if q.Read {
		fields = append(fields, "Read: true")
	}
	if q.Clear {
		fields = append(fields, "Clear: true")
	}
	switch {
	case q.Keyed:
		fields = append(fields, "Keyed: true")
	case q.Key != "":
		fields = append(fields, fmt.Sprintf("Key: %q", q.Key))
	}
	return "patterntest.Question{" + strings.Join(fields, ", ") + "}"
}

// smaller yields simpler storms.
func (s callStorm) smaller() iter.Seq[callStorm] {
	return func(yield func(callStorm) bool) {
		for p := range s.plan.smaller(callBurst.smaller) {
			if !yield(callStorm{p}) {
				return
			}
		}
	}
}

// smaller returns simpler bursts, the simplest first.
func (b callBurst) smaller() []callBurst {
	return easier(b, func(c *callBurst) *pace { return &c.pace },
		func(c *callBurst) { c.question = Question{} },
		func(c *callBurst) { c.question.Size, c.question.Answer = 0, 0 },
		func(c *callBurst) { c.question.Work = 0 },
		func(c *callBurst) { c.question.Timeout = 0 },
		func(c *callBurst) { c.question.Cancel = 0 },
		func(c *callBurst) { c.question.Object, c.question.Read, c.question.Clear = "", false, false },
		func(c *callBurst) { c.question.Keyed, c.question.Key = false, "" },
		func(c *callBurst) { c.question.Parts, c.question.Said, c.question.Every = 0, 0, 0 },
		func(c *callBurst) { c.question.Said = 0 },
	)
}

func (s callStorm) size() string { return s.plan.size("caller", "question") }
