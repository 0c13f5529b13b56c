package polling

import (
	"fmt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Batch is the Batch of both packages.
type Batch struct {
	Events []eventlog.Entry
	Cursor eventlog.Cursor
	Reset  eventlog.Reason
}

// Reader is a client's position in a log. Whatever a server answers, the position
// never goes back, and never into another epoch, without a Reset.
type Reader struct {
	Cursor  eventlog.Cursor // zero: none yet
	FromNow bool            // used only until there is a cursor
	// StaleAnswers is how many answers in a row, from a server that is behind this
	// client, are attributed to a lagging replica. The next one is treated as a
	// Reset.
	StaleAnswers int

	stale int // in a row
}

// StaleError says that a server is behind its client.
type StaleError struct{ Server, Client eventlog.Cursor }

func (e *StaleError) Error() string {
	return fmt.Sprintf("server is behind: its cursor is %s, and the client's %s", e.Server, e.Client)
}

// Judge compares an answer with the position. It returns a batch, which can be empty,
// and how many events it dropped because they are before the position; or a
// *[StaleError]. The position does not move until [Reader.Accept].
func (r *Reader) Judge(page eventlog.Page) (b Batch, duplicates int, err error) {
	reset, next := page.Reset, page.Next
	if reset == "" && !r.Cursor.IsZero() {
		switch {
		case page.Next.Epoch != r.Cursor.Epoch:
			reset, next = eventlog.ReasonWrongEpoch, eventlog.Cursor{}
		case page.Next.Offset < r.Cursor.Offset:
			reset, next = eventlog.ReasonFuture, eventlog.Cursor{}
		}
	}
	if reset == eventlog.ReasonFuture {
		r.stale++
		if r.stale <= r.StaleAnswers {
			return Batch{}, 0, &StaleError{Server: page.Next, Client: r.Cursor}
		}
	}
	r.stale = 0
	if reset != "" {
		return Batch{Reset: reset, Cursor: next}, 0, nil
	}
	fresh := page.Entries
	for len(fresh) > 0 && fresh[0].Offset <= r.Cursor.Offset {
		fresh = fresh[1:]
	}
	return Batch{Events: fresh, Cursor: page.Next}, len(page.Entries) - len(fresh), nil
}

// Begins reports whether a batch gives the starting position of a client that reads from
// now on. Such a batch matters even without events: after a crash before the first event,
// the client would otherwise begin elsewhere.
func (r *Reader) Begins(b Batch) bool {
	return r.FromNow && r.Cursor.IsZero() && !b.Cursor.IsZero()
}

// Accept moves the position past a batch that was handled.
func (r *Reader) Accept(b Batch) { r.Cursor, r.FromNow = b.Cursor, false }
