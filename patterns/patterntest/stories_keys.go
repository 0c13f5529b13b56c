package patterntest

import (
	"time"
)

// keyStories are about events that have a key.
func keyStories() (all stories) {
	hasKeys := func(s System) bool { return s.PublishKey != nil }
	all.add("events of seven keys", "events with the same key stay in order even if the server sends other keys in parallel", func(w *World) {
		c := w.Client("phone")
		w.PublishKeys(7, 0, 50, 0)
		w.PublishKeys(7, 30*time.Millisecond, 100, 0)
		w.After(time.Second+5*time.Millisecond, c.Link.Down)
		w.After(40*time.Second+5*time.Millisecond, c.Link.Up)
		w.PublishKeys(7, 500*time.Millisecond, 100, 2_000)
		w.Check()
		c.Leave()
		w.PublishKeys(7, 100*time.Millisecond, 30, 0)
		w.PublishEvery(100*time.Millisecond, 5)
		c.Return()
		w.PublishKeys(7, 30*time.Millisecond, 100, 0)
	})
	all.needs("System.PublishKey is not set", hasKeys)
	all.add("values change faster than a client reads", "a client can miss an outdated value, but not the latest", func(w *World) {
		slow := w.Client("slow")
		other := w.Client("other")
		w.PublishKeys(5, time.Second, 10, 0)
		slow.Host.Pause()
		w.PublishKeys(5, 20*time.Millisecond, 300, 12_000) // 3.6 MB: more than sockets hold
		w.PublishEvery(time.Second, 3)
		w.PublishKeys(3, time.Second, 3, 0) // two of the keys have their last values before
		slow.Host.Resume()
		w.Sleep(time.Minute)
		w.Check()
		other.Leave()
		w.PublishKeys(5, 100*time.Millisecond, 50, 0)
		other.Return()
		w.PublishKeys(2, 100*time.Millisecond, 20, 0)
	})
	all.races(overdue)
	all.needs("System.Conflates is not set", func(s System) bool { return s.Conflates })
	return all
}

// nameStories are about the identity of clients.
func nameStories() (all stories) {
	isPrivate := func(s System) bool { return s.PublishTo != nil }
	all.add("events for one client alone", "a private event must not reach another client, even one that subscribes to everything or has a similar name", func(w *World) {
		pod, podA, podDash := w.Client("pod"), w.Client("pod.a"), w.Client("pod-a")
		w.PromptFor(pod, podA, podDash)
		for range 4 {
			w.PublishEvery(200*time.Millisecond, 1)
			for _, c := range []*Client{pod, podA, podDash} {
				w.PublishTo(c, 200*time.Millisecond, 2)
			}
		}
	})
	all.needs("System.PublishTo is not set", isPrivate)
	all.add("events for one client alone, which is away", "an event that waits for its client must not go to another client that connects first", func(w *World) {
		pod, podA, podDash := w.Client("pod"), w.Client("pod.a"), w.Client("pod-a")
		each := func() {
			for _, c := range []*Client{pod, podA, podDash} {
				w.PublishTo(c, 100*time.Millisecond, 3)
				w.PublishEvery(100*time.Millisecond, 1)
			}
		}
		each()
		pod.Leave()
		podA.Host.Crash()
		podDash.Host.PowerOff()
		each()
		podDash.Host.Restart()
		w.Sleep(5 * time.Second)
		pod.Return()
		each()
		podA.Host.Restart()
		each()
		w.Check()
		w.Redeploy()
		w.Sleep(5 * time.Second)
		each()
	})
	all.needs("System.PublishTo is not set", isPrivate)
	fences := func(s System) bool { return s.Fences }
	all.add("another client comes under the same name", "two clients with the same identity would both act on an event", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		again := w.Successor(c)
		w.PublishEvery(time.Second, 10)
		again.Host.Restart() // it is the one still
		w.Sleep(5 * time.Second)
		w.PublishEvery(time.Second, 10)
	})
	all.needs("System.Fences is not set", fences)
	all.add("a client comes back that was replaced while it was out of reach", "it does not know that it was replaced, and must not take the name back", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		c.Link.Down()
		w.Sleep(5 * time.Second)
		w.Successor(c)
		w.PublishEvery(5*time.Second, 30) // it gives its connection up meanwhile, and has not heard why it ended
		c.Link.Up()
		w.PublishEvery(5*time.Second, 30)
		c.Host.Restart() // it knows no more: now it is the one that came last
		w.Sleep(time.Minute)
	})
	all.needs("System.Fences is not set", fences)
	return all
}
