package mux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Session is one end of a connection that streams share. It is a net.Listener for the streams that
// the peer opens. Its methods may be called concurrently.
type Session struct {
	config Config // with defaults
	conn   net.Conn
	client bool
	born   time.Time // all times are since then

	// mu is never held while the connection reads or writes, and no longer than it takes to copy a
	// few hundred bytes, or to send, a frame.
	mu       sync.Mutex
	err      error // why the session has ended; nil: it has not
	code     uint32
	lastWord bool // the peer is to be told the code
	cut      *time.Timer

	streams  map[uint32]*Stream // those of which frames may come
	nextID   uint64             // of the next own stream
	seen     ids                // of the peer's streams
	unacked  int                // own streams that the peer has not acknowledged
	incoming int                // the peer's streams that count for MaxStreams
	backlog  []*Stream          // the peer's streams that wait for Accept
	closing  streamList         // closed by the program, not yet by the peer; oldest first

	draining   bool // no more own streams: Drain was called
	refusing   bool // no more streams of the peer: it knows that
	peerDrains bool

	accepted sync.Cond // backlog, refusing, err
	opened   sync.Cond // unacked, draining, peerDrains, err
	emptied  sync.Cond // streams, err

	in    receiver
	out   sender
	watch watch
	stats Stats

	readDone, writeDone chan struct{}
}

// Stats are the counters of a session.
type Stats struct {
	Streams         int64 // that exist now
	Opened          int64 // by this side
	Accepted        int64 // streams of the peer that the program accepted
	Refused         int64 // streams of the peer that were refused
	Reset           int64 // streams reset by either side
	UnreadBytes     int64 // held now
	SentBytes       int64 // on the connection, headers included
	ReceivedBytes   int64 // on the connection, headers included
	UnansweredPings int64 // pings of the peer beyond PingBacklog
}

func start(conn net.Conn, c Config, client bool) *Session {
	if err := c.Check(); err != nil {
		panic(err)
	}
	s := &Session{
		config: c.withDefaults(), conn: conn, client: client, born: time.Now(),
		streams:  map[uint32]*Stream{},
		nextID:   2,
		readDone: make(chan struct{}), writeDone: make(chan struct{}),
	}
	if client {
		s.nextID = 1
	}
	for _, c := range []*sync.Cond{&s.accepted, &s.opened, &s.emptied, &s.out.work} {
		c.L = &s.mu
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.direct.able = s.config.Linger == 0 && interruptible(conn)
	s.watch.begin(s)
	go s.readLoop()
	go s.writeLoop()
	return s
}

// Open opens a stream. The peer is notified at once, but Open does not wait for its answer: see
// [ErrRefused]. If there are AcceptBacklog streams that the peer has not acknowledged, Open waits.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.wait(ctx, &s.opened, func() bool {
		return s.err != nil || s.draining || s.peerDrains || s.nextID > 1<<32-1 || s.unacked < s.config.AcceptBacklog
	})
	switch {
	case err != nil:
		return nil, err
	case s.err != nil:
		return nil, s.err
	case s.draining || s.peerDrains:
		return nil, ErrDraining
	case s.nextID > 1<<32-1:
		return nil, ErrExhausted
	}
	st := s.newStream(uint32(s.nextID))
	st.own = true
	st.owe.syn = true
	s.nextID += 2
	s.unacked++
	s.stats.Opened++
	s.owes(st)
	s.wakeWriter()
	return st, nil
}

// AcceptStream waits for a stream of the peer.
func (s *Session) AcceptStream(ctx context.Context) (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.wait(ctx, &s.accepted, func() bool { return s.err != nil || s.refusing || len(s.backlog) > 0 })
	switch {
	case err != nil:
		return nil, err
	case s.err != nil:
		return nil, s.err
	case len(s.backlog) == 0:
		return nil, ErrDraining
	}
	st := s.backlog[0]
	s.backlog = slices.Delete(s.backlog, 0, 1)
	st.acked = true
	st.owe.ack = true
	s.stats.Accepted++
	s.owes(st)
	s.wakeWriter()
	return st, nil
}

