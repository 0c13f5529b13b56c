package patterntest

import "time"

// stateCallStories are about objects that a service keeps.
func stateCallStories() (all callStories) {
	add := func(name, reason string, play func(w *CallWorld)) {
		all.add(name, reason, play)
		all.needs("Service.State is not set", func(s Service) bool { return s.State != nil })
	}
	cart, look := Question{Object: "cart"}, Question{Object: "cart", Read: true}
	slowly := func(q Question, work time.Duration) Question {
		q.Work = work
		return q
	}
	add("an object that several change at a time", "a read-modify-write on an outdated state undoes other callers' changes", func(w *CallWorld) {
		callers := w.Callers(2)
		w.GoodFor(callers...)
		for _, c := range callers {
			c.Ask(cart)
		}
		for range 5 {
			w.AskEvery(7*time.Millisecond, 6, slowly(cart, 100*time.Millisecond))
			w.AskEvery(11*time.Millisecond, 4, look)
			w.Sleep(5 * time.Second)
		}
	})
	add("an object, and answers are lost", "a change whose answer was lost must still have taken effect exactly once", func(w *CallWorld) {
		c, other := w.Caller("phone"), w.Caller("other")
		for range 4 {
			c.Ask(cart)
			w.After(60*time.Millisecond, func() { c.Link.DownFrom(w.Server) })
			c.AskEvery(10*time.Millisecond, 2, slowly(cart, 100*time.Millisecond))
			other.Ask(cart)
			w.Sleep(2 * time.Second)
			c.Link.Up()
			w.Sleep(20 * time.Second)
			c.Ask(look)
			other.Ask(look)
		}
	})
	add("an object, and the server restarts", "after a restart, no state that a caller has seen may be lost", func(w *CallWorld) {
		c, other := w.Caller("phone"), w.Caller("other")
		for i := range 4 {
			c.Ask(cart)
			other.Ask(cart)
			c.AskEvery(100*time.Millisecond, 5, slowly(cart, 300*time.Millisecond))
			w.Sleep(time.Duration(i) * 57 * time.Millisecond) // amid the work
			w.Server.Restart()
			w.Sleep(20 * time.Second)
			c.Ask(look)
			other.Ask(look)
		}
	})
	add("an object is cleared while others change it", "a change that began before the object was cleared must not bring old entries back", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for _, work := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
			c.Ask(cart)
			c.Ask(cart)
			c.AskEvery(10*time.Millisecond, 2, slowly(cart, work))
			w.Sleep(50 * time.Millisecond)
			c.Ask(Question{Object: "cart", Clear: true})
			w.Sleep(5 * time.Second)
			c.Ask(look)
		}
	})
	return all
}
