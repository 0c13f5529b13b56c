package async_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// A queue on one host, workers on others. Links take 40 ms each way, leases 30 s.
var jobs = []scenario.Row{
	{Name: "SA-05 the queue crashes while it accepts", Reason: "every acknowledged job is on disk, and the submitter sends the others again",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, nil)
			w := startWorker(n, "worker", worksFor(time.Second))
			c := submitter(n)
			for i := range 5 {
				n.After(time.Duration(i)*700*time.Millisecond, n.Host("queue").Restart)
			}
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				_, err := c.Add(t.Context(), workqueue.Job{ID: id})
				require.NoError(t, err)
				time.Sleep(650 * time.Millisecond)
			}
			time.Sleep(5 * time.Minute)
			require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, w.effects())
		}},
	{Name: "SA-06 a worker dies amid a job", Reason: "its lease ends, and another worker does the job",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, nil)
			first := startWorker(n, "first", worksFor(21*time.Second))
			c := submitter(n)
			added(t, c, "a")
			n.After(5*time.Second, n.Host("first").PowerOff)
			time.Sleep(6 * time.Second)
			second := startWorker(n, "second", worksFor(21*time.Second))
			s := ended(t, c, "a")
			require.Equal(t, workqueue.Done, s.State)
			require.Equal(t, 2, s.Attempts)
			require.Empty(t, first.effects())
			require.Equal(t, map[string]int{"a": 1}, second.effects())
			// The lease began when the job came, at 121 ms, and no heartbeat came: the first is due 9 s after the
			// task has arrived. It ends 30 s later, the task takes 40 ms and the work 21 s.
			require.Equal(t, 121*time.Millisecond+30*time.Second+40*time.Millisecond+21*time.Second, second.at("a").Round(time.Millisecond))
		}},
	{Name: "SA-07 a worker is paused for two leases, and goes on", Reason: "it cannot know that its job has another worker; the store rejects its writes by the fencing token",
		Story: func(t *testing.T, n *sim.Network) {
			l, first := pausedWorker(t, n, &ledger{})
			require.Equal(t, map[string]int{"a": 1}, l.effects())
			require.Equal(t, 1, l.refused, "the late effect of the first, by its token")
			require.EqualValues(t, 1, first.Stats().Lost)
		}},
	{Name: "SA-07 the same without tokens", Reason: "counter-example: without fencing tokens the effect happens twice",
		Story: func(t *testing.T, n *sim.Network) {
			l, _ := pausedWorker(t, n, &ledger{blind: true})
			require.Equal(t, map[string]int{"a": 2}, l.effects())
		}},
	{Name: "SA-06 a job is lost on its way to its worker, six times", Reason: "no worker ever had the job, so no attempt counts; the queue learns that when the worker asks again",
		Story: func(t *testing.T, n *sim.Network) {
			s, w := lostOnItsWay(t, n, func(c *workqueue.Client) workqueue.Source { return c })
			require.Equal(t, workqueue.Done, s.State)
			require.Equal(t, 1, s.Attempts)
			require.Equal(t, map[string]int{"a": 1}, w.effects())
		}},
	{Name: "SA-06 the same, and requests have no names", Reason: "counter-example: without request names the job becomes dead although no worker ever had it",
		Story: func(t *testing.T, n *sim.Network) {
			s, w := lostOnItsWay(t, n, func(c *workqueue.Client) workqueue.Source { return nameless{c} })
			require.Equal(t, workqueue.Dead, s.State)
			require.Equal(t, 3, s.Attempts)
			require.Empty(t, w.effects())
		}},
	{Name: "SA-06 workers and the queue crash again and again", Reason: "no job is lost, and no two workers have a job under one token",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, func(q *workqueue.Queue) { q.MaxAttempts = 50 })
			effects, held := &ledger{}, &holders{}
			for i, name := range []string{"one", "two", "three"} {
				held.start(n, name, effects)
				for nth := range 12 { // in each 40 s, at no instant at which another crashes
					n.After(time.Duration(nth)*40*time.Second+time.Duration(i)*13*time.Second+7*time.Second+time.Duration(i+3*nth)*time.Millisecond, n.Host(name).Restart)
				}
			}
			for nth := range 8 {
				n.After(time.Duration(nth)*55*time.Second+31*time.Second+500*time.Microsecond, n.Host("queue").Restart)
			}
			c := submitter(n)
			want := map[string]int{}
			for i := range 40 {
				id := fmt.Sprint("j", i)
				added(t, c, id)
				want[id] = 1
			}
			for i := range 40 {
				require.Equal(t, workqueue.Done, ended(t, c, fmt.Sprint("j", i)).State)
			}
			require.Equal(t, want, effects.effects())
			require.Empty(t, held.twice)
			require.Greater(t, len(held.by), 50, "leases, of 40 jobs")
		}},
	{Name: "SA-08 the acknowledgement of an end is lost", Reason: "the worker reports the end again with its token: the job is done once",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, nil)
			w := startWorker(n, "worker", worksFor(5*time.Second))
			c := submitter(n)
			added(t, c, "a")
			// The end reaches the queue after 120 ms + 40 ms + 5 s + 40 ms; the answer does not come back.
			n.After(5180*time.Millisecond, func() { w.link.DownFrom(n.Host("queue")) })
			n.After(20*time.Second, w.link.Up)
			s := ended(t, c, "a")
			time.Sleep(time.Minute)
			require.Equal(t, 1, s.Attempts)
			require.Equal(t, map[string]int{"a": 1}, w.effects())
			require.EqualValues(t, 1, w.Stats().Done)
		}},
	{Name: "SA-08 the queue restarts before the acknowledgement", Reason: "the end is on disk, and the token is recognised",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, nil)
			w := startWorker(n, "worker", worksFor(5*time.Second))
			c := submitter(n)
			added(t, c, "a")
			n.After(5200*time.Millisecond+1, n.Host("queue").Restart)
			s := ended(t, c, "a")
			time.Sleep(time.Minute)
			require.Equal(t, 1, s.Attempts)
			require.Equal(t, map[string]int{"a": 1}, w.effects())
		}},
	{Name: "SA-09 a job takes longer than a lease, without heartbeats", Reason: "counter-example: each worker is overtaken by the next, and workers that ignore their context double the effect",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, func(q *workqueue.Queue) { q.MaxAttempts = 3 })
			shared := &ledger{blind: true}
			for _, name := range []string{"first", "second"} {
				startWorkerOn(n, name, shared, heedless(61*time.Second), func(w *workqueue.Worker) { w.Heartbeat = time.Hour })
			}
			c := submitter(n)
			added(t, c, "a")
			require.Equal(t, workqueue.Dead, ended(t, c, "a").State)
			time.Sleep(5 * time.Minute)
			require.Equal(t, map[string]int{"a": 3}, shared.effects())
		}},
	{Name: "SA-09 the same with heartbeats", Reason: "heartbeats extend the lease, and one worker keeps the job to its end",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, func(q *workqueue.Queue) { q.MaxAttempts = 3 })
			shared := &ledger{blind: true}
			for _, name := range []string{"first", "second"} {
				startWorkerOn(n, name, shared, worksFor(61*time.Second))
			}
			c := submitter(n)
			added(t, c, "a")
			require.Equal(t, 1, ended(t, c, "a").Attempts)
			time.Sleep(5 * time.Minute)
			require.Equal(t, map[string]int{"a": 1}, shared.effects())
		}},
	{Name: "X-03 the queue hears a worker, and the worker does not hear the queue", Reason: "the queue extends the leases, but the worker cannot know that, and gives up the job in time",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, nil)
			shared := &ledger{}
			first := startWorkerOn(n, "first", shared, worksFor(121*time.Second))
			c := submitter(n)
			added(t, c, "a")
			n.After(5*time.Second, func() { first.link.DownFrom(n.Host("queue")) })
			n.After(4*time.Minute, first.link.Up)
			time.Sleep(20 * time.Second)
			startWorkerOn(n, "second", shared, worksFor(121*time.Second))
			s := ended(t, c, "a")
			require.Equal(t, "second", string(s.Result))
			time.Sleep(5 * time.Minute)
			require.Equal(t, map[string]int{"a": 1}, shared.effects())
			require.Zero(t, shared.refused, "the first one stopped by its own clock")
		}},
}

