package patterntest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// publication is one call of Publish.
type publication struct {
	content
	place        int    // among all
	next         int    // the place of the next one with the same data; 0: there is none
	lane         string // within which it has an order, unless it is free
	free         bool
	at           time.Duration
	began, ended int // stamps; ended is 0 until Publish returned
	took         time.Duration
	err          error
	upSince      time.Duration // if it failed: since when the server ran; -1: it did not
}

// A content is an event to publish, and how to publish it.
type content struct {
	data string
	ttl  time.Duration // 0: forever
	to   string        // who alone may see it; "": everybody
	key  string        // "": it has none
	from *Publisher    // whose outbox it is in; nil: Publish is called for it
}

// isFor reports whether a client may see the event.
func (p *publication) isFor(c *Client) bool { return p.to == "" || p.to == c.as }

// expired reports whether the event has expired at t.
func (p *publication) expired(t time.Duration) bool { return p.ttl > 0 && t > p.at+p.ttl }

func (p *publication) accepted() bool { return p.ended > 0 && p.err == nil }

// Publish publishes events one after another. Events with the same text are separate events and
// must arrive as often as they were published.
func (w *World) Publish(data ...string) {
	for _, d := range data {
		w.publish(func(int) content { return content{data: d} })
		w.Sleep(breath)
	}
}

// breath is how long a story waits after each Publish. By then all effects of the event at its
// instant have happened. If the next event were published, or the server killed, at that same
// instant, it would be the runtime's choice how far the server had got. The pause also keeps
// timers that began with one event from firing at the instant of a later one.
const breath = time.Nanosecond

// PublishEvery publishes count events named e1, e2 and so on, the first at once and then one each
// interval plus a nanosecond, in which the previous event takes effect.
func (w *World) PublishEvery(interval time.Duration, count int) {
	w.PublishLarge(interval, count, 0)
}

// PublishLarge is [World.PublishEvery] with events that are padded to size bytes.
func (w *World) PublishLarge(interval time.Duration, count, size int) {
	for range count {
		w.publish(func(nth int) content { return content{data: filled(nth, size)} })
		w.Sleep(breath)
		w.Sleep(interval)
	}
}

// PublishAtOnce is [World.PublishEvery] with all events at one instant, each as soon as the
// previous one was accepted. How many of them a server's goroutines find together is the runtime's
// choice.
func (w *World) PublishAtOnce(count int) {
	for range count {
		w.publish(func(nth int) content { return content{data: numbered(nth)} })
	}
	w.Sleep(breath)
}

func numbered(nth int) string { return fmt.Sprintf("e%d", nth) }

// filled is numbered, padded to a size.
func filled(nth, size int) string {
	name := numbered(nth)
	return name + strings.Repeat(".", max(0, size-len(name)))
}

// PublishFor is [World.PublishEvery] with events that expire after ttl; 0: never. A system
// without PublishFor gets ordinary events.
func (w *World) PublishFor(ttl, interval time.Duration, count int) {
	if w.system.PublishFor == nil {
		ttl = 0
	}
	for range count {
		w.publish(func(nth int) content { return content{data: numbered(nth), ttl: ttl} })
		w.Sleep(breath)
		w.Sleep(interval)
	}
}

// PublishTo is [World.PublishEvery] with events that only client c may see.
func (w *World) PublishTo(c *Client, interval time.Duration, count int) {
	for range count {
		w.publish(func(nth int) content { return content{data: numbered(nth), to: c.as} })
		w.Sleep(breath)
		w.Sleep(interval)
	}
}

// PublishKeys is [World.PublishLarge] with events that take turns among that many keys. A system
// without PublishKey gets ordinary events.
func (w *World) PublishKeys(keys int, interval time.Duration, count, size int) {
	for range count {
		w.publish(func(nth int) content {
			c := content{data: filled(nth, size)}
			if w.system.PublishKey != nil {
				c.key = fmt.Sprintf("key%d", nth%keys)
			}
			return c
		})
		w.Sleep(breath)
		w.Sleep(interval)
	}
}

