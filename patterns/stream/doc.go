// Package stream delivers events over one response that does not end: Server-Sent
// Events to the letter of the WHATWG HTML specification (section 9.2), and the same
// in two more encodings, newline-delimited JSON and WebSocket.
//
// [Server] is an http.Handler over an [eventlog.Log]. [Client] receives from it, or
// from any server of Server-Sent Events; so does any EventSource from Server.
// [Decoder] and [Encoder] are the format alone, for streams that come from elsewhere.
//
// # When to use it
//
// When events go one way, from server to client, and come often enough, or must come
// soon enough, that a request for each would be too much: progress, prices, logs, the
// tokens of a language model. It is a plain response to a GET: it passes through what
// passes HTTP, and browsers receive it, and reconnect, by themselves. An event takes
// one transit and costs its own bytes and the few of its frame.
//
// Not when the client has as much to say as the server: use a WebSocket in both
// directions (package push). Not when clients are seldom there: a position that is
// older than the log is a reset, and nothing is kept for a client by name. Not over
// HTTP/1.1 for more than a few streams in one browser: it gives a host six
// connections, and each stream occupies one for good; over HTTP/2, or with one stream
// for several topics, it does not matter. Not through a proxy that collects a response
// before it passes it on: see below.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): an event
// arrives after 25 ms. One a second takes 190 bytes, one in 10 minutes 4.5 kB, of which most
// are comments after 15 s of silence; the client sends no payload after its request. That is
// less than push over WebSocket takes (230 bytes, 9.3 kB), and than long polling (620 bytes,
// 17 kB).
//
// # What it promises
//
//   - Each event has the cursor of the log as its ID. A client that comes back with
//     it gets what follows: nothing missing, nothing twice, in order, however often and
//     at whatever byte its connections break.
//   - An event arrives whole or not at all.
//   - Recovery is complete or the client is told: when the log has dropped what the
//     client has not seen, began a new incarnation (epoch), or ends before the client's position, the
//     stream begins with a [Reset], with the state at that point if the server has a
//     Snapshot. The same when a log overtakes a stream that is open.
//   - A client has a position from the beginning of its first stream, and its position
//     moves on past events of other topics: it is not overtaken in silence.
//   - A stream is never silent for longer than Heartbeat, and a client that hears
//     nothing for Misses heartbeats connects again.
//   - A client that does not read costs what is read from the log at once, MaxBytes or
//     one event, and its connection after WriteTimeout. Others do not notice. It resumes
//     where it was. With Coalesce it gets the newest of each subject instead of all.
//   - The timeouts of an http.Server do not end a stream.
//   - A client waits before it connects again: the reconnection time, doubled after each
//     connection that was of no use, never less than Backoff.Min, and with jitter;
//     Retry-After is honoured, of a stream that ends without an event too. 204 and what
//     [Client.Temporary] calls final end it, and so does an answer of another content type.
//   - After Drain streams end in good order, and http.Server.Shutdown returns.
//   - With Authenticate a client gets the topics that it may see and no others, until its
//     credentials expire.
//
// # What it does not promise
//
// Exactly once: a client that crashed gets events since the ID that it stored last
// again. That a client is there: the server learns of one that went away in silence
// when TCP gives up on what is under way, up to a quarter of an hour later, or when
// its buffers are full; it holds the connection until then. Order across servers. Without
// Authenticate everybody gets everything.
//
// Through a proxy that buffers, latency is what the proxy makes it. Server asks for no
// buffering and no compression in the two ways there are (X-Accel-Buffering,
// no-transform) and can fill fixed buffers up ([Server.Padding]). A client hears
// nothing then, which is its sign: it gives [ErrSilent] to OnRetry.
//
// # Protocol
//
//	GET <url>?topic=a&topic=b
//	Last-Event-ID: <epoch>-<offset>
//
// Without topics all are sent. A client without a position gets all that the log has,
// or with from=now what comes from now on. The query parameter lastEventId stands in
// for the header where one cannot be set, as in a browser's first request; the header
// counts if there are both.
//
// The event's type is its topic. Characters that cannot stand there (below U+0020,
// U+007F, ";" and "%", and bytes that are no UTF-8) come as % and two hexadecimal
// digits, and so does the first character of the topics "message" and
// "eventlog.reset". The empty topic has the type "message". Data that is no text, or
// has a CR in it, comes in base64 and under the type <topic>;base64. An event of the
// type "eventlog.reset" is a [Reset]; its data is {"reason": ..., "snapshot": ...}, the
// snapshot in base64. An ID without data moves the position only.
//
// Accept: application/x-ndjson asks for one JSON object a line instead, and a
// WebSocket handshake for messages of such lines: {"id": ..., "event": ..., "data":
// ...}, where what is missing or empty means what it does in Server-Sent Events,
// {"retry": milliseconds}, and {} as heartbeat.
//
// A request is answered with 400 if it makes no sense, 401 if Authenticate does not know
// whose it is, 403 if it asks for a topic that it may not see or is the WebSocket handshake
// of a page from another origin, and 406 if it accepts neither media type: no repetition
// would help. If the server is drained or has too many streams, Server-Sent
// Events are refused with a Retry-After and a stream of no event, which sets the
// reconnection time and ends, since an EventSource comes back after that and after no other
// status; the other encodings, and all of them with [Server.RefuseWithStatus], with 503 and
// a Retry-After.
//
// A WebSocket on which the client sends a message is closed with 1008; with what breaks
// the protocol, with 1002. A close frame is answered with its own status. That its reason
// must be UTF-8 (RFC 6455, section 5.5.1) is not looked at, since the library for
// WebSockets does not say what it was.
package stream
