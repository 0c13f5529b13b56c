// Package push delivers messages to clients as soon as they are published, over a WebSocket
// that the client keeps open. It keeps messages for clients that are away.
//
// A [Server] has a handler, and [Server.Publish]. Each message is first appended to an
// [eventlog.Log]. A client is a reader of that log, woken when there is something to read, so
// a client that reconnects gets what it missed while it was offline. A [Client] runs until its
// context ends, over as many connections as it takes. [Server].Authenticate decides who may
// see which topics.
//
// # When to use it
//
// Use it when a message must arrive one transit after it was published and the client has
// something to send back, or when many clients wait for rare messages: an idle client costs a
// connection and one ping per interval, but no requests. Do not use it when the client wants to
// choose the pace or rarely wants news: polling is cheaper than a connection that is always
// open. If clients send nothing, Server-Sent Events do the same over plain HTTP. If
// intermediaries block WebSockets, use long polling.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): an event arrives
// after 25 ms. One event a second costs 230 bytes each, with at most one acknowledgement a
// second. One event in 10 minutes costs 6.9 kB, mostly for pings every 25 s and TCP
// keep-alives. A stream of Server-Sent Events costs 190 bytes and 4.6 kB, long polling 620
// bytes and 15 kB. For a client that needs news less often than once a minute, polling is
// cheaper.
//
// # What it promises
//
//   - A message that Publish has accepted is not lost while its client is away for less
//     than the message's TTL, nor when the server restarts, as long as the log survives
//     and keeps it.
//   - A client that returns with its cursor gets exactly what it missed, in order and once; or
//     OnReset reports that this is impossible, and why. There is no third outcome. This
//     includes messages published while it reconnects.
//   - A message is neither sent nor handled after its TTL. The client's clock can be off by the
//     transit of the connection's first frame. With TTL [Now], the publisher learns whether any
//     client has handled the message.
//   - No event is missing between a snapshot and the events after it. Some events can be in
//     both.
//   - Each client's queue is bounded, in messages and bytes. [SlowPolicy] sets what happens to
//     a client that does not keep up. Dropped messages are counted, and the client is notified
//     of them. No other client waits.
//   - A client that vanishes silently is detected within PingInterval + PingTimeout. A client
//     detects a vanished server within the same time. This holds even when buffers are full,
//     writes are blocked or a handler is busy.
//   - A client id has one session. It belongs to the newest connection; older ones are closed with
//     [StatusFenced]. A connection of another Run gets the session only after its client has
//     answered a ping, so that packets from a process that has died cannot fence anyone. A Run
//     that was fenced and does not know it yet is refused with StatusFenced while the id is
//     connected.
//   - After Drain, every client has everything that was published before it, and knows over which
//     time to spread its reconnection.
//
// # What it does not do
//
// One server is one process: fencing, presence and messages with TTL [Now] do not reach clients
// of another server. Delivery to the handler is at least once, because a process can die after
// the effect and before it stores its cursor. A client that stores the effect and the cursor
// ([Event].Cursor) together gets exactly once. The server does not store acknowledged positions
// (OnAck can): a client that loses its cursor starts again. A heartbeat cannot tell a dead peer
// from a link so slow that the ping waits behind data for longer than PingTimeout. For such links
// keep messages and window small.
//
// # The protocol
//
// The client opens a WebSocket with these query parameters. Only client is required, and not even
// that if the credentials name the client:
//
//	client   its id; at most 1,017 bytes
//	cursor   the position to continue from, <epoch>-<offset>, as of [eventlog.Cursor]
//	from     now: without a cursor, begin with what is published from now on
//	topic    a topic or filter to receive in addition to the mailbox; may be repeated, 1,000
//	         times at most; none: all that the client may see
//	run      a random name; at most 128 bytes
//	attempt  a number that grows with each connection of the run; a connection that
//	         arrives after a later one of its run is refused with 409
//	version  the latest version of this protocol that it knows: 1; none is the same
//
// Control messages are text frames with one JSON object. They are readable in a browser's tools,
// and fields can be added later. Events are binary frames with a short header before the data: in
// JSON the data, which is most of the traffic, would have to be escaped or encoded and would be a
// third larger. Offsets belong to the epoch of the hello.
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
// Integers are unsigned varints (as in encoding/binary). The kind is 1 for an event, whose
// number is its offset; 2 for a message with TTL Now, whose number is its id; 3 for the
// snapshot that hello announced. Expires is in microseconds since 1970 by the server's clock,
// which hello reports as now_us; zero means never. An empty topic is the client's mailbox.
//
// Every number has a bound: window 1 to 65,536, window_bytes 1 to 64 MiB, times 1,000 h,
// dates the year 9999, counts 2^53. A client that reads a number out of bounds ends the
// connection and reports it to OnRetry.
//
// The server sends at most window messages, and window_bytes bytes of frames, ahead of the
// acknowledgements. It pings with WebSocket ping frames. It closes with 1008 when credentials
// have expired, 1009 when a message was too big, 1011 when the log failed, 1012 when it
// drains, 4001 ([StatusFenced]) and 4002 ([StatusSlow]).
package push
