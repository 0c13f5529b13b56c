package shortpoll

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
)

// Server serves a log to clients that poll it for the entries after their cursor. It answers at
// once. The zero value is ready to use, with a log in memory. Do not change or copy it after
// first use.
type Server struct {
	// Log is the log to serve. Nil: an eventlog.Memory with default bounds. The owner
	// of the log closes it, after the HTTP server.
	Log eventlog.Log
	// RetryAfter is how long clients are asked to wait before they poll again, with each answer
	// that leaves nothing to fetch. It is sent in whole seconds, rounded up. Zero: clients follow
	// their own schedule. At most 24.8 days: with more, the timers of JavaScript clients overflow,
	// and they come back at once.
	RetryAfter time.Duration
	// MaxEvents and MaxAnswerBytes limit one answer. Zero: 1,000 events, and 1 MiB of
	// topics and data. A single event is sent however large it is.
	MaxEvents, MaxAnswerBytes int
	// MaxMessageBytes bounds the topic and data of a published event. Zero: 8 MiB. In base64
	// that is less than the 16 MiB of an answer that a Client accepts by default.
	MaxMessageBytes int
	// Limit bounds the rate of polls.
	Limit Limit
	// Authenticate returns who polls. A poll without topics gets those that the identity may
	// see; a poll for a topic that it may not see is refused with 403. An error is answered
	// by access.Refuse. Nil: everyone may see everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets refused polls and gaps as warnings, errors of the log as errors. Nil: nothing
	// is logged.
	Logger *slog.Logger

	shell polling.Shell
	gate  *gate
	answers, events, unchanged,
	resets, refused atomic.Int64
}

var (
	// ErrDraining is returned by Publish after [Server.Drain].
	ErrDraining = errors.New("shortpoll: server is draining")
	// ErrClosed is returned by Publish after [Server.Close].
	ErrClosed = errors.New("shortpoll: server is closed")
)

// ServerStats are the counters of a Server.
type ServerStats struct {
	// Answers counts answers with events, Events the events in them, Unchanged the
	// answers without events, Resets the answers that report a gap.
	Answers, Events, Unchanged, Resets int64
	// Refused counts polls refused with 503.
	Refused int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Server) Check() error {
	check := fields.Of("shortpoll: Server")
	if s.RetryAfter < 0 {
		check.Bad("RetryAfter is %v: want 0 for none, or more", s.RetryAfter)
	}
	check.Wait("RetryAfter", max(0, s.RetryAfter), 1)
	check.Int("MaxEvents", s.MaxEvents)
	check.Int("MaxAnswerBytes", s.MaxAnswerBytes)
	check.Int("MaxMessageBytes", s.MaxMessageBytes)
	s.Limit.check(check)
	return check.Err()
}

// Handler returns the handler that answers polls; mount it at one path. It panics if
// Check returns an error.
func (s *Server) Handler() http.Handler {
	if err := s.Check(); err != nil {
		panic(err.Error())
	}
	s.init()
	return http.HandlerFunc(s.serve)
}

// Publish appends an event to the log. It returns when the event is as durable as the log is.
// The topic must be UTF-8 and at most 1,024 bytes.
//
// The error wraps [eventlog.ErrTooLarge] if the event exceeds MaxMessageBytes or does not fit
// into the log. After Drain or Close it is [ErrDraining] or [ErrClosed].
func (s *Server) Publish(ctx context.Context, topic string, data []byte) (eventlog.Cursor, error) {
	s.init()
	return s.shell.Publish(ctx, topic, data, s.MaxMessageBytes)
}

// Drain permanently refuses polls. Clients keep their cursors and retry after a Retry-After.
// Drain returns when polls in progress are answered, or with ctx's error when ctx ends first.
func (s *Server) Drain(ctx context.Context) error {
	s.init()
	return s.shell.Drain(ctx)
}

// Close is [Server.Drain] without waiting. It returns nil.
func (s *Server) Close() error {
	s.init()
	return s.shell.Close()
}

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	return ServerStats{
		Answers:   s.answers.Load(),
		Events:    s.events.Load(),
		Unchanged: s.unchanged.Load(),
		Resets:    s.resets.Load(),
		Refused:   s.refused.Load(),
	}
}

func (s *Server) init() {
	s.shell.Begin("shortpoll", &s.Log, &s.Logger, ErrDraining, ErrClosed, func() { s.gate = newGate(s.Limit) })
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !polling.IsPoll(w, r) {
		return
	}
	if !s.shell.Enter() {
		w.Header().Set("Connection", "close")
		s.refuse(w, r.RemoteAddr, s.shell.Err())
		return
	}
	defer s.shell.Leave()
	if !s.gate.admit() {
		s.refuse(w, r.RemoteAddr, errTooMany)
		return
	}
	who, ok := polling.Identify(w, r, "shortpoll: Server", s.Authenticate, s.Logger)
	if !ok {
		return
	}
	client := polling.Name(who, r)
	at, err := polling.ParsePosition(r.URL.Query(), s.Log)
	query := eventlog.Query{MaxEntries: cmp.Or(s.MaxEvents, 1000), MaxBytes: cmp.Or(s.MaxAnswerBytes, 1<<20)}
	if err == nil {
		query.Topics, query.Match, err = who.Select(at.Topics)
	}
	if err != nil {
		polling.Reject(w, client, s.Logger, err)
		return
	}
	page, err := s.Log.After(at.Cursor, query)
	switch {
	case errors.Is(err, eventlog.ErrClosed):
		s.refuse(w, client, err)
	case err != nil:
		s.Logger.Error("poll failed", "client", client, "error", err)
		polling.Fail(w)
	default:
		s.answer(w, r, client, page)
	}
}

var errTooMany = errors.New("shortpoll: too many requests")

func (s *Server) refuse(w http.ResponseWriter, client string, why error) {
	s.refused.Add(1)
	s.Logger.Warn("poll refused", "client", client, "error", why)
	s.gate.refuse(w, why.Error())
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, client string, page eventlog.Page) {
	status := http.StatusOK
	switch {
	case page.Reset != "":
		status = http.StatusGone
		s.resets.Add(1)
		s.Logger.Warn("client cannot be continued", "client", client, "reason", page.Reset)
	case len(page.Entries) == 0:
		s.unchanged.Add(1)
	default:
		s.answers.Add(1)
		s.events.Add(int64(len(page.Entries)))
	}
	if !page.More && status == http.StatusOK {
		polling.SetRetryAfter(w.Header(), s.RetryAfter)
	}
	// What there is to say to a poll without news is where it ends.
	w.Header().Set("ETag", polling.Tag(page.Next))
	if status == http.StatusOK && (len(page.Entries) == 0 && polling.Matches(r, page.Next) || polling.MatchesAny(r)) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, err := polling.EncodePage(page)
	write(w, status, body, err)
}

func write(w http.ResponseWriter, status int, body []byte, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
