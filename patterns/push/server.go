package push

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Server pushes messages to connected clients and keeps them for absent ones. The zero
// value is ready to use, with a log in memory. Do not change or copy it after first use.
// After first use it has a goroutine, which ends with Drain, Close or the log; a test
// that leaves it running fails. No duration may exceed 1,000 h.
type Server struct {
	// Log keeps the messages. Others may append to it too. Its owner closes it, after the
	// Server. Nil: an eventlog.Memory with default bounds.
	Log eventlog.Log

	// Authenticate returns who a request comes from and what it may see; [access.Status]
	// says how an error is answered. The Identity names the client. The function must be
	// cheap, ideally without I/O, because after an outage all clients connect at once:
	// see [access.Tokens]. Nil: the client is whatever the query parameter "client" says
	// and may see everything, which is for trusted networks only.
	Authenticate func(*http.Request) (access.Identity, error)
	// OriginPatterns lists the hosts, other than the server's own, whose web pages may
	// connect, in the syntax of [path.Match]. Empty: none.
	OriginPatterns []string

	// Snapshot returns the state that replaces the events a client missed. It is called
	// when a client cannot continue from its cursor, after the position from which
	// events will follow was read. Events published in the meantime are therefore also
	// sent, and nothing is missed. If it fails or panics, the session ends. Nil: such a
	// client gets everything that the log still keeps for it.
	Snapshot func(context.Context, access.Identity) ([]byte, error)
	// OnAck is called with every acknowledged position. It blocks reading from that
	// client, so it must return soon. If it panics, the session ends. Nil: not called.
	OnAck func(client string, c eventlog.Cursor)

	// Slow is the policy for a client whose queue is full.
	Slow SlowPolicy
	// MaxQueue bounds the messages, MaxQueueBytes the bytes that wait for one
	// client. Zero: 1,024 and 1 MiB. At least 1.
	MaxQueue      int
	MaxQueueBytes int
	// MaxBlock is how long Publish waits for slow clients under [Block].
	// Zero: 1 s.
	MaxBlock time.Duration
	// CoalesceKey names what a message is about, for [Coalesce]. It is called while the
	// server is locked: it must be quick and must not call the Server. A message for
	// which it panics neither replaces another nor is replaced. Nil: the topic.
	CoalesceKey func(topic string, data []byte) string

	// Window bounds the messages, and WindowBytes the bytes, sent to a client ahead of
	// its acknowledgements. With this limit, a slow handler fills the server's queue,
	// where the policy sees it, and not the kernel's buffers, where pings would be
	// stuck behind events. Zero: 256 and 256 KiB. At most 65,536 and 64 MiB.
	Window      int
	WindowBytes int

	// MaxMessageBytes bounds a message's data. Zero: 64 KiB. At most 1 GiB.
	MaxMessageBytes int
	// MaxClients bounds the connected clients. Further ones get 503 and a
	// Retry-After. Zero: no bound.
	MaxClients int

	// PingInterval is the time between pings. A client from which nothing is
	// heard within PingTimeout after a ping is dead, so a client that dies is
	// detected within PingInterval + PingTimeout. Choose an interval below the
	// idle timeout of every proxy and NAT on the path. Zero: 25 s and 10 s. The
	// timeout is at most the interval.
	PingInterval time.Duration
	PingTimeout  time.Duration
	// WriteTimeout bounds each single write. Zero: 10 s.
	WriteTimeout time.Duration
	// NowTimeout is how long Publish waits for the confirmation of a message
	// with TTL Now. Zero: PingTimeout.
	NowTimeout time.Duration

	// RetrySpread is the time over which clients should spread their reconnects: the
	// number of clients divided by the rate that the server can take. Clients learn it
	// at the start of each session, so they know it even after a crash. Zero: no hint;
	// negative: clients may come back at once. At most 24.8 days.
	RetrySpread time.Duration

	// Logger receives refused clients, sessions that the server ends and dropped
	// messages (warnings), failures of the log and of the functions above (errors),
	// and ordinary connects and disconnects (debug), with the attributes client, topic
	// and error. Nil: nothing is logged.
	Logger *slog.Logger

	once  sync.Once
	fault error    // of Check
	opts  settings // the fields with their defaults

	// routing is a lock made of a channel: reading the log may block, and in a
	// synctest bubble one who waits for a mutex stops the clock.
	routing  chan struct{}
	stop     chan struct{}
	stopOnce sync.Once
	running  sync.WaitGroup // sessions and the router

	// sent is apart from the other counters, since all writers count at once.
	sent atomic.Int64

	// mu is never held while anything blocks, and is taken before a session's.
	mu         sync.Mutex
	sessions   map[string]*session   // by client
	open       map[*session]struct{} // those and the ones that are still ending
	topics     topics
	mailboxes  mailboxes
	routed     eventlog.Cursor // up to here entries were handed to sessions
	nows       uint64          // messages with TTL Now so far
	opening    int             // connections between admission and registration
	publishing int             // calls of Publish in progress
	published  chan struct{}   // closed when draining and publishing is zero
	draining   bool
	closed     bool // by Close
	cut        bool // all connections are cut off
	stats      ServerStats
}

