package mux

import (
	"fmt"
	"io"
	"time"
)

// receiver is a session's state for reading.
type receiver struct {
	stream      *Stream       // whose payload is being read; nil: nobody wants it
	left        uint32        // of the payload
	fin         bool          // the stream ends after it
	unread      int           // bytes held by all streams
	last        time.Duration // when something came
	early       int           // streams reset by the peer before they were accepted, since since
	since       time.Duration
	spares      spares
	loans       loans
	interrupted bool      // the reader is to give back what it has borrowed
	wake        []*Stream // that have something to read after this turn
}

const readAhead = 4 << 10

// readLoop reads frames until the connection ends.
func (s *Session) readLoop() {
	defer close(s.readDone)
	var small chunk
	small.mem = make([]byte, readAhead)
	c := &small
	for {
		n, err := s.conn.Read(c.mem[c.w:])
		s.mu.Lock()
		c.w += n
		if n > 0 && s.err == nil {
			s.stats.ReceivedBytes += int64(n)
			s.in.last = s.now()
			c = s.consume(c, &small)
		}
		for err == nil && s.err == nil && s.in.left > 0 && s.in.stream.lends() {
			err = s.readDirect()
		}
		if s.err != nil {
			c.r, c.w = 0, 0
		}
		if err != nil {
			s.fail(s.connError(err), 0, false)
		}
		wake := s.in.wake
		s.mu.Unlock()
		for _, st := range wake {
			st.readable.Broadcast()
		}
		if err != nil {
			return
		}
	}
}

