package push

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Server pushes messages to connected clients and keeps them for absent ones.
// It is the http.Handler that clients connect to.
type Server struct {
	log  eventlog.Log
	opts ServerOptions

	// routing is a lock made of a channel: reading the log may block, and in a
	// synctest bubble one who waits for a mutex stops the clock.
	routing  chan struct{}
	stop     chan struct{}
	stopOnce sync.Once
	running  sync.WaitGroup // sessions and the router

	// sent is apart from the other counters, since all writers count at once.
	sent atomic.Uint64

	// mu is never held while anything blocks, and is taken before a session's.
	mu         sync.Mutex
	sessions   map[string]*session   // by client
	open       map[*session]struct{} // those and the ones that are still ending
	topics     topics
	mailboxes  mailboxes
	routed     eventlog.Cursor // up to here entries were handed to sessions
	nows       uint64          // messages with TTL 0 so far
	opening    int             // connections between admission and registration
	publishing int             // calls of Publish in progress
	published  chan struct{}   // closed when draining and publishing is zero
	draining   bool
	closed     bool
	stats      ServerStats
}

// NewServer returns a server that keeps its messages in log. Others may append
// to the log too. The caller closes the log, after the server.
func NewServer(log eventlog.Log, opts ServerOptions) (*Server, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	s := &Server{
		log:       log,
		opts:      opts,
		routing:   make(chan struct{}, 1),
		stop:      make(chan struct{}),
		sessions:  make(map[string]*session),
		open:      make(map[*session]struct{}),
		topics:    make(topics),
		mailboxes: newMailboxes(),
		published: make(chan struct{}),
		routed:    log.Head(),
		stats:     ServerStats{Resets: make(map[Reason]uint64)},
	}
	watch := log.Watch()
	s.running.Add(1)
	go s.follow(watch)
	return s, nil
}

