package patterntest

import (
	"time"

	"github.com/squall-sim/squall/sim"
)

// overflowing is how many parts of 40,000 bytes are four times what may be on the way.
func overflowing(w *CallWorld) int { return 4 * w.service.Streams.Buffer / 40_000 }

// streamCallStories are about answers that are streams.
func streamCallStories() (all callStories) {
	const ms = time.Millisecond
	add := func(name, reason, lacking string, offers func(s Service) bool, play func(w *CallWorld)) {
		all.add(name, reason, play)
		all.needs(lacking, offers)
	}
	streams, halves := func(s Service) bool { return s.Streams != nil }, func(s Service) bool { return s.Streams != nil && s.Streams.Halves }
	const noStreams, noHalves = "Service.Streams is not set", "Service.Streams is not set, or has no Halves"

	add("answers come as streams", "each part must arrive promptly and in order, not when a buffer is full", noStreams, streams, func(w *CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		c.Ask(Question{Parts: 10, Every: 100 * ms})
		c.AskEvery(30*ms, 4, Question{Parts: 8, Every: 250 * ms, Answer: 500})
		w.Sleep(3 * time.Second)
		c.Ask(Question{Parts: 50, Answer: 2_000, Timeout: time.Minute})
		c.Ask(Question{Parts: 4, Every: 30 * time.Second, Timeout: 5 * time.Minute})
	})
	add("streams are cut short", "a truncated stream must fail, and must not be continued by a retry", noStreams, streams, func(w *CallWorld) {
		c := w.Caller("phone")
		for _, end := range []int64{300, 1000, 5000} {
			w.Net.Inject(0, 20*time.Second, sim.CloseAfter(c.Link, end, sim.Packets{From: w.Server}))
			for range 3 {
				c.Ask(Question{Parts: 16, Every: 50 * ms, Answer: 500})
				w.Sleep(time.Second)
			}
			w.Sleep(20 * time.Second)
			c.Ask(Question{Parts: 16, Every: 50 * ms, Answer: 500})
		}
	})
	add("the server ends amid streams", "a stream that stops coming must not count as complete", noStreams, streams, func(w *CallWorld) {
		c := w.Caller("phone")
		for _, ends := range []func(){w.Server.Restart, w.Redeploy} {
			c.AskEvery(10*ms, 3, Question{Parts: 20, Every: 100 * ms})
			w.Sleep(987 * ms) // not when something else is due
			ends()
			w.Sleep(30 * time.Second)
			c.Ask(Question{Parts: 3})
		}
		c.AskEvery(10*ms, 2, Question{Parts: 20, Every: 100 * ms})
		w.Sleep(987 * ms)
		w.Server.PowerOff()
		w.Sleep(20 * time.Second)
		w.Server.Restart()
		w.Sleep(time.Minute)
	})
	add("the caller of a stream is slow", "a slow reader must hold up its own stream at the source, and no other", noStreams, streams, func(w *CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		c.AskEvery(0, 1, Question{Parts: 100, Answer: 40_000, Slow: 200 * ms, Timeout: 10 * time.Minute})
		c.AskEvery(500*ms, 40, Question{Work: 100 * ms})
		c.AskEvery(0, 1, Question{Parts: overflowing(w), Answer: 40_000, Slow: time.Minute, Timeout: 20 * time.Second})
		c.AskEvery(500*ms, 20, Question{Parts: 3})
		w.Sleep(time.Minute)
	})
	cancels := func(s Service) bool { return streams(s) && s.Cancels }
	add("streams are given up", "writing a stream that nobody reads takes capacity from other calls", noStreams+", or Service.Cancels is not", cancels, func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		c.Ask(Question{})
		for _, after := range []time.Duration{150 * ms, 510 * ms, 2020 * ms} {
			c.AskEvery(10*ms, 3, Question{Parts: 50, Every: 300 * ms, Cancel: after})
			c.AskEvery(10*ms, 2, Question{Parts: overflowing(w), Answer: 40_000, Slow: time.Minute, Timeout: after}) // of which none is taken
			w.Sleep(10 * time.Second)
		}
	})
	add("a stream through tiers", "a tier must pass on each part of a stream as it comes, and the end", noStreams+", or "+replicated, func(s Service) bool { return streams(s) && alone(s) }, func(w *CallWorld) {
		w.Tier()
		c := w.Caller("phone")
		w.PromptFor(c)
		c.Ask(Question{Parts: 10, Every: 500 * ms, Answer: 300})
		c.AskEvery(30*ms, 3, Question{Parts: 10, Every: 500 * ms, Cancel: 2 * time.Second})
		w.Sleep(5 * time.Second)
	})
	add("a question goes on while it is answered", "a caller that has ended its question still waits for the rest of the answer", noHalves, halves, func(w *CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		c.Ask(Question{Said: 10, Every: 500 * ms})
		c.AskEvery(20*ms, 3, Question{Said: 5, Parts: 10, Every: 300 * ms, Size: 300, Answer: 400, Timeout: time.Minute})
		w.Sleep(10 * time.Second)
	})
	add("questions that go on are cut short", "a question that stops coming must not count as complete", noHalves, halves, func(w *CallWorld) {
		c := w.Caller("phone")
		for _, end := range []int64{500, 1000, 3000} {
			w.Net.Inject(0, 20*time.Second, sim.CloseAfter(c.Link, end, sim.Packets{From: c.Host}))
			for range 3 {
				c.Ask(Question{Said: 20, Every: 50 * ms, Size: 300, Parts: 3})
				w.Sleep(time.Second)
			}
			w.Sleep(20 * time.Second)
			c.Ask(Question{Said: 20, Every: 50 * ms, Size: 300, Parts: 3})
		}
	})
	add("a question that goes on is given up", "a server that has read the whole question needs another sign that its caller gave up", noHalves+"; or Service.Cancels is not", func(s Service) bool { return halves(s) && s.Cancels }, func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for range 3 {
			c.AskEvery(10*ms, 2, Question{Said: 50, Every: 100 * ms, Cancel: 1030 * ms})
			c.AskEvery(10*ms, 2, Question{Said: 1, Parts: 10, Every: 500 * ms, Cancel: 1780 * ms})
			w.Sleep(10 * time.Second)
		}
	})
	return all
}
