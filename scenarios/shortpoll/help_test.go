package shortpoll_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// What the scenarios of short polling share.

func polledEachSecond(n *sim.Network) patterntest.System { return polledEach(time.Second)(n) }

func polledEach(interval time.Duration) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System { return systems.ShortPoll(n, systems.InMemory, interval) }
}

func polledWithStore(interval time.Duration) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System {
		return systems.Durable(systems.ShortPoll(n, systems.OnDisk, interval))
	}
}

func jobOf95s(interval time.Duration, polls int) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		serveJobs(n, &shortpoll.Jobs{Run: systems.Lasts(95 * time.Second)})
		c := jobClient(n, "phone", &shortpoll.Client{Interval: interval})
		_, err := c.Wait(t.Context(), submitted(t, c, "a"))
		require.NoError(t, err)
		require.EqualValues(t, 1+polls, c.Stats().Polls)
		late := n.Elapsed() - (120*time.Millisecond + 95*time.Second)
		require.LessOrEqual(t, late, interval+80*time.Millisecond)
		// The 202 arrives at 160 ms, and the k-th poll is answered k intervals and 80 ms later.
		// A connection that was idle is still there.
		require.Equal(t, 160*time.Millisecond+time.Duration(polls)*interval+80*time.Millisecond, n.Elapsed().Round(time.Millisecond))
	}
}

// oneJob submits a job and breaks something: it must have been begun once.
func oneJob(broken func(n *sim.Network, c *jobPoller)) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		var begun atomic.Int64
		serveJobs(n, &shortpoll.Jobs{Run: func(ctx context.Context, task shortpoll.Task) ([]byte, error) {
			begun.Add(1)
			return systems.Lasts(30*time.Second)(ctx, task)
		}})
		c := jobClient(n, "phone", &shortpoll.Client{})
		broken(n, c)
		job, err := c.Wait(t.Context(), submitted(t, c, "a"))
		require.NoError(t, err)
		require.Equal(t, "done: a", string(job.Result))
		require.EqualValues(t, 1, begun.Load())
	}
}

// overloadOf5s has a server that serves a request at a time take 5 s for one of them.
func overloadOf5s(t *testing.T, n *sim.Network) {
	feed := &shortpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
	turn := make(chan struct{}, 1)
	handler, slow := feed.Handler(), true
	n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		defer func() { <-turn }()
		time.Sleep(12 * time.Millisecond)
		if slow && n.Elapsed() > 20*time.Second {
			slow = false
			time.Sleep(5 * time.Second)
		}
		handler.ServeHTTP(w, r)
	}))
	// Forty polls a second of 12 ms each are half of what it can do.
	for i := range 40 {
		follower(n, fmt.Sprintf("phone%d", i), &shortpoll.Client{From: eventlog.Cursor{Epoch: 7}, Jitter: retry.Seeded(uint64(i))})
	}
	time.Sleep(40 * time.Second)
	sent := requests(n)
	require.InDelta(t, 400, sent(10*time.Second, 20*time.Second), 20)
	require.InDelta(t, 400, sent(30*time.Second, 40*time.Second), 20, "five seconds after the overload all is as before")
}

func serveJobs(n *sim.Network, j *shortpoll.Jobs) *shortpoll.Jobs {
	n.Host("server").Run("jobs", func(ctx context.Context, h *sim.Host) error {
		defer j.Close()
		return patterntest.ServeHTTP(ctx, h, j.Handler())
	})
	return j
}

func serveShort(n *sim.Network, f *shortpoll.Server) *shortpoll.Server {
	n.Host("server").ServeHTTP(":80", f.Handler())
	return f
}

// A jobPoller submits jobs and waits for them.
type jobPoller struct {
	*shortpoll.Client
	link *sim.Link
}

func jobClient(n *sim.Network, name string, c *shortpoll.Client) *jobPoller {
	if c.Jitter == nil {
		c.Jitter = retry.NoJitter
	}
	c.URL, c.HTTP = "http://server/jobs", n.Host(name).HTTPClient()
	return &jobPoller{c, n.Link(n.Host(name), n.Host("server"), scenario.Good)}
}

func submitted(t *testing.T, c *jobPoller, id string) shortpoll.Job {
	job, err := c.Submit(t.Context(), id, []byte(id))
	require.NoError(t, err)
	return job
}

// replicate copies what is new in a log.
func replicate(from, to *eventlog.Memory) {
	page, _ := from.After(to.Head(), eventlog.Query{})
	to.Append(context.Background(), page.Entries...)
}

// A shortPoller follows a feed.
type shortPoller struct {
	*shortpoll.Client
	link   *sim.Link
	mu     sync.Mutex
	data   []string
	cursor eventlog.Cursor
}

func (p *shortPoller) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.data)
}

func (p *shortPoller) at() eventlog.Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cursor
}

func follower(n *sim.Network, name string, c *shortpoll.Client) *shortPoller {
	h := n.Host(name)
	p := &shortPoller{Client: c, link: n.Link(h, n.Host("server"), scenario.Good)}
	if c.URL == "" {
		c.URL = "http://server/"
	}
	if c.HTTP == nil {
		c.HTTP = h.HTTPClient()
	}
	if c.Jitter == nil {
		c.Jitter = retry.NoJitter
	}
	h.Run("follow", func(ctx context.Context, _ *sim.Host) error {
		return p.Run(ctx, func(_ context.Context, b shortpoll.Batch) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, e := range b.Events {
				p.data = append(p.data, string(e.Data))
			}
			p.cursor = b.Cursor
			return nil
		})
	})
	return p
}

// requests returns a function that counts the packets with data that clients have sent to
// the server within a time.
func requests(n *sim.Network) func(from, to time.Duration) int {
	var at []time.Duration
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.To == "server" && e.Length > 0 && !e.Resent {
			at = append(at, e.At)
		}
	}
	return func(from, to time.Duration) int {
		first, _ := slices.BinarySearch(at, from)
		end, _ := slices.BinarySearch(at, to)
		return end - first
	}
}

func connections(n *sim.Network, host string) int {
	for _, h := range n.Stats().Hosts {
		if h.Name == host {
			return h.Connections
		}
	}
	return 0
}

type withoutConditions struct{ http.RoundTripper }

func (t withoutConditions) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("If-None-Match")
	return t.RoundTripper.RoundTrip(r)
}

// sampledQueue keeps messages on several servers, and a poll asks some of them.
type sampledQueue struct {
	mu      sync.Mutex
	servers [][]string
	asks    int
	rand    func(n int) int
}

func (q *sampledQueue) put(server int, message string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.servers[server] = append(q.servers[server], message)
}

func (q *sampledQueue) len() (count int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.servers {
		count += len(s)
	}
	return count
}

func (q *sampledQueue) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.rand(len(q.servers))
	for i := range q.asks {
		s := &q.servers[(first+i)%len(q.servers)]
		if len(*s) > 0 {
			fmt.Fprint(w, (*s)[0])
			*s = (*s)[1:]
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func polledByName(n *sim.Network) patterntest.System {
	return systems.ShortPollByName(n, systems.InMemory, time.Second)
}
