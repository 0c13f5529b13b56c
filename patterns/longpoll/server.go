package longpoll

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Server serves a log to clients that poll it. The zero value is ready to use, with
// a log in memory. Do not change or copy it after first use.
type Server struct {
	// Log is the log to serve. Nil: an eventlog.Memory with default bounds. The
	// owner of the log closes it, after the HTTP server.
	Log eventlog.Log

	// Wait is how long a poll that does not state a wait is held. Zero: 30 s (RFC
	// 6202, section 5.5, which reports that 120 s works too).
	Wait time.Duration
	// MaxWait bounds the wait that a poll can ask for. Zero: 10 min.
	MaxWait time.Duration
	// ProxyTimeout is the shortest time after which anything on the path gives up
	// on a silent request: 60 s for nginx and many load balancers. If it is set,
	// every poll ends before it, jitter and Margin included, whatever the poll
	// asks for. Zero: unknown.
	ProxyTimeout time.Duration
	// Margin is the time allowed for an answer's way through the network, for
	// ProxyTimeout. Zero: 1 s.
	Margin time.Duration
	// Jitter draws the extra wait of each poll, up to a sixteenth, so that clients
	// that arrived together do not arrive together again. It also draws the spread
	// of Retry-After. Nil: seeded by the clock at first use.
	Jitter retry.Jitter

	// MinEvents holds an answer back until it has that many events. Zero: 1. An answer that is
	// full by MaxEvents or MaxAnswerBytes is never held back.
	MinEvents int
	// Linger bounds how long the first event of an answer waits for MinEvents. Zero: until the
	// end of the wait.
	Linger time.Duration
	// MaxEvents and MaxAnswerBytes limit one answer. Zero: 1,000 events, and 1 MiB of topics
	// and data. A single event is sent however large it is.
	MaxEvents, MaxAnswerBytes int
	// MaxMessageBytes bounds the topic and data of a published event. Zero: 8 MiB. In base64 that
	// is less than the 16 MiB of an answer that a Client accepts by default.
	MaxMessageBytes int

	// MaxClients bounds the polls held at once. Zero: 10,000. Others are refused with 503 and a
	// Retry-After.
	MaxClients int
	// RetrySpread is the longest Retry-After of refusals; each is drawn from 1 s to this. Zero: 10
	// s. Clients that a restart disconnects reconnect over this time. At most 24.8 days.
	RetrySpread time.Duration
	// AnswerTimeout is how long a client may take to receive its answer. Zero: 10 s.
	AnswerTimeout time.Duration

	// Authenticate returns who polls. A poll without topics gets those that the identity may see,
	// a poll for a topic that it may not see is refused with 403, and no poll is held after the
	// identity expires. An error is answered by access.Refuse. Nil: everyone may see everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets refused polls, clients that do not receive their answers, and gaps as warnings,
	// errors of the log as errors, and polls whose clients disconnected at level Debug. Nil:
	// nothing is logged.
	Logger *slog.Logger

	shell polling.Shell
	parked, wakes, answers, events, empty,
	resets, refused, gone atomic.Int64
}

var (
	// ErrDraining is returned by Publish after [Server.Drain].
	ErrDraining = errors.New("longpoll: server is draining")
	// ErrClosed is returned by Publish after [Server.Close].
	ErrClosed = errors.New("longpoll: server is closed")
)

// ServerStats are the counters of a Server.
type ServerStats struct {
	// Parked is the number of polls that are held now.
	Parked int64
	// Wakes counts how often a held poll was woken and read the log.
	Wakes int64
	// Answers counts answers with events, Events the events in them, Empty the
	// answers without events, Resets the answers that report a gap.
	Answers, Events, Empty, Resets int64
	// Refused counts polls refused with 503. Gone counts polls whose client
	// disconnected while they were held, or did not receive its answer.
	Refused, Gone int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Server) Check() error {
	check := fields.Of("longpoll: Server")
	check.Duration("Wait", s.Wait)
	check.Duration("MaxWait", s.MaxWait)
	check.Duration("ProxyTimeout", s.ProxyTimeout)
	check.Duration("Margin", s.Margin)
	check.Duration("Linger", s.Linger)
	check.Wait("RetrySpread", s.RetrySpread, 1)
	check.Duration("AnswerTimeout", s.AnswerTimeout)
	check.Int("MinEvents", s.MinEvents)
	check.Int("MaxEvents", s.MaxEvents)
	check.Int("MaxAnswerBytes", s.MaxAnswerBytes)
	check.Int("MaxMessageBytes", s.MaxMessageBytes)
	check.Int("MaxClients", s.MaxClients)
	set := s.settings()
	if set.Wait > set.MaxWait {
		check.Bad("Wait is %v: want at most MaxWait, %v", set.Wait, set.MaxWait)
	}
	if set.MinEvents > set.MaxEvents {
		check.Bad("MinEvents is %d: want at most MaxEvents, %d", set.MinEvents, set.MaxEvents)
	}
	if s.ProxyTimeout > 0 && set.ProxyTimeout <= set.Margin {
		check.Bad("ProxyTimeout is %v: want more than Margin, %v", set.ProxyTimeout, set.Margin)
	}
	return check.Err()
}

