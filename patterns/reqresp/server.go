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

// Server answers requests, over HTTP with its Handler and over connections of their own with
// Serve. It needs Handle; the other fields have the defaults given. Do not change or copy it
// after first use.
type Server struct {
	// Handle does the work of a request. It may take its time and call others; with ctx, which ends
	// when the client is gone or its time is over, so that calls made with it are given no more
	// time than is left. What the request changes it must leave to the Effect that it returns, which
	// is committed together with the answer: Handle may run twice for one key, if the process
	// dies between, and the Effect not.
	//
	// An error is answered with its status, if it is a *retry.StatusError, and else with 500. 429
	// and 503 say that the request was not executed, and the client repeats it; so does an
	// [*Error] that says so, of a call to another server. After any other error the client takes the
	// outcome for unknown. A panic is 500, and logged.
	Handle func(ctx context.Context, r *Request) (Effect, error)

	// Store has the data of the effects, and the answers to requests with keys. Nil: a Memory
	// with default bounds. Its owner closes it, after the HTTP server.
	Store Store
	// Retain is how long an answer to a request with a key is kept: 24 h. A request that comes
	// again later is executed again, so tell the clients.
	Retain time.Duration
	// RequireKey refuses requests without a key, with 400, whose methods are not idempotent.
	RequireKey bool
	// Now is the wall clock by which answers are forgotten; nil: time.Now.
	Now func() time.Time

	// MaxRequestBytes bounds the body of a request, and MaxAnswerBytes that of an answer: 1 MiB
	// each. A longer request is refused with 413, a longer answer is 500.
	MaxRequestBytes, MaxAnswerBytes int
	// MaxClients bounds the requests that are executed at once: 1,000. Others are refused with 503
	// at once: a queue would be filled with requests whose clients have given up.
	MaxClients int
	// MaxTimeout is how long a request may take, whatever its client allows: 60 s.
	MaxTimeout time.Duration
	// ReadTimeout is how long a request's body, or the whole of it on a connection of Serve, may
	// take to arrive: 10 s. AnswerTimeout is how long the client may take to accept its answer: 10 s.
	ReadTimeout, AnswerTimeout time.Duration
	// IdleTimeout is after how long without a request a connection of Serve is given up: 5 min. The client
	// is told first, so that no request is lost with it.
	IdleTimeout time.Duration
	// RetrySpread is the longest Retry-After of refusals; each is drawn from 1 s to this, so that
	// the clients come back over this time: 10 s. At most 24.8 days.
	RetrySpread time.Duration
	// Jitter draws it. Nil: seeded by the clock at first use.
	Jitter retry.Jitter

	// Authenticate says who asks. Keys of one client are not those of another. An error is answered
	// as access.Refuse does. On a connection of Serve it gets a request that has method, path,
	// header, and RemoteAddr. Nil: everyone may do everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets panics and errors of the store as errors, refused requests at level Debug.
	// Nil: nothing is logged.
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
	// Executing is how many requests are executed now, Executed how many have been. Handle was called
	// for each of them, and for no other.
	Executing, Executed int64
	// Replayed counts answers that were stored, Running requests whose key was being executed, Misused
	// those whose key was another request's.
	Replayed, Running, Misused int64
	// Refused counts requests that were sent away for want of a place, of room for their answer
	// or because of a drain, Late those that came when their time was over.
	Refused, Late int64
	// Gone counts requests that ended without an answer because their client was gone or their time over.
	Gone int64
}

type serverCounters struct {
	executing, executed, replayed, running, misused, refused, late, gone atomic.Int64
}

// Check returns what is wrong with the settings.
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

// init fills in the defaults. It panics if Check finds fault.
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

// Handler returns the handler that answers requests of HTTP, whatever their path. It panics if
// Check finds fault.
func (s *Server) Handler() http.Handler {
	s.init()
	return http.HandlerFunc(s.serveHTTP)
}

// Serve answers requests on connections of l, many at once on each, as a Client with Dial
// sends them. It returns l's error, or [ErrDraining] or [ErrClosed], and closes l. It
// panics if Check finds fault.
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

// Drain refuses new requests, and returns when all that have begun are answered, and the clients of Serve
// have closed their connections, or with ctx's error. Shut the HTTP server down after
// it: until then answers ask clients to close their connections, so that none of them is closed with
// a request on its way.
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

// Close refuses new requests and closes the connections of Serve. It waits for nothing, and
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
