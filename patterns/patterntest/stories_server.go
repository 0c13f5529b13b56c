package patterntest

import (
	"time"
)

// serverStories are about a server that stops and comes back.
func serverStories() (all stories) {
	all.add("the server crashes and comes back", "accepted events must survive, or clients must be notified of the loss", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 10)
		w.Server.Crash()
		w.Sleep(10 * time.Second)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 10)
	})
	all.add("the server crashes right after it accepted", "an event must be stored before it is accepted", func(w *World) {
		w.Client("phone")
		for range 5 {
			w.PublishEvery(0, 3)
			w.Server.Restart()
			w.Sleep(5 * time.Second)
		}
	})
	all.add("the server loses power and comes back", "the peers get no FIN or RST and must detect the failure by themselves", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 10)
		w.Sleep(10 * time.Second) // nothing is under way that would find out
		w.Server.PowerOff()
		w.Sleep(10 * time.Second)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 10)
		w.Sleep(time.Minute)
	})
	all.add("the server restarts while the client is away", "the client returns with a position from the server's previous run", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 10)
		c.Link.Down()
		w.PublishEvery(time.Second, 10)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 25)
		c.Link.Up()
	})
	all.add("the server restarts ten times", "each run must continue where the last one ended, or notify clients that it does not", func(w *World) {
		w.Client("phone")
		for range 10 {
			w.PublishEvery(500*time.Millisecond, 10)
			w.Server.Restart()
			w.Sleep(500 * time.Millisecond)
		}
	})
	all.add("the server is frozen for a minute", "the kernel of a frozen process still acknowledges TCP segments", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 10)
		w.Server.Pause()
		w.Sleep(time.Minute)
		w.Server.Resume()
		w.PublishEvery(time.Second, 10)
	})
	all.races(overdue)
	all.add("the server is redeployed ten times", "the everyday case: the old process is asked to stop, and the next continues where it ended", func(w *World) {
		w.Client("phone")
		for i := range 10 {
			w.PublishEvery(500*time.Millisecond, 7)
			w.PublishEvery(0, 3)
			if i%2 == 1 {
				w.Sleep(time.Second) // what it was asked is under way, or all is quiet
			}
			w.Redeploy()
			w.Sleep(500 * time.Millisecond)
		}
	})
	all.add("events come while the server is redeployed", "a server that is shutting down must not accept an event that it cannot keep", func(w *World) {
		w.Client("phone")
		for i := range 8 {
			again := w.Redeploy
			if i%4 == 3 {
				again = w.Server.Restart
			}
			w.After(time.Duration(i+1)*1513*time.Millisecond, again)
		}
		w.PublishEvery(20*time.Millisecond, 700)
	})
	all.add("the server is redeployed while a client does not read", "a server that is shutting down must not wait forever for a client that does not read", func(w *World) {
		slow := w.Client("slow")
		w.Client("other")
		slow.Host.Pause()
		w.PublishLarge(10*time.Millisecond, 30, 12_000)
		w.Sleep(time.Second)
		w.Redeploy()
		w.Sleep(10 * time.Second)
		w.PublishEvery(time.Second, 3)
		slow.Host.Resume()
	})
	all.races(overdue) // net/http asks again over a connection of which it is about to read the end, or over another
	all.add("the server is gone for ten minutes", "clients must back off while the server is unreachable", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 3)
		w.Server.Crash()
		w.Unreachable(10 * time.Minute)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 3)
	})
	return all
}

// A process that was frozen does everything that it missed at one instant.
const overdue = "which of its overdue timers and of the packets that wait a process comes to first when it goes on"
