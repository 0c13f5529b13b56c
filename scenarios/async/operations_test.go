package async_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// A caller on the host "phone", a server of operations on the host "server", 40 ms each way.
var operations = []scenario.Row{
	{Name: "SA-01 a caller that waits for a slow answer", Reason: "it does no other work in the meantime",
		Story: func(t *testing.T, n *sim.Network) {
			serveOperations(n, &async.Server{Run: lasts(10 * time.Second)})
			work := 0
			_, err := put(t, n, "a", "")
			require.NoError(t, err)
			// Connecting 80 ms, the request 40 ms, the work 10 s, the answer 40 ms.
			require.Equal(t, 10160*time.Millisecond, n.Elapsed())
			require.Zero(t, work)
		}},
	{Name: "SA-01 a caller with a future", Reason: "it does other work while it waits, and its loop never blocks",
		Story: func(t *testing.T, n *sim.Network) {
			serveOperations(n, &async.Server{Run: lasts(10 * time.Second)})
			c := operationClient(n)
			f := c.Start(t.Context(), "a", nil)
			require.Zero(t, n.Elapsed())
			work := 0
			for waiting := true; waiting; {
				select {
				case <-f.Done():
					waiting = false
				case <-time.After(100 * time.Millisecond):
					work++
				}
			}
			// The 202 is there at 160 ms; the operation has ended at 10.12 s, and the poll at 10.16 s brings its
			// result 80 ms later.
			require.Equal(t, 10240*time.Millisecond, n.Elapsed().Round(time.Millisecond))
			require.Equal(t, 102, work)
		}},
	{Name: "SA-02 the answer and the timeout meet", Reason: "one of the two counts; the other is dropped and counted", Races: "which of the two comes first is the runtime's choice",
		Story: func(t *testing.T, n *sim.Network) {
			for i := range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				f := async.NewFuture[string](ctx)
				n.After(time.Second+time.Duration(i%3-1), func() { f.Resolve("answer", nil) })
				value, err := f.Wait(t.Context())
				time.Sleep(2)
				require.True(t, (err == nil) == (value == "answer"))
				require.Equal(t, err != nil, f.Late() == 1, "too late, and said so")
				switch i % 3 {
				case 0:
					require.NoError(t, err, "a nanosecond before it")
				case 2:
					require.ErrorIs(t, err, context.DeadlineExceeded, "a nanosecond after it")
				}
				cancel()
			}
		}},
	{Name: "SA-03 the cancellation comes just before the end", Reason: "the operation has exactly one outcome, and the worker's slot is free again", Story: cancelled(10*time.Second-1, async.ErrCancelled)},
	{Name: "SA-03 the cancellation comes just after the end", Reason: "an operation that is done stays done", Story: cancelled(10*time.Second+1, nil)},
	{Name: "SA-05 the server crashes after the 202", Reason: "the operation was in the file before the 202, and reaches an end",
		Races: "whether a worker has already taken the operation when the 202 reports its state",
		Story: func(t *testing.T, n *sim.Network) {
			var mu sync.Mutex
			var begun []time.Duration
			path := t.TempDir() + "/queue"
			n.Host("server").Run("server", func(ctx context.Context, h *sim.Host) error {
				q := &workqueue.Queue{Path: path, Jitter: retry.NoJitter}
				s := &async.Server{Queue: q, Run: func(ctx context.Context, task workqueue.Task) ([]byte, error) {
					mu.Lock()
					begun = append(begun, n.Elapsed().Round(time.Millisecond))
					mu.Unlock()
					return lasts(10*time.Second)(ctx, task)
				}}
				defer s.Close()
				defer q.Close() // first: what crashes gives no lease back
				return patterntest.ServeHTTP(ctx, h, s.Handler())
			})
			n.Link(n.Host("phone"), n.Host("server"), scenario.Good)
			c := operationClient(n)
			f := c.Start(t.Context(), "a", nil)
			n.After(170*time.Millisecond, n.Host("server").Crash)
			n.After(10*time.Second, n.Host("server").Restart)
			value, err := f.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, "done: a", string(value))
			// It is begun anew; its effect is keyed by the id. It came at 120 ms, after the three packets of 40 ms of a connection and a
			// request. Nobody was left to give its lease back, which lasts 30 s from when the queue is there again, at 10 s.
			require.Equal(t, []time.Duration{120 * time.Millisecond, 40 * time.Second}, begun)
		}},
	{Name: "SA-20 ten times too much work for an hour", Reason: "a bounded queue rejects early and begins nothing that nobody waits for; everything it accepts is done in time",
		Story: func(t *testing.T, n *sim.Network) {
			p := &async.Pool{Workers: 1, MaxWaiting: 10, Need: 10 * time.Second}
			var late, done, rejected, expired int64
			var mu sync.Mutex
			var all sync.WaitGroup
			for range 3600 { // one a second, of which every tenth can be done
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
					defer cancel()
					begun := n.Elapsed()
					err := p.Do(ctx, func(context.Context) error { time.Sleep(10 * time.Second); return nil })
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && n.Elapsed()-begun > 50*time.Second:
						late++
					case err == nil:
						done++
					case errors.Is(err, async.ErrFull):
						rejected++
					default:
						expired++
					}
				})
				time.Sleep(time.Second + 1)
			}
			all.Wait()
			require.Zero(t, late)
			require.GreaterOrEqual(t, done, int64(355), "the worker is never idle, and never works for nobody")
			require.EqualValues(t, 3600, done+rejected+expired)
			require.Equal(t, async.PoolStats{Begun: done, Rejected: rejected, Expired: expired}, p.Stats())
		}},
	{Name: "SA-20 jobs that nobody waits for any more", Reason: "a job's TTL is checked when a worker takes it, not only when it is added",
		Story: func(t *testing.T, n *sim.Network) {
			serveQueue(t, n, nil)
			c := submitter(n)
			for _, id := range []string{"a", "b", "c", "d"} {
				_, err := c.Add(t.Context(), workqueue.Job{ID: id, TTL: 25 * time.Second})
				require.NoError(t, err)
			}
			w := startWorker(n, "worker", worksFor(10*time.Second))
			time.Sleep(time.Minute)
			require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1}, w.effects())
			require.Equal(t, workqueue.Failed, ended(t, c, "d").State)
		}},
	{Name: "SA-21 two operations on one resource", Reason: "the second gets ABORTED (AIP-151), and can start when the first has ended",
		Story: func(t *testing.T, n *sim.Network) {
			serveOperations(n, &async.Server{Run: lasts(10 * time.Second), Key: func(r async.Request) string { return string(r.Payload) }})
			c := operationClient(n)
			first := c.Start(t.Context(), "a", []byte("table 7"))
			time.Sleep(1300 * time.Millisecond)
			_, err := c.Start(t.Context(), "b", []byte("table 7")).Wait(t.Context())
			var status *retry.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, 409, status.Status)
			_, err = c.Start(t.Context(), "c", []byte("table 8")).Wait(t.Context())
			require.NoError(t, err)
			_, err = first.Wait(t.Context())
			require.NoError(t, err)
			_, err = c.Start(t.Context(), "b", []byte("table 7")).Wait(t.Context())
			require.NoError(t, err)
		}},
	{Name: "SA-22 an operation that cannot start, and one that fails", Reason: "the first failure is the answer to the request, the second is the operation's error (AIP-151)",
		Story: func(t *testing.T, n *sim.Network) {
			serveOperations(n, &async.Server{
				Validate: func(_ context.Context, r async.Request) error {
					if len(r.Payload) == 0 {
						return &retry.StatusError{Status: http.StatusUnprocessableEntity, Text: "no table"}
					}
					return nil
				},
				Run: func(context.Context, workqueue.Task) ([]byte, error) {
					return nil, workqueue.Final{Err: errors.New("the table is locked")}
				},
			})
			text, err := put(t, n, "a", "")
			require.EqualError(t, err, "422")
			require.Equal(t, "no table\n", text)
			text, err = put(t, n, "a", "table 7")
			require.NoError(t, err)
			require.Contains(t, text, `"state":"failed"`)
			require.Contains(t, text, `"error":"the table is locked"`)
		}},
}

