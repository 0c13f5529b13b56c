package patterntest

import (
	"time"
)

// keyStories are about events that have a key.
func keyStories() (all stories) {
	hasKeys := func(s System) bool { return s.PublishKey != nil }
	all.add("events of seven keys", "what is about one thing keeps its order, whatever is sent side by side", func(w *World) {
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
	all.add("values change faster than a client reads", "an old value may be left out, the last one may not", func(w *World) {
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

// nameStories are about who a client is.
func nameStories() (all stories) {
	isPrivate := func(s System) bool { return s.PublishTo != nil }
	all.add("events for one client alone", "what is for one is not for another who asks for all, however alike their names are", func(w *World) {
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
	all.add("events for one client alone, which is away", "what waits for one is not handed to another who comes first", func(w *World) {
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
	all.add("another client comes under the same name", "two who believe to be the same would both act on an event", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		again := w.Successor(c)
		w.PublishEvery(time.Second, 10)
		again.Host.Restart() // it is the one still
		w.Sleep(5 * time.Second)
		w.PublishEvery(time.Second, 10)
	})
	all.needs("System.Fences is not set", fences)
	all.add("a client comes back that was replaced while it was out of reach", "it does not know, and must not win the name back", func(w *World) {
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
