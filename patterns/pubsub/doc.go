// Package pubsub is publish/subscribe through a broker. Publishers name a topic, not its
// receivers. Subscribers name the topics they want, not their publishers.
//
// A [Broker] keeps messages in an [eventlog.Log] and the positions of durable subscriptions in a
// [Store], and serves any net.Listener. A [Client] publishes and subscribes over one connection,
// which it reopens when it breaks:
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
// Use it when several parties want the same messages and come and go without the publisher's
// knowledge, when work is shared among processes that can die while doing it, or when publisher
// and subscriber are not up at the same time. Do not use it when the publisher needs an answer:
// use a request. Do not use it when there is a single receiver that is always up: a request
// with retries needs no broker. Do not use it between a server and browsers or phones, which
// cannot reach a broker's port and seldom have a stable identity: use push, streaming or long
// polling.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): a message
// arrives after 25 ms. One message a second costs 280 bytes each, including its
// acknowledgement. One message in 10 minutes costs 10 kB, mostly for the pings every third of
// SessionTimeout. A stream of Server-Sent Events, which has no acknowledgements, costs 190
// bytes and 4.6 kB.
//
// # Topics
//
// A topic is tokens joined by dots, at most 255 bytes. Filters are as in NATS: the token *
// stands for any one token; the token >, which must be the last, for one or more.
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
// A subscription without a name belongs to one client and ends with its session, when the
// client has been silent for [Broker].SessionTimeout. A subscription with a name is durable,
// and all clients that subscribe under the name form a group: each message goes to one member.
// Message keys are split into 64 partitions, each with one owner. A new member takes its share
// from members that have too many; no other partition moves. A partition with messages in
// flight moves when they are settled or their AckWait is over. Until then that partition waits,
// and no other. A member counts as hung if it has let deliveries time out and has settled
// nothing for twice AckWait: other members get its partitions until it settles something. A
// client that reconnects within its session keeps its membership, so a short outage causes no
// rebalance.
//
// A durable subscription that has had no subscriber for its ExpireAfter is deleted.
// [Broker.Subscriptions] lists the existing ones, with their lag.
//
// # What it promises
//
//   - A message that Publish has confirmed is in the log, and is delivered at least once to every
//     matching subscription that existed by then. The exceptions are that the message or the
//     subscription has expired, that the subscriber gets a [Gap], or that the slow policy dropped
//     the message, which is also a Gap. Drops are counted ([GroupStats]).
//   - Publish can be repeated, by the client after a broken connection or by its caller with the
//     same ID: within the dedupe window, the message is stored once. The log carries the window
//     over restarts. Messages of successive calls are stored in the order of the calls.
//   - First deliveries of a key arrive in the order of the log; so do first deliveries of all
//     messages if a subscription has one subscriber. A redelivery can come after later messages,
//     but only if they were in flight at the same time.
//   - A message that is not acknowledged within AckWait is delivered again. After MaxAttempts
//     deliveries that arrived it becomes a dead letter. Other messages do not wait for it. Over a
//     connection that may be dead, a message is sent twice, and after that only when the broker
//     knows more. An acknowledgement can be repeated. If it comes after the message went to
//     another member, it is refused and the other member's delivery stands.
//   - A message has one owner among the members of a group. A settlement by a member that has lost
//     its session is refused. A rebalance skips nothing, and repeats only messages that were in
//     flight to a member that died.
//   - Acknowledged messages are not delivered again when the broker restarts with its store, in
//     whatever order they were acknowledged. After [Delivery.AckSync] the acknowledgement is on
//     disk.
//   - A subscription begins exactly at its position: after [Subscription.From].
//   - After [Subscription.Unsubscribe] nothing is delivered.
//   - A slow subscriber delays neither publishers nor other subscriptions, even on the same
//     connection. What the broker holds for a subscriber is bounded by its MaxInFlightBytes and
//     MaxPending. The members of a group share MaxPending: when it is full of messages for a
//     stuck member, the others wait for that member.
//   - Either side detects a dead peer within SessionTimeout.
//
// Delivery is at least once, because a process can die after the effect and before the
// acknowledgement. An effect happens exactly once if it is stored together with [Delivery].Cursor,
// and the cursor is looked up before the effect. Within one process the client does this: Next
// does not return an acknowledged message again, and a lost acknowledgement is repeated.
//
// # What it does not do
//
// It does not replicate: a broker is one process with one disk. It does not encrypt: put TLS under
// the listener and the client's DialContext. Without [Broker].Authenticate any client can use any
// ID, topic and name. With it, all clients that may see a group's topics share the group. There
// are no transactions over several messages. Retention is the log's, not a subscription's: a
// message stays until the log drops it, even if all have acknowledged it, and a subscription that
// lags further behind gets a gap. Deduplication by ID is limited in time and number, and after a
// restart by what is still in the log. AckWait runs on the broker's clock alone. A message's data
// is in memory as a whole. A subscription is one filter: a client that wants thousands of topics
// needs thousands of subscriptions, and the broker reads the whole log for each filter with a
// wildcard.
//
// # The protocol
//
// A frame is a length of four bytes, big-endian, followed by that many bytes: a kind and a body.
// Control frames (kind c) are JSON. The others consist of unsigned varints, as in
// encoding/binary, and of texts preceded by their length: publish (p), confirm (k), deliver (d),
// settle (a), settled (r), gap (g), told (t), ping (i) and pong (o). wire.go lists them. A client
// first sends a hello with the version of the protocol, which must be the broker's, its ID, the
// run of its process and the number of the connection, and gets a welcome. It then subscribes and
// sends the state of its last connection: messages that it holds, those it has acknowledged, and
// the last gap it was notified of. A connection superseded by a later one of its run is refused,
// and so is a run superseded by another of its ID. A new run takes over when it has answered a
// ping, so that packets from a process that has died cannot fence anyone.
package pubsub
