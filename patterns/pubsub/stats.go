package pubsub

import (
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// BrokerStats are the counters of a Broker since it was created, and what it holds
// now.
type BrokerStats struct {
	// Clients is the number connected now. Sessions also includes clients that can
	// still come back.
	Clients, Sessions int64
	// Connections is the number open now. Handshakes is the number of those that have
	// no session yet.
	Connections, Handshakes int64
	// Subscriptions is the number known now. HeldBytes is the number of bytes
	// waiting to be written to connections.
	Subscriptions, HeldBytes int64
	// Published counts stored messages, Duplicates those that had been stored
	// already.
	Published, Duplicates int64
	// Fenced counts sessions that another client with the same ID took over, Expired
	// those that ended because nothing was heard, and Slow those closed by
	// [Disconnect].
	Fenced, Expired, Slow int64
	// Crowded counts connections closed in their handshake because there were more than
	// MaxHandshakes. ExpiredSubscriptions counts subscriptions deleted after
	// ExpireAfter.
	Crowded, ExpiredSubscriptions int64
}

// SubscriptionInfo describes a durable subscription, as its broker knows it.
type SubscriptionInfo struct {
	// Options are the options of its subscribers, with defaults filled in, without
	// where to begin.
	Options SubscribeOptions
	// Cursor is the position up to which everything is done. Lag is the number of
	// entries in the log after it, whatever their topic.
	Cursor eventlog.Cursor
	Lag    int64
	// IdleSince is when the last client left. Zero: one is subscribed.
	IdleSince time.Time
	GroupStats
}

// GroupStats are the counters of a subscription since it was created or loaded.
type GroupStats struct {
	// Members is the number of members now. Pending is the number of messages that
	// were read from the log and are not done.
	Members, Pending int64
	// Generation grows each time the members change.
	Generation int64
	// Delivered counts deliveries, Redelivered those that were not the first.
	Delivered, Redelivered int64
	// Acked and Nacked count messages. Late counts settlements that came after
	// AckWait, Rejected those by members that had lost their session, and
	// TimedOut deliveries without a settlement in time.
	Acked, Nacked, Late, Rejected, TimedOut int64
	// DeadLetters counts messages that were given up, and LettersLost those whose dead letter the
	// log refused. Dropped counts messages lost to the slow policy or to retention, as far as they
	// could be counted. Expired counts those whose TTL ended while they waited. Lost counts
	// messages in transit to a subscriber that died, under AtMostOnce.
	DeadLetters, LettersLost, Dropped, Expired, Lost int64
	// Rebalances counts changes of the members. Moved counts the partitions, of 64,
	// that moved from one live member to another.
	Rebalances, Moved int64
}
