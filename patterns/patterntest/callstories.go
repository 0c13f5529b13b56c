package patterntest

import (
	"slices"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// CallStories returns the contract of calls. All times are virtual.
//
// As with [Stories], a capability adds stories whose Needs checks a field of [Service], and a judge
// function of its own among those that [CallWorld.Verdict] calls.
func CallStories() []CallStory {
	return slices.Concat(quietCallStories(), lostCallStories(), serverCallStories(), manyCallStories(),
		keyedCallStories(), patienceCallStories(), retryCallStories(), replicaCallStories(), stateCallStories(), streamCallStories())
}

// callStories are added one after another.
type callStories []CallStory

func (all *callStories) add(name, reason string, play func(w *CallWorld)) {
	*all = append(*all, CallStory{Name: name, Reason: reason, Play: play})
}

// needs sets which services the last story applies to, and which field the others
// lack.
func (all callStories) needs(lacking string, offers func(s Service) bool) {
	last := &all[len(all)-1]
	last.Needs, last.lacking = offers, lacking
}

// races sets why two runs of the last story may differ.
func (all callStories) races(why string) { all[len(all)-1].Races = why }

// quietCallStories are about a good network and hosts without faults.
func quietCallStories() (all callStories) {
	all.add("a quiet day of calls", "the basic case: a system that fails here fails everywhere", func(w *CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		c.AskEvery(7*time.Second, 20, Question{})
		c.AskEvery(3*time.Second, 5, Question{Work: time.Second, Keyed: true})
		w.Sleep(20 * time.Minute)
		c.AskEvery(time.Second, 3, Question{})
	})
	all.add("calls at a time", "answers must be matched to calls even if they arrive in another order", func(w *CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		for _, work := range []time.Duration{900, 100, 500, 300, 700, 0, 800, 200} {
			c.AskEvery(10*time.Millisecond, 2, Question{Work: work * time.Millisecond, Answer: 200})
		}
		w.Sleep(2 * time.Second)
		c.AskEvery(time.Millisecond, 15, Question{Work: 50 * time.Millisecond})
	})
	all.add("questions and answers of any size", "data that exceeds a buffer, a frame or a limit must not be truncated", func(w *CallWorld) {
		c := w.Caller("phone")
		for _, size := range []int{1, 100, 4_096, 32_768, 65_536, 100_000, 1 << 20} {
			c.Ask(Question{Size: size, Timeout: time.Minute})
			c.Ask(Question{Answer: size, Timeout: time.Minute})
		}
		w.PromptFor(c) // of what is no larger than it may be
	})
	all.add("ten callers at a time", "one caller's questions and answers must not affect the others", func(w *CallWorld) {
		w.PromptFor(w.Callers(10)...)
		w.AskEvery(13*time.Millisecond, 100, Question{Work: 70 * time.Millisecond, Answer: 500})
	})
	all.add("a call longer than anybody's patience", "a call that times out must not take the next call's answer", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		c.AskEvery(time.Second, 3, Question{Work: 5 * time.Second, Timeout: 2 * time.Second})
		c.AskEvery(time.Second, 10, Question{})
		w.Sleep(10 * time.Second)
		w.MustBeDone(0, Answering, "nothing else is under way")
		c.AskEvery(time.Second, 5, Question{})
	})
	all.add("patience ends about when the answer comes", "whether the timeout or the answer comes first, the call ends once, and the answer reaches no other call", func(w *CallWorld) {
		c := w.Caller("phone")
		c.Ask(Question{})
		took := c.Ask(Question{Work: 100 * time.Millisecond}).Took // over a connection, if there is one
		for _, at := range []time.Duration{0, -1, 1, -2, 2, -took / 4, took / 4} {
			for range 2 {
				c.Ask(Question{})
				c.Ask(Question{Work: 100 * time.Millisecond, Timeout: took + at})
				c.Ask(Question{})
				w.Sleep(time.Second)
				c.AskEvery(time.Millisecond, 3, Question{})
				w.Sleep(time.Second)
			}
		}
	})
	all.races("at one instant, the answer or the end of the timeout can come first")
	all.add("a slow call beside quick ones", "giving up one call must not affect the others", func(w *CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		c.Ask(Question{})
		c.AskEvery(300*time.Millisecond, 3, Question{Work: 5 * time.Second, Timeout: 2 * time.Second})
		c.AskEvery(70*time.Millisecond, 60, Question{Work: 300 * time.Millisecond})
	})
	all.add("calls come and go", "calls must not leak goroutines or connections", func(w *CallWorld) {
		c := w.Caller("phone")
		round := func() {
			c.AskEvery(100*time.Millisecond, 40, Question{Work: 300 * time.Millisecond, Timeout: 200 * time.Millisecond})
			c.AskEvery(100*time.Millisecond, 40, Question{})
			w.Sleep(2 * time.Minute)
			c.Ask(Question{})
			w.Sleep(time.Second)
			w.Census()
		}
		round()
		round()
		round()
	})
	return all
}

