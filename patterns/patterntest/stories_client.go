package patterntest

import (
	"time"
)

// clientStories are about a client that ends and comes back.
func clientStories() (all stories) {
	all.add("the client restarts while the server is frozen", "the server then hears from the dead and the living at once, and must not take one for the other", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		w.Server.Pause()
		for range 5 {
			c.Host.Restart()
			w.Sleep(time.Second)
		}
		w.Server.Resume()
		w.PublishEvery(time.Second, 3)
	})
	all.races(overdue)
	all.add("the client restarts", "it goes on where it stood", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 10)
		c.Host.Crash()
		w.PublishEvery(time.Second, 10)
		c.Host.Restart()
		w.PublishEvery(time.Second, 10)
	})
	all.add("the client crashes while events come", "it must not have moved on before it was done, nor do things twice", func(w *World) {
		c := w.Client("phone")
		for i := range 10 {
			w.After(time.Duration(i)*2*time.Second+1010*time.Millisecond, c.Host.Restart)
		}
		w.PublishEvery(80*time.Millisecond, 250)
	})

	all.add("the client leaves and comes back", "who says goodbye is owed what he misses, and wants nothing meanwhile", func(w *World) {
		c := w.Client("phone")
		for _, away := range []time.Duration{0, 100 * time.Millisecond, time.Second, 20 * time.Second, 4 * time.Minute} {
			w.PublishEvery(time.Second, 3)
			c.Leave()
			w.PublishEvery(away, 5)
			c.Return()
			w.Sleep(time.Second)
		}
	})
	all.add("the client leaves before its first event", "where it began is a position too", func(w *World) {
		c := w.Client("phone")
		c.Leave()
		w.PublishEvery(time.Second, 1)
		c.Return()
	})
	all.add("the server restarts before the client's first event", "the position at which it began is of the server's earlier life, and nobody else may know it", func(w *World) {
		c := w.Client("phone")
		c.Host.Crash()
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 3)
		c.Host.Restart()
	})
	all.add("the client leaves while events come", "what is half done when it is asked to stop is done once", func(w *World) {
		c := w.Client("phone")
		for i := range 10 {
			w.After(time.Duration(i)*2*time.Second+1010*time.Millisecond+3*time.Microsecond, func() { c.Leave(); c.Return() })
		}
		w.PublishEvery(80*time.Millisecond, 250)
	})
	all.add("the client comes and goes many times", "what each connection leaves behind adds up", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		w.Census()
		missed := func() {
			w.Sleep(time.Second / 2)
			w.PublishEvery(time.Second/2, 1)
		}
		for i := range 187 {
			if i%4 > 0 { // it vanishes, 140 times: many a table has room for 128
				c.Host.PowerOff()
				missed()
				c.Host.Restart()
			} else { // it goes in peace, and its process ends
				c.Leave()
				c.Host.Crash()
				missed()
				c.Return()
				c.Host.Restart()
			}
			w.Sleep(10 * time.Second)
			if i%30 == 0 {
				w.PublishEvery(time.Second, 1)
			}
		}
		w.PublishEvery(time.Second, 3)
		c.Leave()
		w.Sleep(20 * time.Minute) // for longer than a session lasts
		c.Return()
		w.PublishEvery(time.Second, 3)
		w.Census()
	})
	return all
}
