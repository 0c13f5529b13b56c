package longpoll

import (
	"github.com/squall-sim/squall/patterns/internal/polling"
)

// What long polling shares with short polling.

// Event is one entry of the log as it travels: its Offset, Topic, Time and Data.
type Event = polling.Event

// Batch is what the handler gets: the Events of one answer, in order; a Reset; or where
// a client with FromNow begins, without events. Its Cursor is the position after the
// batch. A handler that stores it together with the events' effects can continue there
// after a crash.
//
// A Reset that is not empty says that events may be missing between the last batch and
// the next: whatever was built from events must be built anew. There are no Events
// then, and what follows begins with the oldest event that the feed has.
type Batch = polling.Batch

// Reset says why a client cannot continue where it stood. The zero value means
// that it can.
type Reset = polling.Reset

const (
	// ResetCompacted: the log has dropped entries that the client has not seen.
	ResetCompacted = polling.ResetCompacted
	// ResetEpoch: the log began a new life, and the client's position means
	// nothing in it.
	ResetEpoch = polling.ResetEpoch
	// ResetFuture: the log ends before the client's position. It was put back to
	// an earlier state, and what the client has seen may not be in it.
	ResetFuture = polling.ResetFuture
)
