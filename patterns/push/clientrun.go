package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/redact"
	"github.com/squall-sim/squall/patterns/retry"
)

// clientRun is one call of Run.
type clientRun struct {
	*Client
	handler      func(context.Context, Event) error
	name         string // tells the server which connections are of one run
	attempt      uint64
	comeback     comeback
	log          *slog.Logger
	dialTimeout  time.Duration
	ackInterval  time.Duration
	writeTimeout time.Duration
	maxBytes     int
}

// connect makes one connection and serves it. It returns how long that lasted,
// from hello on, and why it ended.
func (r *clientRun) connect(ctx context.Context) (time.Duration, error) {
	deadline := time.Now().Add(r.dialTimeout)
	n := &clientConn{clientRun: r, heardFor: r.dialTimeout}
	if err := n.dial(ctx); err != nil {
		return 0, err
	}
	// Whatever ends this connection, it ends by being closed.
	stop := context.AfterFunc(ctx, func() { n.conn.CloseNow() })
	defer stop()
	n.watchdog = time.AfterFunc(time.Until(deadline), func() {
		n.silent.Store(true)
		n.conn.CloseNow()
	})
	defer n.watchdog.Stop()
	defer n.conn.CloseNow()

	m, err := n.receive()
	if err != nil {
		return 0, n.explain(err)
	}
	if m.control.Hello == nil {
		return 0, fmt.Errorf("push: the server's first message is not a hello")
	}
	n.hello, n.since = *m.control.Hello, time.Now()
	if err := n.hello.check(); err != nil {
		return 0, err
	}
	switch at := n.Cursor(); {
	case n.hello.Reset != "":
	case at.IsZero() && n.FromNow:
		n.begin()
	case n.hello.Cursor != at:
		return 0, fmt.Errorf("push: asked to continue from %s, the server does from %s", at, n.hello.Cursor)
	}
	n.heardFor = fromWire(n.hello.PingInterval) + fromWire(n.hello.PingTimeout)
	n.touch()
	if n.hello.Spread != nil {
		r.comeback.spread = fromWire(*n.hello.Spread)
	}
	r.log.Debug("push: connected", "client", r.ID, "cursor", n.hello.Cursor)
	r.count(func(st *ClientStats) {
		st.Connects++
		st.Expired += n.hello.Expired
	})
	err = n.serve(ctx)
	return time.Since(n.since), n.explain(err)
}

func fromWire(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

func (r *clientRun) count(f func(*ClientStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// clientConn is one connection of a client.
type clientConn struct {
	*clientRun
	conn     *websocket.Conn
	hello    hello
	since    time.Time   // when the hello came
	watchdog *time.Timer // closes the connection unless something is heard
	heardFor time.Duration
	silent   atomic.Bool // the watchdog did it

	piece [4 << 10]byte // what is read at once
	inbox chan *inbound // pointers, since an idle client has it all empty
	held  atomic.Int64  // bytes in the inbox and at the handler
	room  chan struct{} // a token for the reader: held has shrunk
	stop  chan struct{}

	unacked      int // events handled since the last ack
	unackedBytes int
	ackTimer     *time.Timer
}

// inbound is a message of the server.
type inbound struct {
	control   control // if Type is not empty
	frame     frame
	size      int
	oversized bool // the frame's data was not read
	err       error
}

func (n *clientConn) dial(ctx context.Context) error {
	n.attempt++
	n.count(func(st *ClientStats) { st.Dials++ })
	u, err := url.Parse(n.URL)
	if err != nil {
		return &finalError{err} // check has parsed it before
	}
	query := u.Query()
	query.Set("client", n.ID)
	query.Set("run", n.name)
	query.Set("attempt", strconv.FormatUint(n.attempt, 10))
	query.Set("version", strconv.Itoa(protocolVersion))
	for _, topic := range n.Topics {
		query.Add("topic", topic)
	}
	switch c := n.Cursor(); {
	case !c.IsZero():
		query.Set("cursor", c.String())
	case n.FromNow:
		query.Set("from", "now")
	}
	u.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(ctx, n.dialTimeout)
	defer cancel()
	var header http.Header
	if n.Header != nil {
		if header, err = n.Header(ctx); err != nil {
			return noHeader(err)
		}
	}
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: n.HTTP,
		HTTPHeader: header,
		OnPingReceived: func(context.Context, []byte) bool {
			n.touch()
			n.count(func(st *ClientStats) { st.Pings++ })
			return true
		},
	})
	if err != nil {
		return refused(resp, redact.Error(err))
	}
	n.conn = conn
	conn.SetReadLimit(int64(n.maxBytes + maxHeaderBytes))
	return nil
}

// noHeader is what an error of Client.Header means: a failed attempt, unless it is a final refusal.
func noHeader(err error) error {
	err = fmt.Errorf("push: Client.Header: %w", err)
	var status *retry.StatusError
	if errors.As(err, &status) && !retry.Temporary(status.Status) {
		return &finalError{err}
	}
	return err
}

// maxHeaderBytes is the largest size of a frame without its data.
const maxHeaderBytes = 4 << 10

// touch notes a sign of life.
func (n *clientConn) touch() {
	if n.watchdog != nil {
		n.watchdog.Reset(n.heardFor)
	}
}

// explain adds to a connection's error what the connection does not know.
func (n *clientConn) explain(err error) error {
	if n.silent.Load() && !errors.As(err, new(*finalError)) {
		n.count(func(st *ClientStats) { st.Silent++ })
		return fmt.Errorf("push: nothing heard from the server for %v: %w", n.heardFor, err)
	}
	return err
}

// receive reads one message. Each piece is a sign of life, so that a large one
// may take long on a slow link.
func (n *clientConn) receive() (*inbound, error) {
	typ, reader, err := n.conn.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	var b []byte
	for err == nil {
		var k int
		k, err = reader.Read(n.piece[:])
		b = append(b, n.piece[:k]...)
		n.touch()
	}
	m := &inbound{size: len(b)}
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		m.oversized = true
	case err != io.EOF:
		return nil, err
	}
	if typ == websocket.MessageText {
		if !m.oversized && !utf8.Valid(b) { // RFC 6455, section 8.1
			n.conn.Close(websocket.StatusInvalidFramePayloadData, "text is not UTF-8")
			return nil, errors.New("push: the server sent a text that is not UTF-8")
		}
		m.control, err = decodeControl(b)
	} else {
		m.frame, err = decodeFrame(b)
		m.oversized = m.oversized || len(m.frame.data) > n.maxBytes
	}
	return m, err
}

