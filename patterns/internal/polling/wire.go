// Package polling is what long and short polling have in common: the wire format of
// a log that is read by cursor, what a client makes of an answer, how it sends
// requests, and how servers authenticate, refuse and end.
package polling

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// answer is a page as it travels. Servers and clients are not of one version: fields may
// be added, and none change their names or meanings.
type answer struct {
	Cursor eventlog.Cursor `json:"cursor"`
	Events []event         `json:"events,omitempty"`
	Reset  eventlog.Reason `json:"reset,omitempty"`
	// More says that the next poll will be answered with events at once.
	More bool `json:"more,omitempty"`
}

// event is an entry as it travels. It has all fields of an eventlog.Entry.
type event struct {
	Offset  uint64    `json:"offset"`
	Topic   string    `json:"topic,omitempty"`
	Time    time.Time `json:"time"`
	Expires time.Time `json:"expires,omitzero"`
	Data    []byte    `json:"data,omitempty"`
}

// EncodePage returns the body of an answer.
func EncodePage(page eventlog.Page) ([]byte, error) {
	a := answer{Cursor: page.Next, Reset: page.Reset, More: page.More}
	for _, e := range page.Entries {
		// JSON has the years 0 to 9999. What expires later never does.
		if e.Expires.Year() > 9999 {
			e.Expires = time.Time{}
		}
		if e.Time.Year() < 0 {
			e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		a.Events = append(a.Events, event(e))
	}
	return json.Marshal(a)
}

// ParsePage parses a whole body. A truncated body is always an error, because
// JSON shows where it ends, even if the end of the connection was taken for the
// end of the body.
func ParsePage(body []byte) (eventlog.Page, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return eventlog.Page{}, fmt.Errorf("answer of %d bytes is not whole: %w", len(body), err)
	}
	if a.Cursor.IsZero() {
		return eventlog.Page{}, fmt.Errorf("answer has no cursor")
	}
	page := eventlog.Page{Next: a.Cursor, Reset: a.Reset, More: a.More}
	last := uint64(0)
	for _, e := range a.Events {
		if e.Offset <= last || e.Offset > a.Cursor.Offset {
			return eventlog.Page{}, fmt.Errorf("answer has event %d after event %d, and the cursor %s", e.Offset, last, a.Cursor)
		}
		last = e.Offset
		page.Entries = append(page.Entries, eventlog.Entry(e))
	}
	return page, nil
}

// MaxTopics bounds the topics of one poll. Each is compared with each entry, and
// occupies a place in the log's list of watches while a poll is held.
const MaxTopics = 100

// Position is the position and the topics of a poll. Topics are names or filters.
type Position struct {
	Cursor eventlog.Cursor
	Topics []string
	// Given says that the cursor was in the request.
	Given bool
}

// ParsePosition parses the parameters cursor, from and topic of a poll. A poll without
// a cursor starts from the oldest entry kept or, with from=now, from the newest.
func ParsePosition(q url.Values, log eventlog.Log) (Position, error) {
	p := Position{Topics: q["topic"]}
	if n := len(p.Topics); n > MaxTopics {
		return p, fmt.Errorf("topic is given %d times: want at most %d", n, MaxTopics)
	}
	for _, topic := range p.Topics {
		if err := fields.CheckFilter(topic); err != nil {
			return p, fmt.Errorf("topic is %q: %w", topic, err)
		}
	}
	if text := q.Get("cursor"); text != "" {
		var err error
		p.Given = true
		p.Cursor, err = eventlog.ParseCursor(text)
		return p, err
	}
	switch from := q.Get("from"); from {
	case "":
		p.Cursor = log.Tail()
	case "now":
		p.Cursor = log.Head()
	default:
		return p, fmt.Errorf("from is %q: want now, or nothing", from)
	}
	return p, nil
}

// SetPosition sets the parameters that [ParsePosition] reads.
func SetPosition(q url.Values, cursor eventlog.Cursor, fromNow bool, topics []string) {
	q["topic"] = topics
	switch {
	case !cursor.IsZero():
		q.Set("cursor", cursor.String())
	case fromNow:
		q.Set("from", "now")
	}
}
