package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Server streams a log to clients. The zero value is ready to use, with a log in
// memory. Do not change or copy it after first use.
type Server struct {
	// Log is the log to stream. Nil: an eventlog.Memory with default bounds. The owner
	// of the log closes it, after the HTTP server; a stream ends with its log.
	Log eventlog.Log

	// Heartbeat is the longest silence of a stream. Zero: 15 s (WHATWG HTML, section
	// 9.2.7). Then the server writes a comment, or the client's position if it has
	// moved past events of other topics.
	Heartbeat time.Duration
	// ProxyTimeout is the shortest time after which anything on the path ends a silent response: 60
	// s for nginx and many load balancers. If it is set, Check compares it with Heartbeat. Zero:
	// unknown.
	ProxyTimeout time.Duration
	// WriteTimeout is how long a client may take to accept 16 KiB. Zero: 10 s. A slower client is
	// disconnected, and resumes when it can. It replaces the WriteTimeout of the http.Server, which
	// would end every stream.
	WriteTimeout time.Duration
	// Retry is the shortest reconnection time sent to clients. Zero: 2 s. Each stream gets its own,
	// drawn from Retry to twice Retry: browsers wait exactly as long as they are told, and would
	// otherwise all come back at one instant after a crash. Negative: none is sent. At most 12.4
	// days, because the timers of browsers overflow after 24.8 days, and they then come back at
	// once.
	Retry time.Duration
	// Padding adds comments to each write up to this many bytes, for a proxy that passes on only
	// full buffers. Zero: none. At most 64 KiB.
	Padding int

	// OriginPatterns are the origins other than the server's own whose pages may open a
	// WebSocket: "https://*.example.com", or "*.example.com" for any scheme, in the syntax
	// of path.Match, ignoring case. None: a page from another origin is refused with 403.
	// (For Server-Sent Events and lines of JSON browsers want CORS headers instead: wrap
	// the handler.)
	OriginPatterns []string

	// Authenticate returns who a request comes from and which topics it may see. A request
	// without topics gets all of them; a request for any other topic gets 403. An error is
	// answered by [access.Refuse], with 401 or 403. A stream ends when its Identity expires.
	// Nil: everyone may see everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// MaxMessageBytes bounds the topic and data of a published event. Zero: 8 MiB. In base64
	// that is less than the 16 MiB that a Client accepts by default.
	MaxMessageBytes int
	// MaxClients bounds the open streams. Zero: 10,000. Others are refused.
	MaxClients int
	// RefuseWithStatus refuses Server-Sent Events with status 503 and a Retry-After, like
	// the other encodings, when the server is drained, has MaxClients streams, or its log is
	// closed. Set it only if no client is a browser and, for instance, a load balancer needs
	// the status: by the standard and in browsers, any status but 200 ends an EventSource
	// permanently. False: the answer is a stream that sets the reconnection time and ends at
	// once, after which browsers reconnect.
	RefuseWithStatus bool
	// RetrySpread is the longest delay that a refused client is asked to wait. Zero: 10 s.
	// Each delay is drawn from 1 s to this; a Retry-After has whole seconds. At most 24.8
	// days.
	RetrySpread time.Duration
	// MaxEvents and MaxBytes bound what a stream reads from the log at once and holds in
	// memory. Zero: 100 events, and 64 KiB of topics and data. A single event is read
	// however large it is.
	MaxEvents, MaxBytes int
	// Coalesce returns the subject of an event. If several events wait for a client,
	// because it is slow or was away, it gets only the newest of each subject, and all
	// events without a subject (""). If Coalesce panics, the stream ends. Nil: clients get
	// every event.
	Coalesce func(topic string, data []byte) (subject string)
	// Snapshot returns the state for a client that cannot continue from its position; r is its
	// request. It is called after the new position was read from the log's head. If it fails or
	// panics, the stream ends, and the client tries again. Nil: there is no snapshot, and such a
	// client gets everything in the log.
	Snapshot func(r *http.Request) ([]byte, error)
	// Logger gets a warning for every client that is refused, cannot continue from its
	// position, or is disconnected because it does not read; an error when the server has
	// to end a stream; and streams that open and end otherwise at level debug, with the
	// attributes client, error and reason. Nil: nothing is logged.
	Logger *slog.Logger
	// Jitter draws reconnection times and the delays of refusals. Nil: seeded by the clock at first use.
	Jitter retry.Jitter

	once   sync.Once
	drain  chan struct{} // closed by Drain and Close
	ownLog bool

	mu       sync.Mutex
	stopped  error                // why nothing is accepted any more
	sessions map[*session]carrier // which it has once it is open
	idle     chan struct{}        // closed when drained, and no session is left

	pages pages

	held, opened, events, heartbeats,
	resets, coalesced, slow, refused atomic.Int64
}

