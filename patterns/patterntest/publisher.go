package patterntest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// Publishers describes the publishers of a [System] that run on their own hosts and reach the
// server over the network, as clients do.
type Publishers struct {
	// Run runs the publisher with that name on h until ctx is done. It sends the events of the
	// outbox, and each one again until the server has accepted it. It runs as a process of the
	// host, as a client does. An event must arrive once, however often it was sent, and the events
	// of one publisher in their order.
	Run func(ctx context.Context, h *sim.Host, name string, o Outbox) error

	// Remembers is how long the server remembers an event that it has accepted. An event that is
	// accepted later than that after it was first sent may arrive twice. Zero: forever.
	Remembers time.Duration
}

// An Outbox holds the events that a publisher must send. It is on the
// publisher's disk.
type Outbox interface {
	// Next returns the oldest event that was not accepted yet. It waits until there is one, or
	// returns ctx's error when ctx is done. The ID is unique to the event and stays the same if
	// Next returns the event again, even to another process.
	Next(ctx context.Context) (id, data string, err error)
	// Accepted records that the server has accepted an event.
	Accepted(id string)
}

// A Publisher is a client of a [World] that publishes over the network, from
// its own host.
type Publisher struct {
	Peer
	world *World

	mu    sync.Mutex
	queue []*publication // not accepted yet
	news  chan struct{}  // closed by the next
}

// Publisher creates a publisher on its own host. It connects over a good link, which then
// becomes the one that [Stage.Link] set.
func (w *World) Publisher(name string) *Publisher {
	p := &Publisher{world: w, news: make(chan struct{})}
	p.run(&w.Stage, name, func(ctx context.Context, h *sim.Host) error { return w.system.Publishers.Run(ctx, h, name, p) })
	w.publishers = append(w.publishers, p)
	w.Sleep(10 * Transit)
	p.Link.Set(w.link)
	return p
}

// PublishEvery puts count events into the outbox, one each interval, the first at once, as
// [World.PublishEvery] does. It does not wait until they are accepted.
func (p *Publisher) PublishEvery(interval time.Duration, count int) {
	for range count {
		e := p.world.begin(func(nth int) content { return content{data: numbered(nth), from: p} })
		p.mu.Lock()
		p.queue = append(p.queue, e)
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
		p.world.Sleep(breath)
		p.world.Sleep(interval)
	}
}

// Next implements [Outbox].
func (p *Publisher) Next(ctx context.Context) (id, data string, err error) {
	for {
		p.mu.Lock()
		news := p.news
		if len(p.queue) > 0 {
			e := p.queue[0]
			p.mu.Unlock()
			p.world.sends(e)
			return fmt.Sprint(e.place + 1), e.data, nil
		}
		p.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return "", "", ctx.Err()
		}
	}
}

// Accepted implements [Outbox].
func (p *Publisher) Accepted(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.queue, func(e *publication) bool { return fmt.Sprint(e.place+1) == id }); i >= 0 {
		p.world.accepts(p.queue[i])
		p.queue = slices.Delete(p.queue, i, i+1)
	}
}

// notYet is the stamp of an event in an outbox that no process has seen yet.
const notYet = math.MaxInt

// sends records that a publisher has taken an event from its outbox.
func (w *World) sends(p *publication) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.began == notYet {
		w.stamp++
		p.began, p.at = w.stamp, w.Net.Elapsed()
	}
}

// accepts records that a publisher knows that an event was accepted.
func (w *World) accepts(p *publication) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stamp++
	p.ended, p.took = w.stamp, w.Net.Elapsed()-p.at
}

// sent reports whether all outboxes are empty.
func (w *World) sent() bool {
	for _, p := range w.publishers {
		p.mu.Lock()
		left := len(p.queue)
		p.mu.Unlock()
		if left > 0 {
			return false
		}
	}
	return true
}

// mayComeTwice reports whether the server may have forgotten by then that it already had the
// event.
func (w *World) mayComeTwice(p *publication) bool {
	return p.from != nil && w.system.Publishers.Remembers > 0 && (p.ended == 0 || p.took >= w.system.Publishers.Remembers)
}

// judgeOutboxes looks for events that publishers could not deliver.
func (w *World) judgeOutboxes(f *findings) {
	for _, p := range w.publishers {
		p.mu.Lock()
		queue := slices.Clone(p.queue)
		p.mu.Unlock()
		for _, e := range queue {
			f.add(Open, p.Name, "%s, which %s was to publish, had not been accepted %v after all faults were over", short(e.data), p.Name, w.system.Recovery)
		}
	}
}
