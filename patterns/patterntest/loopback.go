package patterntest

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/sim"
)

// Loopback runs the stories of the contract that need no broken network, over TCP connections
// of the operating system (see [sim.Loopback]). They run in real time, all at once, and take
// a second or so each. This shows that the system behaves the same without the simulator.
// Promises that need exact times or packets are not judged: Prompt and Gentle.
//
// There are fewer stories than in [Delivery]. [Skip] leaves one out.
func Loopback(t *testing.T, newSystem NewSystem, opts ...Option) {
	t.Helper()
	var acts []act
	for _, s := range loopbackStories() {
		acts = append(acts, act{name: s.Name, reason: s.Reason, lacking: s.lacking, begin: func(n *sim.Network) performance {
			system := newSystem(n)
			if s.Needs != nil && !s.Needs(system) {
				return nil
			}
			return func(folder string) performed { return playOnLoopback(n, system, folder, s) }
		}})
	}
	performOnLoopback(t, acts, opts)
}

// playOnLoopback plays a story on a network that was made with [sim.Loopback]. The story
// has no links; its times are real ones.
func playOnLoopback(n *sim.Network, s System, folder string, story Story) *World {
	s.Recovery = cmp.Or(s.Recovery, time.Minute)
	w := newWorld(n, s, folder, true)
	w.await()
	story.Play(w)
	w.Settle()
	return w
}

// await waits until the server listens, which can take a while on a busy machine.
func (s *Stage) await() {
	for patience := s.Net.Elapsed() + busyTime; s.Net.Elapsed() < patience && !strings.Contains(s.Server.Netstat(), "LISTEN"); {
		s.Sleep(time.Millisecond)
	}
}

// greet publishes until the client gets an event and so is known to be
// connected.
func (w *World) greet(c *Client) {
	for patience := w.Net.Elapsed() + busyTime; w.Net.Elapsed() < patience && len(c.arrivals()) == 0; {
		w.publish(func(nth int) content { return content{data: fmt.Sprintf("hello %d", nth)} })
		w.Sleep(50 * time.Millisecond)
	}
}

// busyTime is how long a busy machine can take for something that takes no
// virtual time.
const busyTime = 10 * time.Second

// restart restarts the server and waits until it listens.
func (s *Stage) restart() {
	s.Server.Restart()
	s.await()
}

func loopbackStories() []Story {
	const tick = 5 * time.Millisecond
	var all []Story
	add := func(name string, play func(w *World)) {
		all = append(all, Story{Name: name, Reason: "what holds on the simulated network must hold on a real one", Play: play})
	}
	add("a quiet day", func(w *World) {
		w.Client("phone")
		w.PublishEvery(tick, 100)
	})
	add("events at one instant", func(w *World) {
		w.Client("phone")
		w.PublishAtOnce(200)
	})
	add("events of all kinds", ofAllKinds)
	add("events of any bytes", ofAnyBytes)
	add("the same text again", func(w *World) {
		w.Client("phone")
		w.Publish("on", "on", "off", "on", "off", "on", "on")
	})
	add("large events", func(w *World) {
		w.Client("phone")
		w.PublishLarge(0, 50, 50_000)
	})
	add("ten publishers at once", func(w *World) {
		w.Client("phone")
		w.PublishTogether(10, tick, 20)
	})
	add("ten clients hear of each event", func(w *World) {
		w.Clients(10)
		w.PublishEvery(tick, 20)
	})
	add("the client restarts", func(w *World) {
		c := w.Client("phone")
		for range 3 {
			w.PublishEvery(tick, 20)
			c.Host.Crash()
			w.PublishEvery(tick, 20)
			c.Host.Restart()
		}
		w.PublishEvery(tick, 20)
	})
	add("the client leaves and comes back", func(w *World) {
		c := w.Client("phone")
		for range 3 {
			w.PublishEvery(tick, 20)
			c.Leave()
			w.PublishEvery(tick, 20)
			c.Return()
		}
	})
	add("one client of three crashes", func(w *World) {
		all := w.Clients(3)
		w.PublishEvery(tick, 20)
		all[0].Host.Crash()
		w.PublishEvery(tick, 20)
		all[0].Host.Restart()
	})
	add("the server crashes right after it accepted", func(w *World) {
		w.Client("phone")
		for range 2 {
			w.PublishEvery(tick, 20)
			w.PublishEvery(0, 3)
			w.restart()
		}
		w.PublishEvery(tick, 20)
	})
	add("the server restarts while the client is away", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(tick, 20)
		c.Leave()
		w.PublishEvery(tick, 20)
		w.restart()
		w.PublishEvery(tick, 50)
		c.Return()
	})
	add("the server is redeployed", func(w *World) {
		w.Client("phone")
		w.PublishEvery(tick, 20)
		w.Redeploy()
		w.await()
		w.PublishEvery(tick, 20)
	})
	all = append(all, Story{
		Name: "events expire while the client is away", Reason: "expiry must work with a clock that runs as well as with one that jumps",
		Needs: expires, lacking: "System.PublishFor is not set",
		Play: func(w *World) {
			c := w.Client("phone")
			c.Leave()
			w.PublishFor(100*time.Millisecond, tick, 5)
			w.PublishFor(time.Hour, tick, 5)
			w.Sleep(time.Second)
			c.Return()
		},
	})
	return all
}
