// Package pubsub is publish/subscribe through a broker: publishers name a topic and
// not who is to hear, and subscribers name what they want and not who says it.
//
// A [Broker] keeps messages in an [eventlog.Log] and the positions of durable
// subscriptions in a [Store], and serves any net.Listener. A [Client] publishes and
// subscribes over one connection, which it opens again when it breaks:
//
//	sub, err := client.Subscribe(ctx, pubsub.SubscribeOptions{Filter: "orders.>", Name: "billing"})
//	for {
//		d, err := sub.Next(ctx)
//		if gap := (*pubsub.Gap)(nil); errors.As(err, &gap) {
//			... messages are missing
//			continue
//		}
//		...
//		d.Ack()
//	}
//
// # When to use it
//
// When several parties want the same messages and come and go without the publisher's
// knowledge, when work is to be shared among processes that may die over it, or when
// publisher and subscriber are not up at the same time. Not when the publisher needs an
// answer: that is a call. Not when there is one receiver, which is always there: a request
// with a retry is one party less to run. Not between a server and browsers or phones,
// which have no broker's port and seldom a stable identity: push, streaming and long
// polling are for those.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): a message
// arrives after 25 ms. One a second takes 280 bytes, its acknowledgement included; one in 10
// minutes 10 kB, of which most are the pings every third of SessionTimeout. A stream of
// Server-Sent Events, which acknowledges nothing, takes 190 bytes and 4.5 kB.
//
// # Topics
//
// A topic is tokens joined by dots, at most 255 bytes. Filters are as in NATS: the token
// * stands for any one token; >, which must be the last, for one or more.
//
//	filter        matches                      does not match
//	orders        orders                       orders.eu  Orders
//	orders.*      orders.eu                    orders  orders.eu.new
//	*.eu          orders.eu                    eu  orders.us
//	orders.*.new  orders.eu.new                orders.eu.old
//	orders.>      orders.eu  orders.eu.new     orders
//	>             everything
//
// # Subscriptions
//
// A subscription without a name belongs to a client and ends with its session, which lasts
// until the client was silent for [Broker].SessionTimeout. One with a name is
// durable, and all who subscribe under the name are a group: each message goes to one
// member. The keys of messages are split into 64 parts, and each part has one owner; a new
// member takes its share from those who have too much, and nothing else moves. A part
// with messages under way moves when they are settled or their AckWait is over; until then
// the part, and it alone, waits. A client that comes back within its session finds all as
// it was, so that a short outage rebalances nothing.
//
// A durable subscription to which nobody has been subscribed for its ExpireAfter is
// deleted. [Broker.Subscriptions] lists those that there are, with their lag.
//
// # What it promises
//
//   - A message that Publish has confirmed is in the log, and is delivered to every
//     subscription that existed by then and matches, at least once; or it or the subscription
//     has expired, or the subscriber is told of a [Gap], or the slow policy dropped it, which is a Gap
//     too. Drops are counted ([GroupStats]).
//   - Publish may be repeated, by the client after a broken connection or by its caller
//     with the same ID: within the dedupe window, which the log carries over restarts,
//     the message is stored once. Messages of calls that follow each other are stored in
//     that order.
//   - First deliveries of a key (of all messages, if a subscription has one subscriber)
//     come in the order of the log. What is delivered again may come after later ones, but
//     only after such as were in flight with it.
//   - What is not acknowledged within AckWait is delivered again, with its attempts
//     counted, and after MaxAttempts becomes a dead letter; others do not wait for it. An
//     acknowledgement may be repeated. One that comes after the message went to another
//     member is refused, and the other's delivery stands.
//   - A message has one owner among the members of a group. What a member settles after
//     it has lost its session is refused. A rebalance skips nothing, and repeats what was
//     in flight to a member that died and nothing else.
//   - Acknowledged messages do not come again when the broker restarts with its store,
//     in whatever order they were acknowledged. After [Delivery.AckSync] they are on disk.
//   - A subscription begins exactly where it says: after [Subscription.From].
//   - After [Subscription.Unsubscribe] nothing is delivered.
//   - Nobody waits for a slow subscriber: neither publishers nor other subscriptions, also
//     of the same connection. What the broker holds for a subscriber is bounded by its
//     MaxInFlightBytes and MaxPending. The members of one group share MaxPending: when it
//     is full of messages for a member that is stuck, the others wait for it.
//   - A dead peer is found out within SessionTimeout by either side.
//
// Delivery is at least once, since a process can die after the effect and before the
// acknowledgement. An effect happens exactly once if it is kept together with
// [Delivery].Cursor and looked up before. Within one process the client does this:
// a message that was acknowledged is not returned by Next again, and an acknowledgement
// that was lost is repeated.
//
// # What it does not do
//
// It does not replicate: a broker is one process with one disk. It does not encrypt: put TLS
// under the listener and the client's DialContext. Without [Broker].Authenticate any client
// may use any ID, topic and name; with it a group is shared by all who may see its topics.
// There are no transactions over several messages. Retention is the log's, not a subscription's: a message stays until the log
// drops it, whoever has acknowledged it, and a subscription that lags further behind is told of
// a gap. Deduplication by ID is bounded in time, in number, and by what the log still has
// after a restart. AckWait runs on the broker's clock alone. A message's data is
// in memory as a whole. Subscriptions of thousands of topics are one filter each: a
// broker reads the whole log for each filter with a wildcard.
//
// # The protocol
//
// A frame is a length of four bytes, big-endian, and so many bytes: a kind, and a body. Control
// frames (kind c) are JSON; publish (p), confirm (k), deliver (d), settle (a), settled (r),
// gap (g), told (t), ping (i) and pong (o) are unsigned varints as in encoding/binary,
// and texts with their length before them. wire.go lists them. A client says hello, with
// the version of the protocol, which must be the broker's, its ID, the run of its process
// and the number of the connection, and is welcomed; then it subscribes, with what is left
// of the last connection: what it holds, what it has acknowledged, which gap it was told of. A connection that was overtaken by a later one
// of its run, and a run that was overtaken by another of its ID, is sent away. A run takes
// over when it has answered a ping: what a process sent before it died fences nobody.
package pubsub
