// Package pubsub is publish/subscribe through a broker: publishers name a topic, not its
// receivers, and subscribers name the topics they want, not their publishers.
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
// knowledge, when work is to be shared among processes that may die while doing it, or when
// publisher and subscriber are not up at the same time. Not when the publisher needs an answer:
// use a request. Not when there is a single receiver that is always up: a request with retries
// needs no broker. Not between a server and browsers or phones, which cannot reach a broker's
// port and seldom have a stable identity: use push, streaming or long polling.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): a message
// arrives after 25 ms. One a second takes 280 bytes, its acknowledgement included; one in 10
// minutes 10 kB, of which most are the pings every third of SessionTimeout. A stream of
// Server-Sent Events, which acknowledges nothing, takes 190 bytes and 4.6 kB.
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
// until the client was silent for [Broker].SessionTimeout. One with a name is durable, and all
// clients that subscribe under the name form a group: each message goes to one member. The keys
// of messages are split into 64 partitions, each with one owner; a new member takes its share
// from members with too many, and no other partition moves. A partition with messages in flight
// moves when they are settled or their AckWait is over; until then that partition, and no
// other, waits. A member that has let deliveries time out and has settled nothing for twice
// AckWait hangs: others get its partitions until it settles something. A client that reconnects
// within its session finds its membership unchanged, so a short outage causes no rebalance.
//
// A durable subscription that has had no subscriber for its ExpireAfter is deleted.
// [Broker.Subscriptions] lists the existing ones, with their lag.
//
// # What it promises
//
//   - A message that Publish has confirmed is in the log, and is delivered to every
//     subscription that existed by then and matches, at least once; or it or the subscription
//     has expired, or the subscriber gets a [Gap], or the slow policy dropped it, which is a Gap
//     too. Drops are counted ([GroupStats]).
//   - Publish may be repeated, by the client after a broken connection or by its caller
//     with the same ID: within the dedupe window, which the log carries over restarts,
//     the message is stored once. Messages of calls that follow each other are stored in
//     that order.
//   - First deliveries of a key (of all messages, if a subscription has one subscriber)
//     come in the order of the log. A redelivery may come after later ones, but
//     only after messages that were in flight with it.
//   - A message that is not acknowledged within AckWait is delivered again, and after MaxAttempts deliveries
//     that have arrived becomes a dead letter; others do not wait for it. Over a connection that may be dead it is sent
//     twice, and then when more is known. An
//     acknowledgement may be repeated. One that comes after the message went to another
//     member is refused, and the other's delivery stands.
//   - A message has one owner among the members of a group. A settlement by a member
//     that has lost its session is refused. A rebalance skips nothing, and repeats only messages that were
//     in flight to a member that died.
//   - Acknowledged messages do not come again when the broker restarts with its store,
//     in whatever order they were acknowledged. After [Delivery.AckSync] they are on disk.
//   - A subscription begins exactly at its position: after [Subscription.From].
//   - After [Subscription.Unsubscribe] nothing is delivered.
//   - A slow subscriber delays neither publishers nor other subscriptions, including those
//     of the same connection. What the broker holds for a subscriber is bounded by its
//     MaxInFlightBytes and MaxPending. The members of one group share MaxPending: when it
//     is full of messages for a member that is stuck, the others wait for it.
//   - Either side detects a dead peer within SessionTimeout.
//
// Delivery is at least once, since a process can die after the effect and before the
// acknowledgement. An effect happens exactly once if it is kept together with
// [Delivery].Cursor and looked up before. Within one process the client does this:
// a message that was acknowledged is not returned by Next again, and an acknowledgement
// that was lost is repeated.
//
// # What it does not do
//
// It does not replicate: a broker is one process with one disk. It does not encrypt: put TLS under
// the listener and the client's DialContext. Without [Broker].Authenticate any client may use any
// ID, topic and name; with it a group is shared by all clients that may see its topics. There are
// no transactions over several messages. Retention is the log's, not a subscription's: a message
// stays until the log drops it, even if all have acknowledged it, and a subscription that lags
// further behind gets a gap. Deduplication by ID is bounded in time, in number, and by what the
// log still has after a restart. AckWait runs on the broker's clock alone. A message's data is in
// memory as a whole. Subscriptions of thousands of topics are one filter each: a broker reads the
// whole log for each filter with a wildcard.
//
// # The protocol
//
// A frame is a length of four bytes, big-endian, and so many bytes: a kind, and a body. Control
// frames (kind c) are JSON; publish (p), confirm (k), deliver (d), settle (a), settled (r), gap
// (g), told (t), ping (i) and pong (o) are unsigned varints as in encoding/binary, and texts
// with their length before them. wire.go lists them. A client says hello, with the version of
// the protocol, which must be the broker's, its ID, the run of its process and the number of
// the connection, and is welcomed; then it subscribes, with the state of the last connection:
// messages that it holds, those it has acknowledged, the last gap it was notified of. A
// connection superseded by a later one of its run is refused, and so is a run superseded by
// another of its ID. A run takes over when it has answered a ping: what a process sent before
// it died fences no other.
package pubsub
