package webhook

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Receiver is the server that gets the callbacks. Keys and Handle must be set. Do not change or
// copy it after first use.
type Receiver struct {
	// Keys returns the accepted keys; during a rotation, the old and the new one. It is called for
	// each message.
	Keys func() []Key
	// Handle gets each message once; calls are concurrent. After an error or a panic the sender is
	// told to retry, with the status of a *retry.StatusError, otherwise with 500. 410 unsubscribes.
	Handle func(ctx context.Context, m Message) error

	// Tolerance is how far the timestamp may be from the clock, before or after it. Zero:
	// 5 min.
	Tolerance time.Duration
	// Remember is how long the IDs of handled messages are remembered. Zero: 5 days, which is
	// longer than a Sender's schedule.
	Remember time.Duration
	// MaxIDs bounds the IDs that are remembered; beyond it, the oldest is forgotten. Zero:
	// 100,000.
	MaxIDs int
	// MaxMessageBytes bounds a body; a longer one is refused with 413. Zero: 1
	// MiB.
	MaxMessageBytes int
	// Now is the clock against which timestamps are checked. Nil: time.Now.
	Now func() time.Time
	// Logger gets refused messages as warnings, and panics as errors. Nil: nothing is
	// logged.
	Logger *slog.Logger

	once  sync.Once
	log   *slog.Logger
	mu    sync.Mutex
	known map[string]*list.Element
	order list.List // of seen, the oldest first

	handled, duplicates, failed, stale, unsigned, malformed, forgotten atomic.Int64
}

// seen is an ID that was handled, or is being.
type seen struct {
	id string
	at time.Time // zero: it is being handled
}

// ReceiverStats are the counters of a Receiver.
type ReceiverStats struct {
	// Handled counts messages that were handled. Duplicates counts those that had been handled
	// before or were being handled, and Failed those for which Handle returned an error.
	Handled, Duplicates, Failed int64
	// Stale, Unsigned and Malformed count refused messages. Forgotten counts the IDs that had to
	// make room.
	Stale, Unsigned, Malformed, Forgotten int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (r *Receiver) Check() error {
	check := fields.Of("webhook: Receiver")
	if r.Keys == nil {
		check.Bad("Keys is nil: want a function, such as Static(key)")
	}
	if r.Handle == nil {
		check.Bad("Handle is nil: want a function")
	}
	check.Duration("Tolerance", r.Tolerance)
	check.Duration("Remember", r.Remember)
	check.Int("MaxIDs", r.MaxIDs)
	check.Int("MaxMessageBytes", r.MaxMessageBytes)
	return check.Err()
}

// Handler returns the handler to which messages are posted. It panics if Check returns an
// error.
func (r *Receiver) Handler() http.Handler {
	if err := r.Check(); err != nil {
		panic(err.Error())
	}
	r.once.Do(func() {
		r.log = polling.Logger(r.Logger)
		r.known = map[string]*list.Element{}
		if r.Now == nil {
			r.Now = time.Now
		}
	})
	return http.HandlerFunc(r.serve)
}

// Stats returns the counters.
func (r *Receiver) Stats() ReceiverStats {
	return ReceiverStats{
		Handled: r.handled.Load(), Duplicates: r.duplicates.Load(), Failed: r.failed.Load(),
		Stale: r.stale.Load(), Unsigned: r.unsigned.Load(), Malformed: r.malformed.Load(), Forgotten: r.forgotten.Load(),
	}
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	body, ok := polling.Body(w, req, int64(cmp.Or(r.MaxMessageBytes, 1<<20)))
	if !ok {
		return
	}
	m, err := Verify(req.Header, body, r.Keys(), r.Now(), cmp.Or(r.Tolerance, 5*time.Minute))
	if err != nil {
		r.refuse(w, req, err)
		return
	}
	switch begun, busy := r.begin(m.ID); {
	case busy: // by another attempt, whose end nobody knows
		r.duplicates.Add(1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the message is being handled", http.StatusConflict)
	case !begun:
		r.duplicates.Add(1)
		w.WriteHeader(http.StatusNoContent)
	default:
		r.handle(w, req, m)
	}
}

func (r *Receiver) refuse(w http.ResponseWriter, req *http.Request, err error) {
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, ErrSignature):
		status = http.StatusUnauthorized
		r.unsigned.Add(1)
	case errors.Is(err, ErrStale):
		r.stale.Add(1)
	default:
		r.malformed.Add(1)
	}
	r.log.Warn("message refused", "client", req.RemoteAddr, "error", err)
	http.Error(w, err.Error(), status)
}

func (r *Receiver) handle(w http.ResponseWriter, req *http.Request, m Message) {
	handled := false
	defer func() { r.end(m.ID, handled) }() // also if Handle ends its goroutine
	err := guard.Call(r.log, "webhook: Receiver.Handle", func() error { return r.Handle(req.Context(), m) }, "message", m.ID)
	if err == nil {
		handled = true
		r.handled.Add(1)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.failed.Add(1)
	r.log.Warn("message failed", "message", m.ID, "error", err)
	status, text := http.StatusInternalServerError, "the handler failed"
	var said *retry.StatusError
	if errors.As(err, &said) && said.Status >= 400 && said.Status <= 599 {
		status, text = said.Status, cmp.Or(said.Text, text)
	}
	http.Error(w, text, status)
}

// begin notes that an ID is being handled, unless it is or was.
func (r *Receiver) begin(id string) (begun, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if e := r.known[id]; e != nil {
		return false, e.Value.(*seen).at.IsZero()
	}
	r.known[id] = r.order.PushBack(&seen{id: id})
	return true, false
}

// end notes that an ID was handled, or drops it.
func (r *Receiver) end(id string, handled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	if !handled {
		r.order.Remove(e)
		delete(r.known, id)
		return
	}
	e.Value.(*seen).at = time.Now()
	r.order.MoveToBack(e)
	r.forget()
}

// forget drops what was handled long ago, and what is too much. It is called with the lock.
func (r *Receiver) forget() {
	long := cmp.Or(r.Remember, 5*24*time.Hour)
	for e := r.order.Front(); e != nil; {
		next := e.Next()
		s := e.Value.(*seen)
		tooMany := len(r.known) > cmp.Or(r.MaxIDs, 100_000)
		switch {
		case s.at.IsZero(): // those are as many as there are requests
		case tooMany || time.Since(s.at) >= long:
			if tooMany {
				r.forgotten.Add(1)
			}
			r.order.Remove(e)
			delete(r.known, s.id)
		default:
			return
		}
		e = next
	}
}
