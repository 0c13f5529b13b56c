package patterntest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// Work describes clients of a [System] that work on each event, which takes time and can fail,
// and acknowledge events one by one: consumers of a queue, members of a consumer group. The
// contract calls them workers.
type Work struct {
	// Receive runs the worker with that name on h until ctx is done, as [System].Receive runs a
	// client. From the arrival of a group's first worker on, the workers of the group share what is
	// published: each event goes to one of them. When w.Handle has returned nil, the worker
	// acknowledges the event. After an error it does not. It can then go on, or return and be
	// restarted; either way the event is delivered again, to this worker or another.
	Receive func(ctx context.Context, h *sim.Host, name, group string, w Worker) error

	// Groups says that a group can have several workers. If it is false, each worker has its own
	// group.
	Groups bool

	// AckWait is how long a worker may take for an event before the event is delivered again, to it
	// or another worker. Zero: as long as it likes, and no other worker gets the event in the
	// meantime.
	AckWait time.Duration

	// MaxAttempts is the number of failures after which an event is given up.
	// Zero: never.
	MaxAttempts int

	// Dead returns how many events the running server has given up. Nil: not counted, and not
	// checked.
	Dead func() int
}

// A Worker is a [Receiver] that works on events.
type Worker interface {
	Receiver
	// Handle reports an event, exactly as it was given to Publish, and returns when the work on it
	// has ended. If it returns an error, the work was not done. ctx is the context of Receive; when
	// it is done, Handle returns soon.
	Handle(ctx context.Context, data string) error
}

// A Handler is the work of a worker on an event. nth counts from 1 how often the worker's group
// got this event. It must return when ctx is done.
type Handler func(ctx context.Context, data string, nth int) error

// A group is a set of workers that share events.
type group struct {
	name    string
	since   int // events published before it was there
	members []*Client

	mu    sync.Mutex
	log   []*turn // in the order of time
	of    map[string][]*turn
	knows []mark // when what was handled must have been acknowledged
	share []share
}

// A turn is one delivery of an event to a worker.
type turn struct {
	data    string
	c       *Client
	place   int // in the group's log
	nth     int // of those with this event
	at, end time.Duration
	over    bool
	err     error
}

// handled reports whether the event was handled.
func (t *turn) handled() bool { return t.over && t.err == nil }

// A share is a period in which each of some workers must get an event.
type share struct {
	from    int // events published before
	workers []*Client
}

// Worker creates a worker in a group and lets it connect. If handler is nil, each event is handled
// at once. For workers, events with the same text count as one event.
func (w *World) Worker(group, name string, handler Handler) *Client {
	g := w.group(group)
	c := &Client{world: w, as: name, gapAt: -1, have: map[string]int{}, group: g, handler: handler}
	c.run(&w.Stage, name, func(ctx context.Context, h *sim.Host) error {
		return w.system.Work.Receive(ctx, h, name, group, c)
	})
	first := len(g.members) == 0
	g.members = append(g.members, c)
	w.meet(c)
	if first {
		g.since = c.since
	}
	return c
}

// group returns the group with a name, and creates it if necessary.
func (w *World) group(name string) *group {
	for _, g := range w.groups {
		if g.name == name {
			return g
		}
	}
	g := &group{name: name, of: map[string][]*turn{}}
	w.groups = append(w.groups, g)
	return g
}

// SharedBy declares that from now on each of these workers must get some of the events, until
// SharedBy is called again for their group.
func (w *World) SharedBy(workers ...*Client) {
	w.mu.Lock()
	from := len(w.published)
	w.mu.Unlock()
	g := workers[0].group
	g.share = append(g.share, share{from, workers})
}

// Handle implements [Worker].
func (c *Client) Handle(ctx context.Context, data string) error {
	if c.group == nil {
		panic(fmt.Sprintf("patterntest: Worker.Handle: %s was not made by World.Worker", c.Name))
	}
	t := c.group.begin(c, data)
	var err error
	if c.handler != nil {
		err = c.handler(ctx, data, t.nth)
	}
	c.group.end(t, err)
	return err
}

