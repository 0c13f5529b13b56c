package shortpoll_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/pollingtest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// as is a client of that name.
func as(w *wire, name string) *shortpoll.Client {
	return &shortpoll.Client{
		URL: where, HTTP: w.http(), Jitter: retry.NoJitter, Patience: -1,
		Header: func(context.Context) (http.Header, error) { return http.Header{"Authorization": {name}}, nil },
	}
}

// statusOf is the status of a *retry.StatusError, or 0.
func statusOf(err error) int {
	var status *retry.StatusError
	if errors.As(err, &status) {
		return status.Status
	}
	return 0
}

// Clients get what they may see, and are told what they may not.
func TestClientsSeeWhatTheyMay(t *testing.T) {
	feed := &shortpoll.Server{Authenticate: pollingtest.ByName(
		access.Everything("root"),
		access.Identity{Client: "alice", Topics: []string{"news", "orders.*"}},
		access.Identity{Client: "bob", Topics: []string{"users"}},
		access.Identity{Client: "nobody"},
		access.Identity{Client: "late", Topics: []string{">"}, Expires: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
	)}
	withFeed(t, feed, func(ctx context.Context, t *testing.T, w *wire, _ *shortpoll.Client) {
		for _, topic := range []string{"news", "orders.eu", "users", "orders.us"} {
			_, err := feed.Publish(ctx, topic, []byte(topic))
			require.NoError(t, err)
		}
		for _, row := range []struct {
			client string
			topics []string
			want   []string
			status int // that ends the client
		}{
			{"root", nil, []string{"news", "orders.eu", "users", "orders.us"}, 0},
			{"alice", nil, []string{"news", "orders.eu", "orders.us"}, 0},
			{"alice", []string{"orders.us"}, []string{"orders.us"}, 0},
			{"alice", []string{"news", "users"}, nil, http.StatusForbidden},
			{"root", []string{"orders.>", "users"}, []string{"orders.eu", "users", "orders.us"}, 0},
			{"alice", []string{"orders.*"}, []string{"orders.eu", "orders.us"}, 0},
			{"alice", []string{"orders.>"}, nil, http.StatusForbidden},
			{"bob", nil, []string{"users"}, 0},
			{"nobody", nil, nil, 0},
			{"nobody", []string{"news"}, nil, http.StatusForbidden},
			{"mallory", nil, nil, http.StatusUnauthorized},
			{"late", nil, nil, http.StatusUnauthorized},
		} {
			c := as(w, row.client)
			c.Topics = row.topics
			ctx, cancel := context.WithTimeout(ctx, 10*s)
			r, ended := follow(ctx, w, c)
			require.Equal(t, row.status, statusOf(<-ended), row)
			cancel()
			require.Equal(t, row.want, r.seen().data, row)
		}
	})
}

// Without a name whose jobs they are, all clients would share them.
func TestAJobNeedsAClient(t *testing.T) {
	jobs := &shortpoll.Jobs{Authenticate: pollingtest.ByName(access.Everything("")), Run: func(context.Context, shortpoll.Task) ([]byte, error) { return nil, nil }}
	withJobs(t, jobs, func(t *testing.T, w *wire, _ *shortpoll.Client) {
		_, err := as(w, "").Submit(within(t, time.Minute), "a", nil)
		require.Equal(t, http.StatusUnauthorized, statusOf(err))
		require.ErrorContains(t, err, "Authenticate returned no client")
	})
}

// A job belongs to the client that submitted it: others may have one of the same id, and
// do not see it. Over a restart too.
func TestAJobBelongsToItsClient(t *testing.T) {
	who := pollingtest.ByName(
		access.Identity{Client: "alice", Publish: []string{">"}},
		access.Identity{Client: "bob/alice", Publish: []string{"report.*"}},
		access.Identity{Client: "reader", Topics: []string{">"}},
	)
	synctest.Test(t, func(t *testing.T) {
		log := memory()
		var ran []string
		run := func(_ context.Context, task shortpoll.Task) ([]byte, error) {
			ran = append(ran, task.Client+" "+task.ID)
			return []byte("for " + task.Client), nil
		}
		jobs := &shortpoll.Jobs{Log: log, Authenticate: who, Run: run, Workers: 1}
		w := newWire(25*ms, jobs.Handler())
		alice, bob, reader := as(w, "alice"), as(w, "bob/alice"), as(w, "reader")
		submit(t, alice, "report.1", "a")
		submit(t, bob, "report.1", "another payload")
		submit(t, alice, "private", "")

		for range 2 {
			job, err := alice.Wait(within(t, time.Minute), shortpoll.Job{ID: "report.1"})
			require.NoError(t, err)
			require.Equal(t, "for alice", string(job.Result))
			job, err = bob.Wait(within(t, time.Minute), shortpoll.Job{ID: "report.1"})
			require.NoError(t, err)
			require.Equal(t, "for bob/alice", string(job.Result))
			for _, stranger := range []*shortpoll.Client{bob, reader} {
				_, err = stranger.Wait(within(t, time.Minute), shortpoll.Job{ID: "private"})
				require.ErrorIs(t, err, shortpoll.ErrNotFound)
			}
			for status, c := range map[int]*shortpoll.Client{401: as(w, "mallory"), 403: reader} {
				_, err = c.Submit(within(t, time.Minute), "report.2", nil)
				require.Equal(t, status, statusOf(err), err)
			}
			_, err = bob.Submit(within(t, time.Minute), "private", nil)
			require.Equal(t, 403, statusOf(err), "it may publish reports only")

			require.NoError(t, jobs.Close())
			jobs = &shortpoll.Jobs{Log: log, Authenticate: who, Run: run}
			w.serve(jobs.Handler())
		}
		require.NoError(t, jobs.Close())
		slices.Sort(ran)
		require.Equal(t, []string{"alice private", "alice report.1", "bob/alice report.1"}, ran, "each once")
	})
}

// Drain lets the jobs that run come to their ends, and leaves the others to the next.
func TestDrainOfJobs(t *testing.T) {
	log := memory()
	jobs := &shortpoll.Jobs{Log: log, Run: takes(10 * s), Workers: 1}
	withJobs(t, jobs, func(t *testing.T, w *wire, client *shortpoll.Client) {
		submit(t, client, "runs", "ab")
		submit(t, client, "waits", "cd")

		short, cancel := context.WithTimeout(t.Context(), 5*s)
		defer cancel()
		require.ErrorIs(t, jobs.Drain(short), context.DeadlineExceeded)
		require.Equal(t, 5100*ms, time.Since(w.start))
		_, err := client.Submit(within(t, 4*s), "late", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, jobs.Drain(t.Context()))
		require.Equal(t, 10025*ms, time.Since(w.start))

		// Polls are answered until the end.
		job, err := client.Wait(within(t, time.Minute), shortpoll.Job{ID: "runs"})
		require.NoError(t, err)
		require.Equal(t, "ba", string(job.Result))
		job, err = client.Wait(within(t, time.Minute), shortpoll.Job{ID: "waits"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, shortpoll.Pending, job.State, "it is for the next incarnation")
		require.NoError(t, jobs.Close())
		_, err = client.Wait(within(t, 20*s), shortpoll.Job{ID: "runs"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		early := &shortpoll.Jobs{Run: jobs.Run}
		require.NoError(t, early.Close())
		require.Equal(t, shortpoll.ErrClosed, early.Start())

		next := &shortpoll.Jobs{Log: log, Run: takes(s)}
		defer next.Close()
		w.serve(next.Handler())
		job, err = client.Wait(within(t, time.Minute), shortpoll.Job{ID: "waits"})
		require.NoError(t, err)
		require.Equal(t, "dc", string(job.Result))
	})
}

// A server that has been told to end answers what has come, and no more.
func TestDrainAndClose(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		log := &slowLog{Log: memory(), slow: 5 * s}
		feed := &shortpoll.Server{Log: log}
		publish(t, feed, "x")
		h := feed.Handler()
		rec := httptest.NewRecorder()
		go h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		synctest.Wait()
		short, cancel := context.WithTimeout(ctx, 2*s)
		defer cancel()
		require.ErrorIs(t, feed.Drain(short), context.DeadlineExceeded)
		require.NoError(t, feed.Drain(ctx))
		require.Equal(t, 5*s, time.Since(w.start))
		require.Contains(t, rec.Body.String(), `"offset":1`)

		_, err := feed.Publish(ctx, "t", nil)
		require.Equal(t, shortpoll.ErrDraining, err)
		require.NoError(t, feed.Close())
		_, err = feed.Publish(ctx, "t", nil)
		require.Equal(t, shortpoll.ErrClosed, err)
		rec = httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, http.StatusServiceUnavailable, rec.Code)
		require.Equal(t, "close", rec.Header().Get("Connection"))
		require.NotEmpty(t, rec.Header().Get("Retry-After"))
		require.Equal(t, shortpoll.ServerStats{Answers: 1, Events: 1, Refused: 1}, feed.Stats())
	})
}

// logger writes lines without their times.
func logger(to *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "stack" {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestLogger(t *testing.T) {
	var served, polled strings.Builder
	who := pollingtest.ByName(access.Everything("alice"), access.Identity{Client: "bob"})
	runs := 0
	jobs := &shortpoll.Jobs{Authenticate: who, Logger: logger(&served), Run: func(context.Context, shortpoll.Task) ([]byte, error) {
		if runs++; runs == 1 {
			panic("boom")
		}
		return nil, errors.New("no such file")
	}}
	withJobs(t, jobs, func(t *testing.T, w *wire, _ *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory(), Authenticate: who, Logger: logger(&served), Limit: shortpoll.Limit{Jitter: retry.NoJitter}}
		alice, bob := as(w, "alice"), as(w, "bob")
		alice.Logger, bob.Logger = logger(&polled), logger(&polled)
		for _, id := range []string{"a", "b"} {
			_, err := alice.Wait(within(t, time.Minute), submit(t, alice, id, ""))
			require.NoError(t, err)
		}
		bob.Submit(within(t, time.Minute), "c", nil)

		w.serve(feed.Handler())
		alice.From, alice.StaleAnswers = at(9), -1
		ctx, cancel := context.WithTimeout(t.Context(), 5*s)
		defer cancel()
		_, ended := follow(ctx, w, alice)
		<-ended
		bob.Topics = []string{"t"}
		bob.Run(t.Context(), func(context.Context, shortpoll.Batch) error { return nil })
		require.NoError(t, feed.Close())
		alice.From = eventlog.Cursor{}
		_, ended = follow(within(t, 900*ms), w, alice)
		<-ended
	})
	require.Equal(t, `
level=ERROR msg="Run panicked" client=alice job=a error=boom
level=WARN msg="job failed" topic=alice/a error="Run panicked: boom"
level=WARN msg="job failed" topic=alice/b error="no such file"
level=WARN msg="request refused" client=bob error="access: forbidden: job \"c\""
level=WARN msg="client cannot be continued" client=alice reason=future
level=WARN msg="request refused" client=bob error="access: forbidden: topic \"t\""
level=WARN msg="poll refused" client="" error="shortpoll: server is closed"
`[1:], served.String())
	require.Equal(t, `
level=WARN msg="polling ended" error="shortpoll: server answered 403 Forbidden: access: forbidden: job \"c\""
level=WARN msg="events may be missing" reason=future cursor=e9-9
level=WARN msg="polling ended" error="shortpoll: server answered 403 Forbidden: access: forbidden: topic \"t\""
level=DEBUG msg="request failed" error="shortpoll: server answered 503 Service Unavailable: shortpoll: server is closed" delay=1s
`[1:], polled.String())
}
