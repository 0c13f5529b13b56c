package patterntest

import "time"

// publisherStories are about publishers on hosts of their own.
func publisherStories() (all stories) {
	publishes := func(s System) bool { return s.Publishers != nil }

	all.add("publishers whose answers are lost", "a publisher that hears no answer sends its event again, which must not create a duplicate", func(w *World) {
		w.PromptFor(w.Client("phone"))
		till, door := w.Publisher("till"), w.Publisher("door")
		till.PublishEvery(time.Second, 3)
		for i := range 6 {
			lost := w.Server // the answer
			if i%3 == 2 {
				lost = till.Host // or the event
			}
			w.After(103*time.Millisecond, func() { till.Link.DownFrom(lost) })
			w.After(157*time.Millisecond, func() { door.Link.DownFrom(w.Server) })
			w.Meanwhile(func() { till.PublishEvery(50*time.Millisecond, 4) }, func() { door.PublishEvery(71*time.Millisecond, 4) })
			w.Sleep(w.shortOutage())
			w.After(11*time.Millisecond, till.Link.Up)
			w.After(7*time.Second, door.Link.Up)
			w.Sleep(30 * time.Second)
		}
	})
	all.needs("System.Publishers is not set", publishes)
	all.add("a publisher crashes before it hears the answer", "the next process sends what is in the outbox, and knows nothing else", func(w *World) {
		w.PromptFor(w.Client("phone"))
		till := w.Publisher("till")
		for i := range 8 {
			if i%2 == 1 { // what it has written is nowhere but in its own buffers
				till.Link.Down()
			}
			w.After(time.Duration(10+14*i)*time.Millisecond+3*time.Microsecond, till.Host.Crash) // before, while and after the server has it
			till.PublishEvery(0, 2)
			w.Sleep(5 * time.Second)
			till.Link.Up()
			till.Host.Restart()
			w.Sleep(5 * time.Second)
		}
		w.After(500*time.Millisecond+3*time.Microsecond, till.Host.Restart)
		till.PublishEvery(9*time.Millisecond, 100)
	})
	all.needs("System.Publishers is not set", publishes)
	all.add("the server restarts before a publisher hears the answer", "after a restart the server must recognise events that it accepted before", func(w *World) {
		w.Client("phone")
		till := w.Publisher("till")
		till.PublishEvery(time.Second, 3)
		for range 2 {
			w.After(41*time.Millisecond, func() { till.Link.DownFrom(w.Server) })
			till.PublishEvery(0, 3)
			w.Sleep(time.Second)
			w.PublishEvery(50*time.Millisecond, 110)
			w.Sleep(31 * time.Second) // so that only the publisher brings it again
			w.Acknowledged()
			w.Redeploy()
			w.Sleep(time.Second)
			till.Link.Up()
			w.Sleep(time.Minute)
		}
		w.After(2*time.Second+3*time.Microsecond, w.Server.Restart)
		till.PublishEvery(37*time.Millisecond, 100)
	})
	all.needs("System.Publishers is not set", publishes)
	return all
}

// shortOutage is how long answers can be lost without the server forgetting what it accepted.
func (w *World) shortOutage() time.Duration {
	if r := w.system.Publishers.Remembers; r > 0 {
		return min(50*time.Second, r/2)
	}
	return 50 * time.Second
}
