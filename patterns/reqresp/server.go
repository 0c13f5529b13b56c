package reqresp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Server answers requests: over HTTP with its Handler, and over connections of its own
// protocol with Serve. Handle must be set; the other fields have the defaults given. Do not
// change or copy it after first use.
type Server struct {
	// Handle does the work of a request. It can take time and call other services. It should do so
	// with ctx, which ends when the client has gone or its time is over, so that those calls get no
	// more time than is left. Handle must leave all changes to the Effect that it returns, which is
	// committed together with the answer: if the process dies in between, Handle can run twice for
	// one key, but the Effect cannot.
	//
	// An error that is a *retry.StatusError is answered with its status, any other with 500. 429
	// and 503 say that the request was not executed, and the client retries it. So does an [*Error]
	// with NotExecuted, from a call to another server. After any other error the client's outcome
	// is unknown. A panic is answered with 500, and logged.
	Handle func(ctx context.Context, r *Request) (Effect, error)

	// Store keeps the data of the effects, and the answers to requests with keys. Nil: a
	// Memory with default bounds. Its owner closes it, after the HTTP server.
	Store Store
	// Retain is how long the answer to a request with a key is kept. Zero: 24 h. A request
	// repeated later than that is executed again; clients must know this limit.
	Retain time.Duration
	// RequireKey refuses requests whose method is not idempotent and that have no key, with
	// 400.
	RequireKey bool
	// Now is the wall clock by which answers are forgotten. Nil: time.Now.
	Now func() time.Time

	// MaxRequestBytes bounds the body of a request, and MaxAnswerBytes that of an answer. Zero:
	// 1 MiB each. A longer request is refused with 413; a longer answer becomes 500.
	MaxRequestBytes, MaxAnswerBytes int
	// MaxClients bounds the requests that are executed at once. Zero: 1,000. Others are refused
	// with 503 at once, because a queue would fill with requests whose clients have given up.
	MaxClients int
	// MaxTimeout bounds a request, whatever its client allows. Zero: 60 s.
	MaxTimeout time.Duration
	// ReadTimeout bounds the arrival of a request's body or, on a connection of Serve, of the whole
	// request. AnswerTimeout bounds the time that the client takes to accept its answer. Zero: 10 s
	// each.
	ReadTimeout, AnswerTimeout time.Duration
	// IdleTimeout is the time without a request after which a connection of Serve is closed. Zero:
	// 5 min. The client is notified first, so no request is lost with the connection.
	IdleTimeout time.Duration
	// RetrySpread is the longest Retry-After of refusals. Each is drawn from 1 s to this, so that
	// the clients come back over this time. Zero: 10 s. At most 24.8 days.
	RetrySpread time.Duration
	// Jitter draws the Retry-After of refusals. Nil: seeded by the clock at
	// first use.
	Jitter retry.Jitter

	// Authenticate returns who asks. Each client has its own keys. An error is answered by
	// access.Refuse. On a connection of Serve it gets a request with method, path, header and
	// RemoteAddr. Nil: everyone may do everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets panics and errors of the store as errors, and refused requests at level
	// Debug. Nil: nothing is logged.
	Logger *slog.Logger

	once sync.Once
	life polling.Lifecycle
	slot chan struct{}

	mu      sync.Mutex
	running map[string]struct{}      // keys
	lines   map[*serverLine]struct{} // connections of Serve
	stats   serverCounters
}

var (
	// ErrDraining is returned by Serve after [Server.Drain].
	ErrDraining = errors.New("reqresp: server is draining")
	// ErrClosed is returned by Serve after [Server.Close].
	ErrClosed = errors.New("reqresp: server is closed")
)

// ServerStats are the counters of a Server.
type ServerStats struct {
	// Executing is the number of requests executed now, Executed the number executed so far. Handle
	// was called exactly once for each of them.
	Executing, Executed int64
	// Replayed counts stored answers that were sent again. Running counts requests whose key was
	// being executed, and Misused those whose key belonged to another request.
	Replayed, Running, Misused int64
	// Refused counts requests refused for want of capacity, for want of room for their answer,
	// or because of a drain. Late counts those that arrived after their time was over.
	Refused, Late int64
	// Gone counts requests that ended without an answer because their client had gone or their time
	// was over.
	Gone int64
}

