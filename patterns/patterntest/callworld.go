package patterntest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A CallWorld is the [Stage] of [Call]. It also records what was asked, executed and answered.
// Only the story's goroutine may call its methods.
type CallWorld struct {
	Stage

	service Service
	folder  string
	callers []*Caller
	front   []string // the servers that callers ask; those after them are behind, each asked by that before
	marks   []callMark

	settling time.Duration // since when the world comes to rest

	mu       sync.Mutex
	calls    []*call
	subjects map[string]*subject   // by their IDs
	keyed    map[string][]*subject // by their keys
	strange  []stranger
	slow     map[string]time.Duration // by the names of servers
	places   map[string]chan struct{}
	refusing bool
	turn     int // of the caller that asks next in AskEvery
}

// A stranger is a request that a server was asked to execute and nobody had sent.
type stranger struct {
	at          time.Duration
	where, data string
}

// A callMark is a time from which calls must be done, and the promise that is
// otherwise broken.
type callMark struct {
	from    time.Duration
	until   time.Duration // 0: forever
	promise Promise
	why     string
}

// NewCallWorld starts the service's servers on n. The servers keep their files in
// folder.
func NewCallWorld(n *sim.Network, s Service, folder string) *CallWorld {
	return newCallWorld(n, s, folder, false)
}

func newCallWorld(n *sim.Network, s Service, folder string, onLoopback bool) *CallWorld {
	s.Bound = cmp.Or(s.Bound, 6*Transit)
	s.Recovery = cmp.Or(s.Recovery, 3*time.Minute)
	s.MaxBytes = cmp.Or(s.MaxBytes, 50_000)
	if s.Streams != nil {
		s.Streams = &Streams{Buffer: cmp.Or(s.Streams.Buffer, 2<<20), Halves: s.Streams.Halves}
	}
	w := &CallWorld{
		service: s, folder: folder, subjects: map[string]*subject{}, keyed: map[string][]*subject{},
		slow: map[string]time.Duration{}, places: map[string]chan struct{}{},
	}
	w.busy = w.aliveWithin
	w.start(n, onLoopback, w.serves("server"))
	for i := 1; i < s.Replicas; i++ {
		name := fmt.Sprintf("server%d", i+1)
		w.serve(name, w.serves(name))
	}
	for _, r := range w.servers {
		w.front = append(w.front, r.Name)
	}
	return w
}

// serves returns a function that runs the server with that name, with its own
// folder and application.
func (w *CallWorld) serves(name string) serveFunc {
	folder := filepath.Join(w.folder, name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		panic("patterntest: the folder of " + name + ": " + err.Error())
	}
	return func(ctx, life context.Context, h *sim.Host) error {
		life, end := context.WithCancel(life)
		defer end()
		return w.service.Serve(ctx, h, &App{Folder: folder, world: w, server: name, life: life})
	}
}

// Replicas returns the servers that callers can choose from. The first runs on
// Server.
func (w *CallWorld) Replicas() []*Replica { return w.servers[:len(w.front)] }

// Tier adds a server that the previously last server asks before it answers. Only servers of the
// last tier have effects. It panics if the service has replicas.
func (w *CallWorld) Tier() *Replica {
	if len(w.front) > 1 {
		panic("patterntest: CallWorld.Tier: the service has replicas")
	}
	before := w.servers[len(w.servers)-1]
	name := fmt.Sprintf("tier%d", len(w.servers)+1)
	r := w.serve(name, w.serves(name))
	if !w.onLoopback {
		w.Net.Link(before.Host, r.Host, netem.Config{Delay: Transit})
	}
	w.Sleep(breath) // it listens
	return r
}

// tierOf returns the tier of a server, counted from the callers: 0 is the one that they
// ask.
func (w *CallWorld) tierOf(server string) int {
	for i, r := range w.servers[len(w.front):] {
		if r.Name == server {
			return i + 1
		}
	}
	return 0
}

// behind returns the server that a tier asks, or nil.
func (w *CallWorld) behind(tier int) *Replica {
	if w.isLast(tier) {
		return nil
	}
	return w.servers[len(w.front)+tier]
}

// isLast reports whether a tier asks no other.
func (w *CallWorld) isLast(tier int) bool { return tier == len(w.servers)-len(w.front) }

