package mux

// How streams end: mu is held by all of this.

// end sends the end of this direction.
func (st *Stream) end() {
	if st.fin {
		return
	}
	st.fin = true
	st.owe.fin = true
	st.s.owes(st)
	st.s.wakeWriter()
	st.interrupt(&st.writable)
	st.writable.Broadcast()
	st.over()
}

// stopReading drops unread data, and data that arrives later.
func (st *Stream) stopReading() {
	if st.closed {
		return
	}
	st.closed = true
	st.s.in.unread -= st.buf.drop(st.reading, &st.s.in.spares)
	st.interrupt(&st.readable)
	st.readable.Broadcast()
	st.over()
}

// finished handles the end of the peer's direction. A second end changes
// nothing.
func (st *Stream) finished() {
	if st.peerFIN || st.err != nil {
		return
	}
	st.peerFIN = true
	st.s.wakeReader(st)
	st.over()
}

// over is called when a direction has ended, and when all data has been read. After both, nothing
// is left to do.
func (st *Stream) over() {
	if st.fin && st.peerFIN && st.buf.n == 0 {
		st.forget()
		st.settle()
	}
}

// widen lets this side send more.
func (st *Stream) widen(by uint32) {
	if uint64(st.window)+uint64(by) > 1<<32-1 {
		st.s.debug("stream reset", st.id, ErrFlow)
		st.reset(ErrFlow, CodeProtocol, true)
		return
	}
	st.window += by
	if len(st.data) == 0 {
		return
	}
	if st.s.free(st) { // the Write that waits can go on by itself
		st.writable.Broadcast()
		return
	}
	st.s.queue(st)
	st.s.wakeWriter()
}

// resetByPeer handles the peer's reset.
func (st *Stream) resetByPeer(h header) {
	if st.err != nil {
		return
	}
	var err error = &ResetError{Remote: true}
	if h.kind == kindWindow { // libp2p's go-yamux sends a code
		err = &ResetError{Remote: true, Code: h.length}
	}
	if st.own && !st.acked {
		err = ErrRefused
	}
	early := !st.own && !st.acked
	st.reset(err, 0, false)
	if early {
		st.s.leaveBacklog(st)
		st.s.resetEarly()
	}
}

// reset ends the stream at once, and notifies the peer if tell is set.
func (st *Stream) reset(err error, code uint32, tell bool) {
	st.err = err
	st.s.stats.Reset++
	st.s.in.unread -= st.buf.drop(st.reading, &st.s.in.spares)
	owe := owed{}
	if tell && !st.owe.syn { // of a stream that the peer does not know there is nothing to say
		owe = owed{ack: st.owe.ack, rst: true, code: code}
	}
	st.owe = owe
	st.forget()
	if tell {
		st.s.owes(st)
		st.s.wakeWriter()
		if !st.own && !st.acked {
			st.s.leaveBacklog(st)
		}
	}
	st.wake()
}

// leaveBacklog removes a stream that ended before it was accepted. The program never sees it.
func (s *Session) leaveBacklog(st *Stream) {
	for i, other := range s.backlog {
		if other == st {
			s.backlog = append(s.backlog[:i], s.backlog[i+1:]...)
			break
		}
	}
	st.settle()
}

// forget removes a stream for which no frame matters any more.
func (st *Stream) forget() {
	if st.gone {
		return
	}
	st.gone = true
	st.tellDone()
	s := st.s
	delete(s.streams, st.id)
	if st.dying {
		s.closing.remove(st)
	}
	if st.own && !st.acked {
		s.acknowledged()
	}
	if len(s.streams) == 0 {
		s.emptied.Broadcast()
	}
}

// settle frees the slot of a stream of the peer when neither side can do anything with it any more.
// It is not called when the peer resets a stream, but when the program closes it or learns of the
// reset.
func (st *Stream) settle() {
	if st.counts && st.gone {
		st.counts = false
		st.s.incoming--
	}
}

// tellDone notifies those that wait for the stream's end.
func (st *Stream) tellDone() {
	if l := st.limits; l != nil && l.done != nil && !l.closed {
		l.closed = true
		close(l.done)
	}
}

// wake wakes everyone that waits for the stream, which has failed.
func (st *Stream) wake() {
	st.tellDone()
	st.interrupt(&st.writable)
	st.interrupt(&st.readable)
	st.readable.Broadcast()
	st.writable.Broadcast()
}
