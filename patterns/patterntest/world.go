package patterntest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Transit is the one-way delay between the server and each client.
const Transit = 40 * time.Millisecond

// A World is a server and clients on a network, and the record of what was published
// and what arrived. Its methods are for the goroutine of the story.
type World struct {
	// Net is the network; Server the host that the system's server runs on.
	Net    *sim.Network
	Server *sim.Host

	system  System
	clients []*Client
	link    netem.Config
	idle    []span        // the time in which idle clients are to send little
	spread  time.Duration // since when clients are to come back apart; 0: they need not

	mu        sync.Mutex
	stamp     int // counts beginnings and ends of Publish
	published []*publication
	held      int // the most that the server held
	heldAt    time.Duration
	up        bool // the server runs
	upSince   time.Duration
}

type span struct{ from, to time.Duration }

// publication is one call of Publish.
type publication struct {
	data         string
	at           time.Duration
	began, ended int // stamps; ended is 0 until Publish returned
	took         time.Duration
	err          error
	upSince      time.Duration // if it failed: since when the server ran; -1: it did not
}

func (p *publication) accepted() bool { return p.ended > 0 && p.err == nil }

// A Client is one of a World's clients.
type Client struct {
	Name string
	Host *sim.Host
	Link *sim.Link // between it and the server

	world   *World
	since   int         // events published before it was there
	inTime  bool        // it was never out of reach, so that delays are checked
	stopped atomic.Bool // by the contract, since it ran wild

	mu  sync.Mutex
	got []arrival
}

type arrival struct {
	data string
	gap  string // not empty: the client was told of a gap
	at   time.Duration
}

// NewWorld starts the system's server on n. folder is for what it keeps on disk.
func NewWorld(n *sim.Network, s System, folder string) *World {
	s.Bound = cmp.Or(s.Bound, 3*Transit)
	s.Recovery = cmp.Or(s.Recovery, 3*time.Minute)
	s.PublishTimeout = cmp.Or(s.PublishTimeout, 5*time.Second)
	s.MaxHeld = cmp.Or(s.MaxHeld, 1<<20)
	w := &World{Net: n, Server: n.Host("server"), system: s, link: netem.Config{Delay: Transit}}
	w.Server.Run("server", func(ctx context.Context, h *sim.Host) error {
		w.starts(ctx)
		return s.Serve(ctx, h, folder)
	})
	return w
}

// starts notes a life of the server, until ctx is done.
func (w *World) starts(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.upSince = true, w.Net.Elapsed()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.up = false
	})
}

// Link sets how clients that are made from now on are linked to the server, instead of
// by 40 ms each way and nothing else.
func (w *World) Link(cfg netem.Config) { w.link = cfg }

// Client makes a client on a host of its own and lets it connect, over a good link that
// then becomes what [World.Link] wants. It is to get all that is published from then on.
func (w *World) Client(name string) *Client {
	c := &Client{Name: name, Host: w.Net.Host(name), world: w}
	c.Link = w.Net.Link(c.Host, w.Server, netem.Config{Delay: Transit})
	w.clients = append(w.clients, c)
	c.Host.Run("client", func(ctx context.Context, h *sim.Host) error {
		return w.system.Receive(ctx, h, name, c)
	})
	w.Sleep(10 * Transit)
	c.Link.Set(w.link)
	w.mu.Lock()
	c.since = len(w.published)
	w.mu.Unlock()
	return c
}

// Clients makes count clients, under the names phone1, phone2 and so on.
func (w *World) Clients(count int) []*Client {
	var all []*Client
	for i := range count {
		all = append(all, w.Client(fmt.Sprintf("phone%d", i+1)))
	}
	return all
}

// Event implements [Receiver].
func (c *Client) Event(data string) { c.note(arrival{data: data}) }

// Gap implements [Receiver].
func (c *Client) Gap(why string) { c.note(arrival{gap: cmp.Or(why, "no reason")}) }

func (c *Client) note(a arrival) {
	a.at = c.world.Net.Elapsed()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, a)
}

func (c *Client) arrivals() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// Got returns the events that the client got, in order.
func (c *Client) Got() []string {
	var all []string
	for _, a := range c.arrivals() {
		if a.gap == "" {
			all = append(all, a.data)
		}
	}
	return all
}

