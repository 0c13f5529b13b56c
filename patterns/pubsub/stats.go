package pubsub

import (
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// BrokerStats are the counters of a Broker since it was made, and what it holds now.
type BrokerStats struct {
	// Clients are connected now; Sessions are those, and the ones that may come back.
	Clients, Sessions int64
	// Connections are open now, Handshakes those among them that have no session yet.
	Connections, Handshakes int64
	// Subscriptions are known now, HeldBytes wait to be written to connections.
	Subscriptions, HeldBytes int64
	// Published counts stored messages, Duplicates those that were stored already.
	Published, Duplicates int64
	// Fenced counts sessions that another client of the same ID took over; Expired
	// those that ended because nothing was heard; Slow those closed by [Disconnect].
	Fenced, Expired, Slow int64
	// Crowded counts connections that were closed in their handshake because there were
	// more than MaxHandshakes; ExpiredSubscriptions those deleted after ExpireAfter.
	Crowded, ExpiredSubscriptions int64
}

// SubscriptionInfo is what a broker knows of a durable subscription.
type SubscriptionInfo struct {
	// Options are those of its subscribers, defaults filled in, without where to begin.
	Options SubscribeOptions
	// Cursor is the position up to which everything is done, and Lag how many entries
	// the log has after it, whatever their topic.
	Cursor eventlog.Cursor
	Lag    int64
	// IdleSince is since when no client has been subscribed. Zero: one is.
	IdleSince time.Time
	GroupStats
}

// GroupStats are the counters of a subscription since it was made or loaded.
type GroupStats struct {
	// Members take part now; Pending messages were read from the log and are not done.
	Members, Pending int64
	// Generation grows each time the members change.
	Generation int64
	// Delivered counts deliveries, Redelivered those that were not the first.
	Delivered, Redelivered int64
	// Acked and Nacked count messages; Late settlements that came after AckWait;
	// Rejected those by members that had lost their session; TimedOut deliveries.
	Acked, Nacked, Late, Rejected, TimedOut int64
	// DeadLetters were given up; LettersLost too, but the log refused their letters; Dropped fell to the slow policy or to retention, as far
	// as they could be counted; Expired outlived their TTL while they waited; Lost were
	// under way to a subscriber that died, under AtMostOnce.
	DeadLetters, LettersLost, Dropped, Expired, Lost int64
	// Rebalances counts changes of the members, Moved the parts of the keys, of 64,
	// that went from one live member to another.
	Rebalances, Moved int64
}
