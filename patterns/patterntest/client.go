package patterntest

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A Client is a client of a [World].
type Client struct {
	Peer

	world  *World
	since  int   // events published before it was there
	starts int   // of the server before it was there
	inTime bool  // it was never out of reach, so that delays are checked
	lost   []int // places of what was missing at a Check
	inTurn bool  // of events that come close together each may wait for those before it

	group   *group // of a worker
	handler Handler

	as        string  // the name that Receive gets; that of the host, but for a successor
	successor *Client // that came later under the same name
	before    *Client // whose successor it is
	until     int     // events published before it was there

	mu    sync.Mutex
	got   []arrival
	gapAt time.Duration  // when it was notified of a gap last; -1: never
	have  map[string]int // how often each text came since
	whole int            // so many of its first events are not missing, whatever happens
	knows []mark         // when all it had got must have been acknowledged
}

// A mark is a time, and the number of arrivals by then.
type mark struct {
	at   time.Duration
	seen int
}

type arrival struct {
	data string
	gap  string // not empty: the client was notified of a gap
	at   time.Duration
	left time.Duration // not 0: the client had left then
}

// Client creates a client on its own host and lets it connect over a good link, which
// then becomes the one that [Stage.Link] set. From then on the client must get every
// published event.
func (w *World) Client(name string) *Client {
	c := w.newClient(name)
	w.meet(c)
	return c
}

func (w *World) newClient(name string) *Client { return w.clientAs(name, name) }

// clientAs creates a client with a name on a host.
func (w *World) clientAs(host, name string) *Client {
	c := &Client{world: w, as: name, gapAt: -1, have: map[string]int{}}
	c.run(&w.Stage, host, func(ctx context.Context, h *sim.Host) error { return w.system.Receive(ctx, h, name, c) })
	w.clients = append(w.clients, c)
	return c
}

// Successor creates a client on another host under the name of an existing client, and lets it
// connect. From then on only the successor must get what is published.
func (w *World) Successor(of *Client) *Client {
	c := w.clientAs(of.Name+"-again", of.as)
	of.successor, of.until, c.before = c, math.MaxInt, of
	w.meet(c)
	of.until = c.since
	return c
}

// meet waits until new clients are connected.
func (w *World) meet(all ...*Client) {
	if w.onLoopback {
		for _, c := range all {
			w.greet(c)
		}
	} else {
		w.Sleep(10 * Transit)
	}
	w.mu.Lock()
	since := len(w.published)
	w.mu.Unlock()
	for _, c := range all {
		if c.Link != nil {
			c.Link.Set(w.link)
		}
		c.starts, c.since = w.startsUntil(w.Net.Elapsed()), since
	}
}

// Clients creates count clients named phone1, phone2 and so on.
func (w *World) Clients(count int) []*Client {
	var all []*Client
	for i := range count {
		all = append(all, w.Client(phone(i)))
	}
	return all
}

// Crowd is [World.Clients] for clients that begin to connect 70 ms apart, so that what they do
// periodically is spread out.
func (w *World) Crowd(count int) []*Client {
	var all []*Client
	for i := range count {
		all = append(all, w.newClient(phone(i)))
		w.Sleep(70 * time.Millisecond)
	}
	w.meet(all...)
	return all
}

// Event implements [Receiver].
func (c *Client) Event(data string) {
	if c.group != nil { // it knows no other way
		c.Handle(context.Background(), data)
		return
	}
	c.note(arrival{data: data})
}

// Gap implements [Receiver].
func (c *Client) Gap(why string) { c.note(arrival{gap: cmp.Or(why, "no reason")}) }

func (c *Client) note(a arrival) {
	a.at, a.left = c.world.Net.Elapsed(), c.left()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, a)
	if a.gap != "" {
		c.gapAt = a.at
		clear(c.have)
	} else {
		c.have[a.data]++
	}
}

// has returns how often a text has reached the client or its successor since the last notification
// of a gap. It is locked.
func (c *Client) has(data string) int {
	n := c.have[data]
	if c.successor != nil {
		c.successor.mu.Lock()
		defer c.successor.mu.Unlock()
		n += c.successor.has(data)
	}
	return n
}

// wentAstray reports whether the client that it replaced got an event in its place. [Fenced] covers
// that.
func (c *Client) wentAstray(data string) bool {
	return c.before != nil && slices.Contains(c.before.Got(), data)
}

// toldAt returns when the client or its successor was last notified of a gap. It is
// locked.
func (c *Client) toldAt() time.Duration {
	at := c.gapAt
	if c.successor != nil {
		c.successor.mu.Lock()
		defer c.successor.mu.Unlock()
		at = max(at, c.successor.toldAt())
	}
	return at
}

func (c *Client) arrivals() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// turn returns how many events were published in the second before one, if that event may wait
// for them.
func (c *Client) turn(expected []publication, place int) (before int) {
	if !c.inTurn {
		return 0
	}
	for before < place && expected[place-before-1].at > expected[place].at-time.Second {
		before++
	}
	return before
}

// marks returns the times by which everything that the client had got must have
// been acknowledged.
func (c *Client) marks() []mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.knows)
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

// Gaps returns the reasons of the gaps that the client was notified of.
func (c *Client) Gaps() []string {
	var all []string
	for _, a := range c.arrivals() {
		if a.gap != "" {
			all = append(all, a.gap)
		}
	}
	return all
}