// read fills the inbox until the connection ends. It never waits for a handler,
// since the server sends no more than fits: pings are answered in time.
func (n *clientConn) read() {
	defer close(n.inbox)
	for {
		m, err := n.receive()
		if err != nil {
			m = &inbound{err: err}
		}
		if !n.put(m) {
			return
		}
		if m.oversized {
			n.conn.Close(websocket.StatusMessageTooBig, "message too big")
			return
		}
		if err != nil {
			return
		}
	}
}

// put waits for room for the message. While it waits for the client's own handler, the
// server's silence does not count. It reports false when the connection is over.
func (n *clientConn) put(m *inbound) bool {
	// A server that keeps to its window never gets there: beside it there may be a snapshot,
	// and one message that is larger than the window.
	limit := int64(n.hello.WindowBytes) + 2*int64(n.maxBytes+maxHeaderBytes)
	size := int64(m.size)
	for held := n.held.Add(size); held > max(limit, size); held = n.held.Load() {
		n.watchdog.Stop()
		select {
		case <-n.room:
			n.touch()
		case <-n.stop:
			return false
		}
	}
	select {
	case n.inbox <- m:
		return true
	default:
	}
	n.watchdog.Stop()
	select {
	case n.inbox <- m:
		n.touch()
		return true
	case <-n.stop:
		return false
	}
}