// PublishMany is [World.PublishAtOnce] with so many events that a client can take long to get them.
// [World.Settle] allows a round trip, or the system's bound if that is longer, for each of them. It
// is for clients that are away in the meantime.
func (w *World) PublishMany(count int) {
	w.backlog += count
	done, returned := make(chan struct{}), 0
	go func() {
		w.servers[0].owner.take()
		defer close(done)
		for range count {
			w.call(w.begin(func(nth int) content { return content{data: numbered(nth)} }))
			w.mu.Lock()
			returned++
			w.mu.Unlock()
		}
	}()
	for before := -1; !w.within(done); {
		w.mu.Lock()
		now := returned
		w.mu.Unlock()
		if now == before {
			break // one of them does not return
		}
		before = now
	}
	w.Sleep(breath)
	w.measure()
}

// backlogOf returns how many events a story publishes at once: fewer if the system writes each to
// a disk.
func (w *World) backlogOf(most, durable int) int {
	if w.system.Durable {
		return durable
	}
	return most
}

// PublishBefore publishes events before there are any clients, so no client must get them. Each
// costs little, so there can be many. It panics if there are clients.
func (w *World) PublishBefore(count int) {
	if len(w.clients) > 0 {
		panic("patterntest: World.PublishBefore: there are clients already")
	}
	w.await() // until then a server accepts nothing
	w.before = count
	w.backlog += count // a client may want them nevertheless
	done := make(chan struct{})
	go func() {
		w.servers[0].owner.take()
		defer close(done)
		for nth := range count {
			w.system.Publish(beforeName + strconv.FormatInt(int64(nth), 36))
		}
	}()
	<-done
	w.Sleep(breath)
}

const beforeName = "#"

// wasBefore reports whether an event is one of [World.PublishBefore].
func (w *World) wasBefore(data string) bool {
	name, ok := strings.CutPrefix(data, beforeName)
	nth, err := strconv.ParseInt(name, 36, 64)
	return ok && err == nil && nth < int64(w.before)
}

// PublishTogether has several publishers call Publish concurrently. They begin 3 ms
// apart, and each publishes count events, one each interval. If two calls of
// Publish overlap, the system decides which event comes first.
func (w *World) PublishTogether(publishers int, interval time.Duration, count int) {
	var done sync.WaitGroup
	for range publishers {
		done.Go(func() { w.PublishEvery(interval, count) })
		w.Sleep(3 * time.Millisecond)
	}
	done.Wait()
}

// Meanwhile runs publish in its own goroutine while play runs, and returns when both have returned.
// publish begins a nanosecond later: if both published at one instant, the runtime would decide
// which event is earlier.
func (w *World) Meanwhile(publish, play func()) {
	var done sync.WaitGroup
	done.Go(func() {
		w.Sleep(time.Nanosecond)
		publish()
	})
	play()
	done.Wait()
}

// publish publishes one event, the nth of the world. It does not wait for a Publish
// that does not return in time, so that the story continues.
func (w *World) publish(what func(nth int) content) {
	p := w.begin(what)
	done := make(chan struct{})
	go func() {
		w.servers[0].owner.take()
		w.call(p)
		close(done)
	}()
	w.within(done)
	w.measure()
}

// begin records that an event is about to be published.
func (w *World) begin(what func(nth int) content) *publication {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stamp++
	place := len(w.published)
	p := &publication{content: what(place + 1), place: place, at: w.Net.Elapsed(), began: w.stamp}
	switch {
	case p.from != nil:
		p.lane, p.began = "from "+p.from.Name, notYet
	case p.to != "":
		p.lane = "to " + p.to
	case w.system.KeysOnly:
		p.lane, p.free = "key "+p.key, p.key == ""
	}
	w.keyed = w.keyed || p.key != ""
	w.largest = max(w.largest, len(p.data))
	w.published = append(w.published, p)
	if last, again := w.places[p.data]; again {
		w.again = true
		w.published[last.last].next = place
		w.places[p.data] = places{last.first, place}
	} else {
		w.places[p.data] = places{place, place}
	}
	return p
}

// firstSince returns the first place of a text from since on, counted from since.
func (w *World) firstSince(place, since int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for place < since {
		place = w.published[place].next
	}
	return place - since
}

