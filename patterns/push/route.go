package push

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/guard"
)

// follow routes what others append to the log.
func (s *Server) follow(watch *eventlog.Watch) {
	defer s.running.Done()
	defer watch.Stop()
	for {
		select {
		case <-s.stop:
			return
		case _, open := <-watch.C:
			s.route()
			if !open {
				return
			}
		}
	}
}

// route hands the entries that are new in the log to the live sessions, in
// order. Publishers call it themselves, so that a message is in the queues when
// Publish returns.
func (s *Server) route() {
	s.routing <- struct{}{}
	defer func() { <-s.routing }()
	for {
		page, err := s.opts.Log.After(s.routed, eventlog.Query{})
		switch {
		case err != nil:
			// A session that reads from its queue would wait forever for what
			// cannot be read.
			s.opts.Logger.Error("push: the log failed", "error", err)
			for _, c := range s.connected() {
				c.end(endFailed, websocket.StatusInternalError, "the log failed")
			}
			return
		case page.Reset != "":
			for _, c := range s.connected() {
				c.end(endSlow, StatusSlow, overtaken)
			}
			s.mu.Lock()
			s.routed = page.Next
			s.mu.Unlock()
			continue
		}
		for _, c := range s.distribute(page) {
			c.end(endSlow, StatusSlow, "the queue is full")
		}
		if !page.More {
			return
		}
	}
}

const overtaken = "the log has dropped what was still to be sent"

// distribute queues the page's entries and returns the sessions that did not
// keep up.
func (s *Server) distribute(page eventlog.Page) (slow []*session) {
	tail := s.opts.Log.Tail()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now) // what the log drops for its age has expired before
	s.mailboxes.dropped(tail.Offset)
	for i := range page.Entries {
		e := &page.Entries[i]
		client, isMailbox := strings.CutPrefix(e.Topic, mailboxPrefix)
		if isMailbox && !e.Expires.IsZero() {
			s.mailboxes.add(client, e.Offset, e.Expires)
		}
		var it item
		for c := range s.topics.of(e.Topic) {
			if it.frame == nil {
				it = s.event(e)
			}
			if !c.offer(it, now) {
				slow = append(slow, c)
			}
		}
	}
	s.routed = page.Next
	return slow
}

// event makes an entry ready to be sent, once for all clients.
func (s *Server) event(e *eventlog.Entry) item {
	it := item{kind: itemEvent, number: e.Offset, expires: e.Expires}
	f := frame{kind: kindEvent, number: e.Offset, expires: e.Expires, topic: e.Topic, data: e.Data}
	if strings.HasPrefix(e.Topic, mailboxPrefix) {
		f.topic = ""
	}
	it.frame, it.size = f.pack()
	if s.Slow == Coalesce {
		it.alone = s.guard("CoalesceKey", func() { it.key = s.opts.CoalesceKey(e.Topic, e.Data) }, "topic", e.Topic) != nil
	}
	return it
}

// guard calls one of the functions that the server was given.
func (s *Server) guard(name string, f func(), attributes ...any) error {
	return guard.Call(s.opts.Logger, "push: Server."+name, func() error {
		f()
		return nil
	}, attributes...)
}

// expire counts what clients have missed that are not connected.
func (s *Server) expire(now time.Time) {
	s.stats.Expired += s.mailboxes.expire(now, func(client string) bool { return s.sessions[client] != nil })
}

// publishNow sends a message past the log.
func (s *Server) publishNow(ctx context.Context, m Message) (Receipt, error) {
	now := time.Now()
	deadline := now.Add(s.opts.NowTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}

	s.mu.Lock()
	s.stats.Now++
	s.nows++
	f := frame{kind: kindNow, number: s.nows, expires: deadline, topic: m.Topic, data: m.Data}
	if strings.HasPrefix(m.Topic, mailboxPrefix) {
		f.topic = ""
	}
	readers := slices.Collect(s.topics.of(m.Topic))
	results := make(chan bool, len(readers))
	it := item{kind: itemNow, number: s.nows, expires: deadline, done: results}
	it.frame, it.size = f.pack()
	var receipt Receipt
	for _, c := range readers {
		if c.offerNow(it, now) {
			receipt.Online++
		}
	}
	s.mu.Unlock()

	timer := time.NewTimer(deadline.Sub(now))
	defer timer.Stop()
wait:
	for range receipt.Online {
		select {
		case ok := <-results:
			if ok {
				receipt.Delivered++
			}
		case <-timer.C:
			break wait
		case <-ctx.Done():
			break wait
		}
	}
	if receipt.Delivered == 0 {
		s.count(func(st *ServerStats) { st.NotDelivered++ })
		return receipt, fmt.Errorf("%w: %d clients of topic %q online, none has confirmed", ErrNotDelivered, receipt.Online, m.Topic)
	}
	return receipt, nil
}

