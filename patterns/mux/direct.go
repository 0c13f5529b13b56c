package mux

import (
	"net"
	"os"
	"reflect"
	"sync"
	"time"
)

// direct is the state of a Write that writes to the connection by itself, without a copy and
// without the writer, when the writer is idle. It must be able to return before the connection has
// accepted everything: at its deadline, or when the stream ends. Then a write deadline of the
// connection interrupts it, and the writer sends the rest of the frame. That works only with
// connections that remain usable after a deadline and report exactly how much they accepted; the
// connection of crypto/tls, for one, does not.
type direct struct {
	able        bool
	busy        bool // a Write writes
	interrupted bool // and is to stop
	by          *Stream
	head        []byte
	parts       [2][]byte
	vector      net.Buffers
}

var pipeType = func() reflect.Type {
	p, _ := net.Pipe()
	return reflect.TypeOf(p)
}()

// interruptible reports whether a connection remains usable after a deadline has interrupted a
// write.
func interruptible(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return reflect.TypeOf(conn) == pipeType
}

// free reports whether a Write may write by itself.
func (s *Session) free(st *Stream) bool {
	o := &s.out
	return o.direct.able && o.idle && !o.direct.busy && len(o.ready) == 0 && st.window > 0 && o.err == nil
}

// writeDirect writes a frame with the beginning of b, together with other frames that are due, and
// returns how much of b the frame has. It releases mu in the meantime.
func (s *Session) writeDirect(st *Stream, b []byte) int {
	o := &s.out
	d := &o.direct
	n := min(len(b), int(st.window), s.config.MaxFrameBytes)
	d.head = s.collectSmall(d.head[:0])
	d.head = s.appendHeader(d.head, st, n)
	d.parts = [2][]byte{d.head, b[:n]}
	d.vector = d.parts[:]
	if n <= 2<<10 { // a copy is cheaper than a second write
		d.head = append(d.head, b[:n]...)
		d.parts[0] = d.head
		d.vector = d.parts[:1]
	}
	d.busy, d.by = true, st
	o.writing, o.since = true, s.now()
	s.stats.SentBytes += int64(len(d.parts[0]) + len(d.vector[len(d.vector)-1])*(len(d.vector)-1))
	s.mu.Unlock()
	_, err := d.vector.WriteTo(s.conn)
	s.mu.Lock()
	d.busy, d.by = false, nil
	o.writing = false
	if d.interrupted {
		d.interrupted = false
		s.conn.SetWriteDeadline(time.Time{})
		if os.IsTimeout(err) {
			var rest []byte
			for _, p := range d.vector { // WriteTo has taken off what was written
				rest = append(rest, p...)
			}
			o.small = append(rest, o.small...)
			err = nil
		}
	}
	d.parts = [2][]byte{}
	if err != nil {
		s.writeFailed(err)
	}
	if o.any() || s.err != nil {
		s.wakeWriter()
	}
	return n
}

// interrupt makes the stream's Write or Read return soon if it is using the
// connection.
func (st *Stream) interrupt(who *sync.Cond) {
	if who == &st.readable {
		st.recall()
		return
	}
	d := &st.s.out.direct
	if d.by == st && !d.interrupted {
		d.interrupted = true
		st.s.conn.SetWriteDeadline(time.Unix(1, 0))
	}
}

// A Read that waits lends its buffer, so that the session's reader can fill it without a copy, as
// long as no unread data comes before. The buffer comes back when a read of the connection returns;
// a deadline of the connection interrupts that read, as with writes.
type loan struct {
	buf   []byte
	n     int  // bytes that it has
	taken bool // the reader of the session has it now
	back  bool // it has been given back, and is not taken again
}

// loans are a few loans for reuse.
type loans []*loan

func (l *loans) get(b []byte) *loan {
	if len(*l) == 0 {
		return &loan{buf: b}
	}
	last := len(*l) - 1
	one := (*l)[last]
	*l = (*l)[:last]
	*one = loan{buf: b}
	return one
}

func (l *loans) put(one *loan) {
	one.buf = nil
	if len(*l) < 4 {
		*l = append(*l, one)
	}
}

// leastLoan is the size below which a copy is cheaper than a separate read.
const leastLoan = 4 << 10

// lends reports whether there is a buffer for the next data of a stream. A nil stream has
// none.
func (st *Stream) lends() bool {
	return st != nil && st.loan != nil && !st.loan.back && st.buf.n == 0 && !st.closed && st.err == nil
}

// readDirect reads the payload that has begun into the buffer of the Read that waits for it. It
// releases mu in the meantime.
func (s *Session) readDirect() error {
	st := s.in.stream
	l := st.loan
	l.taken = true
	b := l.buf[:min(len(l.buf), int(s.in.left))]
	s.mu.Unlock()
	n, err := s.conn.Read(b)
	s.mu.Lock()
	l.taken, l.back, l.n = false, true, n
	if s.in.interrupted {
		s.in.interrupted = false
		s.conn.SetReadDeadline(time.Time{})
		if os.IsTimeout(err) {
			err = nil
		}
	}
	s.stats.ReceivedBytes += int64(n)
	s.in.last = s.now()
	if s.in.left -= uint32(n); s.in.left == 0 && s.in.fin {
		st.finished()
	}
	st.readable.Broadcast()
	return err
}

// recall makes the buffer that a Read has lent come back soon.
func (st *Stream) recall() {
	if st.loan != nil && st.loan.taken && !st.s.in.interrupted {
		st.s.in.interrupted = true
		st.s.conn.SetReadDeadline(time.Unix(1, 0))
	}
}
