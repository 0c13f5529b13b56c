package shortpoll

import (
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// What short polling shares with long polling.

// Event is one entry of the log as it travels: its Offset, Topic, Time and Data.
type Event = polling.Event

// Batch is what the handler of [Client.Follow] gets: the Events of one answer, in
// order; a Reset; or where a client with From.Now begins, without events. Its Cursor is
// the position after the batch. A handler that stores it together with the events'
// effects can continue there after a crash.
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

// Jitter draws a duration from 0 to max, both included. It is called
// concurrently.
type Jitter = retry.Jitter

// NoJitter always draws 0: clients poll in phase and delays have their longest value.
// For tests that compute times.
var NoJitter Jitter = retry.NoJitter

// Seeded returns a Jitter whose draws are uniform and repeat for the same seed.
func Seeded(seed uint64) Jitter { return retry.Seeded(seed) }

// Backoff bounds the delays of a client after failed polls. The n-th failure in a
// row is followed by a delay drawn from Min (100 ms) to Base<<(n-1) (Base: 1 s), at
// most Max (30 s): "full jitter", with a least delay so that no draw makes a hot loop.
//
// A server's Retry-After replaces the draw, up to RetryAfterMax (5 min); up to Base is
// added to it at random, since it is in whole seconds.
type Backoff = retry.Backoff

// StatusError is an answer with a Status that a client has no use for, and the
// beginning of its body as Text.
type StatusError = retry.StatusError

// ErrAnswerTooLong is returned for an answer beyond Client.MaxAnswer. It would be as
// long the next time.
var ErrAnswerTooLong = polling.ErrTooLong