// serve handles messages until the connection ends.
func (n *clientConn) serve(ctx context.Context) error {
	// Beside the window: the snapshot, a position per ping, gaps, the error.
	n.inbox = make(chan *inbound, n.hello.Window+64)
	n.room = make(chan struct{}, 1)
	n.stop = make(chan struct{})
	n.ackTimer = time.NewTimer(time.Hour)
	n.ackTimer.Stop()
	go n.read()
	defer func() {
		n.ackTimer.Stop()
		close(n.stop)
		n.conn.CloseNow()
		for range n.inbox { // until the reader is gone
		}
	}()

	if n.hello.Reset != "" && !n.hello.Snapshot {
		if err := n.reset(ctx, nil); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ackTimer.C:
			n.ack()
		case m, ok := <-n.inbox:
			if !ok {
				return fmt.Errorf("push: connection closed after an oversized message")
			}
			if err := n.handle(ctx, m); err != nil {
				return err
			}
			n.held.Add(-int64(m.size))
			select {
			case n.room <- struct{}{}:
			default:
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (n *clientConn) handle(ctx context.Context, m *inbound) error {
	switch {
	case m.err != nil:
		return m.err
	case m.oversized:
		return n.oversized(ctx, m)
	case m.control.Type == typePosition:
		n.advance(m.control.Offset)
		return nil
	case m.control.Type == typeGap:
		return n.gap(ctx, Gap{Skipped: m.control.Skipped, Cursor: n.at(m.control.Offset)})
	case m.control.Type != "":
		return fmt.Errorf("push: the server sent a message of type %q", m.control.Type)
	case m.frame.kind == kindSnapshot:
		if !n.hello.Snapshot {
			return fmt.Errorf("push: the server sent a snapshot that was not announced")
		}
		n.hello.Snapshot = false
		return n.reset(ctx, m.frame.data)
	}
	return n.event(ctx, m)
}

// event handles an event or a message with TTL Now.
func (n *clientConn) event(ctx context.Context, m *inbound) error {
	f := m.frame
	ev := Event{Topic: f.topic, Data: f.data}
	if f.kind == kindEvent {
		ev.Cursor = n.at(f.number)
		n.unacked++
		n.unackedBytes += m.size
		if f.number <= n.Cursor().Offset {
			n.count(func(st *ClientStats) { st.Duplicates++ })
			n.ackSoon()
			return nil
		}
	}
	if n.expired(f.expires) {
		n.count(func(st *ClientStats) { st.Expired++ })
	} else {
		if err := n.handler(ctx, ev); err != nil {
			return &finalError{fmt.Errorf("push: handler: %w", err)}
		}
		n.count(func(st *ClientStats) { st.Events++ })
		if f.kind == kindNow {
			n.send(control{Type: typeGot, ID: f.number})
		}
	}
	if f.kind == kindEvent {
		n.advance(f.number)
		n.ackSoon()
	}
	return nil
}

// expired judges by the server's clock as of hello, plus the time since: the
// two hosts' clocks need not agree.
func (n *clientConn) expired(at time.Time) bool {
	if at.IsZero() {
		return false
	}
	now := fromMicros(n.hello.Now).Add(time.Since(n.since))
	return !now.Before(at)
}

func (n *clientConn) reset(ctx context.Context, snapshot []byte) error {
	r := Reset{Reason: n.hello.Reset, Cursor: n.hello.Cursor, Snapshot: snapshot}
	if r.Reason != ReasonNew {
		n.log.Warn("push: reset", "client", n.ID, "reason", r.Reason, "cursor", r.Cursor)
	}
	switch {
	case n.OnReset != nil:
		if err := n.OnReset(ctx, r); err != nil {
			return &finalError{fmt.Errorf("push: reset: %w", err)}
		}
	case r.Reason != ReasonNew || snapshot != nil:
		return &finalError{ErrReset}
	}
	n.begin()
	n.count(func(st *ClientStats) { st.Resets++ })
	return nil
}

// begin makes the hello's cursor the client's own.
func (n *clientConn) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cursor = n.hello.Cursor
}

func (n *clientConn) gap(ctx context.Context, g Gap) error {
	n.log.Warn("push: messages dropped", "client", n.ID, "skipped", g.Skipped, "oversized", g.Oversized, "cursor", g.Cursor)
	if n.OnGap == nil {
		return &finalError{ErrGap}
	}
	if err := n.OnGap(ctx, g); err != nil {
		return &finalError{fmt.Errorf("push: gap: %w", err)}
	}
	n.count(func(st *ClientStats) {
		st.Gaps++
		st.Skipped += g.Skipped
	})
	n.advance(g.Cursor.Offset)
	return nil
}

// oversized skips the message, which would otherwise be sent again forever.
func (n *clientConn) oversized(ctx context.Context, m *inbound) error {
	n.count(func(st *ClientStats) { st.Oversized++ })
	switch m.frame.kind {
	case kindEvent:
		return n.gap(ctx, Gap{Skipped: 1, Cursor: n.at(m.frame.number), Oversized: true})
	case kindNow:
		return nil // not confirmed, so its publisher will know
	}
	return &finalError{fmt.Errorf("push: snapshot: %w: over %d bytes (Client.MaxMessageBytes)", eventlog.ErrTooLarge, n.maxBytes)}
}

func (n *clientConn) at(offset uint64) eventlog.Cursor {
	return eventlog.Cursor{Epoch: n.hello.Cursor.Epoch, Offset: offset}
}

func (n *clientConn) advance(offset uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cursor.Offset = max(n.cursor.Offset, offset)
}

// ackSoon acknowledges after AckInterval, or at once if the server would
// otherwise run out of window.
func (n *clientConn) ackSoon() {
	switch {
	case 2*n.unacked >= n.hello.Window || 2*n.unackedBytes >= n.hello.WindowBytes:
		n.ack()
	case n.unacked == 1:
		n.ackTimer.Reset(n.ackInterval)
	}
}

func (n *clientConn) ack() {
	n.ackTimer.Stop()
	n.unacked, n.unackedBytes = 0, 0
	n.count(func(st *ClientStats) { st.Acks++ })
	n.send(control{Type: typeAck, Offset: n.Cursor().Offset})
}

// send writes a control message. If it cannot, the connection is closed, and
// the reader says why: what it has read before, perhaps a close frame, comes
// first.
func (n *clientConn) send(msg control) {
	ctx, cancel := context.WithTimeout(context.Background(), n.writeTimeout)
	defer cancel()
	if n.conn.Write(ctx, websocket.MessageText, msg.encode()) != nil {
		n.conn.CloseNow()
	}
}