type serverCounters struct {
	executing, executed, replayed, running, misused, refused, late, gone atomic.Int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Server) Check() error {
	check := fields.Of("reqresp: Server")
	if s.Handle == nil {
		check.Bad("Handle is nil: want a function")
	}
	check.Duration("Retain", s.Retain)
	check.Duration("MaxTimeout", s.MaxTimeout)
	check.Duration("ReadTimeout", s.ReadTimeout)
	check.Duration("AnswerTimeout", s.AnswerTimeout)
	check.Duration("IdleTimeout", s.IdleTimeout)
	check.Wait("RetrySpread", s.RetrySpread, 1)
	check.Int("MaxRequestBytes", s.MaxRequestBytes)
	check.Int("MaxAnswerBytes", s.MaxAnswerBytes)
	check.Int("MaxClients", s.MaxClients)
	checkBytes(check, s.MaxRequestBytes, s.MaxAnswerBytes)
	return check.Err()
}

// checkBytes refuses bounds that a frame's length cannot express.
func checkBytes(check *fields.Check, request, answer int) {
	for name, n := range map[string]int{"MaxRequestBytes": request, "MaxAnswerBytes": answer} {
		if n > maxBodyBytes {
			check.Bad("%s is %d: want at most 1 GiB, %d", name, n, maxBodyBytes)
		}
	}
}

// init fills in the defaults. It panics if Check returns an error.
func (s *Server) init() {
	s.once.Do(func() {
		if err := s.Check(); err != nil {
			panic(err.Error())
		}
		if s.Store == nil {
			s.Store = NewMemory(StoreOptions{})
		}
		if s.Now == nil {
			s.Now = time.Now
		}
		fields.Default(&s.Retain, 24*time.Hour)
		fields.Default(&s.MaxTimeout, time.Minute)
		fields.Default(&s.ReadTimeout, 10*time.Second)
		fields.Default(&s.AnswerTimeout, 10*time.Second)
		fields.Default(&s.IdleTimeout, 5*time.Minute)
		fields.Default(&s.RetrySpread, 10*time.Second)
		fields.Default(&s.MaxRequestBytes, 1<<20)
		fields.Default(&s.MaxAnswerBytes, 1<<20)
		fields.Default(&s.MaxClients, 1000)
		s.Jitter = s.Jitter.OrSeeded("")
		s.Logger = polling.Logger(s.Logger)
		s.slot = make(chan struct{}, s.MaxClients)
		s.running = map[string]struct{}{}
		s.lines = map[*serverLine]struct{}{}
		s.life.Errors(ErrDraining, ErrClosed)
	})
}

// Handler returns the handler that answers HTTP requests, whatever their path. It panics if
// Check returns an error.
func (s *Server) Handler() http.Handler {
	s.init()
	return http.HandlerFunc(s.serveHTTP)
}

// Serve answers requests on connections of l, many at once on each, as sent by a [Client]
// with Dial. It returns l's error, or [ErrDraining] or [ErrClosed], and closes l. It
// panics if Check returns an error.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	defer l.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() { // which is what ends Accept
		select {
		case <-s.life.Stopped():
			l.Close()
		case <-ended:
		}
	}()
	for {
		conn, err := l.Accept()
		if over := s.life.Err(); over != nil {
			if err == nil {
				conn.Close()
			}
			return over
		}
		if err != nil {
			return err
		}
		go s.serveLine(conn)
	}
}

// Drain refuses new requests. It returns when all requests that have begun are answered and the
// clients of Serve have closed their connections, or with ctx's error. Shut the HTTP server down
// after it: until then answers ask clients to close their connections, so that none is closed with
// a request in transit.
func (s *Server) Drain(ctx context.Context) error {
	s.init()
	drained := s.life.Drain(ctx)
	s.mu.Lock()
	lines := make([]*serverLine, 0, len(s.lines))
	for l := range s.lines {
		lines = append(lines, l)
	}
	s.mu.Unlock()
	for _, l := range lines {
		select {
		case <-l.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return drained
}

// Close refuses new requests and closes the connections of Serve. It does not wait, and
// returns nil.
func (s *Server) Close() error {
	s.init()
	s.life.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.lines {
		l.conn.Close()
	}
	return nil
}

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	return ServerStats{
		Executing: s.stats.executing.Load(),
		Executed:  s.stats.executed.Load(),
		Replayed:  s.stats.replayed.Load(),
		Running:   s.stats.running.Load(),
		Misused:   s.stats.misused.Load(),
		Refused:   s.stats.refused.Load(),
		Late:      s.stats.late.Load(),
		Gone:      s.stats.gone.Load(),
	}
}
