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
// It returns nil when the log has the message, as durable as the log is: from then on, clients get it when they come, as long as it has not expired
// and the log keeps it. Each that is connected and keeps up has it in its queue
// already. An error means that the message was not accepted.
//
// With TTL [Now] it waits until the connected clients have confirmed that they have
// handled the message, for NowTimeout at most. It returns [ErrNotDelivered] if
// none has.
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

// Drain ends the server's work: new connections get 503 and Publish [ErrDraining],
// connected clients get everything that was published before and then close code
// 1012 (service restart). It returns when all are gone; when ctx ends first it
// cuts the rest off and returns ctx's error. What they missed is in the log.
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

// Close cuts all connections off, without a close frame, and waits until their
// goroutines are gone; Publish returns [ErrClosed] from then on. Use Drain to part in good
// order. It returns nil.
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
