package comparison

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/async"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
)

// What is measured of the patterns that call.

// callContenders are services in the settings in which they are compared.
var callContenders = []struct {
	name, why string
	service   patterntest.NewService
}{
	{"net/http", "a POST, once", func(n *sim.Network) patterntest.Service { return systems.SidecarCalls(n, false) }},
	{"reqresp", "with keys, which a server keeps on its disk", reqrespAs(systems.ReqRespKind{Keyed: true, OnDisk: true})},
	{"reqresp, hedged", "with keys, another attempt after 300 ms", reqrespAs(systems.ReqRespKind{Keyed: true, Hedge: 300 * time.Millisecond})},
	{"reqresp, one connection", "with keys, all calls over one connection, given up after 4 s of silence", reqrespAs(systems.ReqRespKind{Keyed: true, Line: true})},
	{"async", "an operation for each call, in a queue on disk; its client polls, and waits up to 5 s at the server", systems.Operations},
	{"mux", "a stream for each call, over one connection", systems.Mux},
	{"session", "a POST, once, with a session on the server's disk", func(n *sim.Network) patterntest.Service { return systems.Session(n, systems.SessionDisk) }},
	{"sidecar", "a POST, once, to a sidecar, which knows three servers with a sidecar each", func(n *sim.Network) patterntest.Service { return systems.SidecarCalls(n, true) }},
}

func reqrespAs(kind systems.ReqRespKind) patterntest.NewService {
	return func(n *sim.Network) patterntest.Service { return systems.ReqResp(n, kind) }
}

func callContender(name string) patterntest.NewService {
	for _, c := range callContenders {
		if c.name == name {
			return c.service
		}
	}
	panic(fmt.Sprintf("no service is called %q", name))
}

// waitRun is a caller that has ten questions, a second's work each for the server, and two seconds' work of its own, in units of 10 ms.
type waitRun struct{ how string }

const (
	callsInARow  = "one call after the other"
	asFutures    = "ten calls at once, as futures"
	asOperations = "ten operations, accepted with 202"
)

type waitFigures struct {
	meanwhile      int           // units of its own that it did while answers were due
	blocked, total time.Duration // it could do nothing; until all answers were there and all its work done
}

func (r waitRun) run(t *testing.T, n *sim.Network) (f waitFigures) {
	const questions, units, unit = 10, 200, 10 * time.Millisecond
	server, caller := n.Host("server"), n.Host("caller")
	n.Link(caller, server, reference.Up)
	work := func(ctx context.Context) error {
		_, err := retrySleep(ctx, time.Second)
		return err
	}
	s := &reqresp.Server{Handle: func(ctx context.Context, _ *reqresp.Request) (reqresp.Effect, error) {
		return func(reqresp.Tx) (*reqresp.Response, error) { return &reqresp.Response{}, nil }, work(ctx)
	}}
	server.ServeHTTP(":80", s.Handler())
	operations := &async.Server{Queue: &workqueue.Queue{}, Workers: questions, Run: func(ctx context.Context, _ workqueue.Task) ([]byte, error) {
		return nil, work(ctx)
	}}
	must(operations.Queue.Start())
	t.Cleanup(func() { operations.Close(); operations.Queue.Close() })
	server.ServeHTTP(":81", operations.Handler())
	calls := &reqresp.Client{URL: "http://server", HTTP: caller.HTTPClient(), Jitter: retry.NoJitter}
	jobs := &async.Client{Polls: &shortpoll.Client{URL: "http://server:81/", HTTP: caller.HTTPClient(), Interval: 100 * time.Millisecond, Jitter: retry.NoJitter}}
	ask := func(ctx context.Context) ([]byte, error) {
		_, err := calls.Call(ctx, reqresp.Request{Path: "/"})
		return nil, err
	}

	var due []*async.Future[[]byte]
	for i := range questions {
		switch r.how {
		case callsInARow:
			_, err := ask(t.Context())
			must(err)
			f.blocked = n.Elapsed()
		case asFutures:
			due = append(due, async.Go(t.Context(), ask))
		case asOperations:
			due = append(due, jobs.Start(t.Context(), fmt.Sprint(i), nil))
		}
	}
	for range units {
		for len(due) > 0 && isResolved(due[0]) {
			due = due[1:]
		}
		if time.Sleep(unit); len(due) > 0 {
			f.meanwhile++
		}
	}
	began := n.Elapsed()
	for _, d := range due {
		_, err := d.Wait(t.Context())
		must(err)
		f.blocked = n.Elapsed() - began
	}
	f.total = n.Elapsed()
	return f
}

func retrySleep(ctx context.Context, d time.Duration) (struct{}, error) {
	return struct{}{}, retry.Sleep(ctx, d)
}

// leaveRun is a caller that crashes 2 s into the 10 s of work on its call, comes back half a minute later, and asks the same again.
type leaveRun struct{ who string }

type leaveFigures struct {
	begun, effects int // executions
	done           bool
	took           time.Duration // until the second call was told
}

func (r leaveRun) run(t *testing.T, n *sim.Network) (f leaveFigures) {
	w := patterntest.NewCallWorld(n, callContender(r.who)(n), t.TempDir())
	c := w.Caller("phone")
	q := patterntest.Question{Work: 10 * time.Second, Timeout: time.Minute, Key: "order"}
	c.AskEvery(2*time.Second, 1, q)
	c.Host.Crash()
	w.Sleep(30 * time.Second)
	c.Host.Restart()
	w.Sleep(time.Second)
	o := c.Ask(q)
	m := w.Measures()
	f.done, f.took, f.begun, f.effects = o.Err == nil, o.Took, m.Attempts, m.Effects
	return f
}