var (
	// ErrDraining is returned by Publish after Drain.
	ErrDraining = errors.New("stream: server is draining")
	// ErrClosed is returned by Publish after Close.
	ErrClosed = errors.New("stream: server is closed")
)

// ServerStats are the counters of a Server.
type ServerStats struct {
	// Streams is the number of open streams now. Held is the number of bytes that
	// they are writing to their connections now. Streams that write the same bytes
	// share them, but each counts them.
	Streams, Held int64
	// Opened counts streams. Events counts the events written to them, Heartbeats the
	// comments and positions written after silence, Resets the clients that could not
	// continue from their position.
	Opened, Events, Heartbeats, Resets int64
	// Coalesced counts events that were skipped for newer ones. Slow counts streams
	// that ended because of WriteTimeout. Refused counts requests that were refused
	// because the server was full or drained or its log closed.
	Coalesced, Slow, Refused int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Server) Check() error {
	check := fields.Of("stream: Server")
	check.Duration("Heartbeat", s.Heartbeat)
	check.Duration("ProxyTimeout", s.ProxyTimeout)
	check.Duration("WriteTimeout", s.WriteTimeout)
	check.Wait("Retry", max(0, s.Retry), 2)
	check.Wait("RetrySpread", s.RetrySpread, 1)
	check.Int("Padding", s.Padding)
	check.Int("MaxMessageBytes", s.MaxMessageBytes)
	check.Int("MaxClients", s.MaxClients)
	check.Int("MaxEvents", s.MaxEvents)
	check.Int("MaxBytes", s.MaxBytes)
	if s.Padding > maxPadding {
		check.Bad("Padding is %d: want at most %d", s.Padding, maxPadding)
	}
	for _, p := range s.OriginPatterns {
		if _, err := path.Match(p, ""); err != nil {
			check.Bad("OriginPatterns has %q: want a pattern of path.Match", p)
		}
	}
	if h := s.settings().Heartbeat; s.ProxyTimeout > 0 && h >= s.ProxyTimeout {
		check.Bad("Heartbeat is %v: want less than ProxyTimeout, %v", h, s.ProxyTimeout)
	}
	return check.Err()
}

const maxPadding = 64 << 10

// Handler returns the handler that opens streams; mount it at one path. It panics if
// Check returns an error. If another handler has wrapped the ResponseWriter, that
// must have an Unwrap method, see http.ResponseController.
//
// Open streams keep http.Server.Shutdown waiting, so register [Server.Drain]:
//
//	server.RegisterOnShutdown(func() { s.Drain(context.Background()) })
func (s *Server) Handler() http.Handler {
	if err := s.Check(); err != nil {
		panic(err.Error())
	}
	s.init()
	return &handler{Server: s, settings: s.settings()}
}

// maxTopicBytes is the longest topic of an event.
const maxTopicBytes = 1 << 10

// Publish appends an event to the log. It returns when the event is as durable as the log is and
// the streams have been woken. The topic must be UTF-8 and at most 1,024 bytes. If it returns an
// error, nothing is published. The error is [ErrDraining], [ErrClosed], [eventlog.ErrTooLarge],
// ctx's or the log's.
func (s *Server) Publish(ctx context.Context, topic string, data []byte) (eventlog.Cursor, error) {
	if len(topic) > maxTopicBytes {
		return eventlog.Cursor{}, fmt.Errorf("stream: publish: topic has %d bytes: want at most %d", len(topic), maxTopicBytes)
	}
	if !utf8.ValidString(topic) {
		return eventlog.Cursor{}, fmt.Errorf("stream: publish: topic %q is not UTF-8", topic)
	}
	if n, most := len(topic)+len(data), s.settings().MaxMessageBytes; n > most {
		return eventlog.Cursor{}, fmt.Errorf("stream: publish: %w: %d bytes, and MaxMessageBytes is %d", eventlog.ErrTooLarge, n, most)
	}
	s.init()
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if stopped != nil {
		return eventlog.Cursor{}, stopped
	}
	return s.Log.Append(ctx, eventlog.Entry{Topic: topic, Data: data})
}

