// Package push delivers messages to clients the moment they are published, over a WebSocket
// that the client keeps open, and keeps them for absent clients.
//
// A [Server] has a handler and [Server.Publish]. Messages go into an [eventlog.Log]
// before anything else happens to them, and a client is a reader of that log, woken when there
// is something to read: it gets what it missed while offline when it reconnects. A [Client]
// runs until its context ends, over as many connections as it takes. [Server.Authenticate]
// decides who may see which topics.
//
// # When to use it
//
// When a message must arrive one transit after it was published and the client
// has something to say in return, or many clients wait for rare messages: an idle
// client costs a connection and a ping per interval, no requests. Not when the
// client wants to choose the pace or is seldom interested: polling is cheaper
// than a connection that is always on. If nothing goes upstream, Server-Sent
// Events do the same over plain HTTP. If intermediaries do not let WebSockets
// pass, use long polling.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): an event arrives
// after 25 ms. One a second takes 230 bytes, with an acknowledgement every second at most; one
// in 10 minutes 6.9 kB, of which most are pings every 25 s and TCP's keep-alives. A stream of
// Server-Sent Events takes 190 bytes and 4.6 kB, long polling 620 bytes and 15 kB. For a client
// that needs news less often than every minute, polling is cheaper.
//
// # What it promises
//
//   - A message that Publish has accepted is not lost while its client is away for
//     less than its TTL, nor when the server restarts, as long as the log survives
//     and keeps it.
//   - A client that returns with its cursor gets exactly what it missed, in order
//     and once; or OnReset reports that this is not possible, and why. There is no
//     third outcome. This holds for messages published while it reconnects, too.
//   - A message is not sent after its TTL, and not handled after it either, by more
//     than the transit of the connection's first frame. With TTL Now its publisher
//     knows whether any client has handled it.
//   - No event is missing between a snapshot and the events after it. Some may
//     be in both.
//   - The queue of a client is bounded, in messages and bytes. The treatment of a
//     client that does not keep up is configurable ([SlowPolicy]) and counted, it is notified of
//     dropped messages, and no other client waits because of it.
//   - A client that vanishes silently is detected within PingInterval +
//     PingTimeout, and a server within the same time after it was last heard, also
//     when buffers are full, writes are stuck or a handler is busy.
//   - A client id has one session. The newest connection has it, and older ones are
//     closed with [StatusFenced]. A connection of another Run has it when its client
//     has answered a ping: what a process sent before it died fences no other. A Run that
//     was fenced, and may not have heard of it, is refused with StatusFenced as long as the
//     id is connected.
//   - After Drain every client has what was published before, and knows the time over which to spread its reconnection.
//
// # What it does not do
//
// One server is one process: fencing, presence and messages with TTL Now do not reach clients of
// another. Delivery is at least once to the handler, since a process can die after the effect
// and before its cursor is stored; a client that stores both together ([Event.Cursor]) has it
// exactly once. Acknowledged positions are not stored by the server (OnAck may): a client that
// forgets its cursor starts again. A heartbeat cannot tell a dead peer from one whose link is
// so slow that the ping waits behind data for longer than PingTimeout: keep messages and window
// small for such links.
//
// # The protocol
//
// The client opens a WebSocket with these query parameters, of which client alone is
// required, and not even that if the credentials name it:
//
//	client   its id; at most 1,017 bytes
//	cursor   the position to continue from, <epoch>-<offset>, as of [eventlog.Cursor]
//	from     now: without a cursor, begin with what is published from now on
//	topic    a topic or filter to receive beside the mailbox; may be repeated, 1,000
//	         times at most; none: all that the client may see
//	run      a random name; at most 128 bytes
//	attempt  a number that grows with each connection of the run; a connection that
//	         arrives after a later one of its run is refused with 409
//	version  the latest version of this protocol that it knows: 1; none is the same
//
// Control messages are text frames with one JSON object, so that they can be read
// in any browser's tools and can grow fields; events are binary frames with a
// short header before the data, since data in JSON would have to be escaped or
// encoded, a third larger, and is most of the traffic. Offsets belong to the
// epoch of the hello.
//
//	server: {"type":"hello","hello":{...}}       first: version, cursor, reset, ping_interval_us, ping_timeout_us, window, ...
//	server: {"type":"gap","offset":9,"skipped":4} 4 messages up to offset 9 were dropped
//	server: {"type":"position","offset":9}        there is nothing for the client up to offset 9
//	client: {"type":"ack","offset":9}             everything up to offset 9 is handled
//	client: {"type":"got","id":3}                 message 3 with TTL Now is handled
//
// A binary frame, always from the server, is
//
//	kind (1 byte) | number | expires | length of topic | topic | data
//
// with integers as unsigned varints (as in encoding/binary). The kind is 1 for an
// event, whose number is its offset; 2 for a message with TTL Now, whose number is
// its id; 3 for the snapshot that hello announced. Expires is in microseconds
// since 1970 on the server's clock, which hello tells as now_us; zero is never. An
// empty topic is the client's mailbox.
//
// Every number has a bound: window 65,536 and window_bytes 64 MiB, at least 1; times
// 1,000 h; dates the year 9999; counts 2^53. A client ends a connection on which it reads
// another, and says so to OnRetry.
//
// The server sends at most window messages, and window_bytes bytes of frames,
// ahead of the acknowledgements. It pings with the WebSocket's own frames. It
// closes with 1008 when credentials have expired, 1009 when a message was too big,
// 1011 when the log failed, 1012 when it drains, 4001 ([StatusFenced]) and 4002
// ([StatusSlow]).
package push
