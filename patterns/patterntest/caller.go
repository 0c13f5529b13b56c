package patterntest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A Question is what a caller asks. Its zero value is a short question that is answered at
// once.
type Question struct {
	Work    time.Duration // how long a server works on it
	Timeout time.Duration // how long the caller waits; 0: 10 s
	Cancel  time.Duration // when the caller gives it up, after it asked; 0: never
	Size    int           // of the question, in bytes; 0: a few
	Answer  int           // of the answer, in bytes; 0: a few

	// Keyed gives the call its own key. Key gives it this key, which it can share with
	// other calls. A service without Keys does not see them.
	Keyed bool
	Key   string

	// Object names an object of a service with State. The call adds an entry to it; with Read it
	// only reads the object, with Clear it removes all entries. A service without State does not
	// see it.
	Object string
	Read   bool
	Clear  bool

	// Parts makes the answer a stream of that many parts of Answer bytes each. The server works on
	// each part for Every, and the caller takes Slow to read it. Said is the number of parts, of
	// Size bytes each, that the caller adds to its question, one each Every; the server answers
	// each with a part of the stream. A service without Streams does not see these fields, and one
	// without Halves does not see Said.
	Parts, Said int
	Every, Slow time.Duration

	Refusals   int           // the application refuses the first so many attempts
	RetryAfter time.Duration // the delay that a refusal states, in whole seconds; 0: none
}

// An Outcome is what a caller was told.
type Outcome struct {
	Answer string        // if the call is done
	Err    error         // nil: done; wraps ErrNotExecuted: not executed; another error: unknown
	Took   time.Duration // from asking until the caller was told
}

// said returns the outcome in words.
func (o Outcome) said() string {
	switch {
	case o.Err == nil:
		return "done"
	case errors.Is(o.Err, ErrNotExecuted):
		return "not executed"
	default:
		return "unknown"
	}
}

// A Caller is a client of a [CallWorld].
type Caller struct {
	Peer

	world *CallWorld
	links map[*Replica]*sim.Link // to the servers other than the first
	life  context.Context        // of the process that runs; nil: none does
	ask   Ask

	good      bool            // it is never out of reach
	inTime    bool            // nor is a server, so that its calls are done, and in time
	cutSilent []time.Duration // when its connections went silent, and new ones work
}

// A call is one question of a caller.
type call struct {
	of       *subject
	nth      int
	by       *Caller
	question Question
	at       time.Duration
	wait     time.Duration // when the caller has waited enough
	done     chan struct{} // closed when it has ended
	probe    bool          // whether service is back: it may fail

	// Of one that is answered by a stream:
	taken   strings.Builder
	takenAt []time.Duration // by its parts
	saidAt  []time.Duration

	// Of a call that has ended:
	ended     bool
	abandoned bool // since the caller's process has
	Outcome
}

// Caller creates a caller on its own host, over a link like the one that [Stage.Link] set.
func (w *CallWorld) Caller(name string) *Caller {
	c := &Caller{world: w, links: map[*Replica]*sim.Link{}}
	c.run(&w.Stage, name, func(ctx context.Context, h *sim.Host) error {
		ask := w.service.Client(ctx, h, w.front...)
		c.mu.Lock()
		c.life, c.ask = ctx, ask
		c.mu.Unlock()
		<-ctx.Done()
		return nil
	})
	if !w.onLoopback {
		for _, r := range w.servers[1:len(w.front)] {
			c.links[r] = w.Net.Link(c.Host, r.Host, netem.Config{Delay: Transit})
		}
		for _, l := range c.allLinks() {
			l.Set(w.link)
		}
	}
	w.callers = append(w.callers, c)
	w.Sleep(time.Millisecond)
	for patience := w.Net.Elapsed() + busyTime; w.Net.Elapsed() < patience && !c.runs(); { // on a busy machine, in real time
		w.Sleep(time.Millisecond)
	}
	return c
}

// Callers creates count callers named phone1, phone2 and so on.
func (w *CallWorld) Callers(count int) (all []*Caller) {
	for i := range count {
		all = append(all, w.Caller(phone(i)))
	}
	return all
}

// LinkTo returns the link to one of the [CallWorld.Replicas].
func (c *Caller) LinkTo(r *Replica) *sim.Link { return cmp.Or(c.links[r], c.Link) }

func (c *Caller) allLinks() []*sim.Link {
	all := []*sim.Link{c.Link}
	for _, r := range c.world.servers[1:] {
		if l := c.links[r]; l != nil {
			all = append(all, l)
		}
	}
	return all
}

