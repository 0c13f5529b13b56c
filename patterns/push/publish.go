package push

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Publish sends the message to the clients of its topic.
//
// It returns nil once the log has the message, as durable as the log is. From then on clients get
// it when they connect, unless it has expired or the log no longer keeps it. Connected clients that
// keep up have it in their queue already. An error means that the message was not accepted.
//
// With TTL [Now] it waits, for at most NowTimeout, until the connected clients have confirmed that
// they handled the message. If none has, it returns [ErrNotDelivered].
func (s *Server) Publish(ctx context.Context, m Message) (Receipt, error) {
	if err := s.ready(); err != nil {
		return Receipt{}, err
	}
	if len(m.Data) > s.opts.MaxMessageBytes {
		return Receipt{}, fmt.Errorf("push: publish to %q: %w: %d bytes, and MaxMessageBytes is %d",
			m.Topic, eventlog.ErrTooLarge, len(m.Data), s.opts.MaxMessageBytes)
	}
	if len(m.Topic) > maxTopicBytes {
		return Receipt{}, fmt.Errorf("push: Message.Topic has %d bytes: want at most %d", len(m.Topic), maxTopicBytes)
	}
	if m.TTL < 0 && m.TTL != Now {
		return Receipt{}, fmt.Errorf("push: Message.TTL is %v: want 0 for no limit, or more, or Now", m.TTL)
	}
	if err := ctx.Err(); err != nil {
		return Receipt{}, fmt.Errorf("push: publish to %q: %w", m.Topic, err)
	}
	if err := s.beginPublish(); err != nil {
		return Receipt{}, err
	}
	defer s.endPublish()
	if m.TTL == Now {
		return s.publishNow(ctx, m)
	}
	entry := eventlog.Entry{Topic: m.Topic, Data: m.Data, Time: time.Now()}
	if m.TTL > 0 {
		entry.Expires = entry.Time.Add(m.TTL)
	}
	cursor, err := s.opts.Log.Append(ctx, entry)
	if err != nil {
		return Receipt{}, fmt.Errorf("push: publish to %q: %w", m.Topic, err)
	}
	s.count(func(st *ServerStats) { st.Published++ })
	s.route()
	if s.Slow == Block {
		s.waitForSlow(ctx, m.Topic, cursor.Offset)
	}
	return Receipt{Cursor: cursor}, nil
}

// Drain shuts the server down gracefully. New connections get 503, and Publish
// returns [ErrDraining]. Connected clients get everything that was published
// before, then close code 1012 (service restart). Drain returns when all are gone.
// If ctx ends first, it cuts off the rest and returns ctx's error. What those
// clients missed is in the log.
func (s *Server) Drain(ctx context.Context) error {
	if s.ready() != nil {
		return nil // it never began
	}
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
	s.cutOff()
	<-gone
	return fmt.Errorf("push: drain: %w", ctx.Err())
}

// Close cuts all connections without a close frame and waits until their goroutines have
// ended. Publish then returns [ErrClosed]. Use Drain for a graceful shutdown. Close
// returns nil.
func (s *Server) Close() error {
	if s.ready() != nil {
		return nil
	}
	s.beginDrain()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cutOff()
	return nil
}

// cutOff ends all connections, and waits until their goroutines are gone.
func (s *Server) cutOff() {
	s.stopOnce.Do(func() { close(s.stop) })
	s.mu.Lock()
	s.cut = true
	open := inOrder(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range open {
		c.end(endDrained, 0, "") // also one that is saying goodbye
	}
	s.running.Wait()
}

func (s *Server) beginPublish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.draining:
		return ErrDraining
	}
	s.publishing++
	return nil
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
