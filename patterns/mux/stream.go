package mux

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Stream is a connection inside a session. It is a net.Conn with two directions that end
// independently.
type Stream struct {
	s  *Session
	id uint32

	own     bool // opened by this side
	acked   bool // the accepting side has acknowledged it
	counts  bool // for MaxStreams
	fin     bool // this side sends no more
	peerFIN bool // the peer sends no more
	closed  bool // the program reads no more
	dying   bool // Close was called, and the peer has not ended it
	gone    bool // from the session's streams
	reading bool // a Read is copying
	writing bool // a Write waits
	ready   bool // in the heap of those with something to send
	owing   bool // in the list of those that owe a frame
	err     error

	readable sync.Cond // buf, peerFIN, closed, err, reading
	writable sync.Cond // data, fin, err, writing

	owe       owed
	buf       buffer
	credit    uint32 // what the peer may still send
	consumed  uint32 // read since the last window update
	window    uint32 // what the peer still takes
	data      []byte // of the Write that waits
	tag       uint64 // where its next frame stands in the order of sending
	nextOwing *Stream
	before    *Stream // in the list of closing ones
	after     *Stream
	closedAt  time.Duration

	limits *deadlines
	loan   *loan
}

// owed are the frames that a stream must send, other than data.
type owed struct {
	syn, ack, fin, rst bool
	window             uint32
	code               uint32
}

func (s *Session) newStream(id uint32) *Stream {
	st := &Stream{s: s, id: id, credit: initialWindow, window: initialWindow}
	st.owe.window = uint32(s.config.Window - initialWindow)
	st.readable.L, st.writable.L = &s.mu, &s.mu
	s.streams[id] = st
	return st
}

// ID returns the number of the stream: odd if the client opened it, even if the server
// did.
func (st *Stream) ID() uint32 { return st.id }

// Done is closed when the stream is over: either side has reset it, its session has ended, or both
// directions have ended and this side has read everything. It tells a server that works on an
// answer that its caller has gone, even if the caller has already ended its own direction, after
// which Read cannot report that any more.
func (st *Stream) Done() <-chan struct{} {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.limits == nil {
		st.limits = &deadlines{}
	}
	if st.limits.done == nil {
		st.limits.done = make(chan struct{})
	}
	if st.gone || st.s.err != nil {
		st.tellDone()
	}
	return st.limits.done
}

// LocalAddr returns the local address of the connection.
func (st *Stream) LocalAddr() net.Addr { return st.s.conn.LocalAddr() }

// RemoteAddr returns the remote address of the connection.
func (st *Stream) RemoteAddr() net.Addr { return st.s.conn.RemoteAddr() }

// Read reads what the peer has written. It returns io.EOF after the peer's end of the stream, and
// never because a connection broke.
func (st *Stream) Read(b []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	for {
		if err := st.readError(); err != nil {
			s.mu.Unlock()
			if err == io.EOF {
				return 0, err
			}
			return 0, st.opError("read", err)
		}
		if st.buf.n > 0 && !st.reading || len(b) == 0 {
			break
		}
		if n := st.await(b); n > 0 {
			wake := st.consume(n)
			s.mu.Unlock()
			if wake {
				s.out.work.Signal()
			}
			return n, nil
		}
	}
	n := st.take(b)
	wake := st.consume(n)
	s.mu.Unlock()
	if wake {
		s.out.work.Signal()
	}
	return n, nil
}

// await waits until something happens. It returns how many bytes were read into b in
// the meantime.
func (st *Stream) await(b []byte) (n int) {
	if !st.s.out.direct.able || len(b) < leastLoan || st.loan != nil {
		st.readable.Wait()
		return 0
	}
	st.loan = st.s.in.loans.get(b)
	st.readable.Wait()
	for st.loan.taken {
		st.readable.Wait()
	}
	n = st.loan.n
	st.s.in.loans.put(st.loan)
	st.loan = nil
	return n
}

// readError returns why there is nothing to read, now or ever, and nil if there is data or
// the caller must wait.
func (st *Stream) readError() error {
	switch {
	case st.closed:
		return net.ErrClosed
	case st.err != nil:
		st.settle()
		return st.err
	case st.limits != nil && st.limits.read.passed:
		return os.ErrDeadlineExceeded
	case st.buf.n > 0 || st.reading:
		return nil
	case st.peerFIN:
		return io.EOF
	}
	return st.s.err
}