// runs reports whether its process can ask.
func (c *Caller) runs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ask != nil && c.life.Err() == nil
}

// answeredAtRest reports whether a call of a caller was done since Settle began. The world is
// locked.
func (w *CallWorld) answeredAtRest(c *Caller) bool {
	return slices.ContainsFunc(w.calls, func(x *call) bool { return x.by == c && x.at >= w.settling && x.ended && x.Err == nil })
}

// Ask asks a question and waits until the caller is told the outcome. If the caller's process does
// not run, it asks nothing, and the outcome is not executed.
func (c *Caller) Ask(q Question) Outcome {
	x := c.begin(q)
	if x == nil {
		return Outcome{Err: fmt.Errorf("%w: the caller does not run", ErrNotExecuted)}
	}
	c.world.awaits(x)
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	return x.Outcome
}

// AskEvery asks count times, the first at once and then one each interval plus a nanosecond. It
// does not wait for answers.
func (c *Caller) AskEvery(interval time.Duration, count int, q Question) {
	for range count {
		c.begin(q)
		c.world.Sleep(breath)
		c.world.Sleep(interval)
	}
}

// begin starts a call. It returns nil if no process runs that could ask.
func (c *Caller) begin(q Question) *call {
	c.mu.Lock()
	life, ask := c.life, c.ask
	c.mu.Unlock()
	if ask == nil || life.Err() != nil {
		return nil
	}
	x := c.world.asks(c, q)
	go func() {
		c.owner.take()
		defer close(x.done)
		ctx, cancel := context.WithTimeout(life, x.question.Timeout)
		defer cancel()
		if q.Cancel > 0 {
			defer time.AfterFunc(q.Cancel, cancel).Stop()
		}
		r := Request{Key: x.of.key, Data: x.of.text, Object: x.question.Object}
		if x.question.isStream() {
			r.Into = taker{ctx, c.world, x}
		}
		if x.question.Said > 0 {
			r.More = &sayer{ctx: ctx, world: c.world, x: x}
		}
		answer, err := ask(ctx, r)
		c.world.told(x, life.Err() != nil, answer, err)
	}()
	return x
}

// asks records a call.
func (w *CallWorld) asks(c *Caller, q Question) *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	q.Timeout = cmp.Or(q.Timeout, 10*time.Second)
	if w.service.State == nil {
		q.Object, q.Read, q.Clear = "", false, false
	}
	q = q.streaming(w.service.Streams)
	x := &call{nth: len(w.calls) + 1, by: c, question: q, at: w.Net.Elapsed(), done: make(chan struct{})}
	x.wait = x.at + q.Timeout
	if q.Cancel > 0 {
		x.wait = min(x.wait, x.at+q.Cancel)
	}
	key := q.Key
	if q.Keyed {
		key = fmt.Sprintf("key%d", x.nth)
	}
	if w.service.Keys == nil {
		key = ""
	}
	x.of = w.subjectOf(key, fmt.Sprintf("c%d", x.nth), q)
	x.of.calls = append(x.of.calls, x)
	w.calls = append(w.calls, x)
	return x
}

// subjectOf returns the subject of a question: if the key was used for a question of the same size,
// that question's subject.
func (w *CallWorld) subjectOf(key, id string, q Question) *subject {
	s := &subject{id: id, text: padded(id+" ?", id, q.Size), key: key, question: q}
	if key != "" {
		for _, before := range w.keyed[key] {
			if before.question.Size == q.Size {
				return before
			}
			s.other = before
		}
		if len(w.keyed[key]) > 0 {
			s.other = w.keyed[key][0]
		}
		w.keyed[key] = append(w.keyed[key], s)
	}
	w.subjects[id] = s
	return s
}

// told records what a caller was told.
func (w *CallWorld) told(x *call, abandoned bool, answer string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x.ended, x.abandoned = true, abandoned
	x.Outcome = Outcome{answer, err, w.Net.Elapsed() - x.at}
}

// overtime is how much later than its timeout a call may end: in real time, as long as a busy
// machine can take.
func (w *CallWorld) overtime() time.Duration {
	if w.onLoopback {
		return busyTime
	}
	return time.Second
}

// awaits waits for the end of a call, for as long as the call may take.
func (w *CallWorld) awaits(x *call) {
	patience := time.NewTimer(max(0, x.wait+w.overtime()-w.Net.Elapsed()) + time.Nanosecond)
	defer patience.Stop()
	select {
	case <-x.done:
	case <-patience.C:
	}
	w.Sleep(breath)
}
