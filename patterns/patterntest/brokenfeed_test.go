package patterntest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
)

// The flaws that are built into the server of long polling. Each replaces one part of a
// sound system.

// with returns r with another value of a parameter.
func with(r *http.Request, name, value string) *http.Request {
	r = r.Clone(r.Context())
	q := r.URL.Query()
	q.Set(name, value)
	r.URL.RawQuery = q.Encode()
	return r
}

// recorded is what a handler answers, not sent yet.
type recorded struct {
	*httptest.ResponseRecorder
	Cursor eventlog.Cursor
	Events []eventlog.Entry
}

func record(h http.Handler, r *http.Request) recorded {
	rec := recorded{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(rec, r)
	_ = json.Unmarshal(rec.Body.Bytes(), &rec) // refusals are no JSON
	return rec
}

func (rec recorded) send(w http.ResponseWriter) {
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// edgeTriggered waits for what comes after the request instead of after the cursor.
func edgeTriggered(log eventlog.Log, feed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		feed.ServeHTTP(w, with(r, "cursor", log.Head().String()))
	})
}

// consumesOnRead keeps the clients' positions itself, and moves them when it answers.
func consumesOnRead(_ eventlog.Log, feed http.Handler) http.Handler {
	positions := newStore()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		if c := positions.get(client); !c.IsZero() {
			r = with(r, "cursor", c.String())
		}
		rec := record(feed, r)
		if !rec.Cursor.IsZero() {
			positions.set(client, rec.Cursor)
		}
		rec.send(w)
	})
}

// silentlyPartial answers from the oldest event that it has when that is not the next.
func silentlyPartial(log eventlog.Log, feed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := record(feed, r)
		if rec.Code == http.StatusGone {
			rec = record(feed, with(r, "cursor", log.Tail().String()))
		}
		rec.send(w)
	})
}

func answersAtOnce(_ eventlog.Log, feed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { feed.ServeHTTP(w, with(r, "wait", "0s")) })
}

// looksEvery5s is short polling behind the face of long polling.
func looksEvery5s(_ eventlog.Log, feed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 6 {
			rec := record(feed, with(r, "wait", "0s"))
			if len(rec.Events) > 0 || !r.URL.Query().Has("cursor") {
				rec.send(w)
				return
			}
			select {
			case <-time.After(5 * time.Second):
			case <-r.Context().Done():
				return
			}
		}
		feed.ServeHTTP(w, with(r, "wait", "0s"))
	})
}

// criesWolf tells of a gap whenever a wait has ended.
func criesWolf(_ eventlog.Log, feed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := record(feed, r)
		if rec.Code == http.StatusOK && len(rec.Events) == 0 && r.URL.Query().Has("cursor") {
			w.WriteHeader(http.StatusGone)
			json.NewEncoder(w).Encode(map[string]any{"cursor": rec.Cursor, "reset": eventlog.ReasonCompacted})
			return
		}
		rec.send(w)
	})
}

// waitsForPolls stops when every poll has been answered, as Shutdown does without a limit.
func waitsForPolls(srv *http.Server) { srv.Shutdown(context.Background()) }

// shortMemory keeps five events.
func shortMemory(string) (eventlog.Log, error) {
	return eventlog.NewMemory(eventlog.Options{MaxEntries: 5}), nil
}

// sameEpoch gives all lives of a log in memory one name.
func sameEpoch(string) (eventlog.Log, error) {
	return eventlog.NewMemory(eventlog.Options{Epoch: 7}), nil
}

// newLifeEachTime has the events on disk, and disowns the positions in them.
func newLifeEachTime(folder string) (eventlog.Log, error) {
	l, err := onDisk(folder)
	if err != nil {
		return nil, err
	}
	return l, l.(*eventlog.Disk).NewEpoch(0)
}

// numbersFirst gives an entry its number when it begins to store it; every second takes
// 50 ms for that. Readers get what is stored.
type numbersFirst struct {
	eventlog.Log // for Watch and the epoch; its entries are only there to wake

	mu     sync.Mutex
	last   uint64
	stored []eventlog.Entry // by offset
}

func (l *numbersFirst) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	e := entries[0]
	l.mu.Lock()
	l.last++
	e.Offset = l.last
	l.mu.Unlock()

	if e.Offset%2 == 1 {
		time.Sleep(50 * time.Millisecond)
	}
	l.mu.Lock()
	l.stored = append(l.stored, e)
	slices.SortFunc(l.stored, func(a, b eventlog.Entry) int { return int(a.Offset) - int(b.Offset) })
	l.mu.Unlock()
	return l.Log.Append(context.Background(), eventlog.Entry{Topic: e.Topic})
}

func (l *numbersFirst) After(c eventlog.Cursor, _ eventlog.Query) (eventlog.Page, error) {
	if _, err := l.Log.After(c, eventlog.Query{}); err != nil { // closed
		return eventlog.Page{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	page := eventlog.Page{Next: c}
	for _, e := range l.stored {
		if e.Offset > c.Offset {
			page.Entries = append(page.Entries, e)
			page.Next.Offset = e.Offset
		}
	}
	return page, nil
}

// swallowsWhenAlone drops what is published while nobody waits for it.
func swallowsWhenAlone(_ context.Context, f *longpoll.Server) func(string) error {
	return func(data string) error {
		if f.Stats().Parked == 0 {
			return nil
		}
		_, err := f.Publish(context.Background(), "news", []byte(data))
		return err
	}
}

// refusesWhenAlone wants somebody to be there.
func refusesWhenAlone(_ context.Context, f *longpoll.Server) func(string) error {
	return func(data string) error {
		if f.Stats().Parked == 0 {
			return errors.New("no subscribers")
		}
		_, err := f.Publish(context.Background(), "news", []byte(data))
		return err
	}
}

// neverReturns waits for a word from nobody.
func neverReturns(ctx context.Context, _ *longpoll.Server) func(string) error {
	return func(string) error {
		<-ctx.Done()
		return ctx.Err()
	}
}

// writesBehind accepts an event 20 ms before it is in the log.
func writesBehind(ctx context.Context, f *longpoll.Server) func(string) error {
	queue := make(chan string, 1000)
	go func() {
		for {
			select {
			case data := <-queue:
				time.Sleep(20 * time.Millisecond)
				if ctx.Err() == nil {
					f.Publish(context.Background(), "news", []byte(data))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func(data string) error {
		queue <- data
		return nil
	}
}

// inTwoTopics publishes events by turns in two topics.
func inTwoTopics(_ context.Context, f *longpoll.Server) func(string) error {
	turn := 0
	return func(data string) error {
		turn++
		_, err := f.Publish(context.Background(), []string{"even", "odd"}[turn%2], []byte(data))
		return err
	}
}
