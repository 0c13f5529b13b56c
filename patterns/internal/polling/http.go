// Package polling is the common part of long and short polling: the wire format
// of a log that is read by cursor, how a client interprets an answer and sends
// requests, and how servers authenticate, refuse and shut down.
package polling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/redact"
)

// ErrTimeout says that a server was silent for longer than [Requester].Timeout.
var ErrTimeout = errors.New("no answer")

// tooLarge is an answer beyond Requester.MaxAnswerBytes, which it is.
type tooLarge int

func (e tooLarge) Error() string {
	return fmt.Sprintf("answer is longer than MaxAnswerBytes, %d bytes", int(e))
}

func (tooLarge) Unwrap() error { return eventlog.ErrTooLarge }

// Requester sends requests one after another and reads their whole answers.
type Requester struct {
	HTTP *http.Client
	// Header returns headers for each request. Nil: no headers.
	Header func(context.Context) (http.Header, error)
	// Timeout is the longest silence, before the first byte of an answer (including
	// the time that Header takes) and between two bytes. A long answer over a slow
	// link can take longer.
	Timeout        time.Duration
	MaxAnswerBytes int

	dead bool // the last request timed out
}

// Do sends a request. Its body is sent once: see [NoReplay]. If the answer exceeds
// MaxAnswerBytes, the error wraps [eventlog.ErrTooLarge]; the next answer would exceed it
// too.
func (q *Requester) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	if q.dead {
		// HTTP/2 would send this request over the connection that the last one died on.
		// Now, not when it died: net/http forgets a cancelled request a little later,
		// and until then takes the connection for busy.
		q.HTTP.CloseIdleConnections()
		q.dead = false
	}
	reqCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(q.Timeout, cancel)
	defer silence.Stop()
	if err := q.addHeader(reqCtx, req); err != nil {
		return nil, nil, q.timedOut(ctx, reqCtx, err)
	}
	resp, err := q.HTTP.Do(req.WithContext(reqCtx))
	if err != nil {
		return nil, nil, q.timedOut(ctx, reqCtx, redact.Error(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(audible{resp.Body, silence, q.Timeout}, int64(min(q.MaxAnswerBytes, math.MaxInt-1))+1))
	if len(body) > q.MaxAnswerBytes {
		return nil, nil, tooLarge(q.MaxAnswerBytes)
	}
	if err != nil {
		return nil, nil, q.timedOut(ctx, reqCtx, err)
	}
	return resp, body, nil
}

// addHeader adds what the user wants to what the protocol needs.
func (q *Requester) addHeader(ctx context.Context, req *http.Request) error {
	if q.Header == nil {
		return nil
	}
	h, err := q.Header(ctx)
	if err != nil {
		return fmt.Errorf("Client.Header: %w", err)
	}
	for name, values := range h {
		if name = http.CanonicalHeaderKey(name); req.Header[name] == nil {
			req.Header[name] = values
		}
	}
	return nil
}

// audible is a body that ends the silence with each byte.
type audible struct {
	io.Reader
	silence *time.Timer
	timeout time.Duration
}

func (a audible) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	if n > 0 && a.silence.Stop() {
		a.silence.Reset(a.timeout)
	}
	return n, err
}

// timedOut notes that an error is the request's own timeout.
func (q *Requester) timedOut(ctx, reqCtx context.Context, err error) error {
	if reqCtx.Err() == nil || ctx.Err() != nil {
		return err
	}
	q.dead = true
	return fmt.Errorf("%w for %v: %w", ErrTimeout, q.Timeout, context.DeadlineExceeded)
}

// NoReplay is an empty body that cannot be read twice. Without it net/http repeats a
// GET by itself, and at once, when a reused connection ends without an answer. When a
// server restarts, all its clients would then come back within a round trip.
type NoReplay struct{}

func (NoReplay) Read([]byte) (int, error) { return 0, io.EOF }
func (NoReplay) Close() error             { return nil }

// IsPoll reports whether a request is a GET without a body. If it is not, IsPoll answers
// it. No cache may keep the answer (RFC 6202, section 5.6).
func IsPoll(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, fmt.Sprintf("method is %s: want GET", r.Method), http.StatusMethodNotAllowed)
		return false
	}
	if hasBody(r) {
		http.Error(w, "a poll has no body", http.StatusRequestEntityTooLarge)
		return false
	}
	return true
}

// hasBody reports whether a request has a body. That of a NoReplay is empty, but HTTP/2
// does not know so beforehand.
func hasBody(r *http.Request) bool {
	return r.ContentLength > 0 || r.ContentLength < 0 && !isEmpty(r.Body)
}

func isEmpty(body io.Reader) bool {
	n, err := body.Read(make([]byte, 1))
	return n == 0 && err == io.EOF
}