// mendRun is a caller that asks ten times a second, and waits up to 1.9 s, while something breaks.
type mendRun struct{ who, fault string }

// callFaults break something for a time, and return how long. That of a connection that goes silent is over at once: another one would work.
var callFaults = []struct {
	name  string
	begin func(w *patterntest.CallWorld, c *patterntest.Caller) time.Duration
}{
	{"no way for 5 s", func(w *patterntest.CallWorld, c *patterntest.Caller) time.Duration { return noWay(w, c, 5*time.Second) }},
	{"no way for 60 s", func(w *patterntest.CallWorld, c *patterntest.Caller) time.Duration { return noWay(w, c, time.Minute) }},
	{"the server crashes, and is back after 5 s", func(w *patterntest.CallWorld, _ *patterntest.Caller) time.Duration {
		w.Server.Crash()
		w.After(5*time.Second, w.Server.Restart)
		return 5 * time.Second
	}},
	{"connections go silent, while new ones work", func(w *patterntest.CallWorld, c *patterntest.Caller) time.Duration {
		w.Sever(c)
		return 0
	}},
}

func noWay(w *patterntest.CallWorld, c *patterntest.Caller, d time.Duration) time.Duration {
	for _, r := range w.Replicas() {
		link := c.LinkTo(r)
		link.Down()
		w.After(d, link.Up)
	}
	return d
}

type mendFigures struct {
	failed int           // calls
	back   time.Duration // after the end of the fault, until a call that began after its beginning was done; -1: none was in three minutes
}

func (r mendRun) run(t *testing.T, n *sim.Network) (f mendFigures) {
	w := patterntest.NewCallWorld(n, callContender(r.who)(n), t.TempDir())
	c := w.Caller("phone")
	ask := func() bool {
		w.Sleep(100 * time.Millisecond)
		return c.Ask(patterntest.Question{Timeout: 1900 * time.Millisecond}).Err == nil
	}
	for range 20 {
		ask()
	}
	var over time.Duration
	for _, fault := range callFaults {
		if fault.name == r.fault {
			over = fault.begin(w, c)
			over += n.Elapsed()
		}
	}
	f.back = -1
	for n.Elapsed() < over+3*time.Minute {
		switch {
		case !ask():
			f.failed++
		case f.back < 0:
			f.back = max(0, n.Elapsed()-over)
		}
		if f.back >= 0 && n.Elapsed() > over+30*time.Second {
			break
		}
	}
	return f
}

// tiersRun is three tiers, of which the last refuses everything for 20 s.
type tiersRun struct{ budget bool }

type tiersFigures struct{ calls, attempts int } // in that time; attempts are those of the last tier

func (r tiersRun) run(t *testing.T, n *sim.Network) (f tiersFigures) {
	w := patterntest.NewCallWorld(n, systems.ReqResp(n, systems.ReqRespKind{NoBudget: !r.budget}), t.TempDir())
	w.Tier()
	w.Tier()
	w.Callers(3)
	w.AskEvery(50*time.Millisecond, 100, patterntest.Question{})
	w.Sleep(time.Second)
	before := w.Measures()
	w.Refusing(true)
	w.AskEvery(50*time.Millisecond, 400, patterntest.Question{})
	w.Sleep(10 * time.Second)
	m := w.Measures()
	f.calls, f.attempts = m.Calls-before.Calls, m.Attempts-before.Attempts
	return f
}

// backRun is a hundred clients that ask at one instant, 30 s before the server is there.
type backRun struct{ how string }

const (
	everySecond   = "every second"
	doublesNoDraw = "1 s, doubled up to 30 s, not drawn"
	doublesDrawn  = "up to 1 s, doubled up to 30 s, drawn (full jitter)"
)

type backFigures struct {
	attempts, peak int           // connections that were tried, and most of them within 100 ms once the server was back
	last           time.Duration // until the last client was answered, from then on
}

func (r backRun) run(t *testing.T, n *sim.Network) (f backFigures) {
	const clients, away = 100, 30 * time.Second
	server := n.Host("server")
	done := make(chan time.Duration, clients)
	for i := range clients {
		h := n.Host(fmt.Sprintf("client%d", i))
		n.Link(h, server, netem.Config{Delay: 25 * time.Millisecond})
		c := &reqresp.Client{URL: "http://server", HTTP: h.HTTPClient(), MaxAttempts: 100, Timeout: time.Hour, Jitter: retry.NoJitter,
			Budget: &retry.Budget{Percent: 100, Burst: 10_000, Every: time.Millisecond}, Backoff: retry.Backoff{Base: time.Second, Max: 30 * time.Second}}
		switch r.how {
		case everySecond:
			c.Backoff.Max = time.Second
		case doublesDrawn:
			c.Jitter = retry.Seeded(n.Rand(h.Name()).Uint64())
		}
		go func() {
			_, err := c.Call(t.Context(), reqresp.Request{Path: "/"})
			must(err)
			done <- n.Elapsed() - away
		}()
	}
	n.After(away, func() {
		server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	})
	for range clients {
		f.last = max(f.last, <-done)
	}
	var after []time.Duration
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && !e.Resent {
			if f.attempts++; e.At >= away-25*time.Millisecond {
				after = append(after, e.At)
			}
		}
	}
	f.peak, _ = patterntest.Peak(after, 100*time.Millisecond)
	return f
}

func isResolved(f *async.Future[[]byte]) bool {
	select {
	case <-f.Done():
		return true
	default:
		return false
	}
}
