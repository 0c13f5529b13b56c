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

	mu        sync.Mutex
	stamp     int // counts beginnings and ends of Publish
	published []*publication
	held      int // the most that the server held
	heldAt    time.Duration
}

// NewWorld starts the system's server on n. folder is for what it keeps on disk.
func NewWorld(n *sim.Network, s System, folder string) *World {
	return newWorld(n, s, folder, false)
}

func newWorld(n *sim.Network, s System, folder string, onLoopback bool) *World {
	s.Bound = cmp.Or(s.Bound, 3*Transit)
	s.Recovery = cmp.Or(s.Recovery, 3*time.Minute)
	s.PublishTimeout = cmp.Or(s.PublishTimeout, 5*time.Second)
	s.MaxHeld = cmp.Or(s.MaxHeld, 1<<20)
	w := &World{system: s}
	w.start(n, onLoopback, func(ctx context.Context, h *sim.Host) error { return s.Serve(ctx, h, folder) })
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

// StartRejected is [Stage.StartRejected].
func (w *World) StartRejected(c *Client) { w.Stage.StartRejected(&c.Peer) }

// Settle waits until every client has got everything, for as long as the system may take
// to recover.
func (w *World) Settle() { w.settle(w.system.Recovery, w.complete, w.measure) }

// complete says whether every client has got everything.
func (w *World) complete() bool {
	for _, c := range w.clients {
		if !c.stopped.Load() && len(w.missing(c)) > 0 {
			return false
		}
	}
	return true
}
