package patterntest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
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
	bound   time.Duration // 0: not checked

	mu        sync.Mutex
	published []publication
}

type publication struct {
	data     string
	at       time.Duration
	accepted bool
}

// A Client is one of a World's clients.
type Client struct {
	Name string
	Host *sim.Host
	Link *sim.Link // between it and the server

	world  *World
	since  int // events published before it was there
	mu     sync.Mutex
	got    []arrival
	inTime bool // it was never out of reach, so that delays are checked
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
	w := &World{Net: n, Server: n.Host("server"), system: s, link: netem.Config{Delay: Transit}}
	w.Server.Run("server", func(ctx context.Context, h *sim.Host) error { return s.Serve(ctx, h, folder) })
	return w
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

// Event implements [Receiver].
func (c *Client) Event(data string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, arrival{data: data, at: c.world.Net.Elapsed()})
}

// Gap implements [Receiver].
func (c *Client) Gap(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, arrival{gap: cmp.Or(why, "no reason"), at: c.world.Net.Elapsed()})
}

// Got returns the events that the client got, in order.
func (c *Client) Got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, a := range c.got {
		if a.gap == "" {
			all = append(all, a.data)
		}
	}
	return all
}

// Gaps returns the reasons of the gaps that the client was told of.
func (c *Client) Gaps() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, a := range c.got {
		if a.gap != "" {
			all = append(all, a.gap)
		}
	}
	return all
}

// Publish publishes events one after the other. Each needs a name of its own.
func (w *World) Publish(data ...string) {
	for _, d := range data {
		p := publication{data: d, at: w.Net.Elapsed()}
		p.accepted = w.system.Publish(d) == nil
		w.mu.Lock()
		w.published = append(w.published, p)
		w.mu.Unlock()
	}
}

// PublishEvery publishes count events, one each interval, the first at once, under
// the names e1, e2 and so on.
func (w *World) PublishEvery(interval time.Duration, count int) {
	for range count {
		w.mu.Lock()
		next := len(w.published) + 1
		w.mu.Unlock()
		w.Publish(fmt.Sprintf("e%d", next))
		w.Sleep(interval)
	}
}

// Sleep lets time pass.
func (w *World) Sleep(d time.Duration) { time.Sleep(d) }

// After lets a fault happen at d from now.
func (w *World) After(d time.Duration, f func()) { w.Net.After(d, f) }

// PromptFor says that the network is good for the given clients during the whole story,
// so that each event must reach them within the system's bound.
func (w *World) PromptFor(clients ...*Client) {
	for _, c := range clients {
		c.inTime = true
	}
}

// A Promise is one of those that a [System] must keep.
type Promise string

const (
	Complete Promise = "complete" // every accepted event arrives, or the client is told of a gap
	Once     Promise = "once"     // no event arrives twice, unless the system says that it repeats
	Ordered  Promise = "ordered"  // events arrive in the order of their publication
	Durable  Promise = "durable"  // a system that says so has no gap after a restart
	Genuine  Promise = "genuine"  // nothing arrives that was not published
	Prompt   Promise = "prompt"   // over a good network events arrive within the bound, whatever others suffer
)

// A Breach is a promise that was broken, in a sentence.
type Breach struct {
	Promise Promise
	Text    string
}

func (b Breach) String() string { return string(b.Promise) + ": " + b.Text }

// Settle waits until every client has got everything, for as long as the system may take
// to recover.
func (w *World) Settle() {
	deadline := w.Net.Elapsed() + w.system.Recovery
	for w.Net.Elapsed() < deadline {
		complete := true
		for _, c := range w.clients {
			complete = complete && len(w.missing(c)) == 0
		}
		if complete {
			break
		}
		w.Sleep(time.Second)
	}
	w.Sleep(time.Second) // what arrives twice arrives soon
}

// expected returns what a client should have got.
func (w *World) expected(c *Client) []publication {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.published[c.since:])
}

// missing returns the accepted events that the client did not get, other than those
// before a gap that it was told of.
func (w *World) missing(c *Client) []publication {
	c.mu.Lock()
	got := slices.Clone(c.got)
	c.mu.Unlock()
	have := map[string]bool{}
	gapAt := time.Duration(-1)
	for _, a := range got {
		have[a.data] = true
		if a.gap != "" {
			gapAt = a.at
		}
	}
	var missing []publication
	for _, p := range w.expected(c) {
		if p.accepted && !have[p.data] && p.at > gapAt {
			missing = append(missing, p)
		}
	}
	return missing
}

// Verdict returns the promises that were broken so far. Call it after [World.Settle].
func (w *World) Verdict() []Breach {
	var all []Breach
	breach := func(p Promise, format string, args ...any) {
		all = append(all, Breach{p, fmt.Sprintf(format, args...)})
	}
	for _, c := range w.clients {
		expected := w.expected(c)
		place := map[string]int{}
		for i, p := range expected {
			place[p.data] = i
		}
		for _, p := range w.missing(c) {
			breach(Complete, "%s, accepted at %v, never reached %s, which was told of no gap", p.data, p.at, c.Name)
		}
		c.mu.Lock()
		got := slices.Clone(c.got)
		c.mu.Unlock()
		first := map[string]time.Duration{}
		last, lastAt := -1, ""
		for _, a := range got {
			if a.gap != "" {
				if w.system.Durable {
					breach(Durable, "%s was told at %v that events are missing (%s), but the system keeps what it accepted", c.Name, a.at, a.gap)
				}
				last = -1 // what follows a gap begins anew
				clear(first)
				continue
			}
			i, known := place[a.data]
			if !known {
				if !w.wasPublished(a.data) {
					breach(Genuine, "%s reached %s at %v, but nobody published it", a.data, c.Name, a.at)
				}
				continue
			}
			if at, again := first[a.data]; again {
				if !w.system.Repeats {
					breach(Once, "%s reached %s twice, at %v and at %v", a.data, c.Name, at, a.at)
				}
				continue
			}
			first[a.data] = a.at
			if i < last {
				breach(Ordered, "%s reached %s at %v, after %s, which was published later", a.data, c.Name, a.at, lastAt)
			} else {
				last, lastAt = i, a.data
			}
			if late := a.at - expected[i].at; c.inTime && late > w.system.Bound {
				breach(Prompt, "%s took %v to reach %s, over a good network; %v is promised", a.data, late, c.Name, w.system.Bound)
			}
		}
	}
	return all
}

func (w *World) wasPublished(data string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.published, func(p publication) bool { return p.data == data })
}
