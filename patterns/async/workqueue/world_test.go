package workqueue_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// inBubble runs a test in virtual time, of one queue that is closed at its end.
func inBubble(t *testing.T, q *workqueue.Queue, f func(t *testing.T, q *workqueue.Queue)) {
	synctest.Test(t, func(t *testing.T) {
		if q.Jitter == nil {
			q.Jitter = retry.NoJitter
		}
		defer q.Close()
		f(t, q)
	})
}

func add(t *testing.T, q interface {
	Add(context.Context, workqueue.Job) (workqueue.Status, error)
}, job workqueue.Job) workqueue.Status {
	t.Helper()
	s, err := q.Add(t.Context(), job)
	require.NoError(t, err)
	return s
}

// lease takes a job that is due now.
func lease(t *testing.T, q workqueue.Source) workqueue.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	task, err := q.Lease(ctx, "")
	require.NoError(t, err)
	return task
}

func idle(t *testing.T, q workqueue.Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	task, err := q.Lease(ctx, "")
	require.ErrorIs(t, err, context.DeadlineExceeded, "got %+v", task)
}

func state(t *testing.T, q *workqueue.Queue, id string) workqueue.State {
	t.Helper()
	s, err := q.Get(t.Context(), id)
	require.NoError(t, err)
	return s.State
}

func done(result string) workqueue.End {
	return workqueue.End{State: workqueue.Done, Result: []byte(result)}
}

func again(text string) workqueue.End { return workqueue.End{State: workqueue.Pending, Error: text} }

// A wire carries requests to a handler and answers back, each in delay, and may lose either.
type wire struct {
	delay   time.Duration
	handler http.Handler
	lose    func(nth int, r *http.Request) (request, answer bool)

	mu   sync.Mutex
	seen []string // paths
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := retry.Sleep(r.Context(), w.delay); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.seen = append(w.seen, r.URL.Path)
	nth := len(w.seen)
	w.mu.Unlock()
	request, answer := false, false
	if w.lose != nil {
		request, answer = w.lose(nth, r)
	}
	if request {
		return nil, errors.New("connection reset by peer")
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if err := retry.Sleep(r.Context(), w.delay); err != nil {
		return nil, err
	}
	if answer {
		return nil, errors.New("connection reset by peer")
	}
	return rec.Result(), nil
}

func client(w *wire) *workqueue.Client {
	return &workqueue.Client{URL: "http://queue/jobs", HTTP: &http.Client{Transport: w}, Jitter: retry.NoJitter}
}
