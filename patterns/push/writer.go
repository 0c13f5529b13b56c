package push

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// write is the session's writer: all messages of a connection go through it, one
// after the other.
func (c *session) write() {
	if c.admitted() && c.open() {
		for {
			b, ok := c.next()
			if !ok || !c.send(b) {
				break
			}
		}
	}
	<-c.done
	c.mu.Lock()
	status, reason := c.status, c.reason
	c.mu.Unlock()
	if status != 0 {
		c.conn.Close(status, reason)
	}
	c.conn.Cut()
	c.conn.CloseNow()
}

// admitted makes the session the client's own, unless it ends before. Another run's
// session is taken over only when the client answers: what a process sent before it died
// may come to be read after the connection of the next process, and must not fence that.
func (c *session) admitted() bool {
	for answered := false; !c.srv.register(c, answered); answered = true {
		if answered, _ := c.ping(); !answered {
			c.end(endSilent, 0, "")
			return false
		}
	}
	return !c.over()
}

// open finds out where the client continues and tells it.
func (c *session) open() bool {
	h, snapshot, err := c.resume()
	if err != nil {
		c.end(endFailed, websocket.StatusInternalError, "no state to begin with")
		return false
	}
	msg := control{Type: typeHello, Hello: h}
	if !c.writeFrames(msg.pack()) {
		return false
	}
	if h.Snapshot {
		f := frame{kind: kindSnapshot, data: snapshot}
		packed, _ := f.pack()
		return c.writeFrames(packed)
	}
	return true
}

func (c *session) resume() (*hello, []byte, error) {
	o := &c.srv.opts
	h := &hello{
		Version:      protocolVersion,
		PingInterval: o.PingInterval.Microseconds(),
		PingTimeout:  o.PingTimeout.Microseconds(),
		Window:       o.Window,
		WindowBytes:  o.WindowBytes,
	}
	if s := c.srv.RetrySpread; s != 0 {
		spread := max(s, 0).Microseconds()
		h.Spread = &spread
	}
	var snapshot []byte
	next := c.handshake.cursor
	h.Cursor, h.Reset = next, ReasonNew
	var page eventlog.Page
	switch {
	case c.handshake.fromNow:
		next = c.srv.opts.Log.Head()
		h.Cursor, h.Reset = next, ""
	case !next.IsZero():
		var err error
		if page, err = c.readLog(next); err != nil {
			c.srv.opts.Logger.Error("push: the log failed", "client", c.id.Client, "error", err)
			return nil, nil, err
		}
		h.Reset = page.Reset
		next = page.Next
	}
	switch {
	case h.Reset == "":
	case c.srv.Snapshot == nil:
		next = c.srv.opts.Log.Tail()
		h.Cursor = next
	default:
		// The position first: what happens while the snapshot is made comes
		// after it as an event, and may be in both, but never in neither.
		next = c.srv.opts.Log.Head()
		h.Cursor, h.Snapshot = next, true
		ctx, cancel := c.context()
		defer cancel()
		var err error
		panicked := c.srv.guard("Snapshot", func() { snapshot, err = c.srv.Snapshot(ctx, c.id) }, "client", c.id.Client)
		if panicked != nil {
			return nil, nil, panicked
		}
		if err != nil {
			o.Logger.Error("push: Snapshot failed", "client", c.id.Client, "error", err)
			return nil, nil, err
		}
	}
	c.load(page, next)
	c.mu.Lock()
	c.sent = h.Cursor
	c.mu.Unlock()
	h.Expired = c.srv.resumed(c, h.Cursor.Offset, h.Reset)
	h.Now = toMicros(time.Now())
	return h, snapshot, nil
}

// context ends with the session.
func (c *session) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-c.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (c *session) readLog(from eventlog.Cursor) (eventlog.Page, error) {
	q := eventlog.Query{MaxEntries: c.srv.opts.MaxQueue, MaxBytes: c.srv.opts.MaxQueueBytes}
	if len(c.filters) == 0 {
		q.Topics = c.topics
	} else {
		q.Match = c.wants
	}
	return c.srv.opts.Log.After(from, q)
}

