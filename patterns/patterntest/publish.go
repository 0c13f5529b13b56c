package patterntest

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// publication is one call of Publish.
type publication struct {
	data         string
	at           time.Duration
	ttl          time.Duration // 0: for ever
	began, ended int           // stamps; ended is 0 until Publish returned
	took         time.Duration
	err          error
	upSince      time.Duration // if it failed: since when the server ran; -1: it did not
}

// expired says whether the event's time is over at t.
func (p *publication) expired(t time.Duration) bool { return p.ttl > 0 && t > p.at+p.ttl }

func (p *publication) accepted() bool { return p.ended > 0 && p.err == nil }

// Publish publishes events one after the other. Each needs a text of its own.
func (w *World) Publish(data ...string) {
	for _, d := range data {
		w.publish(0, func(int) string { return d })
		w.Sleep(breath)
	}
}

// breath is how long a story waits after each Publish. What an event brings about at its
// instant is over then: were the next one published meanwhile, or the server killed, it would be
// the runtime's choice how far the server has got. And timers that began with one event
// do not fire at the instant of a later one.
const breath = time.Nanosecond

// PublishEvery publishes count events, one each interval (and a nanosecond more, for the event before to take
// effect), the first at once, under the names e1, e2 and so on.
func (w *World) PublishEvery(interval time.Duration, count int) {
	w.PublishLarge(interval, count, 0)
}

// PublishLarge is [World.PublishEvery] with events that are filled up to size bytes.
func (w *World) PublishLarge(interval time.Duration, count, size int) {
	for range count {
		w.publish(0, func(nth int) string {
			name := numbered(nth)
			return name + strings.Repeat(".", max(0, size-len(name)))
		})
		w.Sleep(breath)
		w.Sleep(interval)
	}
}

// PublishAtOnce is [World.PublishEvery] with all events at one instant, each as soon as the one
// before was accepted. How many of them a server's goroutines find together is the runtime's choice.
func (w *World) PublishAtOnce(count int) {
	for range count {
		w.publish(0, numbered)
	}
	w.Sleep(breath)
}

func numbered(nth int) string { return fmt.Sprintf("e%d", nth) }

// PublishFor is [World.PublishEvery] with events that live for so long only. The system
// must have a PublishFor.
func (w *World) PublishFor(ttl, interval time.Duration, count int) {
	for range count {
		w.publish(ttl, numbered)
		w.Sleep(breath)
		w.Sleep(interval)
	}
}

// PublishTogether has several publishers call Publish at once, 3 ms apart, each for
// count events, one each interval. Which of two events comes first if neither was
// accepted before the other was handed over is the system's to say.
func (w *World) PublishTogether(publishers int, interval time.Duration, count int) {
	var done sync.WaitGroup
	for range publishers {
		done.Go(func() { w.PublishEvery(interval, count) })
		w.Sleep(3 * time.Millisecond)
	}
	done.Wait()
}

// publish publishes one event, the nth of the world. A Publish that does not return in
// time is left alone, so that the story goes on.
func (w *World) publish(ttl time.Duration, text func(nth int) string) {
	w.mu.Lock()
	w.stamp++
	p := &publication{data: text(len(w.published) + 1), at: w.Net.Elapsed(), ttl: ttl, began: w.stamp}
	w.published = append(w.published, p)
	w.mu.Unlock()

	done := make(chan struct{})
	go func() {
		var err error
		if ttl > 0 {
			err = w.system.PublishFor(p.data, ttl)
		} else {
			err = w.system.Publish(p.data)
		}
		since := w.runsSince()
		w.mu.Lock()
		w.stamp++
		p.ended, p.err, p.took, p.upSince = w.stamp, err, w.Net.Elapsed()-p.at, since
		w.mu.Unlock()
		close(done)
	}()
	patience := time.NewTimer(w.system.PublishTimeout + time.Nanosecond)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	w.measure()
}

// measure notes what the server holds.
func (w *World) measure() {
	if w.system.Held == nil {
		return
	}
	held := w.system.Held()
	w.mu.Lock()
	defer w.mu.Unlock()
	if held > w.held {
		w.held, w.heldAt = held, w.Net.Elapsed()
	}
}

// expected returns what a client should have got.
func (w *World) expected(c *Client) []publication {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []publication
	for _, p := range w.published[c.since:] {
		all = append(all, *p)
	}
	return all
}

// missing returns the accepted events that the client did not get, other than those
// before a gap that it was told of.
func (w *World) missing(c *Client) []publication {
	have := map[string]bool{}
	gapAt := time.Duration(-1)
	for _, a := range c.arrivals() {
		if a.gap != "" {
			gapAt = a.at
		} else {
			have[a.data] = true
		}
	}
	now := w.Net.Elapsed()
	var missing []publication
	for _, p := range w.expected(c) {
		expired := p.expired(now) && !c.inTime
		if p.accepted() && !have[p.data] && p.at > gapAt && !expired {
			missing = append(missing, p)
		}
	}
	return missing
}
