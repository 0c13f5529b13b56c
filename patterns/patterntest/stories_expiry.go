package patterntest

import "time"

// expiryStories are about events that expire.
func expiryStories() (all stories) {
	all = append(all, Story{
		Name: "events expire while the client is away", Reason: "an expired event must not be delivered, nor delay the events that have not expired",
		Needs: expires, lacking: "System.PublishFor is not set",
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
	all = append(all, Story{
		Name: "events expire in any order", Reason: "an event that expires must not remove earlier ones, and a restart must not extend an event's time",
		Needs: expires, lacking: "System.PublishFor is not set",
		Play: func(w *World) {
			c := w.Client("phone")
			w.Client("present")
			mixed := func() {
				for _, ttl := range []time.Duration{10 * time.Second, time.Hour, 0, time.Minute, 2 * time.Hour, 30 * time.Second, 0, 5 * time.Second, time.Hour, 20 * time.Second} {
					w.PublishFor(ttl, 100*time.Millisecond, 1)
				}
			}
			mixed()
			c.Leave()
			mixed()
			w.Sleep(2 * time.Minute)
			mixed()
			c.Return()
			w.Sleep(5 * time.Second)
			mixed()
			w.Check()
			c.Leave()
			mixed()
			w.Sleep(25 * time.Second)
			w.Redeploy()
			w.Sleep(time.Second)
			mixed()
			w.Sleep(10 * time.Second)
			c.Return()
		},
	})
	return all
}

// expires reports whether a system has events that expire.
func expires(s System) bool { return s.PublishFor != nil }