// Drain ends every stream after the event that it is writing, and then refuses new
// ones. Clients resume after their reconnection time, on another server if there is
// one. Drain returns when all streams have ended, which a slow client can delay by
// WriteTimeout, or with ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	s.init()
	s.stop(ErrDraining)
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all streams at once, even in the middle of an event, and refuses new ones
// from then on. It closes the log if the Server created it. It does not wait for the
// streams' handlers.
func (s *Server) Close() error {
	s.init()
	s.stop(ErrClosed)
	if s.ownLog {
		return s.Log.Close()
	}
	return nil
}

// stop refuses everything from now on, and aborts what is open if why is ErrClosed.
func (s *Server) stop(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.stopped == nil
	if s.stopped != ErrClosed {
		s.stopped = why
	}
	for _, c := range s.sessions {
		// Under the lock, for which a session that ends waits: after its end the
		// connection may be another request's.
		if c != nil && why == ErrClosed {
			c.abort()
		}
	}
	// When they have been aborted, or one that hears of it first would still say goodbye.
	if first {
		close(s.drain)
		if len(s.sessions) == 0 {
			close(s.idle)
		}
	}
}

// enter counts a session in, or says why it cannot be.
func (s *Server) enter(one *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return s.stopped
	}
	if len(s.sessions) >= one.settings.MaxClients {
		return errors.New("stream: too many streams are open")
	}
	s.sessions[one] = nil
	return nil
}

// attach gives a session its carrier, so that Close can abort it.
func (s *Server) attach(one *session, c carrier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.carrier, s.sessions[one] = c, c
	if s.stopped == ErrClosed {
		c.abort()
	}
}

func (s *Server) leave(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, one)
	if s.stopped != nil && len(s.sessions) == 0 {
		close(s.idle)
	}
}

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	streams := len(s.sessions)
	s.mu.Unlock()
	return ServerStats{
		Streams:    int64(streams),
		Held:       s.held.Load(),
		Opened:     s.opened.Load(),
		Events:     s.events.Load(),
		Heartbeats: s.heartbeats.Load(),
		Resets:     s.resets.Load(),
		Coalesced:  s.coalesced.Load(),
		Slow:       s.slow.Load(),
		Refused:    s.refused.Load(),
	}
}

func (s *Server) init() {
	s.once.Do(func() {
		s.drain, s.idle, s.sessions = make(chan struct{}), make(chan struct{}), map[*session]carrier{}
		if s.Log == nil {
			s.Log, s.ownLog = eventlog.NewMemory(eventlog.Options{}), true
		}
		s.Jitter = s.Jitter.OrSeeded("")
		fields.Default(&s.Logger, slog.New(slog.DiscardHandler))
	})
}

// retryAfter draws how long a refused client is to stay away.
func (s *Server) retryAfter(longest time.Duration) time.Duration {
	return time.Second + s.Jitter(longest-time.Second)
}

// settings are the fields of a Server with their defaults.
type settings struct {
	Heartbeat, WriteTimeout, Retry, RetrySpread time.Duration
	MaxMessageBytes, MaxClients                 int
	MaxEvents, MaxBytes                         int
}

func (s *Server) settings() settings {
	return settings{
		Heartbeat:       cmp.Or(s.Heartbeat, 15*time.Second),
		WriteTimeout:    cmp.Or(s.WriteTimeout, 10*time.Second),
		Retry:           cmp.Or(s.Retry, 2*time.Second),
		RetrySpread:     cmp.Or(s.RetrySpread, 10*time.Second),
		MaxMessageBytes: cmp.Or(s.MaxMessageBytes, 8<<20),
		MaxClients:      cmp.Or(s.MaxClients, 10_000),
		MaxEvents:       cmp.Or(s.MaxEvents, 100),
		MaxBytes:        cmp.Or(s.MaxBytes, 64<<10),
	}
}
