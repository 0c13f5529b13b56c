package patterntest

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A World is the [Stage] of [Delivery]. It also records what was published and what arrived.
// Only the story's goroutine may call its methods.
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

// NewWorld starts the system's server on n. The server keeps its files in
// folder.
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

// PromptFor declares that for the whole story the server is up and the network good for
// the given clients. Each event must then reach them within [System].Bound, and nothing
// may be missing.
func (w *World) PromptFor(clients ...*Client) {
	for _, c := range clients {
		c.inTime = true
	}
}

// PromptInTurn is [World.PromptFor] for clients that get events in bursts: an event is allowed
// one more round trip for every event that was published in the second before it.
func (w *World) PromptInTurn(clients ...*Client) {
	w.PromptFor(clients...)
	for _, c := range clients {
		c.inTurn = true
	}
}

// Acknowledged declares that the network has been good for so long that the server must know what
// its clients have got, except for the last hundred events and those of the last 30 s. Only these
// may arrive again, if the system has [System].Repeats.
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

// StartRejected is [Stage.StartRejected] for a Client.
func (w *World) StartRejected(c *Client) { w.Stage.StartRejected(&c.Peer) }

// Settle waits until every client has got everything, or [System].Recovery is over.
func (w *World) Settle() {
	one := max(2*Transit, w.system.Bound)
	w.settle(w.system.Recovery+time.Duration(w.backlog)*one, w.complete, w.measure)
}

// Check is [World.Settle] in the middle of a story. An event that a client is missing afterwards
// counts as lost, whatever the client is notified of later. Call it before the server restarts.
// Otherwise a gap that the restart justifies would hide an earlier loss.
func (w *World) Check() {
	w.Settle()
	for _, c := range w.clients {
		w.missing(c, func(p *publication) bool {
			c.lost = append(c.lost, p.place-c.since)
			return true
		})
	}
}

// complete reports whether every client has got everything.
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
