package push

import (
	"context"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// coderControlTimeout is how long github.com/coder/websocket tries to write a
// ping before it closes the connection.
const coderControlTimeout = 5 * time.Second

// write is the session's writer: all messages of a connection go through it, one
// after the other.
func (c *session) write() {
	if c.admitted() && c.open() {
		for {
			it, ok := c.next()
			if !ok || !c.send(it) {
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
	c.raw.Close()
	c.conn.CloseNow()
}

// admitted makes the session the client's own, unless it ends before. Another run's
// session is taken over only when the client answers: what a process sent before it died
// may come to be read after the connection of the next process, and must not fence that.
func (c *session) admitted() bool {
	for answered := false; !c.srv.register(c, answered); answered = true {
		if !c.ping() {
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
	if !c.writeFrame(websocket.MessageText, msg.encode()) {
		return false
	}
	if h.Snapshot {
		f := frame{kind: kindSnapshot, data: snapshot}
		return c.writeFrame(websocket.MessageBinary, f.encode())
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

// next waits for the next item to send. It reports false when the session has
// ended.
func (c *session) next() (item, bool) {
	for {
		c.mu.Lock()
		it, ok := c.takeNext(time.Now())
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
			return item{}, false
		case ok:
			return it, true
		case idle && !live:
			c.fill()
		case idle && draining:
			c.end(endDrained, websocket.StatusServiceRestart, "server is restarting")
		default:
			select {
			case <-c.wake:
			case <-c.done:
			}
		}
	}
}

// takeNext removes the next item that may be sent now, and puts it into the
// window. Expired ones go, however long they waited and wherever.
func (c *session) takeNext(now time.Time) (item, bool) {
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
		if it = c.backlog[0]; !c.room(it) {
			return item{}, false
		}
		c.backlog = c.backlog[1:]
	case len(c.queue.items) > 0:
		if !c.room(c.queue.items[0]) {
			return item{}, false
		}
		it = c.queue.pop()
	default:
		return item{}, false
	}
	if it.message() {
		c.inflight = append(c.inflight, flight{it.kind, it.number, len(it.frame)})
		c.inflightBytes += len(it.frame)
	}
	if it.kind == itemNow {
		c.nows[it.number] = it.done
	} else {
		c.sent = eventlog.Cursor{Epoch: c.cursor.Epoch, Offset: it.number}
	}
	return it, true
}

// room reports whether the window has room for the item. A gap waits for it too:
// it may still grow, and a client that handles nothing is not told so each time.
func (c *session) room(it item) bool {
	o := &c.srv.opts
	return it.kind == itemPosition || len(c.inflight) == 0 ||
		len(c.inflight) < o.Window && c.inflightBytes+len(it.frame) <= o.WindowBytes
}

func (c *session) send(it item) bool {
	switch it.kind {
	case itemGap:
		c.srv.opts.Logger.Warn("push: messages dropped", "client", c.id.Client, "skipped", it.skipped)
		msg := control{Type: typeGap, Offset: it.number, Skipped: it.skipped}
		return c.writeFrame(websocket.MessageText, msg.encode())
	case itemPosition:
		msg := control{Type: typePosition, Offset: it.number}
		return c.writeFrame(websocket.MessageText, msg.encode())
	}
	if !c.writeFrame(websocket.MessageBinary, it.frame) {
		return false
	}
	c.srv.sent.Add(1)
	return true
}

// writeFrame writes one message within WriteTimeout. If it cannot, it reports
// false after the session has ended.
func (c *session) writeFrame(typ websocket.MessageType, b []byte) bool {
	deadline := time.Now().Add(c.srv.opts.WriteTimeout)
	c.due.Store(deadline.UnixNano())
	defer c.due.Store(0)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if c.conn.Write(ctx, typ, b) != nil {
		// The reader finds out too, and may know more: a close frame of the
		// client ends writes before it is returned from the read.
		c.raw.Close()
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
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		if !c.id.Expires.IsZero() && !time.Now().Before(c.id.Expires) {
			c.end(endUnauthorized, websocket.StatusPolicyViolation, "credentials have expired")
			return
		}
		if !c.ping() {
			c.end(endSilent, 0, "")
			return
		}
		c.srv.announce(c) // after the ping, which it would race to the connection
	}
}

// ping reports whether anything was heard from the client within PingTimeout of
// a ping.
func (c *session) ping() bool {
	before := c.heard.Load()
	c.pinged.Store(time.Now().UnixNano())
	defer c.pinged.Store(0)
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.opts.PingTimeout)
	defer cancel()
	if c.conn.Ping(ctx) == nil {
		return true
	}
	// Perhaps the ping could not even be written, because the buffers are full.
	// A client that acknowledges events all the while is slow, not dead.
	select {
	case <-ctx.Done():
	case <-c.done:
	}
	return c.heard.Load() != before
}
