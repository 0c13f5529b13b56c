package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/async"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// direct is a transport to a handler in the same process.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

type answer struct {
	*httptest.ResponseRecorder
	ID, State, Version, Error string
	Result                    []byte
}

func ask(t *testing.T, h http.Handler, method, id, body string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, "http://server/ops/"+id, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(a, r)
	if strings.HasPrefix(a.Header().Get("Content-Type"), "application/json") {
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &a))
	}
	return a
}

func takes(d time.Duration) func(context.Context, workqueue.Task) ([]byte, error) {
	return func(ctx context.Context, t workqueue.Task) ([]byte, error) {
		return append([]byte("did "), t.Payload...), retry.Sleep(ctx, d)
	}
}

func serve(t *testing.T, s *async.Server, f func(t *testing.T, h http.Handler)) {
	synctest.Test(t, func(t *testing.T) {
		h := s.Handler()
		defer s.Close()
		f(t, h)
	})
}

// How long a request takes, and how it is answered, by what it prefers. The operation takes 10 s.
func TestPreferencesOfARequest(t *testing.T) {
	for _, row := range []struct {
		reason, prefer string
		wait           time.Duration // the server's
		took           time.Duration
		code           int
	}{
		{"nothing: the answer", "", 0, 10 * sec, 200},
		{"nothing, and the server waits no longer", "", 3 * sec, 3 * sec, 202},
		{"at once", "respond-async", 0, 0, 202},
		{"as long as this", "respond-async, wait=4", 0, 4 * sec, 202},
		{"it ends before that", "respond-async, wait=15", 0, 10 * sec, 200},
		{"no longer than the server", "respond-async, wait=900", 3 * sec, 3 * sec, 202},
		{"a wait alone", "wait=4", 0, 4 * sec, 202},
	} {
		serve(t, &async.Server{Run: takes(10 * sec), Wait: row.wait}, func(t *testing.T, h http.Handler) {
			start := time.Now()
			a := ask(t, h, "PUT", "a", "x", "Prefer", row.prefer)
			require.Equal(t, row.took, time.Since(start), row.reason)
			require.Equal(t, row.code, a.Code, row.reason)
			require.Equal(t, "Prefer", a.Header().Get("Vary"))
			if row.code == 202 {
				require.Equal(t, "a", a.Header().Get("Location"))
				require.Equal(t, "1", a.Header().Get("Retry-After"))
				require.Contains(t, []string{"pending", "running"}, a.State)
				require.Equal(t, strings.Contains(row.prefer, "async"), a.Header().Get("Preference-Applied") == "respond-async", row.reason)
				a = ask(t, h, "GET", "a", "")
				require.Equal(t, row.took, time.Since(start), "a poll is answered at once")
				require.NotEqual(t, "done", a.State)
				a = ask(t, h, "GET", "a", "", "Prefer", "wait=20")
				longest := row.wait
				if longest == 0 {
					longest = 20 * sec
				}
				require.Equal(t, min(10*sec, row.took+longest), time.Since(start), row.reason)
				for a.State != "done" {
					a = ask(t, h, "GET", "a", "", "Prefer", "wait=20")
				}
			}
			require.Equal(t, 10*sec, time.Since(start))
			require.Equal(t, "done", a.State)
			require.Equal(t, "did x", string(a.Result))
			tag := a.Header().Get("ETag")
			for _, known := range []string{tag, `"other", W/` + tag, "*"} {
				require.Equal(t, 304, ask(t, h, "GET", "a", "", "If-None-Match", known).Code, known)
			}
			a = ask(t, h, "PUT", "a", "x")
			require.Equal(t, 200, a.Code, "the same again")
			require.Equal(t, "did x", string(a.Result))
			require.Equal(t, 422, ask(t, h, "PUT", "a", "y").Code)
		})
	}
}

