package patterntest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A Client is one of a World's clients.
type Client struct {
	Name string
	Host *sim.Host
	Link *sim.Link // between it and the server; nil in [Loopback]

	world   *World
	since   int         // events published before it was there
	starts  int         // of the server before it was there
	inTime  bool        // it was never out of reach, so that delays are checked
	stopped atomic.Bool // by the contract, since it ran wild

	life   life
	mu     sync.Mutex
	got    []arrival
	leftAt time.Duration // it has stopped, as it was asked to; 0: it runs
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
	c := &Client{Name: name, Host: w.Net.Host(name), world: w}
	if !w.onLoopback {
		c.Link = w.Net.Link(c.Host, w.Server, netem.Config{Delay: Transit})
	}
	w.clients = append(w.clients, c)
	c.Host.Run("client", func(ctx context.Context, h *sim.Host) error {
		return c.life.run(ctx, func(ctx context.Context) error { return w.system.Receive(ctx, h, name, c) })
	})
	if w.onLoopback {
		w.greet(c)
	} else {
		w.Sleep(10 * Transit)
		c.Link.Set(w.link)
	}
	w.mu.Lock()
	c.since, c.starts = len(w.published), len(w.starts)
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

// Leave has the client stop of its own accord, while its network works: the context of
// Receive is done. It comes back with [Client.Return].
func (c *Client) Leave() {
	if !c.life.ask(stopTime) {
		at := c.world.Net.Elapsed() - stopTime
		c.world.overstayed(c.Name, "%s had not stopped %v after it was asked to at %v", c.Name, stopTime, at)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.resting() != nil { // else it has returned already
		c.leftAt = c.world.Net.Elapsed()
	}
}

// Return undoes [Client.Leave].
func (c *Client) Return() {
	c.mu.Lock()
	c.leftAt = 0
	c.mu.Unlock()
	c.life.again()
}

// Event implements [Receiver].
func (c *Client) Event(data string) { c.note(arrival{data: data}) }

// Gap implements [Receiver].
func (c *Client) Gap(why string) { c.note(arrival{gap: cmp.Or(why, "no reason")}) }

func (c *Client) note(a arrival) {
	a.at = c.world.Net.Elapsed()
	c.mu.Lock()
	defer c.mu.Unlock()
	a.left = c.leftAt
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
