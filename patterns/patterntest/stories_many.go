package patterntest

import (
	"strings"
	"time"

	"github.com/squall-sim/squall/sim"
)

// manyStories are about several clients.
func manyStories() (all stories) {
	all.add("one client of three cannot be reached", "a dead client must not delay the others", func(w *World) {
		dead := w.Client("dead")
		w.PromptFor(w.Client("one"), w.Client("two"))
		w.After(time.Second, dead.Link.Down)
		w.PublishLarge(time.Second, 120, 8_000) // 1 MB: more than a dead connection takes
		dead.Link.Up()
	})
	all.add("one client of three does not read", "a slow client must not delay the others, nor use up the server's memory", func(w *World) {
		slow := w.Client("slow")
		w.PromptFor(w.Client("one"), w.Client("two"))
		w.After(time.Second, slow.Host.Pause)
		w.PublishLarge(50*time.Millisecond, 310, 12_000) // 3.7 MB: more than sockets hold, and three clients may have the server hold
		slow.Host.Resume()
		w.Sleep(30 * time.Second)
		slow.Host.Pause() // for longer than anybody's patience
		w.PublishEvery(10*time.Second, 30)
		slow.Host.Resume()
	})
	all.add("a hundred clients lose the server at once", "clients that all reconnect together overload the server again", func(w *World) {
		w.Crowd(100)
		w.PublishEvery(time.Second, 1)
		w.SpreadOut()
		w.Server.Crash()
		w.Sleep(5 * time.Second)
		w.Server.Restart()
		w.Sleep(20 * time.Second)
		w.PublishEvery(time.Second, 1)
	})
	all.add("a hundred clients are sent away", "the reconnections after a deployment must not look like an attack", func(w *World) {
		w.Crowd(130) // more than many a table has room for
		w.PublishEvery(time.Second, 1)
		w.SpreadOut()
		w.Redeploy()
		w.Sleep(20 * time.Second)
		w.PublishEvery(time.Second, 1)
	})
	all.races("the order in which a server answers a hundred clients at one instant, and so the delay that it draws for each, is the runtime's choice")
	all.add("thirty clients notice a silence", "clients that heard from the server last at one instant all time out at one instant", func(w *World) {
		w.Crowd(30)
		w.PublishEvery(time.Second, 1)
		w.SpreadOut()
		w.Server.PowerOff()
		w.Sleep(2 * time.Minute)
		w.Server.Restart()
		w.Sleep(time.Minute)
		w.PublishEvery(time.Second, 1)
	})
	all.add("three clients of six come and go", "what happens to one client must not affect the others, even if their names are similar", func(w *World) {
		long := strings.Repeat("station-", 7)
		pod, podA, podB, podDash := w.Client("pod"), w.Client("pod.a"), w.Client("pod.b"), w.Client("pod-a")
		long1, long2 := w.Client(long+"1"), w.Client(long+"2")
		w.PromptFor(pod, podB, long2)
		for i, how := range []struct{ goes, comes func(c *Client) }{
			{func(c *Client) { c.Leave() }, func(c *Client) { c.Return() }},
			{func(c *Client) { c.Host.Crash() }, func(c *Client) { c.Host.Restart() }},
			{func(c *Client) { c.Host.PowerOff() }, func(c *Client) { c.Host.Restart() }},
			{func(c *Client) { c.Link.Down() }, func(c *Client) { c.Link.Up() }},
		} {
			for k, c := range []*Client{podA, podDash, long1} {
				at := time.Duration(1+3*i+k) * 25 * time.Second
				w.After(at, func() { how.goes(c) })
				w.After(at+65*time.Second, func() { how.comes(c) })
			}
		}
		w.PublishEvery(3*time.Second, 120)
	})
	all.add("fifty clients hear of one event", "one event must wake every waiting client exactly once", func(w *World) {
		w.PromptFor(w.Crowd(50)...)
		for range 5 {
			w.PublishEvery(20*time.Second, 1)
		}
	})
	all.add("a partition between the server and half of the clients", "after the partition both halves must have the same events", func(w *World) {
		var far []*sim.Host
		for i, c := range w.Clients(6) {
			if i%2 == 0 {
				far = append(far, c.Host)
			} else {
				w.PromptFor(c)
			}
		}
		w.After(5*time.Second, func() { w.Net.Partition([]*sim.Host{w.Server}, far) })
		w.After(65*time.Second, w.Net.Heal)
		w.PublishEvery(time.Second, 90)
	})
	return all
}
