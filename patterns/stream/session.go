package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/guard"
)

// session is one open stream, on the goroutine of its request.
type session struct {
	*handler
	request  *http.Request
	encoding Encoding
	carrier  carrier

	identity access.Identity
	asked    []string // topics, by names or filters
	query    eventlog.Query
	cursor   eventlog.Cursor // what was read from the log
	known    eventlog.Cursor // the position sent to the client
	resumes  bool            // the client named a position
	buf      bytes.Buffer
	enc      encoder // writes to buf
	events   int64   // in buf
	at       position
	page     *page // what is to be written instead of buf
}

// carrier brings bytes to the client.
type carrier interface {
	// write writes whole records or returns why it cannot: errSlow if a piece of them was not
	// accepted within WriteTimeout.
	write(p []byte) error
	// context ends with the connection.
	context() context.Context
	// end ends the stream in good order, if it can still be.
	end()
	// abort has write fail, also one that is under way, and ends the connection. It may be
	// called at any time.
	abort()
}

var errSlow = errors.New("stream: client does not read")

func (s *session) parse() error {
	q := s.request.URL.Query()
	s.query = eventlog.Query{MaxEntries: s.settings.MaxEvents, MaxBytes: s.settings.MaxBytes}
	s.asked = q["topic"]
	if n := len(s.asked); n > maxTopics {
		return fmt.Errorf("topic is given %d times: want at most %d", n, maxTopics)
	}
	for _, topic := range s.asked {
		if err := fields.CheckFilter(topic); err != nil {
			return fmt.Errorf("topic is %q: %w", topic, err)
		}
	}
	id := q.Get("lastEventId")
	if fromHeader := s.request.Header.Get("Last-Event-ID"); fromHeader != "" {
		id = fromHeader
	}
	from := q.Get("from")
	switch {
	case from != "" && from != "now":
		return fmt.Errorf("from is %q: want now, or nothing", from)
	case id != "":
		// What is no cursor is no position of this log, and the client is notified like
		// one of another epoch. An error status would stop a browser for good.
		s.resumes = true
		s.cursor, _ = eventlog.ParseCursor(id)
	case from == "now":
		s.cursor = s.Log.Head()
	default:
		s.cursor = s.Log.Tail()
	}
	return nil
}

// authenticate finds out whose request it is, and limits the query to what may be seen.
func (s *session) authenticate() (err error) {
	if s.identity = access.Everything(""); s.Authenticate != nil {
		err = s.identify()
	}
	if err == nil {
		s.query.Topics, s.query.Match, err = s.identity.Select(s.asked)
	}
	return err
}

func (s *session) identify() error {
	err := s.guard("Authenticate", func() (err error) {
		s.identity, err = s.Authenticate(s.request)
		return err
	})
	if err != nil {
		return err
	}
	if s.identity.Expired() {
		return fmt.Errorf("%w: credentials of %q have expired", access.ErrUnauthorized, s.identity.Client)
	}
	return nil
}

// run streams until the client, the log or the server goes away.
func (s *session) run() error {
	s.enc = s.encoding.encoder(&s.buf)
	watch := s.Log.Watch(s.query.Topics...)
	defer watch.Stop()
	if s.settings.Retry >= 0 {
		_ = s.enc.Retry(s.settings.Retry + s.Jitter(s.settings.Retry)) // into memory
	}
	if !s.resumes {
		// From the first moment the client has a position: without one it would begin
		// anew after a cut that comes before the first event.
		s.tell(s.cursor)
	}
	if s.buf.Len() == 0 {
		_ = s.enc.Comment("")
	}
	if err := s.flush(); err != nil {
		return err
	}
	heartbeat := time.NewTimer(s.settings.Heartbeat)
	defer heartbeat.Stop()
	var expired <-chan time.Time
	if at := s.identity.Expires; !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		expired = timer.C
	}
	due := false
	for {
		select {
		case <-s.drain:
			return nil
		case <-expired:
			return nil
		default:
		}
		more, err := s.read()
		if err != nil {
			return err
		}
		if due && s.page == nil && s.buf.Len() == 0 {
			s.heartbeats.Add(1)
			if s.known == s.cursor {
				_ = s.enc.Comment("")
			} else {
				s.tell(s.cursor)
			}
		}
		due = false
		if s.page != nil || s.buf.Len() > 0 {
			if err := s.flush(); err != nil {
				return err
			}
			heartbeat.Reset(s.settings.Heartbeat)
		}
		if more {
			continue
		}
		select {
		case <-watch.C:
		case <-heartbeat.C:
			due = true
		case <-s.drain:
			return nil
		case <-expired:
			return nil
		case <-s.carrier.context().Done():
			return s.carrier.context().Err()
		}
	}
}

