package patterntest

import (
	"cmp"
	"context"
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

	onLoopback bool

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
	starts    []time.Duration // of the server
	server    life
	stuck     findings // who did not stop when asked to
}

type span struct{ from, to time.Duration }

// NewWorld starts the system's server on n. folder is for what it keeps on disk.
func NewWorld(n *sim.Network, s System, folder string) *World {
	return newWorld(n, s, folder, false)
}

func newWorld(n *sim.Network, s System, folder string, onLoopback bool) *World {
	s.Bound = cmp.Or(s.Bound, 3*Transit)
	s.Recovery = cmp.Or(s.Recovery, 3*time.Minute)
	s.PublishTimeout = cmp.Or(s.PublishTimeout, 5*time.Second)
	s.MaxHeld = cmp.Or(s.MaxHeld, 1<<20)
	w := &World{Net: n, Server: n.Host("server"), onLoopback: onLoopback, system: s, link: netem.Config{Delay: Transit}}
	w.Server.Run("server", func(ctx context.Context, h *sim.Host) error {
		return w.server.run(ctx, func(ctx context.Context) error {
			w.serverStarts(ctx)
			return s.Serve(ctx, h, folder)
		})
	})
	return w
}

// serverStarts notes a life of the server, until ctx is done.
func (w *World) serverStarts(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.upSince = true, w.Net.Elapsed()
	w.starts = append(w.starts, w.upSince)
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.up = false
	})
}

// Redeploy asks the server to stop, while its network works, and starts the next when it
// has, as a deployment does. It is killed if it takes longer than 10 s.
func (w *World) Redeploy() {
	if !w.server.ask(stopTime) {
		w.overstayed("", "the server had not stopped %v after it was asked to at %v", stopTime, w.Net.Elapsed()-stopTime)
		w.server.again()
		w.Server.Restart()
		return
	}
	w.server.again()
}

// overstayed notes that somebody did not stop.
func (w *World) overstayed(who, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck.add(Obedient, who, format, args...)
}

// Link sets how clients that are made from now on are linked to the server, instead of
// by 40 ms each way and nothing else.
func (w *World) Link(cfg netem.Config) { w.link = cfg }

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
		if most, _ := Peak(w.dials()[c.Name], time.Second); most > maxAttempts {
			c.stopped.Store(true)
			c.Host.Crash()
		}
	})
}

// Settle waits until every client has got everything, for as long as the system may take
// to recover.
func (w *World) Settle() {
	deadline := w.Net.Elapsed() + w.system.Recovery
	tick, soon := time.Second, time.Second
	if w.onLoopback {
		tick, soon = 10*time.Millisecond, 100*time.Millisecond
	}
	for w.Net.Elapsed() < deadline {
		complete := true
		for _, c := range w.clients {
			complete = complete && (c.stopped.Load() || len(w.missing(c)) == 0)
		}
		if complete {
			break
		}
		w.Sleep(tick)
		w.measure()
	}
	w.Sleep(soon) // what arrives twice arrives soon
}
