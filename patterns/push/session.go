package push

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/wsframe"
)

// maxControlBytes bounds what a client may send in one message.
const maxControlBytes = 4 << 10

// maxBeaten bounds how many fenced runs of a client a session remembers.
const maxBeaten = 16

// session is one connection of a client: a reader, a writer and a heartbeat. The
// writer takes from the log until it has caught up, and from the queue then.
type session struct {
	handshake
	srv     *Server
	id      access.Identity
	topics  []string        // by name; the mailbox is the first
	filters []string        // with wildcards
	spots   []*list.Element // under each of the topics, and among those with filters, while registered; the server's mutex guards it
	beaten  []string        // runs that this one and those before it fenced; set while it is registered
	since   time.Time
	conn    *wsframe.Conn

	heard  atomic.Uint64 // signs of life: pongs and messages
	pings  atomic.Uint64 // that were sent
	pongs  chan string   // what they carried
	pinged atomic.Int64  // when the outstanding ping was sent, in ns after since; 0: none
	late   atomic.Bool   // a write was not done in time
	wake   chan struct{} // a token for the writer: look again
	done   chan struct{} // closed by end

	backlog []item // from the log, still to be written; the writer's own

	// mu is never held while anything blocks.
	mu            sync.Mutex
	live          bool // reads from the queue
	lagging       bool // was live and fell behind, under Block
	draining      bool
	ended         bool
	status        websocket.StatusCode // to close with; 0: without a close frame
	reason        string
	cursor        eventlog.Cursor // up to here entries are sent, queued or not for this client
	sent, acked   eventlog.Cursor
	queue         queue
	inflight      []flight
	inflightBytes int
	nows          map[uint64]chan<- bool // sent and not confirmed
	waiters       []waiter
	caught        drops // of the backlog
}

// flight is a message that was sent and not yet acknowledged.
type flight struct {
	kind   itemKind
	number uint64
	bytes  int
}

// waiter is a publisher that waits for the session to reach an offset.
type waiter struct {
	offset  uint64
	reached chan struct{}
}

func newSession(s *Server, id access.Identity, hs handshake) *session {
	wanted := hs.topics
	if len(wanted) == 0 {
		wanted = id.Topics
	}
	topics := []string{Mailbox(id.Client)}
	var filters []string
	for _, topic := range wanted {
		switch {
		case strings.HasPrefix(topic, mailboxPrefix): // it has its own, and no client another's
		case strings.ContainsAny(topic, "*>"):
			filters = append(filters, topic)
		case !slices.Contains(topics, topic): // it gets a message of each once
			topics = append(topics, topic)
		}
	}
	return &session{
		handshake: hs,
		srv:       s,
		id:        id,
		topics:    topics,
		filters:   filters,
		since:     time.Now(),
		wake:      make(chan struct{}, 1),
		done:      make(chan struct{}),
		pongs:     make(chan string, 1),
		nows:      make(map[uint64]chan<- bool),
		queue:     queue{policy: s.Slow, maxCount: s.opts.MaxQueue, maxBytes: s.opts.MaxQueueBytes},
	}
}

// wants reports whether the session receives the topic. Filters select no mailboxes.
func (c *session) wants(topic string) bool {
	return slices.Contains(c.topics, topic) || c.selects(topic)
}

func (c *session) selects(topic string) bool {
	return !strings.HasPrefix(topic, mailboxPrefix) &&
		slices.ContainsFunc(c.filters, func(filter string) bool { return access.Match(filter, topic) })
}

// run serves the connection until it has ended in every respect.
func (c *session) run() {
	var others sync.WaitGroup
	others.Go(c.write)
	others.Go(c.heartbeat)
	c.read()
	others.Wait()
}

// newer reports whether the session belongs to the same Run as the handshake and
// was dialled later: a connection that was given up may arrive after the one
// that replaced it.
func (c *session) newer(hs handshake) bool {
	return c.handshake.run != "" && c.handshake.run == hs.run && c.attempt > hs.attempt
}

// offer queues an entry if the session is live. It reports false if the client
// is too slow and must be disconnected.
func (c *session) offer(it item, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.live || it.number <= c.cursor.Offset {
		return true
	}
	if !c.queue.push(it, now) {
		if c.srv.Slow != Block {
			return false
		}
		c.live, c.lagging = false, true
		return true
	}
	c.cursor.Offset = it.number
	c.signal()
	return true
}

// offerNow queues a message with TTL Now, unless the client is gone or has no room.
func (c *session) offerNow(it item, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.queue.push(it, now) {
		return false
	}
	c.signal()
	return true
}

// signal wakes the writer.
func (c *session) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// lagsBehind returns a channel that is closed when the session has reached the
// offset or ended, or nil if there is nothing to wait for.
func (c *session) lagsBehind(offset uint64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.lagging || c.cursor.Offset >= offset {
		return nil
	}
	w := waiter{offset, make(chan struct{})}
	c.waiters = append(c.waiters, w)
	return w.reached
}

// release lets the publishers go whose offset was reached.
func (c *session) release() {
	kept := c.waiters[:0]
	for _, w := range c.waiters {
		if w.offset > c.cursor.Offset && c.lagging && !c.ended {
			kept = append(kept, w)
			continue
		}
		close(w.reached)
	}
	c.waiters = kept
}

// caughtUp is called with mu held when the session has become live.
func (c *session) caughtUp() {
	c.lagging = false
	c.release()
}

// drain lets the session end when everything is written.
func (c *session) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.signal()
}