// Gaps returns the reasons of the gaps that the client was told of.
func (c *Client) Gaps() []string {
	var all []string
	for _, a := range c.arrivals() {
		if a.gap != "" {
			all = append(all, a.gap)
		}
	}
	return all
}

// Publish publishes events one after the other. Each needs a text of its own.
func (w *World) Publish(data ...string) {
	for _, d := range data {
		w.publish(func(int) string { return d })
	}
}

// PublishEvery publishes count events, one each interval, the first at once, under
// the names e1, e2 and so on.
func (w *World) PublishEvery(interval time.Duration, count int) {
	w.PublishLarge(interval, count, 0)
}

// PublishLarge is [World.PublishEvery] with events that are filled up to size bytes.
func (w *World) PublishLarge(interval time.Duration, count, size int) {
	for range count {
		w.publish(func(nth int) string {
			name := fmt.Sprintf("e%d", nth)
			return name + strings.Repeat(".", max(0, size-len(name)))
		})
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
func (w *World) publish(text func(nth int) string) {
	w.mu.Lock()
	w.stamp++
	p := &publication{data: text(len(w.published) + 1), at: w.Net.Elapsed(), began: w.stamp}
	w.published = append(w.published, p)
	w.mu.Unlock()

	done := make(chan struct{})
	go func() {
		err := w.system.Publish(p.data)
		w.mu.Lock()
		w.stamp++
		p.ended, p.err, p.took, p.upSince = w.stamp, err, w.Net.Elapsed()-p.at, w.upSince
		if !w.up {
			p.upSince = -1
		}
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

// Sleep lets time pass.
func (w *World) Sleep(d time.Duration) { time.Sleep(d) }

// After lets a fault happen at d from now.
func (w *World) After(d time.Duration, f func()) { w.Net.After(d, f) }

// Idle lets time pass in which nothing is published, and expects the clients to send
// little meanwhile. A client that sends much in the first minute is stopped.
func (w *World) Idle(d time.Duration) {
	first := span{w.Net.Elapsed(), w.Net.Elapsed() + min(d, time.Minute)}
	w.Sleep(first.to - first.from)
	rates := w.rates(first)
	for _, c := range w.clients {
		if rates[c.Name] > maxIdleRate {
			c.stopped.Store(true)
			c.Host.Crash()
		}
	}
	w.Sleep(d - (first.to - first.from))
	w.idle = append(w.idle, first)
}

// PromptFor says that the network is good for the given clients during the whole story,
// and the server up, so that each event must reach them within the system's bound, and
// nothing may be missing.
func (w *World) PromptFor(clients ...*Client) {
	for _, c := range clients {
		c.inTime = true
	}
}

// SpreadOut says that all clients lose the server now, and expects that they come back
// spread out over time.
func (w *World) SpreadOut() { w.spread = max(w.Net.Elapsed(), 1) }

// StartRejected restarts the client over a link that sends back what it is given, until
// Up. A client that then does nothing but dial is stopped.
func (w *World) StartRejected(c *Client) {
	c.Link.Reject()
	c.Host.Restart()
	// To dial over such a link takes no time: who repeats it at once would do so for ever.
	w.After(10*time.Microsecond, func() {
		if most, _ := peak(w.dials()[c.Name], time.Second); most > maxAttempts {
			c.stopped.Store(true)
			c.Host.Crash()
		}
	})
}

// Settle waits until every client has got everything, for as long as the system may take
// to recover.
func (w *World) Settle() {
	deadline := w.Net.Elapsed() + w.system.Recovery
	for w.Net.Elapsed() < deadline {
		complete := true
		for _, c := range w.clients {
			complete = complete && (c.stopped.Load() || len(w.missing(c)) == 0)
		}
		if complete {
			break
		}
		w.Sleep(time.Second)
		w.measure()
	}
	w.Sleep(time.Second) // what arrives twice arrives soon
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
	var missing []publication
	for _, p := range w.expected(c) {
		if p.accepted() && !have[p.data] && p.at > gapAt {
			missing = append(missing, p)
		}
	}
	return missing
}
