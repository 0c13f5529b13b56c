package longpoll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
)

// server and client are all that a promise needs to know of a system.
type server interface {
	Handler() http.Handler
	Publish(ctx context.Context, topic string, data []byte) (eventlog.Cursor, error)
}

type client interface {
	Run(context.Context, func(context.Context, longpoll.Batch) error) error
}

// system makes the two sides, inside the bubble.
type system struct {
	server func(*eventlog.Memory) server
	client func(*http.Client) client
}

func soundServer(log *eventlog.Memory) server { return &longpoll.Server{Log: log} }
func soundClient(h *http.Client) client       { return &longpoll.Client{URL: url, HTTP: h} }

// A promise is kept or broken in a sentence. Each is checked against the package,
// which keeps it, and against a system with one flaw that people do ship, which
// must be convicted.
var promises = []struct {
	promise string
	check   func(w *world, s system) error
	flaw    string
	broken  system
	verdict string
}{
	{
		promise: "LP-P1: an event between two polls is in the next answer",
		check:   hearsEventsBetweenPolls,
		flaw:    "the server wakes polls for new events, and has no cursor",
		broken:  system{server: edgeTriggered, client: soundClient},
		verdict: "published 10 events, each between an answer and the next poll; the handler was given 0: []",
	},
	{
		promise: "LP-P2: a poll without news ends when its wait does",
		check:   endsWithItsWait,
		flaw:    "the server holds a poll until there is news",
		broken:  system{server: holdsForGood, client: soundClient},
		verdict: "a poll that may be held for 30s + 30s/16 had no answer after 31.875s",
	},
	{
		promise: "LP-P3: a gap is not passed over in silence",
		check:   tellsOfGaps,
		flaw:    "the client takes the new cursor and goes on",
		broken:  system{server: soundServer, client: flawed(flaws{ignoresReset: true})},
		verdict: "the log dropped 4 events that the client had not seen; its handler got event 5 and was not told of a gap",
	},
	{
		promise: "LP-P4: a lost answer is given again",
		check:   survivesLostAnswers,
		flaw:    "the server takes events off a queue as it answers",
		broken:  system{server: consumesOnRead, client: soundClient},
		verdict: "every second answer was lost on its way; of 10 events the handler was given 5: [0 2 4 6 8]",
	},
	{
		promise: "LP-P4: an answer is applied as a whole or not at all",
		check:   appliesWholeAnswers,
		flaw:    "the client hands events over while it still reads",
		broken:  system{server: soundServer, client: flawed(flaws{partial: true})},
		verdict: "an answer of 3 events was cut off in the third; the handler was given [0 1] of it",
	},
	{
		promise: "LP-P5: no busy loop when answers come at once and bring nothing",
		check:   doesNotSpin,
		flaw:    "the client polls again as soon as it is answered",
		broken:  system{server: soundServer, client: flawed(flaws{})},
		verdict: "a server that answers in 1ms with nothing was polled 10000 times in 10s; 200 are enough for anyone",
	},
	{
		promise: "LP-P6: a disconnect frees the poll's place",
		check:   freesOnDisconnect,
		flaw:    "the handler does not look at the request's context",
		broken:  system{server: deafToDisconnect, client: soundClient},
		verdict: "a second after the only client disconnected the server still holds 1 poll",
	},
	{
		promise: "LP-P8: an event that finds a poll parked takes one transit",
		check:   notifiesInOneTransit,
		flaw:    "the server looks for events once a second",
		broken:  system{server: looksEverySecond, client: soundClient},
		verdict: "with 25ms of transit and a poll parked, an event took 850ms to the handler",
	},
	{
		promise: "LP-P10: clients that failed together do not come back together",
		check:   spreadsReconnects,
		flaw:    "the client tries again after a second, whatever happened",
		broken:  system{server: soundServer, client: flawed(flaws{retry: time.Second})},
		verdict: "100 clients lost their server at once; 100 of them came back within the same 100ms",
	},
}

func TestPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.promise, func(t *testing.T) {
			check := func(s system) (err error) {
				inWorld(t, 25*time.Millisecond, func(w *world) { err = p.check(w, s) })
				return err
			}
			require.NoError(t, check(system{soundServer, soundClient}))
			require.EqualError(t, check(p.broken), p.verdict, "not convicted: %s", p.flaw)
		})
	}
}

// serve starts the server's side.
func (s system) serve(w *world) (server, *eventlog.Memory) {
	log := eventlog.NewMemory(eventlog.Options{Epoch: epoch})
	srv := s.server(log)
	w.serve(srv.Handler())
	return srv, log
}

func hearsEventsBetweenPolls(w *world, s system) error {
	srv, _ := s.serve(w)
	n := 0
	r := w.receiveFrom(s.client(w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if n < 10 && r.URL.Query().Get("cursor") != "" {
			publish(w, srv, fmt.Sprint(n))
			n++
		}
		return next.RoundTrip(r)
	})))
	time.Sleep(30 * time.Minute)
	r.stop()
	if !slices.Equal(r.data, sequence(n)) {
		return fmt.Errorf("published %d events, each between an answer and the next poll; the handler was given %d: %v", n, len(r.data), r.data)
	}
	return nil
}

