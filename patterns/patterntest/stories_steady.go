package patterntest

import (
	"strings"
	"time"
)

// steadyStories are about a network and hosts with nothing wrong.
func steadyStories() (all stories) {
	all.add("a quiet day", "what fails here fails everywhere", func(w *World) {
		w.PromptFor(w.Client("phone"))
		w.PublishEvery(7*time.Second, 20)
	})
	all.add("events closer together than a round trip", "an event between an answer and the next request is lost if the server waits for edges instead of positions", func(w *World) {
		w.Client("phone")
		w.PublishEvery(30*time.Millisecond, 100)
	})
	all.add("events at one instant", "batches must neither lose nor reorder", func(w *World) {
		w.Client("phone")
		w.PublishAtOnce(50)
	})
	all[len(all)-1].Races = "how many of the events a server has seen when it answers the first is the runtime's choice"
	all.add("an hour without events", "idle timeouts and renewals must not lose the event that ends the silence", func(w *World) {
		w.PromptFor(w.Client("phone"))
		w.Idle(time.Hour)
		w.PublishEvery(0, 1)
	})
	all.add("events of all kinds", "what has a meaning in the protocol must not have it in the data", ofAllKinds)
	all.add("ten publishers at once", "what is numbered first may be stored last, and a reader that has passed it never sees it", func(w *World) {
		w.Client("phone")
		w.PublishTogether(10, 100*time.Millisecond, 10)
	})
	return all
}

func ofAllKinds(w *World) {
	w.Client("phone")
	w.Publish("two\nlines", "two\n\nparagraphs", "carriage\r\nreturns", "\n", "data: one\nid: 7", `a "quote"`, `{"json":[1]}`,
		"<b>&amp;", "100%41", "back\\slash", " spaces ", "\ttab", "높은 파도 🌊", strings.Repeat("large", 10_000))
}
