package patterntest

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A World is the [Stage] of [Delivery], with the record of what was published and what arrived.
// Its methods are for the goroutine of the story.
type World struct {
	Stage

	system  System
	clients []*Client
	groups  []*group // of workers, who are not among the clients

	mu         sync.Mutex
	stamp      int // counts beginnings and ends of Publish
	published  []*publication
	places     map[string]places // of each text
	again      bool              // some text was published again
	before     int               // see PublishBefore
	publishers []*Publisher
	keyed      bool // some event had a key
	backlog    int  // events that a client may need time for
	held       int  // the most that the server held over its limit then; 0: it never did
	heldLimit  int
	largest    int // bytes of an event so far
	heldAt     time.Duration
}

// NewWorld starts the system's server on n. folder is for what it keeps on disk.
func NewWorld(n *sim.Network, s System, folder string) *World {
	return newWorld(n, s, folder, false)
}

func newWorld(n *sim.Network, s System, folder string, onLoopback bool) *World {
	s.Bound = cmp.Or(s.Bound, 3*Transit)
	s.Recovery = cmp.Or(s.Recovery, 3*time.Minute)
	s.PublishTimeout = cmp.Or(s.PublishTimeout, 5*time.Second)
	s.MaxEvent = cmp.Or(s.MaxEvent, 50_000)
	s.MaxHeld = cmp.Or(s.MaxHeld, 1<<20)
	w := &World{system: s, places: map[string]places{}}
	w.start(n, onLoopback, func(ctx, _ context.Context, h *sim.Host) error { return s.Serve(ctx, h, folder) })
	return w
}

// PromptFor says that the network is good for the given clients during the whole story,
// and the server up, so that each event must reach them within the system's bound, and
// nothing may be missing.
func (w *World) PromptFor(clients ...*Client) {
	for _, c := range clients {
		c.inTime = true
	}
}

// PromptInTurn is [World.PromptFor] of clients to which events come in bursts: each may take a
// round trip more for every one that was published within the second before it.
func (w *World) PromptInTurn(clients ...*Client) {
	w.PromptFor(clients...)
	for _, c := range clients {
		c.inTurn = true
	}
}

// Acknowledged says that the network has been good for so long that the server must know what its
// clients have got, but for the last hundred events and those of the last 30 s. These alone may come again if the
// system has [System].Repeats.
func (w *World) Acknowledged() {
	for _, c := range w.clients {
		c.mu.Lock()
		c.knows = append(c.knows, mark{w.Net.Elapsed(), len(c.got)})
		c.mu.Unlock()
	}
	for _, g := range w.groups {
		g.acknowledged(w.Net.Elapsed())
	}
}

// StartRejected is [Stage.StartRejected].
func (w *World) StartRejected(c *Client) { w.Stage.StartRejected(&c.Peer) }

// Settle waits until every client has got everything, for as long as the system may take
// to recover.
func (w *World) Settle() {
	one := max(2*Transit, w.system.Bound)
	w.settle(w.system.Recovery+time.Duration(w.backlog)*one, w.complete, w.measure)
}

// Check is [World.Settle] amid a story: what a client does not have then, it has lost, whatever it is
// told later. Call it before the server is restarted, lest a gap that the system is entitled to then
// hides what was lost before.
func (w *World) Check() {
	w.Settle()
	for _, c := range w.clients {
		w.missing(c, func(p *publication) bool {
			c.lost = append(c.lost, p.place-c.since)
			return true
		})
	}
}

// complete says whether every client has got everything.
func (w *World) complete() bool {
	complete := w.sent()
	for _, c := range w.clients {
		if complete && !c.stopped.Load() {
			w.missing(c, func(*publication) bool { complete = false; return false })
		}
	}
	for _, g := range w.groups {
		if complete {
			w.left(g, func(*publication, int) bool { complete = false; return false })
		}
	}
	return complete
}
