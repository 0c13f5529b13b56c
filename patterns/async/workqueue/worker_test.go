package workqueue_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
)

type handle = func(context.Context, workqueue.Task) ([]byte, error)

// work has a worker do the jobs of a source until the function that it returns is called.
func work(t *testing.T, w *workqueue.Worker, f handle) (stop func()) {
	t.Helper()
	if w.Jitter == nil {
		w.Jitter = retry.NoJitter
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- w.Run(ctx, f) }()
	return func() {
		cancel()
		require.ErrorIs(t, <-over, context.Canceled)
	}
}

func TestWorkerEndsItsJobs(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxAttempts: 3, MaxPayloadBytes: 1000}, func(t *testing.T, q *workqueue.Queue) {
		w := &workqueue.Worker{Source: q}
		var attempts atomic.Int64
		stop := work(t, w, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			attempts.Add(1)
			switch task.ID {
			case "fails for good":
				panic("no such job")
			case "final":
				return nil, fmt.Errorf("job: %w", workqueue.Final{Err: errors.New("never")})
			case "later":
				if task.Attempt == 1 {
					return nil, workqueue.Later{Err: errors.New("not yet"), After: time.Hour}
				}
			case "panics":
				panic("oh")
			case "long":
				return make([]byte, 1001), nil
			}
			return []byte("did " + task.ID), nil
		})
		defer stop()
		for id, want := range map[string]workqueue.Status{
			"fine":   {State: workqueue.Done, Attempts: 1, Result: []byte("did fine")},
			"final":  {State: workqueue.Failed, Attempts: 1, Error: "job: never"},
			"later":  {State: workqueue.Done, Attempts: 2, Result: []byte("did later")},
			"panics": {State: workqueue.Dead, Attempts: 3, Error: "workqueue: Worker.Run's handle panicked: oh"},
			"long":   {State: workqueue.Failed, Attempts: 1, Error: "workqueue: End.Result has 1001 bytes: want at most MaxPayloadBytes, 1000"},
		} {
			start := time.Now()
			s := add(t, q, workqueue.Job{ID: id})
			for !s.State.Ended() {
				var err error
				s, err = q.Wait(t.Context(), id, s.Version)
				require.NoError(t, err)
			}
			took := map[string]time.Duration{"later": time.Hour, "panics": sec + 2*sec}[id]
			require.Equal(t, took, time.Since(start), id)
			s.ID, s.Version, s.Expires = "", 0, time.Time{}
			require.Equal(t, want, s, id)
		}
		require.Equal(t, workqueue.WorkerStats{Done: 2, Failed: 1 + 1 + 3 + 1}, w.Stats())
	})
}

// A job may take longer than a lease, since its worker keeps that up.
func TestHeartbeat(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		w := &workqueue.Worker{Source: q}
		defer work(t, w, func(context.Context, workqueue.Task) ([]byte, error) { time.Sleep(time.Hour); return nil, nil })()
		s := add(t, q, workqueue.Job{ID: "a"})
		time.Sleep(time.Hour + 1)
		s, err := q.Get(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, workqueue.Done, s.State)
		require.Equal(t, 1, s.Attempts)
	})
}

// What a worker is told when its lease ends: its context, and what it saves is refused.
func TestLostLeaseEndsTheWork(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		w := &workqueue.Worker{Source: q}
		told := make(chan time.Time, 1)
		saved := make(chan error, 1)
		stop := work(t, w, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			<-ctx.Done()
			told <- time.Now()
			saved <- task.Save(context.Background(), []byte("x"))
			return nil, context.Cause(ctx)
		})
		defer stop()
		add(t, q, workqueue.Job{ID: "a"})
		time.Sleep(15 * sec)
		start := time.Now()
		_, err := q.Cancel(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 3*sec, (<-told).Sub(start), "at the next heartbeat, which is each 9 s")
		require.ErrorIs(t, <-saved, workqueue.ErrLeaseLost)
		time.Sleep(1)
		require.EqualValues(t, 1, w.Stats().Lost)
		require.Equal(t, workqueue.Cancelled, state(t, q, "a"))
	})
}