func TestWhatKeepsAnOperationFromStarting(t *testing.T) {
	s := &async.Server{
		Run:             takes(10 * sec),
		Queue:           &workqueue.Queue{MaxJobs: 3, MaxAttempts: 1},
		MaxPayloadBytes: 10,
		Key:             func(r async.Request) string { return r.Client + "/" + string(r.Payload) },
		Validate: func(_ context.Context, r async.Request) error {
			switch string(r.Payload) {
			case "bad":
				return errors.New("it is bad")
			case "missing":
				return &retry.StatusError{Status: 404, Text: "no such table"}
			case "panics":
				panic("secret")
			}
			return nil
		},
		Authenticate: func(r *http.Request) (access.Identity, error) {
			if r.Header.Get("Authorization") == "" {
				return access.Identity{}, access.ErrUnauthorized
			}
			return access.Identity{Client: "c", Topics: []string{"a", "b", "op.>"}, Publish: []string{">"}}, nil
		},
	}
	serve(t, s, func(t *testing.T, h http.Handler) {
		defer s.Queue.Close()
		put := func(id, body string) answer {
			return ask(t, h, "PUT", id, body, "Prefer", "respond-async", "Authorization", "c")
		}
		require.Equal(t, 401, ask(t, h, "PUT", "a", "x").Code)
		require.Equal(t, 400, put("a", "bad").Code)
		a := put("a", "missing")
		require.Equal(t, 404, a.Code)
		require.Equal(t, "no such table\n", a.Body.String())
		a = put("a", "panics")
		require.Equal(t, 500, a.Code)
		require.Equal(t, 404, ask(t, h, "GET", "a", "", "Authorization", "c").Code, "nothing was started")
		require.Equal(t, 413, put("a", "12345678901").Code)
		require.Equal(t, 400, put("a%2Fb", "x").Code)
		require.Equal(t, 202, put("a", "x").Code)
		a = put("b", "x")
		require.Equal(t, 409, a.Code, "another one is at work on x")
		require.Contains(t, a.Body.String(), "aborted")
		require.Equal(t, 202, put("b", "y").Code)
		require.Equal(t, 403, ask(t, h, "GET", "c", "", "Authorization", "c").Code)
		require.Equal(t, 202, put("c", "z").Code)
		a = put("d", "w")
		require.Equal(t, 503, a.Code)
		require.Equal(t, "1", a.Header().Get("Retry-After"))
		require.Equal(t, 405, ask(t, h, "POST", "a", "", "Authorization", "c").Code)
		time.Sleep(11 * sec)
		require.Equal(t, "done", ask(t, h, "GET", "a", "", "Authorization", "c").State)
		require.Equal(t, async.ServerStats{Started: 6, Direct: 0, Accepted: 3, Polls: 2, Refused: 2}, s.Stats())
	})
}

func polls(h http.Handler) *shortpoll.Client {
	return &shortpoll.Client{URL: "http://server/ops/", HTTP: &http.Client{Transport: direct{h}}, Jitter: retry.NoJitter}
}

