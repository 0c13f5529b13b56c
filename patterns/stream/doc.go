// Package stream delivers events over one response that does not end. It implements
// Server-Sent Events as the WHATWG HTML specification (section 9.2) defines them, and
// carries the same events in two more encodings, newline-delimited JSON and
// WebSocket.
//
// [Server] is an http.Handler over an [eventlog.Log]. [Client] receives from it, or
// from any server of Server-Sent Events. Any EventSource can receive from Server.
// [Decoder] and [Encoder] are the format alone, for streams from elsewhere.
//
// # When to use it
//
// Use it when events go one way, from server to client, and come too often, or must
// arrive too soon, for one request per event: progress, prices, logs, the tokens of a
// language model. A stream is an ordinary response to a GET: it passes through whatever
// passes HTTP, and browsers receive it and reconnect by themselves. An event takes one
// transit and costs its own bytes plus a small frame.
//
// Do not use it when the client has as much to send as the server: use a WebSocket in both
// directions (package push). Do not use it for clients that are rarely connected: a position
// older than the log is a reset, and the server keeps nothing for a client by name. Over
// HTTP/1.1, do not use more than a few streams per browser: a browser opens at most six
// connections to a host, and each stream occupies one. Over HTTP/2, or with one stream for
// several topics, that does not matter. Do not use it through a proxy that buffers whole
// responses: see below.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): an event
// arrives after 25 ms. One event a second costs 190 bytes each. One event in 10 minutes
// costs 4.6 kB, mostly for comments after 15 s of silence; the client sends no payload after
// its request. Push over a WebSocket costs more (230 bytes, 6.9 kB), and so does long
// polling (620 bytes, 15 kB).
//
// # What it promises
//
//   - Every event has the cursor of the log as its ID. A client that reconnects with it
//     gets the events that follow: none missing, none twice, in order, however often and at
//     whatever byte its connections break.
//   - An event arrives whole or not at all.
//   - Recovery is complete, or the client is notified that it is not. If the log has
//     dropped events that the client has not seen, has begun a new incarnation (epoch), or
//     ends before the client's position, the stream begins with a [Reset]. The Reset
//     carries the state at that point if the server has a Snapshot. The same happens when
//     the log overtakes an open stream.
//   - A client has a position from the start of its first stream. The position moves past
//     events of other topics, so that the log does not overtake it unnoticed.
//   - A stream is never silent for longer than Heartbeat, and a client that hears nothing
//     for Misses heartbeats reconnects.
//   - A client that does not read costs the server one page of the log (MaxBytes or one
//     event) and loses its connection after WriteTimeout. It delays no other client, and
//     resumes where it stopped. With Coalesce it gets only the newest event per subject.
//   - The timeouts of an http.Server do not end a stream.
//   - Before it reconnects, a client waits for the reconnection time, which doubles after
//     every connection that brought no event, is never less than Backoff.Min, and has
//     jitter. It honours Retry-After, also on a stream that ends without an event. Status
//     204, a status that [Client].Temporary calls final, and another content type end it.
//   - Drain ends streams gracefully, and http.Server.Shutdown then returns.
//   - With Authenticate a client gets the topics that it may see and no others, until its
//     credentials expire.
//
// # What it does not promise
//
// Exactly-once delivery: after a crash, a client gets the events since the ID that it last
// stored again. Presence: if a client disappears silently, the server notices when TCP gives
// up on unacknowledged data, up to 15 minutes later, or when its buffers are full, and holds
// the connection until then. Order across servers. Access control without Authenticate.
//
// Through a proxy that buffers, the proxy decides the latency. Server asks for no buffering
// and no compression in the two ways that exist (X-Accel-Buffering, no-transform), and can
// fill buffers of a fixed size ([Server].Padding). A client detects such a proxy by its
// silence and reports [ErrSilent] to OnRetry.
//
// # Protocol
//
//	GET <url>?topic=a&topic=b
//	Last-Event-ID: <epoch>-<offset>
//
// A topic is a name or a filter ([access.Match]). A request without topics is for everything that
// the client may see. A client without a position gets everything in the log or, with from=now,
// the events published from now on. The query parameter lastEventId replaces the header for
// clients that cannot set one, such as a browser in its first request. If both are present, the
// header counts.
//
// The event's type is its topic. Characters that are not allowed there (below U+0020, U+007F, ";"
// and "%", and bytes that are not UTF-8) are sent as % and two hexadecimal digits, and so is the
// first character of the topics "message" and "eventlog.reset". The empty topic has the type
// "message". Data that is not UTF-8, or contains a CR, is sent in base64 with the type
// <topic>;base64. An event of type "eventlog.reset" is a [Reset]. Its data is {"reason": ...,
// "snapshot": ...}, with the snapshot in base64. An ID without data only moves the position.
// Against the standard, some clients pass it to the program as an event without data, which must be
// ignored: r3labs/sse 2.10.0, tmaxmax/go-sse 0.12.0, launchdarkly/eventsource 1.11.0 and
// @microsoft/fetch-event-source 2.0.1.
//
// Accept: application/x-ndjson requests one JSON object per line instead, and a WebSocket handshake
// messages of such lines: {"id": ..., "event": ..., "data": ...}, where a missing or empty member
// means the same as in Server-Sent Events; {"retry": milliseconds}; and {} as heartbeat.
//
// These errors are permanent: 400 for a malformed request, 401 if Authenticate does not know the
// client, 403 for a topic that the client may not see and for the WebSocket handshake of a page
// from another origin, and 406 if the client accepts neither media type.
//
// A server that is drained or has too many streams refuses Server-Sent Events with status 200, a
// Retry-After and a stream that sets the reconnection time and ends without an event: an
// EventSource reconnects after that, but after no other status. The other encodings, and with
// [Server].RefuseWithStatus all of them, are refused with 503 and a Retry-After.
//
// Two Go clients differ from an EventSource here. r3labs/sse 2.10.0 treats a stream that ends in
// order, by [Server.Drain] or such a refusal, as the end, without an error: a program that uses it
// must subscribe again by itself. launchdarkly/eventsource 1.11.0 never stops: it reconnects even
// after a 204, a 404 or a page of HTML.
//
// The server closes a WebSocket with 1008 if the client sends a message, and with 1002 if it
// breaks the protocol. It answers a close frame with the same status, or with 1007 if its reason
// is not UTF-8 (RFC 6455, sections 5.5.1 and 8.1).
package stream