// A worker that cannot reach its queue knows by its own clock when its lease is over.
func TestWorkerOutOfReach(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		var cut atomic.Bool
		c := client(&wire{delay: 40 * ms, handler: q.Handler(), lose: func(int, *http.Request) (bool, bool) { return cut.Load(), false }})
		ended := make(chan time.Duration, 1)
		start := time.Now()
		stop := work(t, &workqueue.Worker{Source: c}, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			if task.Attempt == 1 {
				cut.Store(true)
				<-ctx.Done()
				require.ErrorIs(t, context.Cause(ctx), workqueue.ErrLeaseLost)
				ended <- time.Since(start)
				cut.Store(false)
			}
			return []byte("second"), nil
		})
		defer stop()
		time.Sleep(sec)
		add(t, q, workqueue.Job{ID: "a"})
		time.Sleep(time.Minute)
		// The task comes 40 ms after the job was added; its lease is 30 s from then on.
		require.Equal(t, 31*sec+40*ms, <-ended)
		s, err := q.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "second", string(s.Result))
		require.Equal(t, 2, s.Attempts)
	})
}

// A worker that is told to end gives its job back at once, and the attempt does not count.
func TestWorkerThatStops(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a"})
		stop := work(t, &workqueue.Worker{Source: q}, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			require.NoError(t, task.Save(ctx, []byte("half")))
			<-ctx.Done()
			return nil, ctx.Err()
		})
		time.Sleep(sec)
		stop()
		task := lease(t, q)
		require.Equal(t, 1, task.Attempt)
		require.Equal(t, "half", string(task.Checkpoint))
		require.ErrorContains(t, task.Save(t.Context(), nil), "does not come from a Worker")
	})
}

// Requests and answers are lost in turn: no job is lost or done twice, and no attempt is wasted.
func TestEveryCallMayBeLost(t *testing.T) {
	for lost := range 12 {
		for _, answer := range []bool{false, true} {
			inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
				c := client(&wire{delay: 40 * ms, handler: q.Handler(), lose: func(nth int, r *http.Request) (bool, bool) {
					return nth == lost && !answer, nth == lost && answer
				}})
				w := &workqueue.Worker{Source: c}
				stop := work(t, w, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
					return task.Checkpoint, task.Save(ctx, []byte("half"))
				})
				defer stop()
				for _, id := range []string{"a", "b"} {
					add(t, c, workqueue.Job{ID: id})
					add(t, c, workqueue.Job{ID: id})
				}
				time.Sleep(20 * sec)
				for _, id := range []string{"a", "b"} {
					s, err := c.Get(t.Context(), id)
					require.NoError(t, err)
					require.Equal(t, workqueue.Done, s.State, "request %d, its answer: %v", lost, answer)
					require.Equal(t, 1, s.Attempts)
				}
				require.EqualValues(t, 2, w.Stats().Done)
			})
		}
	}
}

func TestClientGetsTheQueuesErrors(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxJobs: 1, MaxPayloadBytes: 10, MaxAttempts: 1}, func(t *testing.T, q *workqueue.Queue) {
		w := &wire{handler: q.Handler()}
		c := client(w)
		add(t, c, workqueue.Job{ID: "a", Key: "k"})
		_, err := c.Add(t.Context(), workqueue.Job{ID: "a"})
		require.ErrorIs(t, err, workqueue.ErrConflict)
		_, err = c.Add(t.Context(), workqueue.Job{ID: "b", Key: "k"})
		require.ErrorIs(t, err, workqueue.ErrBusy)
		_, err = c.Add(t.Context(), workqueue.Job{ID: "b"})
		require.ErrorIs(t, err, workqueue.ErrFull)
		_, err = c.Get(t.Context(), "b")
		require.ErrorIs(t, err, workqueue.ErrNotFound)
		_, err = c.Retry(t.Context(), "a")
		require.ErrorIs(t, err, workqueue.ErrState)
		task, err := c.Lease(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, 30*sec, task.Lease)
		require.ErrorIs(t, c.Extend(t.Context(), "a", task.Token+1, nil), workqueue.ErrLeaseLost)
		require.ErrorIs(t, c.Finish(t.Context(), "a", task.Token+1, done("")), workqueue.ErrLeaseLost)
		require.NoError(t, c.Finish(t.Context(), "a", task.Token, again("no")))
		dead, err := c.List(t.Context(), workqueue.Dead)
		require.NoError(t, err)
		require.Len(t, dead, 1)
		_, err = c.Retry(t.Context(), "a")
		require.NoError(t, err)
		s, err := c.Cancel(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, workqueue.Cancelled, s.State)
		var status *retry.StatusError
		_, err = c.Add(t.Context(), workqueue.Job{ID: "b", Payload: make([]byte, 11)})
		require.ErrorAs(t, err, &status)
		require.Equal(t, 400, status.Status)
		_, err = c.Add(t.Context(), workqueue.Job{ID: "b", Payload: make([]byte, 30_000)})
		require.ErrorAs(t, err, &status)
		require.Equal(t, 413, status.Status)
		ctx, cancel := context.WithTimeout(t.Context(), 10*sec)
		defer cancel()
		q.Drain(ctx)
		_, err = c.Add(ctx, workqueue.Job{ID: "b"})
		require.ErrorIs(t, err, context.DeadlineExceeded, "another queue may take its place")
		require.Greater(t, len(w.seen), 15)
	})
}

