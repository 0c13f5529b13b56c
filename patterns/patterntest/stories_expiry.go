package patterntest

import "time"

// expiryStories are about events that live for a while only.
func expiryStories() (all stories) {
	all = append(all, Story{
		Name: "events expire while the client is away", Reason: "an offer of yesterday does harm, and one of today does not wait for it",
		Needs: expires,
		Play: func(w *World) {
			c := w.Client("phone")
			w.PromptFor(w.Client("present"))
			w.PublishFor(time.Minute, time.Second, 5)
			c.Leave()
			w.PublishFor(30*time.Second, time.Second, 5)
			w.PublishFor(time.Hour, time.Second, 5)
			w.PublishEvery(time.Second, 5)
			w.Sleep(2 * time.Minute)
			c.Return()
			w.Sleep(time.Second)
			w.PublishFor(time.Minute, time.Second, 5)
		},
	})
	return all
}

// expires says whether a system has events that live for a while only.
func expires(s System) bool { return s.PublishFor != nil }