// lostOnItsWay cuts a worker off for a minute each time that the queue is about to tell it which job it has, at the first six; three
// attempts are allowed.
func lostOnItsWay(t *testing.T, n *sim.Network, source func(*workqueue.Client) workqueue.Source) (workqueue.Status, *worker) {
	q := &workqueue.Queue{MaxAttempts: 3, Jitter: retry.NoJitter}
	var cutOff atomic.Pointer[worker]
	var lost atomic.Int32
	n.Host("queue").Run("queue", func(ctx context.Context, h *sim.Host) error {
		defer q.Close()
		return patterntest.ServeHTTP(ctx, h, http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			q.Handler().ServeHTTP(answer, r)
			if strings.HasSuffix(r.URL.Path, "/lease") && strings.Contains(answer.Body.String(), `"id":"a"`) && lost.Load() < 6 {
				lost.Add(1)
				link := cutOff.Load().link
				link.Down()
				n.After(time.Minute, link.Up)
			}
			to.WriteHeader(answer.Code)
			to.Write(answer.Body.Bytes())
		}))
	})
	w := startWorkerOn(n, "worker", &ledger{}, worksFor(time.Second), func(w *workqueue.Worker) { w.Source = source(w.Source.(*workqueue.Client)) })
	cutOff.Store(w)
	c := submitter(n)
	added(t, c, "a")
	s := ended(t, c, "a")
	require.Positive(t, lost.Load())
	return s, w
}

