package mux

import (
	"context"
	"time"
)

// watch is what a session does by the clock, with one timer: it pings a silent peer, limits how
// long a write takes, and resets streams that the peer does not end.
type watch struct {
	timer *time.Timer
	at    time.Duration // when it fires
	probe time.Duration // when the ping was due that has no answer; 0: there is none
	age   *time.Timer
	value uint32 // of the last ping
	asked map[uint32]*ask
}

// ask is a ping by the program.
type ask struct {
	sent   time.Duration
	rtt    time.Duration
	gone   bool // it was sent
	ok     bool
	answer chan struct{} // closed when it has come, or the session has ended
}

// never is the furthest time that a session looks ahead.
const never = 100 * 365 * 24 * time.Hour

func (w *watch) begin(s *Session) {
	w.at = never
	w.timer = time.AfterFunc(never, s.tick)
	w.due(s, s.next(0))
	if s.config.MaxAge > 0 {
		tenth := s.config.MaxAge / 10
		w.age = time.AfterFunc(s.config.MaxAge-tenth+s.config.Jitter(2*tenth), s.retire)
	}
}

// due makes the timer fire at a time, or earlier.
func (w *watch) due(s *Session, at time.Duration) {
	if at < w.at {
		w.at = at
		w.timer.Reset(at - s.now())
	}
}

func (w *watch) stop() {
	w.timer.Stop()
	if w.age != nil {
		w.age.Stop()
	}
}

// tick does everything that is due.
func (s *Session) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	now := s.now()
	w := &s.watch
	if w.probe > 0 && s.in.last > w.probe {
		w.probe = 0
	}
	switch keep := s.config.KeepAlive; {
	case w.probe > 0:
		if now-w.probe >= s.config.Timeout {
			s.fail(ErrTimeout, CodeNormal, false)
			return
		}
	case keep > 0 && now-s.in.last >= keep:
		w.probe = now
		w.value++
		s.out.asks = append(s.out.asks, w.value)
		s.wakeWriter()
	}
	if limit := s.config.WriteTimeout; limit > 0 && s.out.writing && now-s.out.since >= limit {
		s.fail(ErrTimeout, CodeNormal, false)
		return
	}
	for st := s.closing.first; st != nil && now-st.closedAt >= s.config.CloseTimeout; st = s.closing.first {
		s.debug("stream reset", st.id, ErrCloseTimeout)
		st.reset(ErrCloseTimeout, CodeNormal, true)
		st.settle()
	}
	w.at = now + never
	w.timer.Reset(never)
	w.due(s, s.next(now))
}

// next returns when something may be due, as far as is known now.
func (s *Session) next(now time.Duration) time.Duration {
	at := now + never
	switch w := &s.watch; {
	case w.probe > 0:
		at = w.probe + s.config.Timeout
	case s.config.KeepAlive > 0:
		at = s.in.last + s.config.KeepAlive
	}
	if limit := s.config.WriteTimeout; limit > 0 {
		began := now // one that begins later is over later
		if s.out.writing {
			began = s.out.since
		}
		at = min(at, began+limit)
	}
	if st := s.closing.first; st != nil {
		at = min(at, st.closedAt+s.config.CloseTimeout)
	}
	return at
}

// streamList is a list of streams by their time of closing.
type streamList struct {
	first, last *Stream
}

func (l *streamList) add(st *Stream) {
	if st.before = l.last; l.last == nil {
		l.first = st
	} else {
		l.last.after = st
	}
	l.last = st
}

func (l *streamList) remove(st *Stream) {
	if st.before == nil {
		l.first = st.after
	} else {
		st.before.after = st.after
	}
	if st.after == nil {
		l.last = st.before
	} else {
		st.after.before = st.before
	}
	st.before, st.after = nil, nil
}

// Ping returns how long the peer takes to answer.
func (s *Session) Ping(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return 0, s.err
	}
	w := &s.watch
	w.value++
	value, a := w.value, &ask{answer: make(chan struct{})}
	if w.asked == nil {
		w.asked = map[uint32]*ask{}
	}
	w.asked[value] = a
	s.out.asks = append(s.out.asks, value)
	s.wakeWriter()
	s.mu.Unlock()

	select {
	case <-a.answer:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(w.asked, value)
	switch {
	case a.ok:
		return a.rtt, nil
	case s.err != nil:
		return 0, s.err
	}
	return 0, context.Cause(ctx)
}

// asked appends a ping of this side, and records when it was sent.
func (s *Session) asked(value uint32, buf []byte) []byte {
	if a := s.watch.asked[value]; a != nil {
		a.sent, a.gone = s.now(), true
	}
	return header{kind: kindPing, flags: flagSYN, length: value}.append(buf)
}

// pinged handles a ping of the peer or its answer to one of ours. Other answers are
// ignored.
func (s *Session) pinged(h header) {
	if h.flags&flagSYN != 0 {
		if len(s.out.answers) >= s.config.PingBacklog {
			s.stats.UnansweredPings++
			return
		}
		s.out.answers = append(s.out.answers, h.length)
		s.wakeWriter()
		return
	}
	if a := s.watch.asked[h.length]; a != nil && h.flags&flagACK != 0 && a.gone {
		a.rtt, a.ok = s.in.last-a.sent, true
		delete(s.watch.asked, h.length)
		close(a.answer)
	}
}

// failPings ends all pings that wait.
func (s *Session) failPings() {
	for _, a := range s.watch.asked {
		close(a.answer)
	}
	clear(s.watch.asked)
}