// settings are the fields of a Server with their defaults.
type settings struct {
	Log                                eventlog.Log
	Authenticate                       func(*http.Request) (access.Identity, error)
	CoalesceKey                        func(topic string, data []byte) string
	Logger                             *slog.Logger
	MaxQueue, MaxQueueBytes            int
	Window, WindowBytes                int
	MaxMessageBytes                    int
	PingInterval, PingTimeout          time.Duration
	MaxBlock, WriteTimeout, NowTimeout time.Duration
}

func (s *Server) settings() settings {
	o := settings{
		Log: s.Log, Authenticate: s.Authenticate, CoalesceKey: s.CoalesceKey, Logger: s.Logger,
		MaxQueue: s.MaxQueue, MaxQueueBytes: s.MaxQueueBytes,
		Window: s.Window, WindowBytes: s.WindowBytes,
		MaxMessageBytes: s.MaxMessageBytes,
		PingInterval:    s.PingInterval, PingTimeout: s.PingTimeout,
		MaxBlock: s.MaxBlock, WriteTimeout: s.WriteTimeout, NowTimeout: s.NowTimeout,
	}
	if o.Log == nil {
		o.Log = eventlog.NewMemory(eventlog.Options{})
	}
	if o.Authenticate == nil {
		o.Authenticate = clientParameter
	}
	if o.CoalesceKey == nil {
		o.CoalesceKey = func(topic string, _ []byte) string { return topic }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	fields.Default(&o.MaxQueue, 1024)
	fields.Default(&o.MaxQueueBytes, 1<<20)
	fields.Default(&o.Window, 256)
	fields.Default(&o.WindowBytes, 256<<10)
	fields.Default(&o.MaxMessageBytes, 64<<10)
	fields.Default(&o.MaxBlock, time.Second)
	fields.Default(&o.PingInterval, defaultPingInterval)
	fields.Default(&o.PingTimeout, min(10*time.Second, o.PingInterval))
	fields.Default(&o.WriteTimeout, 10*time.Second)
	fields.Default(&o.NowTimeout, o.PingTimeout)
	return o
}

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Server) Check() error {
	c := fields.Of("push: Server")
	for _, p := range s.OriginPatterns {
		if _, err := path.Match(p, ""); err != nil {
			c.Bad("OriginPatterns has %q: want a pattern of path.Match", p)
		}
	}
	if s.Slow < Disconnect || s.Slow > Coalesce {
		c.Bad("Slow is %v: want Disconnect to Coalesce", s.Slow)
	}
	c.Int("MaxQueue", s.MaxQueue)
	c.Int("MaxQueueBytes", s.MaxQueueBytes)
	atMost(c, "Window", s.Window, maxWindow)
	atMost(c, "WindowBytes", s.WindowBytes, maxWindowBytes)
	atMost(c, "MaxMessageBytes", s.MaxMessageBytes, maxMessageBytes)
	c.Int("MaxClients", s.MaxClients)
	atMost(c, "MaxBlock", s.MaxBlock, maxTime)
	atMost(c, "PingInterval", s.PingInterval, maxTime)
	atMost(c, "PingTimeout", s.PingTimeout, cmp.Or(s.PingInterval, defaultPingInterval))
	atMost(c, "WriteTimeout", s.WriteTimeout, maxTime)
	atMost(c, "NowTimeout", s.NowTimeout, maxTime)
	c.Wait("RetrySpread", max(0, s.RetrySpread), 1)
	return c.Err()
}

// atMost refuses a value that is negative or too large.
func atMost[T int | time.Duration](c *fields.Check, name string, v, most T) {
	if v < 0 || v > most {
		c.Bad("%s is %v: want 0 for the default, or up to %v", name, v, most)
	}
}

const defaultPingInterval = 25 * time.Second

func clientParameter(r *http.Request) (access.Identity, error) {
	client := r.URL.Query().Get("client")
	if client == "" {
		return access.Identity{}, fmt.Errorf("%w: no client parameter in the query", access.ErrUnauthorized)
	}
	return access.Everything(client), nil
}

// ready checks the settings and starts the router, once.
func (s *Server) ready() error {
	s.once.Do(func() {
		if s.fault = s.Check(); s.fault != nil {
			return
		}
		s.opts = s.settings()
		s.routing = make(chan struct{}, 1)
		s.stop = make(chan struct{})
		s.sessions = make(map[string]*session)
		s.open = make(map[*session]struct{})
		s.topics = newTopics()
		s.mailboxes = newMailboxes()
		s.published = make(chan struct{})
		s.routed = s.opts.Log.Head()
		s.stats.Resets = make(map[eventlog.Reason]int64)
		watch := s.opts.Log.Watch()
		s.running.Add(1)
		go s.follow(watch)
	})
	return s.fault
}

// Handler returns the handler that clients connect to; mount it at one path. It upgrades a
// request to a WebSocket and serves it until it ends. It panics if Check returns an error.
// If another handler has wrapped the ResponseWriter, that must have an Unwrap method, see
// http.ResponseController.
//
// http.Server.Shutdown ignores upgraded connections: see [Server.Drain].
func (s *Server) Handler() http.Handler {
	if err := s.ready(); err != nil {
		panic(err.Error())
	}
	return http.HandlerFunc(s.serve)
}
