package mux

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// coalesced is how many bytes of small frames are combined into one write to the
// connection.
const coalesced = 16 << 10

// sender is a session's state for writing.
type sender struct {
	work    sync.Cond
	idle    bool     // the writer waits for work
	small   []byte   // frames that wait for the next write
	owing   *Stream  // streams that owe a frame, in this order
	last    *Stream  // of them
	refused []uint32 // streams of the peer to be reset
	answers []uint32 // values of the peer's pings
	asks    []uint32 // values of own pings
	goAway  bool     // the peer is to be told that this side drains
	ready   heap     // streams with data, the next one first
	clock   uint64   // the tag of the last frame: see queue
	writing bool
	since   time.Duration // when the write began that is under way
	err     error         // the connection takes no more
	direct  direct
}

// claim reports whether the caller must wake the writer.
func (o *sender) claim() bool {
	idle := o.idle && !o.direct.busy // who is writing wakes it
	if idle {
		o.idle = false
	}
	return idle
}

func (s *Session) wakeWriter() {
	if s.out.claim() {
		s.out.work.Signal()
	}
}

// owes adds a stream to the list of those that owe a frame.
func (s *Session) owes(st *Stream) {
	if st.owing {
		return
	}
	st.owing = true
	if s.out.owing == nil {
		s.out.owing = st
	} else {
		s.out.last.nextOwing = st
	}
	s.out.last = st
}

// queue adds a stream with data, and window for it, to the heap. The order is that of start-time
// fair queueing (Goyal, Vin and Cheng, 1996): a frame's tag is where the stream's last frame ended,
// in bytes, or the tag of the frame being sent, if that is more. Streams that always have data get
// equal shares, and a stream that was idle goes before their next frames.
func (s *Session) queue(st *Stream) {
	if st.ready || st.window == 0 {
		return
	}
	st.ready = true
	st.tag = max(st.tag, s.out.clock)
	s.out.ready.push(st)
}

// coalesce accepts a small write at once, if no waiting frame must go first. Writes that linger are
// collected later in the order of their streams, because the order of the calls depends on the
// runtime.
func (s *Session) coalesce(st *Stream, b []byte) bool {
	o := &s.out
	if s.config.Linger > 0 || len(o.ready) > 0 || len(o.small)+headerLen+len(b) > coalesced || len(b) > min(int(st.window), s.config.MaxFrameBytes) || o.err != nil {
		return false
	}
	o.small = st.appendOwed(o.small)
	o.small = s.appendData(o.small, st, b)
	return true
}

func (s *Session) appendData(buf []byte, st *Stream, b []byte) []byte {
	return append(s.appendHeader(buf, st, len(b)), b...)
}

// appendHeader appends the header of a data frame.
func (s *Session) appendHeader(buf []byte, st *Stream, n int) []byte {
	st.window -= uint32(n)
	s.out.clock = max(st.tag, s.out.clock)
	st.tag = s.out.clock + uint64(n)
	return header{kind: kindData, stream: st.id, length: uint32(n)}.append(buf)
}

// appendOwed appends the frames that a stream owes, other than data. The stream can stay in the
// list; it then owes nothing there.
func (st *Stream) appendOwed(buf []byte) []byte {
	o := st.owe
	if o == (owed{}) {
		return buf
	}
	st.owe = owed{}
	h := header{kind: kindWindow, stream: st.id}
	if o.syn {
		h.flags |= flagSYN
	}
	if o.ack {
		h.flags |= flagACK
	}
	if o.window > 0 || h.flags != 0 {
		h.length = o.window
		st.credit += o.window
		if o.fin {
			h.flags |= flagFIN
			o.fin = false
		}
		buf = h.append(buf)
	}
	if o.fin {
		buf = header{kind: kindWindow, flags: flagFIN, stream: st.id}.append(buf)
	}
	if o.rst {
		buf = header{kind: kindWindow, flags: flagRST, stream: st.id, length: o.code}.append(buf)
	}
	return buf
}

func (s *Session) writeLoop() {
	defer close(s.writeDone)
	var buf []byte
	for {
		s.mu.Lock()
		s.out.writing = false
		for s.out.direct.busy || s.err == nil && s.out.err == nil && !s.out.any() {
			s.out.idle = true
			s.out.work.Wait()
		}
		if s.err != nil || s.out.err != nil {
			break
		}
		if s.config.Linger > 0 {
			s.mu.Unlock()
			time.Sleep(s.config.Linger)
			s.mu.Lock()
		}
		buf = s.collect(buf[:0])
		s.out.writing, s.out.since = true, s.now()
		s.stats.SentBytes += int64(len(buf))
		s.mu.Unlock()
		if _, err := s.conn.Write(buf); err != nil {
			s.mu.Lock()
			s.writeFailed(err)
			s.mu.Unlock()
			return
		}
	}
	broken := s.out.err != nil
	buf = s.lastWords(buf[:0])
	s.mu.Unlock()
	if broken {
		return // writeFailed has left the rest to the reader
	}
	if len(buf) > 0 {
		s.conn.Write(buf)
	}
	s.conn.Close()
	if s.cut != nil {
		s.cut.Stop()
	}
}