// Accept is AcceptStream as a method of net.Listener. The connection it returns is a
// *[Stream].
func (s *Session) Accept() (net.Conn, error) {
	st, err := s.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	return st, nil
}

// now returns the time since the session began.
func (s *Session) now() time.Duration { return time.Since(s.born) }

// Addr returns the connection's local address.
func (s *Session) Addr() net.Addr { return s.conn.LocalAddr() }

// wait waits until ready, or until ctx is done. mu is held.
func (s *Session) wait(ctx context.Context, c *sync.Cond, ready func() bool) error {
	if ready() {
		return nil
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			c.Broadcast()
		})
		defer stop()
	}
	for !ready() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.Wait()
	}
	return nil
}

// Close ends the session and all its streams at once. It sends what was written, if the connection
// accepts it within GoAwayTimeout, notifies the peer, and waits for both.
func (s *Session) Close() error {
	s.mu.Lock()
	s.fail(ErrClosed, CodeNormal, true)
	s.mu.Unlock()
	<-s.readDone
	<-s.writeDone
	return nil
}

// Done is closed when the session has ended and no longer holds the connection. Err returns
// the reason.
func (s *Session) Done() <-chan struct{} { return s.readDone }

// Err returns why the session has ended, and nil if it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Streams = int64(len(s.streams))
	stats.UnreadBytes = int64(s.in.unread)
	return stats
}

// fail ends the session, unless it has ended already. All calls that wait for it or its streams
// return. mu is held.
func (s *Session) fail(err error, code uint32, tell bool) {
	if s.err != nil {
		return
	}
	s.err, s.code, s.lastWord = err, code, tell
	s.watch.stop()
	s.accepted.Broadcast()
	s.opened.Broadcast()
	s.emptied.Broadcast()
	for _, id := range slices.Sorted(maps.Keys(s.streams)) {
		s.streams[id].wake()
	}
	s.failPings()
	s.wakeWriter()
	s.logEnd(err)
	// What blocks the reader, and a writer whose peer does not read, is the connection.
	if !tell || s.out.err != nil {
		go s.conn.Close()
		return
	}
	s.cut = time.AfterFunc(s.config.GoAwayTimeout, func() { s.conn.Close() })
}

// logEnd logs why the session has ended. If the peer announced the end and cut off no stream, it
// only disconnected. mu is held.
func (s *Session) logEnd(err error) {
	if s.config.Logger == nil || err == ErrClosed {
		return
	}
	level := slog.LevelWarn
	if gone := (*GoAwayError)(nil); errors.As(err, &gone) && gone.Code == CodeNormal && len(s.streams) == 0 {
		level = slog.LevelDebug
	}
	s.config.Logger.Log(context.Background(), level, "mux: session ended", "client", s.conn.RemoteAddr(), "error", err)
}

// violation returns the error for what the peer did, which ends the session.
func violation(stream uint32, format string, args ...any) error {
	return &ProtocolError{Stream: stream, Reason: fmt.Sprintf(format, args...)}
}

// ids records which stream numbers the peer has used. The peer counts upwards, but its goroutines
// may send the first frames of a few streams in another order. Numbers that are further back than
// that count as used.
type ids struct {
	highest uint32
	recent  [idWindow / 64]uint64 // one bit for each id, by id/2 modulo the window
}

const idWindow = 1024

// use reports whether an id is new, and records it.
func (u *ids) use(id uint32) bool {
	n := id / 2
	if id > u.highest {
		from := u.highest / 2
		if u.highest == 0 {
			from = n // the first may be any
			u.recent = [idWindow / 64]uint64{}
		}
		for k := from + 1; k <= n && k-from <= idWindow; k++ {
			u.recent[k/64%(idWindow/64)] &^= 1 << (k % 64)
		}
		u.highest = id
	} else if u.highest/2-n >= idWindow {
		return false
	}
	word, bit := &u.recent[n/64%(idWindow/64)], uint64(1)<<(n%64)
	fresh := *word&bit == 0
	*word |= bit
	return fresh
}