// alone reports whether a caller has only one server, and so no other server to turn to and no
// other connection.
func alone(s Service) bool { return s.Replicas < 2 }

// replicated describes a service that is not alone.
const replicated = "Service.Replicas is more than 1"

// lostCallStories are about a caller that is out of reach, or whose link is bad.
func lostCallStories() (all callStories) {
	all.add("the question is lost", "nothing was executed, but the caller cannot know that", func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 6 {
			c.Ask(Question{})
			c.Link.DownFrom(c.Host)
			c.Ask(Question{Keyed: i%2 == 1, Timeout: 5 * time.Second})
			c.Link.Up()
			w.Sleep(20 * time.Second)
		}
	})
	all.add("the answer is lost", "the call took effect, and only the server knows", func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 6 {
			c.Ask(Question{})
			c.Link.DownFrom(w.Server)
			c.Ask(Question{Keyed: i%2 == 1, Timeout: 5 * time.Second})
			c.Link.Up()
			w.Sleep(20 * time.Second)
		}
	})
	for _, from := range []string{"question", "answer"} {
		all.add("the connection breaks on the "+from, "a client that retries after a broken connection does not know how far the call got", func(w *CallWorld) {
			c := w.Caller("phone")
			for i := range 6 {
				c.Ask(Question{})
				pkts := sim.Packets{From: c.Host, Kind: sim.Data, First: 1}
				if from == "answer" {
					pkts.From = w.Server
				}
				w.Net.Inject(0, 2*time.Second, sim.Reset(c.Link, pkts))
				w.Sleep(time.Millisecond)
				c.Ask(Question{Keyed: i%2 == 1, Work: 100 * time.Millisecond})
				w.Sleep(10 * time.Second)
			}
		})
	}
	all.add("answers are cut short", "a truncated answer must be an error", func(w *CallWorld) {
		c := w.Caller("phone")
		for _, end := range []int64{200, 1000, 5000} {
			w.Net.Inject(0, 10*time.Second, sim.CloseAfter(c.Link, end, sim.Packets{From: w.Server}))
			for range 3 {
				c.Ask(Question{Answer: 8_000})
				w.Sleep(time.Second)
			}
			w.Sleep(20 * time.Second)
			c.Ask(Question{Answer: 8_000})
		}
	})
	all.add("questions are cut short", "a truncated question must not be executed", func(w *CallWorld) {
		c := w.Caller("phone")
		for _, end := range []int64{200, 1000, 5000} {
			w.Net.Inject(0, 10*time.Second, sim.CloseAfter(c.Link, end, sim.Packets{From: c.Host}))
			for range 3 {
				c.Ask(Question{Size: 8_000})
				w.Sleep(time.Second)
			}
			w.Sleep(20 * time.Second)
			c.Ask(Question{Size: 8_000})
		}
	})
	all.add("connections go silent", "a silent connection on which a call failed must not be used again", func(w *CallWorld) {
		c := w.Caller("phone")
		for range 3 {
			c.Ask(Question{})
			w.Sever(c)
			for range 10 {
				c.Ask(Question{Timeout: 5 * time.Second})
				w.Sleep(5 * time.Second)
			}
		}
	})
	all.needs(replicated, alone)
	all.add("no way for five minutes", "calls fail during the outage and must succeed again after it", func(w *CallWorld) {
		c := w.Caller("phone")
		w.After(5*time.Second, c.Link.Down)
		w.After(5*time.Second+5*time.Minute, c.Link.Up)
		c.AskEvery(12*time.Second, 30, Question{Work: 500 * time.Millisecond, Timeout: 3 * time.Second, Keyed: true})
	})
	all.add("bad links", "TCP hides a bad link except for the delay", func(w *CallWorld) {
		for i, cfg := range []netem.Config{
			{Delay: Transit, Loss: netem.Bernoulli(0.2)}, {Delay: Transit, Jitter: Transit}, {Delay: Transit, Duplicate: 0.2}, {Delay: Transit, Corrupt: 0.1},
		} {
			w.Link(cfg)
			w.Caller(phone(i))
		}
		w.AskEvery(50*time.Millisecond, 160, Question{Answer: 2_000, Timeout: 2 * time.Second})
	})
	all.add("a link that turns away", "a call that reached no server was not executed, and retrying it at once would be a hot loop", func(w *CallWorld) {
		c := w.Caller("phone")
		w.After(5*time.Second, func() { w.StartRejected(&c.Peer) })
		w.After(30*time.Second, c.Link.Up)
		c.AskEvery(time.Second, 40, Question{Timeout: 3 * time.Second})
	})
	return all
}
