package longpoll

import (
	"encoding/json"
	"fmt"
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
	// ResetCompacted: the log has dropped entries that the client has not seen.
	ResetCompacted Reset = "compacted"
	// ResetEpoch: the log began a new life, and the client's position means
	// nothing in it.
	ResetEpoch Reset = "wrong-epoch"
	// ResetFuture: the log ends before the client's position. It was put back to
	// an earlier state, and what the client has seen may not be in it.
	ResetFuture Reset = "future"
)

// answer is the body of a response.
type answer struct {
	Cursor eventlog.Cursor `json:"cursor"`
	Events []Event         `json:"events,omitempty"`
	Reset  Reset           `json:"reset,omitempty"`
}

func newAnswer(page eventlog.Page) answer {
	a := answer{Cursor: page.Next}
	if page.Status != eventlog.Complete {
		a.Reset = Reset(page.Status.String())
	}
	for _, e := range page.Entries {
		a.Events = append(a.Events, Event{Offset: e.Offset, Topic: e.Topic, Time: e.Time, Data: e.Data})
	}
	return a
}

// parseAnswer reads a whole body. A body that was cut anywhere is an error: JSON
// says where it ends, also when the connection's end was taken for the body's.
func parseAnswer(body []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, fmt.Errorf("answer of %d bytes is not whole: %w", len(body), err)
	}
	if a.Cursor.IsZero() {
		return answer{}, fmt.Errorf("answer has no cursor")
	}
	last := uint64(0)
	for _, e := range a.Events {
		if e.Offset <= last || e.Offset > a.Cursor.Offset {
			return answer{}, fmt.Errorf("answer has event %d after event %d, and the cursor %s", e.Offset, last, a.Cursor)
		}
		last = e.Offset
	}
	return a, nil
}