func (g *group) begin(c *Client, data string) *turn {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &turn{data: data, c: c, place: len(g.log), nth: len(g.of[data]) + 1, at: c.world.Net.Elapsed()}
	g.log = append(g.log, t)
	g.of[data] = append(g.of[data], t)
	return t
}

func (g *group) end(t *turn, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.end, t.over, t.err = t.c.world.Net.Elapsed(), true, err
}

// asOfNow returns a copy of the group that no longer changes.
func (g *group) asOfNow() *group {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := &group{name: g.name, since: g.since, members: g.members, of: map[string][]*turn{}, knows: g.knows, share: g.share}
	for _, t := range g.log {
		copied := *t
		now.log = append(now.log, &copied)
		now.of[t.data] = append(now.of[t.data], &copied)
	}
	return now
}

// acknowledged is [World.Acknowledged] for a group.
func (g *group) acknowledged(at time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.knows = append(g.knows, mark{at, len(g.log)})
}

// toldAt returns when a worker of the group was last notified of a gap.
func (g *group) toldAt() time.Duration {
	at := time.Duration(-1)
	for _, c := range g.members {
		c.mu.Lock()
		at = max(at, c.gapAt)
		c.mu.Unlock()
	}
	return at
}

// left calls f for each accepted event that no worker has handled, that no newer event supersedes
// and that was not given up, until f returns false.
func (w *World) left(g *group, f func(p *publication, failures int) bool) {
	gapAt := g.toldAt()
	w.mu.Lock()
	defer w.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	newest := w.newestOfKeys(g.since, func(data string) bool {
		_, handled := g.tries(data)
		return handled
	})
	for _, p := range w.published[g.since:] {
		if !p.accepted() || p.to != "" || p.at <= gapAt || p.expired(w.Net.Elapsed()) {
			continue
		}
		failures, handled := g.tries(p.data)
		if handled || newest.makesUpFor(p) || w.system.Work.MaxAttempts > 0 && failures >= w.system.Work.MaxAttempts {
			continue
		}
		if !f(p, failures) {
			return
		}
	}
}

// tries returns how often an event failed, and whether it was handled. The group is locked.
func (g *group) tries(data string) (failures int, handled bool) {
	for _, t := range g.of[data] {
		if t.handled() {
			return failures, true
		}
		failures++
	}
	return failures, false
}

// judgeGroups compares what workers got with what was published.
func (w *World) judgeGroups(f *findings) {
	var groups []*group
	for _, g := range w.groups {
		groups = append(groups, g.asOfNow())
	}
	for _, g := range groups {
		w.judgeGroup(g, f)
	}
	if len(groups) > 0 && w.system.Work.Dead != nil && w.startsUntil(w.Net.Elapsed()) == 1 && len(f.all) == 0 {
		dead := 0
		for _, g := range groups {
			for data := range g.of {
				if failures, handled := g.tries(data); !handled && failures >= w.system.Work.MaxAttempts {
					dead++
				}
			}
		}
		if says := w.system.Work.Dead(); says != dead {
			f.add(Counted, "", "%d events failed %d times; the server says that it has given up %d", dead, w.system.Work.MaxAttempts, says)
		}
	}
}

func (w *World) judgeGroup(g *group, f *findings) {
	for _, c := range g.members {
		gaps := 0
		for _, a := range c.arrivals() {
			if a.gap != "" {
				gaps++
				w.judgeGap(c, a, gaps, f)
			}
		}
	}
	var newest lanes
	gapAt := g.toldAt()
	for _, t := range g.log {
		p, published := w.ofGroup(g, t.data)
		if !published {
			f.add(Genuine, g.name, "%s reached %s at %v, but nobody published it", short(t.data), t.c.Name, t.at)
			continue
		}
		if left := t.c.left(); left > 0 && t.at > left {
			f.add(Obedient, t.c.Name, "%s was handed %s at %v, after it had stopped at %v", t.c.Name, short(t.data), t.at, left)
		}
		if p == nil || p.at <= gapAt { // before the group was there, or the server began anew
			continue
		}
		if t.nth > 1 {
			w.judgeNext(g, g.of[t.data][t.nth-2], t, f)
			continue
		}
		if later := newest.of(p); later != nil && p.ended > 0 && later.began > p.ended {
			f.add(Ordered, g.name, "%s reached %s at %v, after %s of the same key, which was published later", short(p.data), t.c.Name, t.at, short(later.data))
		}
		newest.note(p)
		if late := t.at - p.at; !g.disturbed() && !g.works() && late > w.system.Bound+tie {
			f.addAt(p.at, Prompt, g.name, "%s took %v to reach a worker, over a good network; %v is promised", short(p.data), late, w.system.Bound)
		}
	}
	w.left(g, func(p *publication, failures int) bool {
		switch turns := g.of[p.data]; {
		case failures > 0:
			last := turns[len(turns)-1]
			f.add(Settled, g.name, "%s, accepted at %v, reached %s at %v, which did not get it done (failure %d), and has not come again", short(p.data), p.at+p.took,
				last.c.Name, last.at, failures)
		default:
			f.add(Complete, g.name, "%s, accepted at %v, had not reached any of the %d workers %v after all faults were over", short(p.data), p.at+p.took,
				len(g.members), w.system.Recovery)
		}
		return true
	})
	w.judgeShares(g, f)
}