// writeFailed leaves the reason to the reader: the peer may have sent one before the connection
// broke.
func (s *Session) writeFailed(err error) {
	s.out.err = err
	s.out.writing = false
	time.AfterFunc(s.config.GoAwayTimeout, func() { s.conn.Close() })
}

func (o *sender) any() bool {
	return len(o.small) > 0 || o.owing != nil || len(o.ready) > 0 || o.goAway ||
		len(o.refused)+len(o.answers)+len(o.asks) > 0
}

// collect returns the content of one write: all small frames, and one frame of data or several
// small ones.
func (s *Session) collect(buf []byte) []byte {
	buf = s.collectSmall(buf)
	for sent := 0; len(s.out.ready) > 0; sent++ {
		st := s.out.ready[0]
		n := min(len(st.data), int(st.window), s.config.MaxFrameBytes)
		if sent > 0 && len(buf)+headerLen+n > coalesced {
			break
		}
		s.out.ready.pop()
		st.ready = false
		if n == 0 || st.fin || st.err != nil {
			continue // it does not wait any more
		}
		buf = s.appendData(buf, st, st.data[:n])
		st.data = st.data[n:]
		if len(st.data) > 0 {
			s.queue(st)
		} else {
			st.writable.Broadcast()
		}
	}
	return buf
}

// collectSmall takes the frames without payload, and those that coalesce has
// accepted.
func (s *Session) collectSmall(buf []byte) []byte {
	o := &s.out
	buf, o.small = append(o.small, buf...), buf[:0]
	for st := o.owing; st != nil; {
		buf = st.appendOwed(buf)
		next := st.nextOwing
		st.nextOwing, st.owing = nil, false
		st = next
	}
	o.owing, o.last = nil, nil
	if s.config.Linger > 0 {
		buf = byStream(buf)
	}
	for _, id := range o.refused {
		buf = header{kind: kindWindow, flags: flagRST, stream: id}.append(buf)
	}
	if o.goAway {
		buf = header{kind: kindGoAway, length: CodeNormal}.append(buf)
		o.goAway = false
	}
	for _, value := range o.answers {
		buf = header{kind: kindPing, flags: flagACK, length: value}.append(buf)
	}
	for _, value := range o.asks {
		buf = s.asked(value, buf)
	}
	o.refused, o.answers, o.asks = o.refused[:0], o.answers[:0], o.asks[:0]
	return buf
}

// byStream sorts whole frames by stream, and keeps the order of those of one stream. The result
// does not depend on which goroutine was first.
func byStream(buf []byte) []byte {
	type place struct {
		stream   uint32
		from, to int
	}
	var all []place
	for at := 0; at < len(buf); {
		h, end := parseHeader(buf[at:]), at+headerLen
		if h.kind == kindData {
			end += int(h.length)
		}
		all = append(all, place{h.stream, at, end})
		at = end
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(a.stream, b.stream) })
	sorted := make([]byte, 0, len(buf))
	for _, p := range all {
		sorted = append(sorted, buf[p.from:p.to]...)
	}
	return sorted
}

// lastWords returns what a session writes after it has ended.
func (s *Session) lastWords(buf []byte) []byte {
	if !s.lastWord || s.out.err != nil {
		return nil
	}
	buf = s.collectSmall(buf)
	return header{kind: kindGoAway, length: s.code}.append(buf)
}

// heap is a binary heap of streams; of equal tags the one with the lower number is first.
type heap []*Stream

func (h heap) less(i, j int) bool {
	return h[i].tag < h[j].tag || h[i].tag == h[j].tag && h[i].id < h[j].id
}

func (h *heap) push(st *Stream) {
	*h = append(*h, st)
	for i := len(*h) - 1; i > 0 && h.less(i, (i-1)/2); i = (i - 1) / 2 {
		(*h)[i], (*h)[(i-1)/2] = (*h)[(i-1)/2], (*h)[i]
	}
}

func (h *heap) pop() {
	old := *h
	last := len(old) - 1
	old[0], old[last] = old[last], nil
	*h = old[:last]
	for i := 0; ; {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < last && h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		old[i], old[least] = old[least], old[i]
		i = least
	}
}
