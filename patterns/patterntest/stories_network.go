package patterntest

import (
	"fmt"
	"time"

	"github.com/squall-sim/squall/netem"
)

// reachStories are about a client that is out of reach for a while.
func reachStories() (all stories) {
	// The client is out of reach for a while: during, before and after events, for
	// shorter and longer than anybody's timeout.
	for _, out := range []time.Duration{100 * time.Millisecond, 2 * time.Second, 30 * time.Second, 65 * time.Second, 20 * time.Minute} {
		all.add(fmt.Sprintf("out of reach for %v", out), "the client must recover every event, or be notified of a gap", func(w *World) {
			c := w.Client("phone")
			w.After(5*time.Second-10*time.Millisecond, c.Link.Down)
			w.After(5*time.Second-10*time.Millisecond+out, c.Link.Up)
			w.PublishEvery(max(out/20, time.Second), 30)
		})
	}
	all.add("away for a week", "a server that keeps events for a limited time must notify clients that return later than that", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		c.Host.PowerOff()
		w.PublishEvery(8*time.Hour, 3)
		if w.system.Durable {
			w.Redeploy()
			w.Sleep(time.Second)
		}
		w.PublishEvery(12*time.Hour, 12)
		c.Host.Restart()
		w.Sleep(time.Minute)
		w.PublishEvery(time.Second, 3)
	})
	all.add("events come while the client comes back", "an event between the replay of missed events and the live stream is easily lost", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 1)
		for _, comeBack := range []struct{ away, back func() }{
			{c.Leave, c.Return}, {c.Host.Crash, c.Host.Restart}, {c.Host.PowerOff, c.Host.Restart}, {func() {}, c.Host.Restart}, {c.Leave, c.Return},
		} {
			comeBack.away()
			w.PublishEvery(10*time.Millisecond, 20)
			comeBack.back()
			w.PublishEvery(7*time.Millisecond, 60)
			w.Sleep(5 * time.Second)
		}
	})
	// Longer than any timeout, because TCP repairs a short loss.
	all.add("the answer is lost", "sent does not mean received: the server learns of the loss only from the client's next position", func(w *World) {
		c := w.Client("phone")
		w.Census()
		for range 10 {
			c.Link.DownFrom(w.Server)
			w.PublishEvery(100*time.Millisecond, 1)
			w.After(50*time.Second, c.Link.Up)
			w.Sleep(2 * time.Minute)
		}
		w.Sleep(time.Minute)
		w.Census()
	})
	all.add("the request is lost", "the server must not depend on hearing from its client", func(w *World) {
		c := w.Client("phone")
		for range 10 {
			c.Link.DownFrom(c.Host)
			w.PublishEvery(100*time.Millisecond, 1)
			w.After(50*time.Second, c.Link.Up)
			w.Sleep(2 * time.Minute)
		}
	})
	all.add("a link that flaps", "each reconnection can skip or repeat an event", func(w *World) {
		c := w.Client("phone")
		for i := range 20 {
			w.After(time.Duration(i)*4*time.Second+2*time.Second, c.Link.Down)
			w.After(time.Duration(i)*4*time.Second+4*time.Second, c.Link.Up)
		}
		w.PublishEvery(500*time.Millisecond, 160)
	})
	all.add("packets held and released", "a delayed packet must not be taken for a new one", func(w *World) {
		c := w.Client("phone")
		w.After(5*time.Second, c.Link.Hold)
		w.After(50*time.Second, c.Link.Release)
		w.PublishEvery(time.Second, 60)
	})
	all.add("the client starts while its link rejects", "a dial that fails at once must not be repeated in a hot loop", func(w *World) {
		c := w.Client("phone")
		w.After(5*time.Second, func() { w.StartRejected(c) })
		w.After(100*time.Second, c.Link.Up)
		w.PublishEvery(2*time.Second, 60)
	})
	return all
}

// linkStories are about links that are bad all the time.
func linkStories() (all stories) {
	for _, impairment := range []struct {
		name, reason string
		cfg          netem.Config
	}{
		{"2 percent loss", "over TCP, loss becomes delay", netem.Config{Delay: Transit, Loss: netem.Bernoulli(0.02)}},
		{"20 percent loss", "over TCP, heavy loss becomes a long delay", netem.Config{Delay: Transit, Loss: netem.Bernoulli(0.2)}},
		{"bursts of loss", "a radio link loses many packets in a row", netem.Config{Delay: Transit, Loss: netem.GilbertElliott{P: 0.02, R: 0.2}}},
		{"jitter that reorders", "TCP hides reordering from the application", netem.Config{Delay: Transit, Jitter: Transit}},
		{"packets that come twice", "TCP hides duplicates from the application", netem.Config{Delay: Transit, Duplicate: 0.2}},
		{"packets that come broken", "TCP hides corruption from the application", netem.Config{Delay: Transit, Corrupt: 0.05}},
	} {
		all.add("a link with "+impairment.name, impairment.reason, func(w *World) {
			w.Link(impairment.cfg)
			w.Client("phone")
			w.PublishEvery(50*time.Millisecond, 100)
		})
	}
	thin := netem.Config{Delay: Transit, Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}}
	all.add("a link with 64 kbit per second", "a burst overflows the queue, and what is left takes long to transmit", func(w *World) {
		w.Link(thin)
		w.Client("phone")
		for range 5 {
			w.PublishLarge(0, 10, 4_000)
			w.Sleep(20 * time.Second)
		}
	})
	all.add("the way is cut while much is on it", "a truncated answer must not count as complete, nor as if nothing had arrived", func(w *World) {
		w.Link(thin)
		c := w.Client("phone")
		w.PublishLarge(0, 10, 10_000) // 18 s, in base64
		w.Sleep(5 * time.Second)
		c.Link.Down()
		w.Sleep(2 * time.Minute)
		c.Link.Up()
		w.PublishEvery(time.Second, 10)
	})
	return all
}