// take copies the available data to b. While it copies large pieces, others can use the
// session.
func (st *Stream) take(b []byte) (n int) {
	s := st.s
	for n < len(b) && st.buf.n > 0 {
		c := st.buf.head
		from := c.mem[c.r:c.w]
		if len(from) > 2<<10 && len(b)-n > 2<<10 {
			st.reading = true
			s.mu.Unlock()
			k := copy(b[n:], from)
			n += k
			s.mu.Lock()
			st.reading = false
			if st.buf.head != c { // dropped meanwhile
				break
			}
			s.in.unread -= k
			st.buf.advance(k, &s.in.spares)
			st.readable.Broadcast()
			continue
		}
		k := copy(b[n:], from)
		n += k
		s.in.unread -= k
		st.buf.advance(k, &s.in.spares)
	}
	return n
}

// consume returns window to the peer when half of it has been read, and reports whether to wake the
// writer.
func (st *Stream) consume(n int) (wake bool) {
	if st.peerFIN {
		st.over()
		return false
	}
	if st.gone {
		return false
	}
	st.consumed += uint32(n)
	if 2*int(st.consumed) < st.s.config.Window {
		return false
	}
	st.owe.window += st.consumed
	st.consumed = 0
	st.s.owes(st)
	return st.s.out.claim()
}

// Write writes all of b, or returns an error and how much was written before it. It returns when
// the session has accepted the data, which says nothing about the peer. Concurrent writes are not
// interleaved.
func (st *Stream) Write(b []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	for st.writing && st.writeError() == nil {
		st.writable.Wait()
	}
	err := st.writeError()
	if err != nil || len(b) == 0 {
		s.mu.Unlock()
		return 0, st.opError("write", err)
	}
	if !s.free(st) && s.coalesce(st, b) {
		wake := s.out.claim()
		s.mu.Unlock()
		if wake {
			s.out.work.Signal()
		}
		return len(b), nil
	}
	n, err := st.write(b)
	s.mu.Unlock()
	return n, st.opError("write", err)
}

// write is Write for data that is not small, or that can be sent at once.
func (st *Stream) write(b []byte) (n int, err error) {
	s := st.s
	st.writing = true
	for n < len(b) && err == nil {
		if s.free(st) {
			n += s.writeDirect(st, b[n:])
			err = st.writeError()
			continue
		}
		st.data = b[n:]
		s.queue(st)
		s.wakeWriter()
		st.writable.Wait()
		err = st.writeError()
		n, st.data = len(b)-len(st.data), nil
	}
	st.writing = false
	st.writable.Broadcast()
	if n == len(b) {
		err = nil
	}
	return n, err
}

func (st *Stream) writeError() error {
	switch {
	case st.fin:
		return net.ErrClosed
	case st.err != nil:
		st.settle()
		return st.err
	case st.limits != nil && st.limits.write.passed:
		return os.ErrDeadlineExceeded
	}
	return st.s.err
}

func (st *Stream) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: "mux", Source: st.LocalAddr(), Addr: st.RemoteAddr(), Err: err}
}

// CloseWrite ends this direction: the peer reads io.EOF after what was written. The other direction
// stays open.
func (st *Stream) CloseWrite() error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := st.writeError(); err != nil && err != os.ErrDeadlineExceeded {
		if st.fin {
			return nil
		}
		return st.opError("close", err)
	}
	st.end()
	return nil
}

// CloseRead discards everything that the peer sends from then on. The peer is not notified.
func (st *Stream) CloseRead() error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	st.stopReading()
	return nil
}

// Close ends both directions. The peer reads what was written, and then io.EOF. What the peer sends
// from then on is dropped, and it is granted no more window. If it has not ended its direction
// after CloseTimeout, the stream is reset.
func (st *Stream) Close() error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	st.stopReading()
	st.limits.stop()
	if st.err == nil && s.err == nil {
		st.end()
		if !st.gone && !st.dying {
			st.dying, st.closedAt = true, s.now()
			s.closing.add(st)
			s.watch.due(s, st.closedAt+s.config.CloseTimeout)
		}
	}
	st.fin = true
	st.settle()
	return nil
}

// Reset ends both directions at once. Data in transit is lost. Reads and writes on both sides fail
// with a [ResetError] with the code, unless the peer's program had not accepted the stream.
func (st *Stream) Reset(code uint32) error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.err == nil && !st.gone && s.err == nil {
		st.reset(&ResetError{Code: code}, code, true)
	}
	st.limits.stop()
	st.settle()
	return nil
}
