package pubsub

import (
	"errors"
	"fmt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

var (
	// ErrClosed is returned after Close, of a [Client] or a [Broker].
	ErrClosed = errors.New("pubsub: closed")
	// ErrDraining is returned by Publish and Serve after [Broker.Drain].
	ErrDraining = errors.New("pubsub: the broker is draining")
	// ErrUnsubscribed is returned by Next after Unsubscribe.
	ErrUnsubscribed = errors.New("pubsub: unsubscribed")
	// ErrUnknown is returned by Publish when its context ends after the message was sent
	// and before it was confirmed: it may or may not be stored. To find out, publish it
	// again with the same ID.
	ErrUnknown = errors.New("pubsub: it is not known whether the message is stored")
	// ErrLate is returned when a delivery is settled after its AckWait and the message
	// already belongs to another member, whose delivery decides. While the message stays
	// with the same member, an acknowledgement can be late, but no other settlement.
	ErrLate = errors.New("pubsub: too late, the message was delivered again")
	// ErrFenced is returned when a delivery is settled that the subscriber lost with its
	// session, and by every method once another client has connected under the same ID.
	ErrFenced = errors.New("pubsub: fenced, somebody else has taken over")
	// ErrMoving is returned by Extend when the message's partition is about to move to
	// another member. The delivery is valid until its AckWait.
	ErrMoving = errors.New("pubsub: moving to another member, no extension")
)

// ReasonSlow is the [Gap].Reason for messages that the subscription's slow policy
// dropped. The other reasons are those of a log, see [eventlog.Reason].
const ReasonSlow eventlog.Reason = "slow"

// Gap is an error of Next that does not end the subscription: messages are missing
// before the next one.
type Gap struct {
	// Reason is why: a reason of package eventlog, or [ReasonSlow].
	Reason eventlog.Reason
	// Missed is the number of matching messages that are missing. Zero:
	// unknown.
	Missed int64
	// Cursor is a position up to which everything else is done: no other message before it
	// is missing.
	Cursor eventlog.Cursor
}

// Error returns the position of the gap, the number of missing messages, and
// the reason.
func (g *Gap) Error() string {
	if g.Missed == 0 {
		return fmt.Sprintf("pubsub: messages may be missing before %s: %s", g.Cursor, g.Reason)
	}
	return fmt.Sprintf("pubsub: %d messages are missing before %s: %s", g.Missed, g.Cursor, g.Reason)
}

// verb is what a subscriber says about a delivery.
type verb uint64

const (
	verbAck verb = iota
	verbNack
	verbExtend
)

// outcome is the broker's answer to that.
type outcome uint64

const (
	outcomeOK outcome = iota
	outcomeLate
	outcomeFenced
	outcomeMoving
)

func (o outcome) err() error {
	switch o {
	case outcomeOK:
		return nil
	case outcomeLate:
		return ErrLate
	case outcomeMoving:
		return ErrMoving
	}
	return ErrFenced
}
