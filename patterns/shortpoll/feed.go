package shortpoll

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
)

// Feed serves a log to clients that come and ask: what came after this cursor? It
// answers at once. The zero value is ready to use, with a log in memory. Do not change
// or copy it after first use.
type Feed struct {
	// Log is what is served. Nil: an eventlog.Memory with default bounds. The owner of
	// the log closes it, after the HTTP server.
	Log eventlog.Log
	// RetryAfter is how long clients are asked to wait, with each answer that leaves
	// nothing to fetch, before they poll again; it is sent in whole seconds, rounded up.
	// Zero: they are left to their schedules.
	RetryAfter time.Duration
	// MaxEvents and MaxBytes limit one answer: 1,000 events, 1 MiB of topics and
	// data. One event is sent however large it is.
	MaxEvents, MaxBytes int
	// Limit bounds the polls that are answered.
	Limit Limit

	once sync.Once
	gate *gate
	answers, events, unchanged,
	resets, refused atomic.Int64
}

// FeedStats are the counters of a Feed.
type FeedStats struct {
	// Answers counts answers with events, Events the events in them, Unchanged the
	// answers without, Resets the answers that report a gap.
	Answers, Events, Unchanged, Resets int64
	// Refused counts polls that were sent away with 503.
	Refused int64
}

// Check returns what is wrong with the settings.
func (f *Feed) Check() error {
	check := fields.Of("shortpoll: Feed")
	if f.RetryAfter < 0 {
		check.Bad("RetryAfter is %v: want 0 for none, or more", f.RetryAfter)
	}
	check.Int("MaxEvents", f.MaxEvents)
	check.Int("MaxBytes", f.MaxBytes)
	f.Limit.check(check)
	return check.Err()
}

// Handler returns the handler that answers polls; mount it at one path. It panics if
// Check finds fault.
func (f *Feed) Handler() http.Handler {
	if err := f.Check(); err != nil {
		panic(err.Error())
	}
	f.init()
	return http.HandlerFunc(f.serve)
}

// Publish appends an event to the log. It returns when the event is as durable as the
// log is. The topic must be UTF-8.
func (f *Feed) Publish(topic string, data []byte) (eventlog.Cursor, error) {
	if !utf8.ValidString(topic) {
		return eventlog.Cursor{}, fmt.Errorf("shortpoll: publish: topic %q is not UTF-8", topic)
	}
	f.init()
	return f.Log.Append(context.Background(), eventlog.Entry{Topic: topic, Data: data})
}

// Stats returns the counters.
func (f *Feed) Stats() FeedStats {
	return FeedStats{
		Answers:   f.answers.Load(),
		Events:    f.events.Load(),
		Unchanged: f.unchanged.Load(),
		Resets:    f.resets.Load(),
		Refused:   f.refused.Load(),
	}
}

func (f *Feed) init() {
	f.once.Do(func() {
		f.gate = newGate(f.Limit)
		if f.Log == nil {
			f.Log = eventlog.NewMemory(eventlog.Options{})
		}
	})
}

func (f *Feed) serve(w http.ResponseWriter, r *http.Request) {
	if !polling.IsPoll(w, r) {
		return
	}
	if !f.gate.admit() {
		f.refused.Add(1)
		f.gate.refuse(w, "too many polls")
		return
	}
	at, err := polling.ParsePosition(r.URL.Query(), f.Log)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	page, err := f.Log.After(at.Cursor, eventlog.Query{
		Topics:     at.Topics,
		MaxEntries: cmp.Or(f.MaxEvents, 1000),
		MaxBytes:   cmp.Or(f.MaxBytes, 1<<20),
	})
	switch {
	case errors.Is(err, eventlog.ErrClosed):
		f.refused.Add(1)
		f.gate.refuse(w, err.Error())
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		f.answer(w, r, page)
	}
}

func (f *Feed) answer(w http.ResponseWriter, r *http.Request, page eventlog.Page) {
	status := http.StatusOK
	switch {
	case page.Reset != "":
		status = http.StatusGone
		f.resets.Add(1)
	case len(page.Entries) == 0:
		f.unchanged.Add(1)
	default:
		f.answers.Add(1)
		f.events.Add(int64(len(page.Entries)))
	}
	if !page.More && status == http.StatusOK {
		setRetryAfter(w.Header(), f.RetryAfter)
	}
	// What there is to say to a poll without news is where it ends.
	w.Header().Set("ETag", tag(page.Next))
	if status == http.StatusOK && (len(page.Entries) == 0 && matches(r, page.Next) || matchesAny(r)) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(w, status, polling.NewAnswer(page))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