// waitForSlow waits until the topic's clients that fell behind have come back to
// offset, and cuts off those that take longer than MaxBlock.
func (s *Server) waitForSlow(ctx context.Context, topic string, offset uint64) {
	type behind struct {
		c       *session
		reached <-chan struct{}
	}
	var wait []behind
	s.mu.Lock()
	for c := range s.topics.of(topic) {
		if reached := c.lagsBehind(offset); reached != nil {
			wait = append(wait, behind{c, reached})
		}
	}
	if len(wait) == 0 {
		s.mu.Unlock()
		return
	}
	s.stats.Blocked++
	s.mu.Unlock()

	start := time.Now()
	timer := time.NewTimer(s.opts.MaxBlock)
	defer timer.Stop()
	for i, b := range wait {
		select {
		case <-b.reached:
			continue
		case <-ctx.Done():
		case <-timer.C:
			for _, late := range wait[i:] {
				if late.c.lagsBehind(offset) != nil {
					late.c.end(endSlow, StatusSlow, "a publisher waited too long")
				}
			}
		}
		break
	}
	s.count(func(st *ServerStats) { st.BlockedTime += time.Since(start) })
}

// admit decides about a connection before the upgrade. It returns zero, and
// counts the session as running, or the HTTP status to refuse with.
func (s *Server) admit(client string, hs handshake) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.sessions[client]
	full := s.MaxClients > 0 && current == nil && len(s.sessions)+s.opening >= s.MaxClients
	switch {
	case s.draining || full:
		s.stats.Overload++
		return http.StatusServiceUnavailable
	case current != nil && current.newer(hs):
		s.stats.Stale++
		return http.StatusConflict
	}
	s.opening++
	s.running.Add(1)
	return 0
}

// register makes the session the client's own, and fences the previous one. It
// reports false if that belongs to another run, in which case c must first show that
// its client is alive.
func (s *Server) register(c *session, answered bool) bool {
	s.mu.Lock()
	old := s.sessions[c.id.Client]
	switch {
	case c.over():
		s.mu.Unlock()
		return true
	case old != nil && old.newer(c.handshake): // it overtook this one in the upgrade
		s.mu.Unlock()
		c.end(endFenced, StatusFenced, "a newer connection was first")
		return true
	case old != nil && slices.Contains(old.beaten, c.handshake.run): // it was out of reach when it was fenced
		s.mu.Unlock()
		c.end(endFenced, StatusFenced, "another client has taken over")
		return true
	case old != nil && !answered && (old.handshake.run == "" || old.handshake.run != c.handshake.run):
		s.mu.Unlock()
		return false
	}
	if old != nil {
		c.beaten = old.beaten
		if run := old.handshake.run; run != "" && run != c.handshake.run {
			c.beaten = append(slices.Clone(old.beaten), run)
			c.beaten = c.beaten[max(0, len(c.beaten)-maxBeaten):]
		}
		s.unlist(old)
	}
	s.sessions[c.id.Client] = c
	s.topics.join(c)
	s.stats.Accepted++
	draining, cut := s.draining, s.cut
	s.mu.Unlock()
	s.opts.Logger.Debug("push: session began", "client", c.id.Client, "cursor", c.handshake.cursor)
	if old != nil {
		old.end(endFenced, StatusFenced, "another connection has taken over")
	}
	switch {
	case cut:
		c.end(endDrained, 0, "")
	case draining:
		c.drain()
	}
	return true
}

// remove takes a session that ended out of the registry.
func (s *Server) remove(c *session, cause endCause, reason string) {
	s.mu.Lock()
	*cause.counter(&s.stats)++
	if s.sessions[c.id.Client] == c {
		s.unlist(c)
	}
	s.mu.Unlock()
	s.opts.Logger.Log(context.Background(), cause.level(), "push: session ended", "client", c.id.Client,
		"cause", cause.String(), "reason", reason)
}

func (s *Server) unlist(c *session) {
	c.mu.Lock()
	c.addTo(&s.stats)
	c.mu.Unlock()
	delete(s.sessions, c.id.Client)
	s.mailboxes.left(c.id.Client)
	s.topics.leave(c)
}

// attach makes the session live if it has read everything in the log that was
// routed so far. From then on it is offered new entries.
func (s *Server) attach(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && s.routed.Epoch == c.cursor.Epoch && s.routed.Offset <= c.cursor.Offset {
		c.live = true
		c.caughtUp()
	}
}

// announce queues the position that a client without events has reached.
// Otherwise the log would overtake its cursor although the client missed
// nothing.
func (s *Server) announce(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && c.live && len(c.queue.items) == 0 && s.routed.Offset > c.cursor.Offset {
		c.cursor = s.routed
		c.queue.push(item{kind: itemPosition, number: s.routed.Offset}, time.Time{})
		c.signal()
	}
}

// resumed settles the client's mailbox at the start of a session that begins
// after offset, and returns how many messages expired while it was away.
func (s *Server) resumed(c *session, offset uint64, reason eventlog.Reason) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason == "" {
		s.stats.Recovered++
	} else {
		s.stats.Resets[reason]++
	}
	client := c.id.Client
	s.mailboxes.acked(client, offset)
	expired, now := s.mailboxes.connected(client, time.Now())
	s.stats.Expired += now
	return expired
}

// settle takes messages out of the client's mailbox: acknowledged up to offset,
// or expired before they were sent.
func (s *Server) settle(client string, acked uint64, lapsed []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mailboxes.acked(client, acked)
	s.mailboxes.lapsed(client, lapsed)
}

// connected returns the sessions in the order of their clients' names.
func (s *Server) connected() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return inOrder(maps.Values(s.sessions))
}

func inOrder(sessions iter.Seq[*session]) []*session {
	return slices.SortedFunc(sessions, func(a, b *session) int {
		return cmp.Or(strings.Compare(a.id.Client, b.id.Client), a.since.Compare(b.since))
	})
}
