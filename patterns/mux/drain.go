package mux

import (
	"context"
)

// Drain ends the session gracefully. It asks the peer to open no more streams; streams that the
// peer opened before it knew are served as long as [Session.Accept] takes them. Once the answer to
// a ping shows that the peer knows, streams that nobody has accepted are refused, and Accept
// returns [ErrDraining]. Drain waits until all streams have ended, which is when both sides have
// closed them, and for another ping answer, which shows that the peer has received everything. Then
// it closes the connection. If ctx is done first, Drain returns its error; the session continues to
// drain, and Close cuts it off.
func (s *Session) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining && s.err == nil {
		s.draining = true
		s.out.goAway = true
		s.opened.Broadcast()
		s.wakeWriter()
	}
	s.mu.Unlock()
	_, err := s.Ping(ctx)
	if err == nil {
		s.mu.Lock()
		s.refuseRest()
		err = s.wait(ctx, &s.emptied, func() bool { return s.err != nil || len(s.streams) == 0 })
		s.mu.Unlock()
	}
	if err == nil {
		_, err = s.Ping(ctx)
	}
	s.mu.Lock()
	if s.err != nil && len(s.streams) == 0 {
		err = nil // the peer was faster
	}
	s.mu.Unlock()
	if err == nil {
		s.Close()
	}
	return err
}

// refuseRest refuses the streams that were not accepted, and all new ones.
func (s *Session) refuseRest() {
	if s.refusing || s.err != nil {
		return
	}
	s.refusing = true
	for len(s.backlog) > 0 {
		st := s.backlog[len(s.backlog)-1]
		s.stats.Refused++
		st.reset(ErrRefused, CodeNormal, true)
	}
	s.accepted.Broadcast()
}

// retire drains a session that has reached its age.
func (s *Session) retire() {
	ctx := context.Background()
	if s.config.MaxAgeGrace > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.MaxAgeGrace)
		defer cancel()
	}
	if s.Drain(ctx) != nil {
		s.Close()
	}
}
