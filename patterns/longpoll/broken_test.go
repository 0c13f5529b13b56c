package longpoll_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
)

// The broken systems that TestPromises must convict.

// middle is a server with something wrong in front of it.
type middle struct {
	*longpoll.Server
	wrap func(inner http.Handler) http.HandlerFunc
}

func (m middle) Handler() http.Handler { return m.wrap(m.Server.Handler()) }

// with returns r with another value of a parameter.
func with(r *http.Request, name, value string) *http.Request {
	r = r.Clone(r.Context())
	q := r.URL.Query()
	q.Set(name, value)
	r.URL.RawQuery = q.Encode()
	return r
}

// edgeTriggered waits for what comes after the poll, not for what comes after the
// cursor.
func edgeTriggered(log *eventlog.Memory) server {
	return middle{&longpoll.Server{Log: log}, func(inner http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, with(r, "cursor", log.Head().String()))
		}
	}}
}

// consumesOnRead believes that what it sent has arrived.
func consumesOnRead(log *eventlog.Memory) server {
	return middle{&longpoll.Server{Log: log}, func(inner http.Handler) http.HandlerFunc {
		next := log.Tail()
		return func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, with(r, "cursor", next.String()))
			var a struct {
				Cursor eventlog.Cursor `json:"cursor"`
			}
			if json.Unmarshal(rec.Body.Bytes(), &a) == nil {
				next = a.Cursor
			}
			copyAnswer(w, rec)
		}
	}}
}

func copyAnswer(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// holdsForGood does not know of a wait.
func holdsForGood(log *eventlog.Memory) server {
	return middle{&longpoll.Server{Log: log, MaxWait: 1000 * time.Hour}, func(inner http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(w, with(r, "wait", "1000h")) }
	}}
}

// deafToDisconnect holds polls whose client is gone.
func deafToDisconnect(log *eventlog.Memory) server {
	return middle{&longpoll.Server{Log: log}, func(inner http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
		}
	}}
}

// looksEverySecond is short polling behind the face of long polling.
func looksEverySecond(log *eventlog.Memory) server {
	return middle{&longpoll.Server{Log: log}, func(inner http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for {
				rec := httptest.NewRecorder()
				inner.ServeHTTP(rec, with(r, "wait", "0s"))
				var a struct{ Events []eventlog.Entry }
				if json.Unmarshal(rec.Body.Bytes(), &a) != nil || len(a.Events) > 0 || !r.URL.Query().Has("cursor") {
					copyAnswer(w, rec)
					return
				}
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		}
	}}
}

// flaws of a client written in an afternoon.
type flaws struct {
	ignoresReset bool
	partial      bool          // hands events over while it still reads
	retry        time.Duration // fixed
}

type afternoonClient struct {
	flaws
	http   *http.Client
	cursor string
}

func flawed(f flaws) func(*http.Client) client {
	return func(h *http.Client) client { return &afternoonClient{flaws: f, http: h} }
}

func (c *afternoonClient) Run(ctx context.Context, handle func(context.Context, longpoll.Batch) error) error {
	for ctx.Err() == nil {
		if err := c.poll(ctx, handle); err != nil {
			select {
			case <-time.After(max(c.retry, time.Millisecond)):
			case <-ctx.Done():
			}
		}
	}
	return ctx.Err()
}

func (c *afternoonClient) poll(ctx context.Context, handle func(context.Context, longpoll.Batch) error) error {
	q := neturl.Values{"wait": {"30s"}}
	if c.cursor != "" {
		q.Set("cursor", c.cursor)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if c.partial {
		return c.stream(ctx, resp.Body, handle)
	}
	var a struct {
		Cursor eventlog.Cursor
		Events []eventlog.Entry
		Reset  eventlog.Reason
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return err
	}
	c.cursor = a.Cursor.String()
	if a.Reset != "" && c.ignoresReset {
		return nil
	}
	return handle(ctx, longpoll.Batch{Events: a.Events, Cursor: a.Cursor, Reset: a.Reset})
}

// stream gives the handler each event as soon as it is decoded.
func (c *afternoonClient) stream(ctx context.Context, body io.Reader, handle func(context.Context, longpoll.Batch) error) error {
	d := json.NewDecoder(body)
	for depth := 0; depth < 2; { // up to the array of events
		t, err := d.Token()
		if err != nil {
			return err
		}
		if t == json.Delim('{') || t == json.Delim('[') {
			depth++
		}
	}
	for d.More() {
		var e eventlog.Entry
		if err := d.Decode(&e); err != nil {
			return err
		}
		if err := handle(ctx, longpoll.Batch{Events: []eventlog.Entry{e}}); err != nil {
			return err
		}
	}
	return nil
}
