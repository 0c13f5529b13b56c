package longpoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/polling"
)

// handler answers the polls of a Feed.
type handler struct {
	feed     *Feed
	settings settings
}

// poll is one request.
type poll struct {
	cursor eventlog.Cursor
	query  eventlog.Query
	wait   time.Duration // zero: answer at once
}

var errDrained = errors.New("longpoll: feed is drained")

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !polling.IsPoll(w, r) {
		return
	}
	p, err := h.parse(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-h.feed.drain:
		h.refuse(w, "feed is drained")
		return
	default:
	}

	page, err := h.feed.Log.After(p.cursor, p.query)
	if err == nil && p.wait > 0 && !h.enough(page) {
		if h.feed.parked.Add(1) > int64(h.settings.MaxParked) {
			h.feed.parked.Add(-1)
			h.refuse(w, "too many polls are held")
			return
		}
		page, err = h.park(w, r.Context(), p)
		h.feed.parked.Add(-1)
	}
	switch {
	case r.Context().Err() != nil:
		h.feed.gone.Add(1)
	case errors.Is(err, errDrained), errors.Is(err, eventlog.ErrClosed):
		h.refuse(w, err.Error())
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		h.answer(w, page)
	}
}

func (h *handler) parse(q url.Values) (poll, error) {
	at, err := polling.ParsePosition(q, h.feed.Log)
	if err != nil {
		return poll{}, err
	}
	p := poll{
		cursor: at.Cursor,
		wait:   h.settings.longest(h.settings.Wait),
		query: eventlog.Query{
			Topics:     at.Topics,
			MaxEntries: h.settings.MaxEvents,
			MaxBytes:   h.settings.MaxBytes,
		},
	}
	if text := q.Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return poll{}, fmt.Errorf("wait is %q: want a duration such as 30s", text)
		}
		p.wait = h.settings.longest(d)
	}
	if !at.Given {
		// A poll that waited without a position could not be repeated after a lost
		// answer.
		p.wait = 0
	}
	return p, nil
}

// enough reports whether a page need not be held back for more.
func (h *handler) enough(page eventlog.Page) bool {
	return page.Reset != "" || page.More ||
		len(page.Entries) >= h.settings.MinEvents || size(page) >= h.settings.MaxBytes
}

// park holds a poll until there is enough to answer it with, or its time is up.
// It consumes nothing: whichever of event, timeout and disconnect comes first,
// the same poll can be asked again.
func (h *handler) park(w http.ResponseWriter, ctx context.Context, p poll) (eventlog.Page, error) {
	// A server's WriteTimeout runs from the request on. Over HTTP/2 it would end
	// the poll when it is over, over HTTP/1.1 break off the answer. An error means
	// that there is no such deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})

	watch := h.feed.Log.Watch(p.query.Topics...)
	defer watch.Stop()
	end := time.NewTimer(p.wait + h.feed.Jitter(p.wait/16))
	defer end.Stop()
	var linger <-chan time.Time

	held := eventlog.Page{Next: p.cursor}
	timeUp, drained := false, false
	for {
		// Also when the time is up: an event that came with it is in this answer.
		var err error
		if held, err = h.more(held, p.query); err != nil {
			return held, err
		}
		switch {
		case h.enough(held), timeUp, drained && len(held.Entries) > 0:
			return held, nil
		case drained:
			return held, errDrained
		case linger == nil && len(held.Entries) > 0 && h.settings.Linger > 0:
			timer := time.NewTimer(h.settings.Linger)
			defer timer.Stop()
			linger = timer.C
		}
		select {
		case <-watch.C:
			h.feed.wakes.Add(1)
		case <-linger:
			timeUp = true
		case <-end.C:
			timeUp = true
		case <-h.feed.drain:
			drained = true
		case <-ctx.Done():
			return held, ctx.Err()
		}
	}
}

// more adds to a page what came since. It reads only that, so that a poll which
// collects a thousand events does not read each of them a thousand times.
func (h *handler) more(held eventlog.Page, q eventlog.Query) (eventlog.Page, error) {
	q.MaxEntries -= len(held.Entries)
	q.MaxBytes -= size(held)
	page, err := h.feed.Log.After(held.Next, q)
	if err != nil || len(held.Entries) == 0 {
		return page, err
	}
	// What is held is complete as far as it goes. If there is a gap behind it the
	// next poll will hear of it, and a page exceeds its limit only for one entry.
	if page.Reset != "" || size(page) > q.MaxBytes {
		held.More = true
		return held, nil
	}
	page.Entries = append(held.Entries, page.Entries...)
	return page, nil
}

func size(page eventlog.Page) (n int) {
	for _, e := range page.Entries {
		n += len(e.Topic) + len(e.Data)
	}
	return n
}

func (h *handler) answer(w http.ResponseWriter, page eventlog.Page) {
	body, err := json.Marshal(polling.NewAnswer(page))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	status := http.StatusOK
	if page.Reset != "" {
		status = http.StatusGone
	}
	select {
	case <-h.feed.drain:
		w.Header().Set("Connection", "close")
	default:
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)

	// net/http lifts the deadline when the answer is through.
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(h.settings.AnswerTimeout))
	_, err = w.Write(body)
	if err == nil {
		err = rc.Flush()
	}

	f := h.feed
	switch {
	case err != nil && !errors.Is(err, http.ErrNotSupported):
		f.gone.Add(1)
	case status == http.StatusGone:
		f.resets.Add(1)
	case len(page.Entries) == 0:
		f.empty.Add(1)
	default:
		f.answers.Add(1)
		f.events.Add(int64(len(page.Entries)))
	}
}

// refuse sends a client away, each for a time of its own.
func (h *handler) refuse(w http.ResponseWriter, why string) {
	h.feed.refused.Add(1)
	after := time.Second + h.feed.Jitter(max(0, h.settings.RetrySpread-time.Second))
	w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
	w.Header().Set("Connection", "close")
	http.Error(w, why, http.StatusServiceUnavailable)
}