// AskEvery asks count times, the first at once and then one each interval plus a nanosecond. The
// callers take turns. It does not wait for answers.
func (w *CallWorld) AskEvery(interval time.Duration, count int, q Question) {
	for range count {
		w.callers[w.turn%len(w.callers)].AskEvery(interval, 1, q)
		w.turn++
	}
}

// GoodFor declares that the network is good for the given callers during the whole
// story.
func (w *CallWorld) GoodFor(callers ...*Caller) {
	for _, c := range callers {
		c.good = true
	}
}

// PromptFor is [CallWorld.GoodFor]. It also declares that the server is up and otherwise idle. Each
// call of these callers must then be done within [Service].Bound.
func (w *CallWorld) PromptFor(callers ...*Caller) {
	w.GoodFor(callers...)
	for _, c := range callers {
		c.inTime = true
	}
}

// Sever silently drops all packets of the connections that a caller has now, while new connections
// work. From then on each of its calls must be done, except those that begin before a call has
// failed, or within [Service].Detects.
func (w *CallWorld) Sever(c *Caller) {
	ports := map[uint16]bool{}
	for e := range w.Net.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && e.From == c.Name {
			ports[e.SourcePort] = true
		}
	}
	old := func(e sim.Event) bool { return ports[e.SourcePort] || ports[e.TargetPort] }
	for _, l := range c.allLinks() {
		sim.Drop(l, sim.Packets{Where: old}).Begin()
	}
	c.cutSilent = append(c.cutSilent, w.Net.Elapsed())
}

// MustBeDone declares that each call that begins after d from now must be done. Otherwise the
// promise is broken, and the breach gives why as the reason. The function undo ends this period.
func (w *CallWorld) MustBeDone(d time.Duration, promise Promise, why string) (undo func()) {
	nth := len(w.marks)
	w.marks = append(w.marks, callMark{from: w.Net.Elapsed() + d, promise: promise, why: why})
	return func() { w.marks[nth].until = w.Net.Elapsed() }
}

// Slow makes each execution on a server take d longer from now on. 0: no longer.
func (w *CallWorld) Slow(r *Replica, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow[r.Name] = d
}

// Places limits how many executions each server runs at a time. Others wait in their order. Call it
// before anybody asks.
func (w *CallWorld) Places(count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.servers {
		w.places[r.Name] = make(chan struct{}, count)
	}
}

// Refusing sets whether the application refuses every call from now on.
func (w *CallWorld) Refusing(all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusing = all
}

// Settle waits until all calls have ended, repeats calls with keys until they are done, and waits
// until every caller can call again, for at most [Service].Recovery.
func (w *CallWorld) Settle() {
	w.settling = w.Net.Elapsed()
	w.together = w.settling // all are asked to call
	w.settle(w.service.Recovery, w.settled, func() {})
	if w.onLoopback {
		return
	}
	w.Sleep(w.service.Bound) // what nobody waits for any more may still take effect
}

// settled asks again for callers that have no answer yet, and reports whether
// all have one.
func (w *CallWorld) settled() bool {
	w.mu.Lock()
	all := slices.Clone(w.calls)
	w.mu.Unlock()
	for _, x := range all {
		w.awaits(x)
	}
	again, rested := w.unanswered(), map[*Caller]bool{}
	w.mu.Lock()
	for _, c := range w.callers {
		rested[c] = w.answeredAtRest(c)
	}
	w.mu.Unlock()
	var asked []*call
	for _, c := range w.callers {
		q := Question{}
		if x := again[c]; x != nil {
			q = x.question
			q.Keyed, q.Key, q.Cancel, q.Timeout = false, x.of.key, 0, 10*time.Second+q.Work
		} else if rested[c] {
			continue
		}
		if x := c.begin(q); x != nil {
			w.mu.Lock()
			x.probe = true
			w.mu.Unlock()
			asked = append(asked, x)
			w.Sleep(breath)
		}
	}
	for _, x := range asked {
		w.awaits(x)
	}
	return len(asked) == 0
}

// unanswered returns, for each caller that has one, a call with a key to which nobody has got an
// answer.
func (w *CallWorld) unanswered() map[*Caller]*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	again := map[*Caller]*call{}
	for _, x := range w.calls {
		if x.of.key != "" && x.of.other == nil && !x.of.answered() && again[x.by] == nil && x.by.runs() {
			again[x.by] = x
		}
	}
	return again
}