// nameless is a client that does not say which of its requests it repeats.
type nameless struct{ *workqueue.Client }

func (n nameless) Lease(ctx context.Context, _ string) (workqueue.Task, error) {
	return n.Client.Lease(ctx, "")
}

// holders notes which worker's life had a job under which token.
type holders struct {
	mu    sync.Mutex
	by    map[string]string // by job and token
	twice []string
}

func (x *holders) note(task workqueue.Task, life string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.by == nil {
		x.by = map[string]string{}
	}
	lease := fmt.Sprint(task.ID, " ", task.Token)
	if other, had := x.by[lease]; had {
		x.twice = append(x.twice, fmt.Sprintf("%s: %s and %s", lease, other, life))
	}
	x.by[lease] = life
}

// start runs a worker that takes 11 s for a job, and of which a crash leaves nothing.
func (x *holders) start(n *sim.Network, name string, effects *ledger) {
	c, _ := queueClient(n, name)
	n.Host(name).Run("worker", func(ctx context.Context, h *sim.Host) error {
		life := fmt.Sprint(name, " since ", n.Elapsed())
		w := &workqueue.Worker{Source: mortal{c, ctx}, Jitter: retry.NoJitter}
		return w.Run(ctx, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			x.note(task, life)
			if err := retry.Sleep(ctx, 11*time.Second); err != nil {
				return nil, err
			}
			return []byte(life), effects.apply(n, task)
		})
	})
	time.Sleep(time.Millisecond) // the next one draws the names of its requests after this one
}

// serveQueue runs a queue with a file on the host "queue", anew after each restart.
func serveQueue(t *testing.T, n *sim.Network, set func(*workqueue.Queue)) {
	path := filepath.Join(t.TempDir(), "queue")
	n.Host("queue").Run("queue", func(ctx context.Context, h *sim.Host) error {
		q := &workqueue.Queue{Path: path, Jitter: retry.NoJitter}
		if set != nil {
			set(q)
		}
		if err := q.Start(); err != nil {
			return err
		}
		defer q.Close()
		return patterntest.ServeHTTP(ctx, h, q.Handler())
	})
}

