package patterntest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A Client is one of a World's clients.
type Client struct {
	Peer

	world  *World
	since  int  // events published before it was there
	starts int  // of the server before it was there
	inTime bool // it was never out of reach, so that delays are checked

	mu  sync.Mutex
	got []arrival
}

type arrival struct {
	data string
	gap  string // not empty: the client was told of a gap
	at   time.Duration
	left time.Duration // not 0: the client had left then
}

// Client makes a client on a host of its own and lets it connect, over a good link that
// then becomes what [World.Link] wants. It is to get all that is published from then on.
func (w *World) Client(name string) *Client {
	c := &Client{world: w}
	c.run(&w.Stage, name, func(ctx context.Context, h *sim.Host) error { return w.system.Receive(ctx, h, name, c) })
	w.clients = append(w.clients, c)
	if w.onLoopback {
		w.greet(c)
	} else {
		w.Sleep(10 * Transit)
		c.Link.Set(w.link)
	}
	c.starts = w.startsUntil(w.Net.Elapsed())
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
	a.at, a.left = c.world.Net.Elapsed(), c.left()
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