// Handler returns the handler that answers polls; mount it at one path. It panics if
// Check returns an error. For the polls that it holds it lifts the WriteTimeout of
// its http.Server, which would break off their answers.
//
// A held poll keeps http.Server.Shutdown waiting, so drain first, or when the
// shutdown begins:
//
//	server.RegisterOnShutdown(func() { s.Close() })
func (s *Server) Handler() http.Handler {
	if err := s.Check(); err != nil {
		panic(err.Error())
	}
	s.init()
	return &handler{server: s, settings: s.settings(), stopped: s.shell.Stopped()}
}

// Publish appends an event to the log. It returns when the event is as durable as the log is and
// the polls waiting for it have been woken. The topic must be UTF-8 and at most 1,024 bytes.
//
// The error wraps [eventlog.ErrTooLarge] if the event exceeds MaxMessageBytes or does not fit
// into the log. After Drain or Close it is [ErrDraining] or [ErrClosed].
func (s *Server) Publish(ctx context.Context, topic string, data []byte) (eventlog.Cursor, error) {
	s.init()
	return s.shell.Publish(ctx, topic, data, s.MaxMessageBytes)
}

// Drain answers all held polls and permanently refuses new ones. Clients keep their cursors
// and retry after a Retry-After. Drain returns when the answers have been written, or with
// ctx's error when ctx ends first.
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
		Parked:  s.parked.Load(),
		Wakes:   s.wakes.Load(),
		Answers: s.answers.Load(),
		Events:  s.events.Load(),
		Empty:   s.empty.Load(),
		Resets:  s.resets.Load(),
		Refused: s.refused.Load(),
		Gone:    s.gone.Load(),
	}
}

func (s *Server) init() {
	s.shell.Begin("longpoll", &s.Log, &s.Logger, ErrDraining, ErrClosed, func() { s.Jitter = s.Jitter.OrSeeded("") })
}

// settings are the fields of a Server with their defaults.
type settings struct {
	Wait, MaxWait, ProxyTimeout, Margin              time.Duration
	MinEvents, MaxEvents, MaxAnswerBytes, MaxClients int
	Linger, RetrySpread, AnswerTimeout               time.Duration
}

func (s *Server) settings() settings {
	set := settings{
		MaxWait:        cmp.Or(s.MaxWait, 10*time.Minute),
		ProxyTimeout:   s.ProxyTimeout,
		Margin:         cmp.Or(s.Margin, time.Second),
		MinEvents:      cmp.Or(s.MinEvents, 1),
		MaxEvents:      cmp.Or(s.MaxEvents, 1000),
		MaxAnswerBytes: cmp.Or(s.MaxAnswerBytes, 1<<20),
		MaxClients:     cmp.Or(s.MaxClients, 10_000),
		Linger:         s.Linger,
		RetrySpread:    cmp.Or(s.RetrySpread, 10*time.Second),
		AnswerTimeout:  cmp.Or(s.AnswerTimeout, 10*time.Second),
	}
	set.Wait = cmp.Or(s.Wait, min(30*time.Second, set.MaxWait))
	return set
}

// longest returns the wait that a poll gets when it asks for d, before jitter of
// up to a sixteenth.
func (s *settings) longest(d time.Duration) time.Duration {
	d = min(d, s.MaxWait)
	if s.ProxyTimeout > 0 {
		least := s.ProxyTimeout - s.Margin
		d = min(d, least-(least+16)/17) // 16/17 of it, rounded down
	}
	return d
}
