package patterntest

import (
	"time"
)

// clientStories are about a client that stops and comes back.
func clientStories() (all stories) {
	all.add("the client restarts while the server is frozen", "when the server resumes, it finds the packets of the old and the new client together, and must not confuse the two", func(w *World) {
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
	all.add("the client restarts", "it must resume at the position it had reached", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 10)
		c.Host.Crash()
		w.PublishEvery(time.Second, 10)
		c.Host.Restart()
		w.PublishEvery(time.Second, 10)
	})
	all.add("the client crashes while events come", "a client that stores its position too early loses an event, and one that stores it too late handles an event twice", func(w *World) {
		c := w.Client("phone")
		for i := range 10 {
			w.After(time.Duration(i)*2*time.Second+1010*time.Millisecond, c.Host.Restart)
		}
		w.PublishEvery(80*time.Millisecond, 250)
	})

	all.add("the client leaves and comes back", "a client that leaves must get what it missed when it returns, and nothing while it is away", func(w *World) {
		c := w.Client("phone")
		for _, away := range []time.Duration{0, 100 * time.Millisecond, time.Second, 20 * time.Second, 4 * time.Minute} {
			w.PublishEvery(time.Second, 3)
			c.Leave()
			w.PublishEvery(away, 5)
			c.Return()
			w.Sleep(time.Second)
		}
	})
	all.add("the client leaves before its first event", "a client that has received nothing yet still has a position to resume from", func(w *World) {
		c := w.Client("phone")
		c.Leave()
		w.PublishEvery(time.Second, 1)
		c.Return()
	})
	all.add("the server restarts before the client's first event", "its starting position belongs to the server's previous run, and the new server may not know it", func(w *World) {
		c := w.Client("phone")
		c.Host.Crash()
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 3)
		c.Host.Restart()
	})
	all.add("the client leaves while events come", "an event in progress when the client is asked to stop must be handled exactly once", func(w *World) {
		c := w.Client("phone")
		for i := range 10 {
			w.After(time.Duration(i)*2*time.Second+1010*time.Millisecond+3*time.Microsecond, func() { c.Leave(); c.Return() })
		}
		w.PublishEvery(80*time.Millisecond, 250)
	})
	all.add("the client comes and goes many times", "whatever a closed connection leaves behind on the server adds up", func(w *World) {
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