// ofGroup returns the publication of a text, in the group's own order, and whether it was published
// at all. The publication is nil if it is older than the group.
func (w *World) ofGroup(g *group, data string) (p *publication, published bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, published := w.places[data]
	if !published || at.last < g.since {
		return nil, published
	}
	copied := *w.published[at.last]
	if len(g.members) > 1 { // side by side, so that only keys keep an order
		copied.lane, copied.free = "key "+copied.key, copied.key == ""
	}
	return &copied, true
}

// judgeNext checks a turn with an event that had a turn before, with the same worker or
// another.
func (w *World) judgeNext(g *group, before, now *turn, f *findings) {
	work := w.system.Work
	// The event may have waited at the worker for its turn.
	tookTooLong := work.AckWait > 0 && now.at-before.at >= work.AckWait/2 && (!before.over || before.end-before.at >= work.AckWait/2)
	switch failed := before.over && before.err != nil && before.end <= now.at; {
	case failed && work.MaxAttempts > 0 && now.nth > work.MaxAttempts && !g.disturbed():
		f.add(Settled, g.name, "%s reached %s at %v, for the %dth time; after %d failures it is to be given up", short(now.data), now.c.Name, now.at, now.nth, work.MaxAttempts)
	case failed, tookTooLong:
	case before.c.inTime || !w.system.Repeats:
		f.add(Shared, g.name, "%s reached %s at %v%s, although %s had it at %v", short(now.data), now.c.Name, now.at, again(before, now), before.c.Name, before.at)
	default:
		for _, m := range g.knows {
			if before.handled() && before.end < m.at-unackedTime && before.place < m.seen-unackedEvents && now.at >= m.at {
				f.add(Shared, g.name, "%s reached %s at %v, although %s had handled it at %v; by %v the server knew", short(now.data), now.c.Name, now.at,
					before.c.Name, before.end, m.at)
				return
			}
		}
	}
}

// again returns " again" if both turns are of the same worker.
func again(before, now *turn) string {
	if before.c == now.c {
		return " again"
	}
	return ""
}

// works reports whether an event may wait because a worker is busy.
func (g *group) works() bool {
	return slices.ContainsFunc(g.members, func(c *Client) bool { return c.handler != nil })
}

// disturbed reports whether a fault affected one of the workers.
func (g *group) disturbed() bool {
	return slices.ContainsFunc(g.members, func(c *Client) bool { return !c.inTime })
}

// judgeShares looks for workers that got no event in a period in which they
// must.
func (w *World) judgeShares(g *group, f *findings) {
	for i, s := range g.share {
		to := w.count()
		if i+1 < len(g.share) {
			to = g.share[i+1].from
		}
		got := map[*Client]int{}
		for _, t := range g.log {
			if p, _ := w.ofGroup(g, t.data); p != nil && p.place >= s.from && p.place < to {
				got[t.c]++
			}
		}
		for _, c := range s.workers {
			if got[c] == 0 {
				f.add(Shared, c.Name, "%s got none of the %d events that were published while %d workers shared them", c.Name, to-s.from, len(s.workers))
			}
		}
	}
}

// count returns how many events were published.
func (w *World) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.published)
}