// end ends the session, once: from here on nothing more is sent or taken as
// acknowledged. With a status the writer still says goodbye, after the write in
// progress; without one the connection is cut off at once.
func (c *session) end(cause endCause, status websocket.StatusCode, reason string) {
	c.mu.Lock()
	first := !c.ended
	if first {
		c.ended, c.status, c.reason = true, status, reason
		for len(c.queue.items) > 0 {
			if it := c.queue.pop(); it.kind == itemNow {
				it.done <- false
			}
		}
		for _, done := range c.nows {
			done <- false
		}
		clear(c.nows)
		c.release()
		close(c.done)
		c.signal()
	}
	c.mu.Unlock()
	if first {
		c.srv.remove(c, cause, reason)
	}
	if status == 0 && c.conn != nil {
		c.conn.Cut()
	}
}

// over reports whether the session has ended.
func (c *session) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// read takes acknowledgements until the connection ends.
func (c *session) read() {
	for {
		typ, b, err := c.conn.Read(context.Background())
		if err != nil {
			c.end(c.whyReadFailed(err))
			return
		}
		c.heard.Add(1)
		switch {
		case typ != websocket.MessageText:
			c.end(endGone, websocket.StatusUnsupportedData, "want text")
			return
		case !utf8.Valid(b): // RFC 6455, section 8.1
			c.end(endGone, websocket.StatusInvalidFramePayloadData, "text is not UTF-8")
			return
		}
		msg, err := decodeControl(b)
		if err == nil {
			err = c.take(msg)
		}
		if err != nil {
			c.end(endGone, websocket.StatusPolicyViolation, "unexpected message")
			return
		}
	}
}

func (c *session) whyReadFailed(err error) (endCause, websocket.StatusCode, string) {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return endTooBig, websocket.StatusMessageTooBig, "message too big"
	case websocket.CloseStatus(err) == websocket.StatusMessageTooBig:
		return endTooBig, 0, ""
	}
	return c.whyBroken(), 0, ""
}

// whyBroken tells a connection that broke from one that was closed from below
// because a write or a ping had not been written in time.
func (c *session) whyBroken() endCause {
	if c.late.Load() {
		return endWriteTimeout
	}
	if at := c.pinged.Load(); at != 0 && int64(time.Since(c.since))-at >= int64(c.srv.opts.PingTimeout) {
		return endSilent
	}
	return endGone
}

// take handles a message of the client.
func (c *session) take(msg control) error {
	switch msg.Type {
	case typeAck:
		return c.ack(msg.Offset)
	case typeGot:
		c.got(msg.ID)
		return nil
	}
	return fmt.Errorf("push: client sent a message of type %q", msg.Type)
}

func (c *session) ack(offset uint64) error {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil
	}
	if offset > c.sent.Offset {
		c.mu.Unlock()
		return fmt.Errorf("push: client acknowledged offset %d, sent was %d", offset, c.sent.Offset)
	}
	n := c.land(func(f flight) bool { return f.kind == itemEvent && f.number <= offset })
	if offset > c.acked.Offset {
		c.acked = eventlog.Cursor{Epoch: c.sent.Epoch, Offset: offset}
	}
	acked := c.acked
	c.signal()
	c.mu.Unlock()

	c.srv.count(func(st *ServerStats) { st.Acked += n })
	c.srv.settle(c.id.Client, offset, nil)
	if f := c.srv.OnAck; f != nil {
		err := c.srv.guard("OnAck", func() { f(c.id.Client, acked) }, "client", c.id.Client)
		if err != nil {
			c.end(endFailed, websocket.StatusInternalError, "the acknowledgement failed")
		}
	}
	return nil
}

func (c *session) got(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done := c.nows[id]; done != nil {
		delete(c.nows, id)
		done <- true
	}
	c.land(func(f flight) bool { return f.kind == itemNow && f.number == id })
	c.signal()
}

// land takes messages out of the window.
func (c *session) land(landed func(flight) bool) (n int64) {
	kept := c.inflight[:0]
	for _, f := range c.inflight {
		if landed(f) {
			c.inflightBytes -= f.bytes
			n++
			continue
		}
		kept = append(kept, f)
	}
	c.inflight = kept
	return n
}

// addTo adds what the session has counted itself. It is called with mu held.
func (c *session) addTo(st *ServerStats) {
	for _, d := range []drops{c.queue.dropped, c.caught} {
		st.Expired += d.expired
		st.DroppedOldest += d.oldest
		st.DroppedNewest += d.newest
		st.Coalesced += d.coalesced
	}
	st.PeakQueue = max(st.PeakQueue, int64(c.queue.peak))
	st.PeakQueueBytes = max(st.PeakQueueBytes, int64(c.queue.peakB))
}

// endCause is why a session ended.
type endCause int

const (
	endGone endCause = iota
	endFenced
	endSlow
	endSilent
	endWriteTimeout
	endTooBig
	endUnauthorized
	endDrained
	endFailed
)

func (e endCause) counter(st *ServerStats) *int64 {
	return []*int64{&st.Gone, &st.Fenced, &st.Slow, &st.Silent, &st.WriteTimeouts,
		&st.TooBig, &st.Unauthorized, &st.Drained, &st.Failed}[e]
}

func (e endCause) String() string {
	return [...]string{"gone", "fenced", "slow", "silent", "write timeout",
		"message too big", "credentials expired", "drained", "failed"}[e]
}

// level is that of the end in the log.
func (e endCause) level() slog.Level {
	switch e {
	case endGone, endDrained:
		return slog.LevelDebug
	case endFailed:
		return slog.LevelError
	}
	return slog.LevelWarn
}