// load makes a page the backlog and moves on to next.
func (c *session) load(page eventlog.Page, next eventlog.Cursor) {
	for i := range page.Entries {
		c.backlog = append(c.backlog, c.srv.event(&page.Entries[i]))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursor = next
	c.release()
}

// fill reads on in the log, or makes the session live if that has no more.
func (c *session) fill() {
	c.mu.Lock()
	from := c.cursor
	c.mu.Unlock()
	page, err := c.readLog(from)
	switch {
	case err != nil:
		c.srv.opts.Logger.Error("push: the log failed", "client", c.id.Client, "error", err)
		c.end(endFailed, websocket.StatusInternalError, "the log failed")
	case page.Reset != "":
		c.end(endSlow, StatusSlow, overtaken)
	default:
		c.load(page, page.Next)
		if len(page.Entries) == 0 {
			c.srv.attach(c)
		}
	}
}

// batch is what is written at once.
type batch struct {
	frames   []byte
	messages int64
	skipped  int64   // that its gaps tell of
	buffer   *[]byte // of frames, if it is of batches
}

// maxBatch bounds what is copied to be written with one call: more saves little.
const maxBatch = 16 << 10

var batches = sync.Pool{New: func() any { return new([]byte) }}

// add appends an item. The first is not copied.
func (b *batch) add(it item) {
	packed := it.frame
	switch it.kind {
	case itemGap:
		packed = (&control{Type: typeGap, Offset: it.number, Skipped: it.skipped}).pack()
		b.skipped += it.skipped
	case itemPosition:
		packed = (&control{Type: typePosition, Offset: it.number}).pack()
	default:
		b.messages++
	}
	if b.frames == nil {
		b.frames = packed
		return
	}
	if b.buffer == nil {
		b.buffer = batches.Get().(*[]byte)
		b.frames = append((*b.buffer)[:0], b.frames...)
	}
	b.frames = append(b.frames, packed...)
}

// free is called when the batch is written.
func (b *batch) free() {
	if b.buffer != nil {
		*b.buffer = b.frames
		batches.Put(b.buffer)
	}
}

// next waits for the next items to send. It reports false when the session has
// ended.
func (c *session) next() (batch, bool) {
	for {
		c.mu.Lock()
		now := time.Now()
		var b batch
		it, ok := c.takeNext(now, math.MaxInt)
		for more := ok; more; it, more = c.takeNext(now, maxBatch-len(b.frames)) {
			b.add(it)
		}
		lapsed := c.queue.gone
		c.queue.gone = nil
		ended, idle := c.ended, len(c.backlog) == 0 && len(c.queue.items) == 0
		live, draining := c.live, c.draining
		c.mu.Unlock()
		if len(lapsed) > 0 {
			c.srv.settle(c.id.Client, 0, lapsed)
		}
		switch {
		case ended:
			b.free()
			return batch{}, false
		case ok:
			return b, true
		case idle && !live:
			c.fill()
		case idle && draining:
			c.end(endDrained, websocket.StatusServiceRestart, "server is restarting")
		default:
			<-c.wake
		}
	}
}

// takeNext removes the next item that may be sent now, if its frame has at most so many
// bytes, and puts it into the window. Expired ones go, however long they waited and
// wherever.
func (c *session) takeNext(now time.Time, most int) (item, bool) {
	for len(c.backlog) > 0 && c.backlog[0].expired(now) {
		c.caught.expired++
		c.queue.gone = append(c.queue.gone, c.backlog[0].number)
		c.backlog = c.backlog[1:]
	}
	for len(c.queue.items) > 0 && c.queue.items[0].message() && c.queue.items[0].expired(now) {
		it := c.queue.pop()
		c.queue.lapse(&it)
	}
	var it item
	switch {
	case c.ended:
		return item{}, false
	case len(c.backlog) > 0:
		if it = c.backlog[0]; !c.room(it) || len(it.frame) > most {
			return item{}, false
		}
		c.backlog = c.backlog[1:]
	case len(c.queue.items) > 0:
		if it = c.queue.items[0]; !c.room(it) || len(it.frame) > most {
			return item{}, false
		}
		it = c.queue.pop()
	default:
		return item{}, false
	}
	if it.message() {
		c.inflight = append(c.inflight, flight{it.kind, it.number, it.size})
		c.inflightBytes += it.size
	}
	if it.kind == itemNow {
		c.nows[it.number] = it.done
	} else {
		c.sent = eventlog.Cursor{Epoch: c.cursor.Epoch, Offset: it.number}
	}
	return it, true
}

// room reports whether the window has room for the item. A gap waits for it too:
// it may still grow, and a client that handles nothing is not notified each time.
func (c *session) room(it item) bool {
	o := &c.srv.opts
	return it.kind == itemPosition || len(c.inflight) == 0 ||
		len(c.inflight) < o.Window && c.inflightBytes+it.size <= o.WindowBytes
}

func (c *session) send(b batch) bool {
	defer b.free()
	if b.skipped > 0 {
		c.srv.opts.Logger.Warn("push: messages dropped", "client", c.id.Client, "skipped", b.skipped)
	}
	if !c.writeFrames(b.frames) {
		return false
	}
	c.srv.sent.Add(b.messages)
	return true
}

// writeFrames writes within WriteTimeout. If it cannot, it reports false after the session
// has ended.
func (c *session) writeFrames(frames []byte) bool {
	if err := c.conn.Send(frames, c.srv.opts.WriteTimeout); err != nil {
		c.late.Store(errors.Is(err, os.ErrDeadlineExceeded))
		// The reader finds out too, and may know more: a close frame of the
		// client ends writes before it is returned from the read.
		c.conn.Cut()
		<-c.done
		return false
	}
	return true
}

// heartbeat pings from a goroutine of its own. In the writer's, a ping that waits
// for its pong would hold up events by a round trip; and a writer that is stuck
// in a full buffer would never come to ping.
func (c *session) heartbeat() {
	ticker := time.NewTicker(c.srv.opts.PingInterval)
	defer ticker.Stop()
	if at := c.id.Expires; !at.IsZero() {
		expiry := time.AfterFunc(time.Until(at), func() {
			c.end(endUnauthorized, websocket.StatusPolicyViolation, "credentials have expired")
		})
		defer expiry.Stop()
	}
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		if _, alive := c.ping(); !alive {
			c.end(endSilent, 0, "")
			return
		}
		c.srv.announce(c) // after the ping, which it would race to the connection
	}
}

