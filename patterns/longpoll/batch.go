package longpoll

import "github.com/squall-sim/squall/patterns/eventlog"

// Batch is what a client's handler gets: the events of one answer, a Reset, or the
// position at which a client begins.
type Batch struct {
	// Events are in order, with the offsets, topics and times that they have in the
	// server's log. The handler may keep them. The first batch of a new client has none:
	// its Cursor is where the client begins.
	Events []eventlog.Entry
	// Cursor is the position after the batch. A handler that stores it together with the
	// events' effects can continue there after a crash.
	Cursor eventlog.Cursor
	// Reset, if not empty, is why the client cannot continue from its position. Events
	// may be missing between the last batch and the next, and any state built from events
	// must be rebuilt. The batch has no Events then, and the next one begins with the
	// oldest event that the server has.
	Reset eventlog.Reason
}
