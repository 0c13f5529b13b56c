package longpoll

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/polling"
)

// handler answers the polls of a Server.
type handler struct {
	server   *Server
	settings settings
	stopped  <-chan struct{}
}

// poll is one request.
type poll struct {
	w      http.ResponseWriter
	r      *http.Request
	who    access.Identity
	cursor eventlog.Cursor
	query  eventlog.Query
	wait   time.Duration // zero: answer at once
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := poll{w: w, r: r}
	if !polling.IsPoll(w, r) {
		return
	}
	if !h.server.shell.Enter() {
		h.refuse(p, h.server.shell.Err())
		return
	}
	defer h.server.shell.Leave()
	var ok bool
	if p.who, ok = polling.Identify(w, r, "longpoll: Server", h.server.Authenticate, h.server.Logger); !ok {
		return
	}
	if err := h.parse(&p, r.URL.Query()); err != nil {
		polling.Reject(w, polling.Name(p.who, r), h.server.Logger, err)
		return
	}

	page, err := h.server.Log.After(p.cursor, p.query)
	if err == nil && p.wait > 0 && !h.enough(page) {
		if h.server.parked.Add(1) > int64(h.settings.MaxClients) {
			h.server.parked.Add(-1)
			h.refuse(p, errTooMany)
			return
		}
		page, err = h.park(p)
		h.server.parked.Add(-1)
	}
	switch {
	case r.Context().Err() != nil:
		h.server.gone.Add(1)
		h.log(p, slog.LevelDebug, "client went away")
	case errors.Is(err, ErrDraining), errors.Is(err, ErrClosed), errors.Is(err, eventlog.ErrClosed):
		h.refuse(p, err)
	case err != nil:
		h.log(p, slog.LevelError, "poll failed", "error", err)
		polling.Fail(w)
	default:
		h.answer(p, page)
	}
}

func (h *handler) parse(p *poll, q url.Values) error {
	at, err := polling.ParsePosition(q, h.server.Log)
	if err != nil {
		return err
	}
	p.cursor = at.Cursor
	topics, match, err := p.who.Select(at.Topics)
	if err != nil {
		return err
	}
	p.query = eventlog.Query{
		Topics:     topics,
		Match:      match,
		MaxEntries: h.settings.MaxEvents,
		MaxBytes:   h.settings.MaxAnswerBytes,
	}
	p.wait = h.settings.longest(h.settings.Wait)
	if text := q.Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("wait is %q: want a duration such as 30s", text)
		}
		p.wait = h.settings.longest(d)
	}
	if !at.Given {
		// A poll that waited without a position could not be repeated after a lost
		// answer.
		p.wait = 0
	}
	return nil
}

// enough reports whether a page need not be held back for more.
func (h *handler) enough(page eventlog.Page) bool {
	return page.Reset != "" || page.More ||
		len(page.Entries) >= h.settings.MinEvents || size(page) >= h.settings.MaxAnswerBytes
}

// park holds a poll until there is enough to answer it with, or its time is up.
// It consumes nothing: whichever of event, timeout and disconnect comes first,
// the same poll can be asked again.
func (h *handler) park(p poll) (eventlog.Page, error) {
	// A server's WriteTimeout runs from the request on. Over HTTP/2 it would end
	// the poll when it is over, over HTTP/1.1 break off the answer. An error means
	// that there is no such deadline.
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Time{})

	watch := h.server.Log.Watch(p.query.Topics...)
	defer watch.Stop()
	wait := p.wait + h.server.Jitter(p.wait/16)
	if !p.who.Expires.IsZero() {
		wait = min(wait, time.Until(p.who.Expires))
	}
	end := time.NewTimer(wait)
	defer end.Stop()
	var linger <-chan time.Time

	held := eventlog.Page{Next: p.cursor}
	timeUp, stopped := false, false
	for {
		// Also when the time is up: an event that came with it is in this answer.
		var err error
		if held, err = h.more(held, p.query); err != nil {
			return held, err
		}
		switch {
		case h.enough(held), timeUp, stopped && len(held.Entries) > 0:
			return held, nil
		case stopped:
			return held, h.server.shell.Err()
		case linger == nil && len(held.Entries) > 0 && h.settings.Linger > 0:
			timer := time.NewTimer(h.settings.Linger)
			defer timer.Stop()
			linger = timer.C
		}
		select {
		case <-watch.C:
			h.server.wakes.Add(1)
		case <-linger:
			timeUp = true
		case <-end.C:
			timeUp = true
		case <-h.stopped:
			stopped = true
		case <-p.r.Context().Done():
			return held, p.r.Context().Err()
		}
	}
}

// more adds to a page what came since. It reads only that, so that a poll which
// collects a thousand events does not read each of them a thousand times.
func (h *handler) more(held eventlog.Page, q eventlog.Query) (eventlog.Page, error) {
	q.MaxEntries -= len(held.Entries)
	q.MaxBytes -= size(held)
	page, err := h.server.Log.After(held.Next, q)
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

func (h *handler) answer(p poll, page eventlog.Page) {
	w, s := p.w, h.server
	body, err := polling.EncodePage(page)
	if err != nil {
		h.log(p, slog.LevelError, "poll failed", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	status := http.StatusOK
	if page.Reset != "" {
		status = http.StatusGone
	}
	if s.shell.Err() != nil {
		w.Header().Set("Connection", "close")
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

	switch {
	case err != nil && !errors.Is(err, http.ErrNotSupported):
		s.gone.Add(1)
		h.log(p, slog.LevelWarn, "client did not accept its answer", "error", err)
	case status == http.StatusGone:
		s.resets.Add(1)
		h.log(p, slog.LevelWarn, "client cannot be continued", "reason", page.Reset)
	case len(page.Entries) == 0:
		s.empty.Add(1)
	default:
		s.answers.Add(1)
		s.events.Add(int64(len(page.Entries)))
	}
}

var errTooMany = errors.New("longpoll: too many polls are held")

// refuse sends a client away, each for a time of its own.
func (h *handler) refuse(p poll, why error) {
	h.server.refused.Add(1)
	h.log(p, slog.LevelWarn, "poll refused", "error", why)
	p.w.Header().Set("Connection", "close")
	polling.Refuse(p.w, why.Error(), h.server.Jitter, h.settings.RetrySpread)
}

func (h *handler) log(p poll, level slog.Level, text string, attributes ...any) {
	h.server.Logger.With("client", polling.Name(p.who, p.r)).Log(p.r.Context(), level, text, attributes...)
}
