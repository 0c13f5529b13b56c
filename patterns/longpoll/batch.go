package longpoll

import "github.com/squall-sim/squall/patterns/eventlog"

// Batch is what a client's handler gets: the events of one answer, a Reset, or where a
// client begins.
type Batch struct {
	// Events are in order, with the offsets, topics and times that they have in the
	// server's log; the handler may keep them. There are none in the first batch of a
	// client that begins now: its Cursor is where.
	Events []eventlog.Entry
	// Cursor is the position after the batch. A handler that stores it together with the
	// events' effects can continue there after a crash.
	Cursor eventlog.Cursor
	// Reset, if not empty, says why the client cannot continue where it stood: events may
	// be missing between the last batch and the next, and whatever was built from events
	// must be built anew. There are no Events then, and what follows begins with the
	// oldest event that the server has.
	Reset eventlog.Reason
}