// ping reports whether the client answered a ping within PingTimeout, and whether anything
// was heard from it at all.
func (c *session) ping() (answered, alive bool) {
	timeout := c.srv.opts.PingTimeout
	before := c.heard.Load()
	c.pinged.Store(max(1, int64(time.Since(c.since))))
	defer c.pinged.Store(0)
	late := time.NewTimer(timeout)
	defer late.Stop()
	c.pings.Add(1)
	if err := c.conn.Ping(c.nonce(), timeout); err != nil && !errors.Is(err, net.ErrClosed) {
		c.conn.Cut() // the reader finds out
	}
	for {
		select {
		case nonce := <-c.pongs:
			if nonce == c.nonce() {
				return true, true
			}
		case <-late.C:
			// Perhaps the ping could not even be written, because the buffers are full.
			// A client that acknowledges events all the while is slow, not dead.
			return false, c.heard.Load() != before
		case <-c.done:
			return false, false
		}
	}
}

// nonce is what the last ping carries.
func (c *session) nonce() string { return strconv.FormatUint(c.pings.Load(), 10) }

// pong takes note of an answer to a ping.
func (c *session) pong(nonce string) {
	c.heard.Add(1)
	select {
	case c.pongs <- nonce:
	default: // no publisher waits for so many
	}
}
