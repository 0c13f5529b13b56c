// Package polling is what long and short polling have in common: the wire format of
// a feed that is read by cursor, what a client makes of an answer, and how it sends
// requests and waits between them. The exported names of both packages are aliases
// of those here.
package polling

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Event is one entry of the log as it travels.
type Event struct {
	Offset uint64    `json:"offset"`
	Topic  string    `json:"topic,omitempty"`
	Time   time.Time `json:"time"`
	Data   []byte    `json:"data,omitempty"`
}

// Reset says why a client cannot continue where it stood. The zero value means
// that it can.
type Reset string

const (
	ResetCompacted Reset = "compacted"
	ResetEpoch     Reset = "wrong-epoch"
	ResetFuture    Reset = "future"
)

// Batch is what a client's handler gets: the events of one answer, a Reset, or where a
// client begins.
type Batch struct {
	// Events are in order. Their topic and data are the handler's to keep. There are
	// none in the first batch of a client that begins now: its Cursor is where.
	Events []Event
	// Cursor is the position after the batch. A handler that stores it together
	// with the events' effects can continue there after a crash.
	Cursor eventlog.Cursor
	// Reset, if not empty, says that events may be missing between the last batch
	// and the next: whatever was built from events must be built anew. There are
	// no Events then, and what follows begins with the oldest event that the feed
	// has.
	Reset Reset
}

// Answer is the body of a response.
type Answer struct {
	Cursor eventlog.Cursor `json:"cursor"`
	Events []Event         `json:"events,omitempty"`
	Reset  Reset           `json:"reset,omitempty"`
	// More says that the next poll will be answered with events at once.
	More bool `json:"more,omitempty"`
}

// NewAnswer makes an answer of a page.
func NewAnswer(page eventlog.Page) Answer {
	a := Answer{Cursor: page.Next, More: page.More}
	if page.Reset != "" {
		a.Reset = Reset(page.Reset)
	}
	for _, e := range page.Entries {
		a.Events = append(a.Events, Event{Offset: e.Offset, Topic: e.Topic, Time: e.Time, Data: e.Data})
	}
	return a
}

// ParseAnswer reads a whole body. A body that was cut anywhere is an error: JSON
// says where it ends, also when the connection's end was taken for the body's.
func ParseAnswer(body []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Answer{}, fmt.Errorf("answer of %d bytes is not whole: %w", len(body), err)
	}
	if a.Cursor.IsZero() {
		return Answer{}, fmt.Errorf("answer has no cursor")
	}
	last := uint64(0)
	for _, e := range a.Events {
		if e.Offset <= last || e.Offset > a.Cursor.Offset {
			return Answer{}, fmt.Errorf("answer has event %d after event %d, and the cursor %s", e.Offset, last, a.Cursor)
		}
		last = e.Offset
	}
	return a, nil
}

// MaxTopics bounds the topics of one poll: each is compared with each entry, and a
// place in the log's list of watches for as long as a poll is held.
const MaxTopics = 100

// Position is where a poll asks from, and what about.
type Position struct {
	Cursor eventlog.Cursor
	Topics []string
	// Given says that the cursor was in the request.
	Given bool
}

// ParsePosition reads the parameters cursor, from and topic of a poll. A poll without a
// cursor asks from the oldest entry that is kept or, with from=now, from the newest.
func ParsePosition(q url.Values, log eventlog.Log) (Position, error) {
	p := Position{Topics: q["topic"]}
	if n := len(p.Topics); n > MaxTopics {
		return p, fmt.Errorf("topic is given %d times: want at most %d", n, MaxTopics)
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

// SetPosition is the client's side of ParsePosition: it sets the parameters.
func SetPosition(q url.Values, cursor eventlog.Cursor, fromNow bool, topics []string) {
	q["topic"] = topics
	switch {
	case !cursor.IsZero():
		q.Set("cursor", cursor.String())
	case fromNow:
		q.Set("from", "now")
	}
}