// What a queue asks for that is overloaded.
func TestRetryAfter(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		busy := true
		c := client(&wire{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if busy {
				busy = false
				w.Header().Set("Retry-After", "7")
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			q.Handler().ServeHTTP(w, r)
		})})
		var delays []time.Duration
		c.OnRetry = func(err error, delay time.Duration) {
			require.ErrorContains(t, err, "workqueue: add: server answered 503 Service Unavailable: busy")
			delays = append(delays, delay)
		}
		start := time.Now()
		add(t, c, workqueue.Job{ID: "a"})
		require.Equal(t, []time.Duration{7 * sec}, delays)
		require.Equal(t, 7*sec, time.Since(start))
		require.Equal(t, workqueue.ClientStats{Requests: 2, Failures: 1}, c.Stats())
	})
}

func TestWhoMayDoWhat(t *testing.T) {
	who := func(r *http.Request) (access.Identity, error) {
		switch r.Header.Get("Authorization") {
		case "submitter":
			return access.Identity{Client: "submitter", Publish: []string{"mine"}, Topics: []string{"mine"}}, nil
		case "worker":
			return access.Everything("worker"), nil
		}
		return access.Identity{}, access.ErrUnauthorized
	}
	inBubble(t, &workqueue.Queue{Authenticate: who}, func(t *testing.T, q *workqueue.Queue) {
		as := func(name string) *workqueue.Client {
			c := client(&wire{handler: q.Handler()})
			c.Header = func(context.Context) (http.Header, error) { return http.Header{"Authorization": {name}}, nil }
			return c
		}
		status := func(err error) int {
			var s *retry.StatusError
			require.ErrorAs(t, err, &s)
			return s.Status
		}
		_, err := as("nobody").Get(t.Context(), "mine")
		require.Equal(t, 401, status(err))
		c := as("submitter")
		add(t, c, workqueue.Job{ID: "mine"})
		_, err = c.Get(t.Context(), "mine")
		require.NoError(t, err)
		_, err = c.Add(t.Context(), workqueue.Job{ID: "other"})
		require.Equal(t, 403, status(err))
		_, err = c.Get(t.Context(), "other")
		require.Equal(t, 403, status(err))
		_, err = c.Cancel(t.Context(), "other")
		require.Equal(t, 403, status(err))
		_, err = c.Lease(t.Context(), "")
		require.Equal(t, 403, status(err))
		_, err = c.List(t.Context(), workqueue.Dead)
		require.Equal(t, 403, status(err))
		task, err := as("worker").Lease(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, 403, status(c.Finish(t.Context(), "mine", task.Token, done(""))))
		require.Equal(t, 403, status(c.Extend(t.Context(), "mine", task.Token, nil)))
	})
}

func TestHandlerOnOddRequests(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		for _, row := range []struct {
			method, path, body string
			want               int
		}{
			{"GET", "/add", "", 405},
			{"POST", "/add", "", 400},
			{"POST", "/add", "{}", 400},
			{"POST", "/add", `{"job": 7}`, 400},
			{"POST", "/finish", `{"id": "a"}`, 400},
			{"POST", "/finish", `{"id": "a", "end": {"state": "done"}}`, 412},
			{"POST", "/lease", `{"wait": 9223372036854775807, "request": "` + strings.Repeat("r", 257) + `"}`, 400},
			{"POST", "/lease", `{"wait": -1}`, 200},
			{"POST", "/nothing", `{}`, 404},
			{"POST", "/list", `{"state": "nowhere"}`, 200},
			{"POST", "/get", `{"id": "a", "later": "field"}`, 404},
		} {
			req, err := http.NewRequest(row.method, "http://queue/jobs"+row.path, strings.NewReader(row.body))
			require.NoError(t, err)
			resp, err := (&wire{handler: q.Handler()}).RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, row.want, resp.StatusCode, row.path+" "+row.body)
		}
	})
}