// copies returns how many events with one text were published.
func (w *World) copies(data string) (count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, published := w.places[data]
	if !published {
		return 0
	}
	for count = 1; all.first != all.last; count++ {
		all.first = w.published[all.first].next
	}
	return count
}

// places are where, in the order of publication, a text was published first and
// last.
type places struct{ first, last int }

// call publishes an event and records the result.
func (w *World) call(p *publication) {
	var err error
	switch {
	case p.to != "":
		err = w.system.PublishTo(p.to, p.data)
	case p.key != "":
		err = w.system.PublishKey(p.key, p.data)
	case p.ttl > 0:
		err = w.system.PublishFor(p.data, p.ttl)
	default:
		err = w.system.Publish(p.data)
	}
	since := w.runsSince()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stamp++
	p.ended, p.err, p.took, p.upSince = w.stamp, err, w.Net.Elapsed()-p.at, since
}

// mayRefuse reports whether a system may refuse an event because of its data.
func (w *World) mayRefuse(data string) bool {
	control := func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }
	return data == "" || len(data) > w.system.MaxEvent || !utf8.ValidString(data) || strings.ContainsFunc(data, control)
}

// within waits until Publish has returned, for as long as that may take.
func (w *World) within(done <-chan struct{}) bool {
	patience := time.NewTimer(w.system.PublishTimeout + time.Nanosecond)
	defer patience.Stop()
	select {
	case <-done:
		return true
	case <-patience.C:
		return false
	}
}

// measure records what the server holds, if that is too much for the number of clients.
func (w *World) measure() {
	if w.system.Held == nil {
		return
	}
	held, peers := w.system.Held(), w.population()
	w.mu.Lock()
	defer w.mu.Unlock()
	// A server that is passing on an event holds it twice, in its own form and as encoded for the wire.
	limit := max(w.system.MaxHeld, 2*w.largest) * peers
	if held > limit && held > w.held {
		w.held, w.heldAt, w.heldLimit = held, w.Net.Elapsed(), limit
	}
}

// expected returns what was published since a client connected.
func (w *World) expected(c *Client) []publication {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []publication
	for _, p := range w.published[c.since:] {
		all = append(all, *p)
	}
	return all
}

// missing calls f for each accepted event that the client did not get, except events before a gap
// of which it was notified, until f returns false. If a text arrived less often than it was
// published, its last publications are missing.
func (w *World) missing(c *Client, f func(p *publication) bool) {
	now := w.Net.Elapsed()
	w.mu.Lock()
	defer w.mu.Unlock()
	owed := w.published
	if c.successor != nil {
		owed = owed[:min(c.until, len(owed))]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var copies map[string]int                // of texts that were published several times
	from, whole := c.since+c.whole, !w.again // so far
	if w.again {
		from = c.since
	}
	gapAt, newest := c.toldAt(), w.newestOfKeys(c.since, func(data string) bool { return c.has(data) > 0 })
	for _, p := range owed[from:] {
		if p.at <= gapAt || p.ended > 0 && p.err != nil || p.expired(now) && !c.inTime || !p.isFor(c) || whole && p.accepted() && c.has(p.data) > 0 {
			if whole {
				c.whole++ // it need not be looked at again
			}
			continue
		}
		whole = false
		if !p.accepted() {
			continue
		}
		nth := 1
		if at := w.places[p.data]; at.first != at.last {
			if copies == nil {
				copies = map[string]int{}
			}
			copies[p.data]++
			nth = copies[p.data]
		}
		if c.has(p.data) < nth && !newest.makesUpFor(p) && !f(p) {
			return
		}
	}
}

// newest are the places of the newest events, by key, that a client has or that a group of workers
// has handled.
type newest map[string]int

// makesUpFor reports whether one of these replaces an older event.
func (n newest) makesUpFor(p *publication) bool {
	place, there := n[p.key]
	return there && p.place < place
}

// newestOfKeys returns the newest events published since then, if the system conflates. The world
// is locked.
func (w *World) newestOfKeys(since int, has func(data string) bool) newest {
	if !w.system.Conflates || !w.keyed {
		return nil
	}
	newest := newest{}
	for _, p := range w.published[since:] {
		if p.key != "" && has(p.data) {
			newest[p.key] = p.place
		}
	}
	return newest
}