// ServeHTTP upgrades the request to a WebSocket and serves it until it ends.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := s.opts.Authenticate(r)
	if err == nil && id.Client == "" {
		err = fmt.Errorf("push: Authenticate returned no client")
	}
	if err != nil {
		s.count(func(st *ServerStats) { st.Refused++ })
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	hs, err := parseHandshake(r)
	if err == nil && len(id.Client) > maxClientBytes {
		err = fmt.Errorf("push: the client's name has %d bytes, want at most %d", len(id.Client), maxClientBytes)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if status := s.admit(id.Client, hs); status != 0 {
		if status == http.StatusServiceUnavailable {
			after := max(s.opts.Spread, time.Second)
			w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer s.running.Done()

	c := newSession(s, id, hs)
	hijack := &hijackRecorder{ResponseWriter: w}
	c.conn, err = websocket.Accept(hijack, r, &websocket.AcceptOptions{
		OriginPatterns: s.opts.OriginPatterns,
		OnPongReceived: func(context.Context, []byte) { c.heard.Add(1) },
	})
	if err != nil { // Accept has answered
		s.count(func(*ServerStats) { s.opening-- })
		return
	}
	c.raw = hijack.conn
	c.conn.SetReadLimit(maxControlBytes)
	s.count(func(*ServerStats) {
		s.opening--
		s.open[c] = struct{}{}
	})
	c.run()
	s.count(func(*ServerStats) { delete(s.open, c) })
}

// Publish sends the message to the clients of its topic.
//
// With a TTL it returns nil when the log has the message, as durable as the log
// is: from then on, clients get it when they come, as long as it has not expired
// and the log keeps it. Each that is connected and keeps up has it in its queue
// already. An error means that the message was not accepted, or if ctx ended or
// the log failed that it may not have been.
//
// With TTL 0 it waits until the connected clients have confirmed that they have
// handled the message, for NowTimeout at most. It returns [ErrNotDelivered] if
// none has.
func (s *Server) Publish(ctx context.Context, m Message) (Receipt, error) {
	if len(m.Data) > s.opts.MaxMessageBytes {
		return Receipt{}, fmt.Errorf("push: publish to %q: %w: %d bytes, and MaxMessageBytes is %d",
			m.Topic, ErrTooLarge, len(m.Data), s.opts.MaxMessageBytes)
	}
	if len(m.Topic) > maxTopicBytes {
		return Receipt{}, fmt.Errorf("push: Message.Topic: %d bytes, want at most %d", len(m.Topic), maxTopicBytes)
	}
	if m.TTL < 0 && m.TTL != Forever {
		return Receipt{}, fmt.Errorf("push: Message.TTL: %v, want 0 or more, or Forever", m.TTL)
	}
	if err := ctx.Err(); err != nil {
		return Receipt{}, fmt.Errorf("push: publish to %q: %w", m.Topic, err)
	}
	if !s.beginPublish() {
		return Receipt{}, ErrDraining
	}
	defer s.endPublish()
	if m.TTL == 0 {
		return s.publishNow(ctx, m)
	}
	entry := eventlog.Entry{Topic: m.Topic, Data: m.Data, Time: time.Now()}
	if m.TTL > 0 {
		entry.Expires = entry.Time.Add(m.TTL)
	}
	cursor, err := s.log.Append(ctx, entry)
	if err != nil {
		return Receipt{}, fmt.Errorf("push: publish to %q: %w", m.Topic, err)
	}
	s.count(func(st *ServerStats) { st.Published++ })
	s.route()
	if s.opts.Slow == Block {
		s.waitForSlow(ctx, m.Topic, cursor.Offset)
	}
	return Receipt{Cursor: cursor}, nil
}

// Drain ends the server's work: new connections get 503 and Publish ErrDraining,
// connected clients get everything that was published before and then close code
// 1012 (service restart). It returns when all are gone; when ctx ends first it
// cuts the rest off and returns ctx's error. What they missed is in the log.
func (s *Server) Drain(ctx context.Context) error {
	s.beginDrain()
	select {
	case <-s.published:
	case <-ctx.Done():
	}
	s.route()
	for _, c := range s.connected() {
		c.drain()
	}
	gone := make(chan struct{})
	go func() {
		s.stopOnce.Do(func() { close(s.stop) })
		s.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	s.Close()
	<-gone
	return fmt.Errorf("push: drain: %w", ctx.Err())
}

// Close cuts all connections off, without a close frame, and waits until their
// goroutines are gone. Use Drain to part in good order. It returns nil.
func (s *Server) Close() error {
	s.beginDrain()
	s.stopOnce.Do(func() { close(s.stop) })
	s.mu.Lock()
	s.closed = true
	open := inOrder(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range open {
		c.end(endDrained, 0, "") // also one that is saying goodbye
	}
	s.running.Wait()
	return nil
}

func (s *Server) beginPublish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.publishing++
	return true
}

func (s *Server) endPublish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publishing--
	if s.draining && s.publishing == 0 {
		close(s.published)
	}
}

func (s *Server) beginDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining && s.publishing == 0 {
		close(s.published)
	}
	s.draining = true
}

func (s *Server) count(f func(*ServerStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// handshake is what the client says in the query of its request.
type handshake struct {
	cursor  eventlog.Cursor
	run     string // names one Run of a client
	attempt uint64 // counts the connections of that run
}

// maxRunBytes bounds the name of a run, which is kept as long as its session.
const maxRunBytes = 128

func parseHandshake(r *http.Request) (hs handshake, err error) {
	query := r.URL.Query()
	if text := query.Get("cursor"); text != "" {
		if hs.cursor, err = eventlog.ParseCursor(text); err != nil {
			return hs, err
		}
	}
	if hs.run = query.Get("run"); len(hs.run) > maxRunBytes {
		return hs, fmt.Errorf("push: run has %d bytes, want at most %d", len(hs.run), maxRunBytes)
	}
	if text := query.Get("attempt"); text != "" {
		if hs.attempt, err = strconv.ParseUint(text, 10, 64); err != nil {
			return hs, fmt.Errorf("push: attempt %q is not a number", text)
		}
	}
	return hs, nil
}

// hijackRecorder keeps the connection under the WebSocket, since a close
// handshake that has begun can be cut short in no other way.
type hijackRecorder struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijackRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}
