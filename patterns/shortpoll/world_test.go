package shortpoll_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

const (
	ms    = time.Millisecond
	s     = time.Second
	epoch = 0xe9
	where = "http://server/jobs"
)

func at(offset uint64) eventlog.Cursor { return eventlog.Cursor{Epoch: epoch, Offset: offset} }

func memory() *eventlog.Memory { return eventlog.NewMemory(eventlog.Options{Epoch: epoch}) }

// A wire carries requests to a handler and answers back, each in delay. It notes the
// requests.
type wire struct {
	delay time.Duration
	start time.Time

	mu      sync.Mutex
	handler http.Handler
	fail    func(nth int, r *http.Request) (before, after bool) // lose the request, or its answer
	seen    []arrival
}

type arrival struct {
	at  time.Duration // since the wire was made, at the server
	url string
	tag string // If-None-Match
}

func newWire(delay time.Duration, h http.Handler) *wire {
	return &wire{delay: delay, handler: h, start: time.Now()}
}

// serve changes the handler.
func (w *wire) serve(h http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

func (w *wire) http() *http.Client { return &http.Client{Transport: w} }

var errCut = errors.New("connection reset by peer")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := rest(r.Context(), w.delay); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.seen = append(w.seen, arrival{time.Since(w.start), r.URL.String(), r.Header.Get("If-None-Match")})
	nth, handler, fail := len(w.seen), w.handler, w.fail
	w.mu.Unlock()
	before, after := false, false
	if fail != nil {
		before, after = fail(nth, r)
	}
	if before {
		return nil, errCut
	}
	rec := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	handler.ServeHTTP(rec, r)
	if err := rest(r.Context(), w.delay); err != nil || after {
		return nil, errors.Join(err, errCut)
	}
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func (w *wire) arrivals() []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]arrival{}, w.seen...)
}

// times are those of the arrivals.
func (w *wire) times() (all []time.Duration) {
	for _, a := range w.arrivals() {
		all = append(all, a.at)
	}
	return all
}

func rest(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takes is a job that takes d and whose result is its payload, turned round.
func takes(d time.Duration) func(context.Context, shortpoll.Task) ([]byte, error) {
	return func(ctx context.Context, task shortpoll.Task) ([]byte, error) {
		if err := rest(ctx, d); err != nil {
			return nil, err
		}
		return turned(task.Payload), nil
	}
}

func turned(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

// withJobs runs f in a bubble with a server of jobs and a client in phase with it.
func withJobs(t *testing.T, j *shortpoll.Jobs, f func(t *testing.T, w *wire, c *shortpoll.Client)) {
	synctest.Test(t, func(t *testing.T) {
		if j.Log == nil {
			j.Log = memory()
		}
		w := newWire(25*ms, j.Handler())
		defer j.Close()
		f(t, w, &shortpoll.Client{URL: where, HTTP: w.http(), Jitter: retry.NoJitter})
	})
}

// within is a context for what must come to an end: without it a client that never gives
// up would poll for all of virtual time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func submit(t *testing.T, c *shortpoll.Client, id, payload string) shortpoll.Job {
	job, err := c.Submit(within(t, time.Hour), id, []byte(payload))
	require.NoError(t, err)
	return job
}

// answers is a handler that gives the same answer again and again.
func answers(status int, body string, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func seconds(d ...float64) (out []time.Duration) {
	for _, x := range d {
		out = append(out, time.Duration(math.Round(x*1000))*ms)
	}
	return out
}