func queueClient(n *sim.Network, host string) (*workqueue.Client, *sim.Link) {
	h := n.Host(host)
	link := n.Link(h, n.Host("queue"), scenario.Good)
	return &workqueue.Client{URL: "http://queue/", HTTP: h.HTTPClient(), Jitter: retry.NoJitter}, link
}

func submitter(n *sim.Network) *workqueue.Client {
	c, _ := queueClient(n, "submitter")
	return c
}

func added(t *testing.T, c *workqueue.Client, id string) {
	t.Helper()
	_, err := c.Add(t.Context(), workqueue.Job{ID: id})
	require.NoError(t, err)
}

// ended asks each second until a job has ended.
func ended(t *testing.T, c *workqueue.Client, id string) workqueue.Status {
	t.Helper()
	for range 3600 {
		s, err := c.Get(t.Context(), id)
		require.NoError(t, err)
		if s.State.Ended() {
			return s
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("job %s has not ended in an hour", id)
	return workqueue.Status{}
}

// A ledger is what workers change: an effect of a job counts once. It refuses what comes with an older
// token than it has seen, unless it is blind.
type ledger struct {
	blind bool

	mu      sync.Mutex
	token   map[string]uint64
	count   map[string]int
	when    map[string]time.Duration
	refused int
}

func (l *ledger) apply(n *sim.Network, task workqueue.Task) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.token, l.count, l.when = map[string]uint64{}, map[string]int{}, map[string]time.Duration{}
	}
	if !l.blind && task.Token < l.token[task.ID] {
		l.refused++
		return errors.New("an older token")
	}
	if l.blind || l.count[task.ID] == 0 {
		l.count[task.ID]++
	}
	l.token[task.ID], l.when[task.ID] = task.Token, n.Elapsed()
	return nil
}

func (l *ledger) effects() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// at is when the effect of a job happened.
func (l *ledger) at(id string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.when[id]
}

type worker struct {
	*workqueue.Worker
	*ledger
	link *sim.Link
}

// pausedWorker has a worker paused from 5 s to 75 s, between its last look at its context and its
// effect; another one does the job meanwhile.
func pausedWorker(t *testing.T, n *sim.Network, l *ledger) (*ledger, *worker) {
	serveQueue(t, n, nil)
	first := startWorkerOn(n, "first", l, heedless(80*time.Second))
	c := submitter(n)
	added(t, c, "a")
	n.After(5*time.Second, n.Host("first").Pause)
	n.After(75*time.Second, n.Host("first").Resume)
	time.Sleep(20 * time.Second)
	startWorkerOn(n, "second", l, worksFor(21*time.Second))
	s := ended(t, c, "a")
	require.Equal(t, "second", string(s.Result))
	require.Equal(t, 2, s.Attempts)
	time.Sleep(time.Minute)
	return l, first
}

// worksFor is work that takes a while before its effect. It heeds its context, but while the host is
// paused nobody tells it.
func worksFor(d time.Duration) func(ctx context.Context, h *sim.Host) error {
	return func(ctx context.Context, h *sim.Host) error { return retry.Sleep(ctx, d) }
}

// heedless is work that does not look at its context.
func heedless(d time.Duration) func(ctx context.Context, h *sim.Host) error {
	return func(context.Context, *sim.Host) error { time.Sleep(d); return nil }
}

func startWorker(n *sim.Network, name string, work func(context.Context, *sim.Host) error) *worker {
	return startWorkerOn(n, name, &ledger{}, work)
}

func startWorkerOn(n *sim.Network, name string, l *ledger, work func(context.Context, *sim.Host) error, set ...func(*workqueue.Worker)) *worker {
	c, link := queueClient(n, name)
	w := &worker{&workqueue.Worker{Source: c, Jitter: retry.NoJitter}, l, link}
	for _, f := range set {
		f(w.Worker)
	}
	n.Host(name).Run("worker", func(ctx context.Context, h *sim.Host) error {
		err := w.Run(ctx, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			if err := work(ctx, h); err != nil {
				return nil, err
			}
			return []byte(name), l.apply(n, task)
		})
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	time.Sleep(time.Millisecond) // the next one draws the names of its requests after this one
	return w
}
