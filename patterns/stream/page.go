package stream

import (
	"bytes"
	"fmt"
	"sync"
	"time"
	"weak"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// page is what is sent to a session that stands at a position: entries of the log, encoded.
// All sessions that read the same from there write the same bytes.
type page struct {
	from       position
	head, tail eventlog.Cursor // of the log, before it was read

	once    sync.Once     // of read
	log     eventlog.Page // without its entries
	data    []byte
	events  int64
	last    eventlog.Cursor // of the last event
	err     error
	same    bool      // there are events, and the log was read as it stood from tail to head
	expires time.Time // when the first of the entries does; zero: never
}

// position is where a session stands, and what it reads.
type position struct {
	cursor eventlog.Cursor
	json   bool
	topics string // see session.topics
}

// pages remembers pages while sessions write them. One that is forgotten is read and encoded
// again, with the same result: what clients are sent does not depend on it.
type pages struct {
	mu     sync.Mutex
	recent [8]weak.Pointer[page]
	oldest int
}

// at returns the page of a position in a log that begins and ends there, read or not.
func (p *pages) at(from position, head, tail eventlog.Cursor) *page {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.recent {
		if found := w.Value(); found != nil && found.from == from && found.head == head && found.tail == tail {
			return found
		}
	}
	added := &page{from: from, head: head, tail: tail}
	p.recent[p.oldest] = weak.Make(added)
	p.oldest = (p.oldest + 1) % len(p.recent)
	return added
}

// topics are what a session reads, for comparison with others.
func (s *session) topics() string {
	if s.query.Match != nil { // it follows from these, or else from the identity's
		filters := s.asked
		if len(filters) == 0 {
			filters = s.identity.Topics
		}
		return fmt.Sprintf("match %q", filters)
	}
	return fmt.Sprintf("%q", s.query.Topics)
}

// readPage returns the page at the session's position. What another session has read is
// taken if the session would read the same now.
func (s *session) readPage() *page {
	s.at.cursor = s.cursor
	p := s.pages.at(s.at, s.Log.Head(), s.Log.Tail())
	own := false
	p.once.Do(func() {
		own = true
		p.read(s)
	})
	if own || p.same && (p.expires.IsZero() || time.Now().Before(p.expires)) {
		return p
	}
	p = &page{from: p.from}
	p.read(s)
	return p
}

func (p *page) read(s *session) {
	if p.log, p.err = s.Log.After(p.from.cursor, s.query); p.err != nil {
		return
	}
	entries := p.log.Entries
	p.log.Entries, p.events = nil, int64(len(entries))
	if len(entries) == 0 {
		return // a page like this does not tell whether the log has been closed since
	}
	var buf bytes.Buffer
	buf.Grow(size(entries) + 64*len(entries))
	if p.last, p.err = encode(s.encoding.encoder(&buf), p.log.Next.Epoch, entries); p.err != nil {
		return
	}
	p.data = buf.Bytes()
	for i := range entries {
		if e := entries[i].Expires; !e.IsZero() && (p.expires.IsZero() || e.Before(p.expires)) {
			p.expires = e
		}
	}
	p.same = s.Log.Head() == p.head && s.Log.Tail() == p.tail
}

// encode writes entries as events and returns the cursor of the last.
func encode(enc encoder, epoch uint64, entries []eventlog.Entry) (last eventlog.Cursor, err error) {
	for i := range entries {
		if err := enc.Encode(newEvent(epoch, &entries[i])); err != nil {
			return last, err
		}
		last = eventlog.Cursor{Epoch: epoch, Offset: entries[i].Offset}
	}
	return last, nil
}