// read encodes what the log has after the cursor, up to a limit, and reports whether
// there is more.
func (s *session) read() (more bool, err error) {
	if s.Coalesce != nil {
		return s.readNewest()
	}
	p := s.readPage()
	switch {
	case p.err != nil:
		return false, p.err
	case p.log.Reset != "":
		return true, s.reset(p.log)
	case p.events > 0:
		s.page, s.known = p, p.last
	}
	s.cursor = p.log.Next
	return p.log.More, nil
}

// readNewest is read with Coalesce, of which the outcome is the session's own.
func (s *session) readNewest() (more bool, err error) {
	page, err := s.Log.After(s.cursor, s.query)
	if err != nil {
		return false, err
	}
	if page.Reset != "" {
		return true, s.reset(page)
	}
	page, entries, err := s.catchUp(page)
	if err != nil {
		return false, err
	}
	if len(entries) > 0 {
		if s.known, err = encode(s.enc, page.Next.Epoch, entries); err != nil {
			return false, err
		}
	}
	s.events = int64(len(entries))
	s.cursor = page.Next
	return page.More, nil
}

// reset tells the client that it cannot be continued, and where it goes on.
func (s *session) reset(page eventlog.Page) error {
	at := page.Next
	r := Reset{Reason: page.Reset}
	if s.Snapshot != nil {
		at = s.Log.Head()
		err := s.guard("Snapshot", func() (err error) {
			r.Snapshot, err = s.Snapshot(s.request)
			return err
		})
		if err != nil {
			return fmt.Errorf("stream: snapshot: %w", err)
		}
	}
	r.ID = at.String()
	e, err := r.event()
	if err != nil {
		return err
	}
	if err := s.enc.Encode(e); err != nil {
		return err
	}
	s.cursor, s.known = at, at
	s.resets.Add(1)
	s.log(slog.LevelWarn, "client cannot be continued", "reason", r.Reason)
	return nil
}

// guard calls one of the functions that the server was given.
func (s *session) guard(field string, f func() error) error {
	return guard.Call(s.Logger, "stream: Server."+field, f, "client", s.client())
}

// catchUp coalesces a page, and reads on while what is left of all that waits fits the
// limits.
func (s *session) catchUp(page eventlog.Page) (eventlog.Page, []eventlog.Entry, error) {
	kept, err := s.newest(page.Entries)
	for err == nil && page.More && len(kept) < s.query.MaxEntries && size(kept) < s.query.MaxBytes {
		next, readErr := s.Log.After(page.Next, s.query)
		if readErr != nil {
			return page, nil, readErr
		}
		if next.Reset != "" {
			break // what was read goes out first, and then the reset
		}
		page = next
		kept, err = s.newest(append(kept, page.Entries...))
	}
	return page, kept, err
}

// newest returns the last of the entries about each subject.
func (s *session) newest(entries []eventlog.Entry) ([]eventlog.Entry, error) {
	last := map[string]uint64{}
	subjects := make([]string, len(entries))
	err := s.guard("Coalesce", func() error {
		for i, e := range entries {
			subjects[i] = s.Coalesce(e.Topic, e.Data)
			last[subjects[i]] = e.Offset
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var kept []eventlog.Entry
	for i, e := range entries {
		if subjects[i] == "" || last[subjects[i]] == e.Offset {
			kept = append(kept, e)
		}
	}
	s.coalesced.Add(int64(len(entries) - len(kept)))
	return kept, nil
}

func size(entries []eventlog.Entry) (n int) {
	for _, e := range entries {
		n += len(e.Topic) + len(e.Data)
	}
	return n
}

// tell gives the client a position without an event.
func (s *session) tell(at eventlog.Cursor) {
	_ = s.enc.Position(at.String()) // into memory, and a cursor is a valid ID
	s.known = at
}

// flush writes the page, or what is in buf.
func (s *session) flush() error {
	out := s.buf.Bytes()
	if s.page != nil {
		out, s.events = s.page.data, s.page.events
	}
	if short := s.Padding - len(out); short > 0 && s.encoding != WebSocket {
		if s.page != nil {
			s.buf.Write(out)
		}
		_ = s.enc.Comment(strings.Repeat(" ", short))
		out = s.buf.Bytes()
	}
	s.held.Add(int64(len(out)))
	err := s.carrier.write(out)
	s.held.Add(-int64(len(out)))
	if err == nil {
		s.Server.events.Add(s.events)
	}
	s.events, s.page = 0, nil
	if s.buf.Reset(); s.buf.Cap() > 4<<10 {
		s.buf = bytes.Buffer{} // an idle stream holds little; enc writes to the same place
	}
	return err
}