// cancelled is a story of an operation of 10 s that is cancelled that long after it began.
func cancelled(after time.Duration, want error) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		s := serveOperations(n, &async.Server{Run: lasts(10 * time.Second), Workers: 1})
		c := operationClient(n)
		f := c.Start(t.Context(), "a", nil)
		// It begins at 120 ms. The cancellation takes 40 ms on its way, on the connection that there is.
		time.Sleep(80*time.Millisecond + after)
		require.NoError(t, c.Cancel(t.Context(), "a"))
		value, err := f.Wait(t.Context())
		require.ErrorIs(t, err, want)
		require.Equal(t, want == nil, string(value) == "done: a")
		_, err = c.Start(t.Context(), "b", nil).Wait(t.Context())
		require.NoError(t, err, "the worker's place is free")
		require.EqualValues(t, 2, s.Stats().Started)
	}
}

func lasts(d time.Duration) func(context.Context, workqueue.Task) ([]byte, error) {
	return func(ctx context.Context, t workqueue.Task) ([]byte, error) {
		return []byte("done: " + t.ID), retry.Sleep(ctx, d)
	}
}

func serveOperations(n *sim.Network, s *async.Server) *async.Server {
	n.Host("server").Run("server", func(ctx context.Context, h *sim.Host) error {
		defer s.Close()
		return patterntest.ServeHTTP(ctx, h, s.Handler())
	})
	n.Link(n.Host("phone"), n.Host("server"), scenario.Good)
	return s
}

func operationClient(n *sim.Network) *async.Client {
	return &async.Client{Polls: &shortpoll.Client{URL: "http://server/", HTTP: n.Host("phone").HTTPClient(), Jitter: retry.NoJitter, Header: async.Prefer(0)}}
}

// put makes one request, and returns the answer's body, and its status as an error if it is not 200.
func put(t *testing.T, n *sim.Network, id, body string) (string, error) {
	req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://server/"+id, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := n.Host("phone").HTTPClient().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode != 200 {
		return string(text), errors.New(resp.Status[:3])
	}
	return string(text), nil
}