// connError returns what an error of the connection means for the session. It is never io.EOF,
// which would look like the regular end of a stream.
func (s *Session) connError(err error) error {
	switch {
	case s.peerDrains:
		return &GoAwayError{Code: CodeNormal}
	case s.out.err != nil && err != io.EOF:
		err = s.out.err
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("mux: connection: %w", err)
}

// consume processes the frames in the data that was read, and returns the chunk to read into next.
// That is a small one when little data arrives, and a slab when much does: a stream can take over a
// slab without a copy.
func (s *Session) consume(c, small *chunk) *chunk {
	s.in.wake = s.in.wake[:0]
	mem, r, w := c.mem, c.r, c.w
	given := false
	for s.err == nil {
		if s.in.left > 0 {
			n := min(w-r, int(s.in.left))
			if n == 0 {
				break
			}
			var whole *chunk
			if !given && c != small && 2*n >= slab {
				whole = c
			}
			given = s.payload(mem[r:r+n], whole, r) || given
			r += n
			if s.in.left -= uint32(n); s.in.left == 0 && s.in.fin {
				s.in.stream.finished()
			}
			continue
		}
		if w-r < headerLen {
			break
		}
		h := parseHeader(mem[r:])
		r += headerLen
		if err := s.frame(h); err != nil {
			s.fail(err, CodeProtocol, true)
		}
	}
	next := small
	if w == len(mem) || s.in.left > readAhead || c != small && w >= readAhead {
		next = c
		if given || c == small {
			next = s.in.spares.get(slab)
		}
	}
	next.r, next.w = 0, copy(next.mem, mem[r:w])
	if c != next && c != small && !given {
		s.in.spares.put(c)
	}
	return next
}

// payload gives p to its stream. If whole, the chunk that has p at r, is set, the stream takes that
// over, unless it is not wanted.
func (s *Session) payload(p []byte, whole *chunk, r int) (given bool) {
	st := s.in.stream
	if st == nil || st.closed || st.err != nil {
		if st != nil && !st.dying && st.err == nil && st.consume(len(p)) { // only CloseRead was called
			s.out.work.Signal()
		}
		return false
	}
	s.in.unread += len(p)
	if whole != nil {
		whole.mem, whole.r, whole.w = whole.mem[:r+len(p)], r, r+len(p)
		st.buf.push(whole)
	} else {
		st.buf.append(p, &s.in.spares)
	}
	s.wakeReader(st)
	if s.in.unread > s.config.MaxReceiveBytes {
		s.relieve()
	}
	return whole != nil
}

func (s *Session) wakeReader(st *Stream) {
	if len(s.in.wake) == 0 || s.in.wake[len(s.in.wake)-1] != st {
		s.in.wake = append(s.in.wake, st)
	}
}

// relieve resets the stream that holds the most, and of equal ones the oldest.
func (s *Session) relieve() {
	var most *Stream
	for _, st := range s.streams {
		if most == nil || st.buf.n > most.buf.n || st.buf.n == most.buf.n && st.id < most.id {
			most = st
		}
	}
	if most != nil {
		s.debug("stream reset", most.id, ErrReceiveBuffer)
		most.reset(ErrReceiveBuffer, CodeInternal, true)
	}
}

func (s *Session) debug(what string, stream uint32, err error) {
	if s.config.Logger != nil {
		s.config.Logger.Debug("mux: "+what, "client", s.conn.RemoteAddr(), "stream", stream, "error", err)
	}
}

// frame handles a header, and expects its payload if there is one.
func (s *Session) frame(h header) error {
	switch {
	case h.version != 0:
		return violation(h.stream, "version %d: want 0", h.version)
	case h.kind > kindGoAway:
		return violation(h.stream, "frame of type %d: want 0 to 3", h.kind)
	case h.kind == kindPing:
		s.pinged(h)
		return nil
	case h.kind == kindGoAway:
		s.peerGoes(h.length)
		return nil
	case h.stream == 0:
		return violation(0, "stream 0")
	}
	if h.flags&flagSYN != 0 {
		if err := s.incomingStream(h.stream); err != nil {
			return err
		}
	}
	st := s.streams[h.stream]
	if h.kind == kindData && h.length > 0 {
		if err := s.dataHeader(h, st); err != nil {
			return err
		}
	}
	if st == nil { // it is over, or was refused: what the peer sent before it knew
		return nil
	}
	if h.flags&flagACK != 0 && st.own && !st.acked {
		st.acked = true
		s.acknowledged()
	}
	if h.flags&flagRST != 0 {
		st.resetByPeer(h)
		return nil
	}
	if h.kind == kindWindow && h.length > 0 {
		st.widen(h.length)
	}
	if h.flags&flagFIN != 0 && s.in.left == 0 {
		st.finished()
	}
	return nil
}

// dataHeader expects a payload, for st or, if that is nil, to be dropped.
func (s *Session) dataHeader(h header, st *Stream) error {
	s.in.stream, s.in.left, s.in.fin = nil, h.length, false
	switch {
	case st == nil:
		if int64(h.length) > int64(s.config.Window) {
			return violation(h.stream, "%d bytes: no stream's window is as large", h.length)
		}
	case st.peerFIN:
		s.debug("stream reset", st.id, ErrFlow)
		st.reset(ErrFlow, CodeProtocol, true)
	case h.length > st.credit:
		return violation(h.stream, "%d bytes with a window of %d", h.length, st.credit)
	default:
		st.credit -= h.length
		if h.flags&flagRST == 0 {
			s.in.stream, s.in.fin = st, h.flags&flagFIN != 0
		}
	}
	return nil
}

// incomingStream creates a stream that the peer opens, or refuses it.
func (s *Session) incomingStream(id uint32) error {
	if (id%2 == 1) == s.client {
		return violation(id, "opened by the side that has the other numbers")
	}
	if !s.seen.use(id) {
		return violation(id, "opened a second time")
	}
	if s.refusing || s.incoming >= s.config.MaxStreams || len(s.backlog) >= s.config.AcceptBacklog {
		s.stats.Refused++
		s.debug("stream refused", id, ErrRefused)
		return s.refuse(id)
	}
	st := s.newStream(id)
	st.counts = true
	s.incoming++
	s.backlog = append(s.backlog, st)
	s.accepted.Signal()
	return nil
}

// refuse schedules a reset for a stream that does not exist here. If a peer keeps opening streams
// that are refused and does not read the resets, the session ends.
func (s *Session) refuse(id uint32) error {
	if len(s.out.refused) >= 4*s.config.AcceptBacklog {
		return violation(id, "%d streams refused without taking note", len(s.out.refused))
	}
	s.out.refused = append(s.out.refused, id)
	s.wakeWriter()
	return nil
}

// acknowledged frees a slot for a stream that the peer has not acknowledged.
func (s *Session) acknowledged() {
	s.unacked--
	s.opened.Signal()
}

// resetEarly counts a stream that the peer reset before it was accepted.
func (s *Session) resetEarly() {
	now := s.in.last
	if now-s.in.since >= 10*time.Second {
		s.in.since, s.in.early = now, 0
	}
	if s.in.early++; s.in.early > s.config.MaxResets {
		s.fail(violation(0, "%d streams reset before they were accepted, within 10 s", s.in.early), CodeProtocol, true)
	}
}

// peerGoes handles a frame in which the peer ends the session, now or later.
func (s *Session) peerGoes(code uint32) {
	if code != CodeNormal {
		s.fail(&GoAwayError{Code: code}, 0, false)
		return
	}
	s.peerDrains = true
	s.opened.Broadcast()
}