func endsWithItsWait(w *world, s system) error {
	s.serve(w)
	const wait = 30 * time.Second
	ctx, cancel := context.WithTimeout(w.Context(), wait+wait/16+2*w.delay)
	defer cancel()
	_, err := w.get(ctx, fmt.Sprintf("cursor=%s&wait=%s", at(0), wait))
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a poll that may be held for %v + %v/16 had no answer after %v", wait, wait, wait+wait/16)
	}
	return err
}

func tellsOfGaps(w *world, s system) error {
	srv, log := s.serve(w)
	var away atomic.Bool
	r := w.receiveFrom(s.client(w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if away.Load() {
			return nil, syscall.ECONNREFUSED
		}
		return next.RoundTrip(r)
	})))
	publish(w, srv, "0")
	time.Sleep(time.Second)
	away.Store(true)
	publish(w, srv, "1") // ends the parked poll; the answer to the next never comes
	time.Sleep(time.Second)
	publish(w, srv, "2", "3", "4", "5")
	publish(w, srv, "6")
	if err := log.Compact(at(6)); err != nil {
		return err
	}
	time.Sleep(500 * time.Microsecond) // between two attempts of a client that tries every millisecond
	away.Store(false)
	time.Sleep(time.Minute)
	r.stop()
	if len(r.resets) == 0 {
		return fmt.Errorf("the log dropped 4 events that the client had not seen; its handler got event %d and was not told of a gap", len(r.data)+2)
	}
	return nil
}

func survivesLostAnswers(w *world, s system) error {
	srv, _ := s.serve(w)
	n := 0
	r := w.receiveFrom(s.client(w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil && r.URL.Query().Get("cursor") != "" {
			if n++; n%2 == 1 {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				return nil, errors.New("connection reset by peer")
			}
		}
		return resp, err
	})))
	for i := range 10 {
		time.Sleep(10 * time.Second)
		publish(w, srv, fmt.Sprint(i))
	}
	time.Sleep(time.Minute)
	r.stop()
	if !slices.Equal(r.data, sequence(10)) {
		return fmt.Errorf("every second answer was lost on its way; of 10 events the handler was given %d: %v", len(r.data), r.data)
	}
	return nil
}

func appliesWholeAnswers(w *world, s system) error {
	srv := s.server(eventlog.NewMemory(eventlog.Options{Epoch: epoch}))
	publish(w, srv, sequence(3)...)
	w.serve(srv.Handler())
	r := w.receiveFrom(s.client(w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		whole := resp.Body
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(whole, resp.ContentLength-20), failing{io.ErrUnexpectedEOF}), whole}
		return resp, nil
	})))
	time.Sleep(time.Second / 2)
	r.stop()
	if len(r.data) > 0 {
		return fmt.Errorf("an answer of 3 events was cut off in the third; the handler was given %v of it", r.data[:2])
	}
	return nil
}

func doesNotSpin(w *world, s system) error {
	var polls atomic.Int64
	r := w.receiveFrom(s.client(w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		time.Sleep(time.Millisecond)
		polls.Add(1)
		return respond(r, 200, `{"cursor":"e9-0"}`), nil
	})))
	time.Sleep(10*time.Second + time.Millisecond/2)
	seen := polls.Load()
	r.stop()
	if seen > 200 {
		return fmt.Errorf("a server that answers in 1ms with nothing was polled %d times in 10s; 200 are enough for anyone", seen)
	}
	return nil
}

func freesOnDisconnect(w *world, s system) error {
	var held atomic.Int64
	h := s.server(eventlog.NewMemory(eventlog.Options{Epoch: epoch})).Handler()
	w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		held.Add(1)
		h.ServeHTTP(rw, r)
		held.Add(-1)
	}))
	r := w.receiveFrom(s.client(w.http))
	time.Sleep(5 * time.Second)
	r.stop()
	time.Sleep(time.Second)
	if n := held.Load(); n > 0 {
		return fmt.Errorf("a second after the only client disconnected the server still holds %d poll", n)
	}
	return nil
}

func notifiesInOneTransit(w *world, s system) error {
	srv, _ := s.serve(w)
	r := w.receiveFrom(s.client(w.http))
	time.Sleep(10*time.Second + 300*time.Millisecond)
	sent := w.elapsed()
	publish(w, srv, "0")
	time.Sleep(5 * time.Second)
	r.stop()
	if len(r.when) != 1 || r.when[0]-sent != w.delay {
		return fmt.Errorf("with %v of transit and a poll parked, an event took %v to the handler", w.delay, r.when[0]-sent)
	}
	return nil
}

func spreadsReconnects(w *world, s system) error {
	const clients = 100
	lost := time.Now().Add(10 * time.Second)
	var back arrivals
	for range clients {
		time.Sleep(time.Millisecond) // clients start when they start
		first := true
		w.receiveFrom(s.client(w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			if first {
				first = false
				time.Sleep(time.Until(lost))
				return nil, errors.New("connection reset by peer")
			}
			back.count(time.Since(lost))
			<-r.Context().Done()
			return nil, r.Context().Err()
		})))
	}
	time.Sleep(20 * time.Second)
	// Uniform from 0.1 s to 1 s are eleven in each slot, give or take ten.
	if peak := back.peak(100 * time.Millisecond); peak > 30 || back.total() != clients {
		return fmt.Errorf("%d clients lost their server at once; %d of them came back within the same 100ms", clients, peak)
	}
	return nil
}