// The hand-over to package shortpoll: its client starts, polls and learns every end.
func TestClient(t *testing.T) {
	s := &async.Server{Queue: &workqueue.Queue{MaxAttempts: 2, Jitter: retry.NoJitter}, Run: func(ctx context.Context, task workqueue.Task) ([]byte, error) {
		switch task.ID {
		case "final":
			return nil, workqueue.Final{Err: errors.New("never")}
		case "dies":
			return nil, errors.New("not yet")
		}
		return takes(10*sec-500*ms)(ctx, task)
	}}
	serve(t, s, func(t *testing.T, h http.Handler) {
		defer s.Queue.Close()
		c := &async.Client{Polls: polls(h)}
		c.Polls.Header = async.Prefer(0)
		start := time.Now()
		f := c.Start(t.Context(), "a", []byte("x"))
		require.Equal(t, start, time.Now(), "nobody waited")
		time.Sleep(1) // until the server knows of it
		twin, other := c.Start(t.Context(), "a", []byte("x")), c.Start(t.Context(), "a", []byte("y"))
		v, err := f.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "did x", string(v))
		require.Equal(t, 10*sec, time.Since(start), "the poll after 10 s")
		v, err = twin.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "did x", string(v), "the same operation")
		_, err = other.Wait(t.Context())
		require.ErrorIs(t, err, shortpoll.ErrConflict, "it is not the answer to another question")
		_, err = c.Start(t.Context(), "final", nil).Wait(t.Context())
		require.ErrorIs(t, err, async.ErrFailed)
		require.EqualError(t, err, "async: operation failed: never")
		_, err = c.Start(t.Context(), "dies", nil).Wait(t.Context())
		require.EqualError(t, err, "async: operation failed: not yet")

		f = c.Start(t.Context(), "b", nil)
		time.Sleep(2*sec + 1)
		require.NoError(t, c.Cancel(t.Context(), "b"))
		_, err = f.Wait(t.Context())
		require.ErrorIs(t, err, async.ErrCancelled)
		require.NoError(t, c.Cancel(t.Context(), "a"), "it had ended")
		var status *retry.StatusError
		require.ErrorAs(t, c.Cancel(t.Context(), "nobody"), &status)
		require.Equal(t, 404, status.Status)

		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		_, err = c.Start(ctx, "c", nil).Wait(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		f = c.Start(t.Context(), "c", nil)
		time.Sleep(1)
		other = c.Start(t.Context(), "c", []byte("z"))
		require.True(t, c.Settle("c", []byte("by callback"), nil))
		_, err = other.Wait(t.Context())
		require.ErrorIs(t, err, shortpoll.ErrConflict)
		v, err = f.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "by callback", string(v))
		synctest.Wait()
		require.False(t, c.Settle("c", nil, nil))
		require.False(t, c.Settle("stranger", nil, nil))
		require.ErrorContains(t, (&async.Client{}).Check(), "async: Client.Polls is nil: want a *shortpoll.Client")
		_, err = (&async.Client{}).Start(t.Context(), "a", nil).Wait(t.Context())
		require.ErrorContains(t, err, "Polls is nil")
	})
}

// The error of an attempt is not that of an operation that will be attempted again.
func TestAnAttemptThatFailed(t *testing.T) {
	s := &async.Server{Run: func(ctx context.Context, task workqueue.Task) ([]byte, error) {
		if task.Attempt == 1 {
			return nil, workqueue.Later{Err: errors.New("not yet"), After: time.Hour}
		}
		return []byte("at last"), nil
	}}
	serve(t, s, func(t *testing.T, h http.Handler) {
		a := ask(t, h, "PUT", "a", "", "Prefer", "respond-async, wait=10")
		require.Equal(t, "pending", a.State)
		require.Empty(t, a.Error)
		time.Sleep(time.Hour)
		require.Equal(t, "done", ask(t, h, "GET", "a", "").State)
	})
}

func TestDrainAndClose(t *testing.T) {
	s := &async.Server{Run: takes(10 * sec), Workers: 1}
	serve(t, s, func(t *testing.T, h http.Handler) {
		require.Equal(t, 202, ask(t, h, "PUT", "a", "", "Prefer", "respond-async").Code)
		require.Equal(t, 202, ask(t, h, "PUT", "b", "", "Prefer", "respond-async").Code)
		synctest.Wait() // until a worker has the first
		start := time.Now()
		require.NoError(t, s.Drain(t.Context()))
		require.Equal(t, 10*sec, time.Since(start))
		require.Equal(t, 503, ask(t, h, "PUT", "c", "").Code)
		require.Equal(t, "done", ask(t, h, "GET", "a", "").State)
		require.Equal(t, "pending", ask(t, h, "GET", "b", "").State)
		require.NoError(t, s.Close())
		require.Equal(t, 503, ask(t, h, "GET", "a", "").Code)
		require.ErrorIs(t, s.Start(), async.ErrClosed)
	})
	err := (&async.Server{Workers: -1, Wait: -1, RetryAfter: -1, MaxPayloadBytes: -1, Queue: &workqueue.Queue{MaxJobs: -1}}).Check()
	for _, want := range []string{"Server.Workers is -1", "Server.Wait is -1ns", "Server.RetryAfter is -1ns", "Server.MaxPayloadBytes is -1", "workqueue: Queue.MaxJobs is -1"} {
		require.ErrorContains(t, err, want)
	}
	require.Panics(t, func() { (&async.Server{Workers: -1}).Handler() })
}
