package longpoll_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

const (
	epoch = 0xe9
	url   = "http://server/events"
)

func at(offset uint64) eventlog.Cursor { return eventlog.Cursor{Epoch: epoch, Offset: offset} }

func memory() eventlog.Log { return eventlog.NewMemory(eventlog.Options{Epoch: epoch}) }

// world is one bubble: a server on a network in memory, and HTTP clients of it.
type world struct {
	*testing.T
	net    *memNet
	server *http.Server
	http   *http.Client
	start  time.Time
}

// inWorld runs f in a bubble, with a link of the given delay to the server.
func inWorld(t *testing.T, delay time.Duration, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: &memNet{delay: delay}, start: time.Now()}
		t.Cleanup(func() {
			w.net.blackhole(false)
			if w.server != nil {
				w.server.Close()
			}
			time.Sleep(time.Minute) // for what is still on its way
		})
		w.http = w.client()
		f(w)
	})
}

// serve starts a server; the one before must have ended.
func (w *world) serve(h http.Handler) { w.serveProtocols(h, nil) }

func (w *world) serveProtocols(h http.Handler, p *http.Protocols) {
	w.server = &http.Server{Handler: h, Protocols: p}
	go w.server.Serve(w.net.listen())
}

// client is an HTTP client with connections of its own.
func (w *world) client() *http.Client {
	tr := &http.Transport{DialContext: w.net.DialContext}
	w.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w *world) elapsed() time.Duration { return time.Since(w.start) }

// response is one answer as seen on the wire.
type response struct {
	Status int
	Header http.Header
	Body   string
	Cursor eventlog.Cursor  `json:"cursor"`
	Events []eventlog.Entry `json:"events"`
	Reset  eventlog.Reason  `json:"reset"`
	After  time.Duration    // since the request
}

func (r response) data() (out []string) {
	for _, e := range r.Events {
		out = append(out, string(e.Data))
	}
	return out
}

func (w *world) get(ctx context.Context, query string) (response, error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?"+query, nil)
	require.NoError(w, err)
	resp, err := w.http.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	r := response{Status: resp.StatusCode, Header: resp.Header, Body: string(body), After: time.Since(start)}
	if resp.Header.Get("Content-Type") == "application/json" {
		require.NoError(w, json.Unmarshal(body, &r))
	}
	return r, err
}

// poll polls and expects an answer.
func (w *world) poll(query string, args ...any) response {
	w.Helper()
	r, err := w.get(w.Context(), fmt.Sprintf(query, args...))
	require.NoError(w, err)
	return r
}

// parked polls in the background, and returns when the poll has reached the server.
func (w *world) parked(query string, args ...any) <-chan response {
	done := make(chan response, 1)
	go func() {
		r, err := w.get(w.Context(), fmt.Sprintf(query, args...))
		if err == nil {
			done <- r
		}
		close(done)
	}()
	synctest.Wait()
	return done
}

// settled returns the counters of a feed or a log when everyone is done. An
// answer is with its client before its handler has counted it.
func settled[S any](of interface{ Stats() S }) S {
	synctest.Wait()
	return of.Stats()
}

// publish makes one event per word, of topic "t".
func publish(t require.TestingT, f interface {
	Publish(context.Context, string, []byte) (eventlog.Cursor, error)
}, data ...string) {
	for _, d := range data {
		_, err := f.Publish(context.Background(), "t", []byte(d))
		require.NoError(t, err)
	}
}
