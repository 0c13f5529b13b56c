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
// Use it when events go one way, from server to client, and come too often, or must
// arrive too soon, for one request per event: progress, prices, logs, the tokens of a
// language model. A stream is an ordinary response to a GET: it passes through whatever
// passes HTTP, and browsers receive it and reconnect by themselves. An event takes one
// transit and costs its own bytes plus a small frame.
//
// Do not use it when the client has as much to say as the server: use a WebSocket in both
// directions (package push). Nor for clients that are seldom connected: a position older
// than the log is a reset, and nothing is kept for a client by name. Nor over HTTP/1.1 for
// more than a few streams per browser, which opens at most six connections to a host and
// gives each stream one of them; over HTTP/2, or with one stream for several topics, that
// does not matter. Nor through a proxy that buffers whole responses: see below.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP, up and down): an event
// arrives after 25 ms. One a second takes 190 bytes, one in 10 minutes 4.6 kB, most of which
// is comments after 15 s of silence; the client sends no payload after its request. That is
// less than push over WebSocket takes (230 bytes, 6.9 kB), and than long polling (620 bytes,
// 15 kB).
//
// # What it promises
//
//   - Every event has the cursor of the log as its ID. A client that reconnects with it
//     gets the events that follow: none missing, none twice, in order, however often and at
//     whatever byte its connections break.
//   - An event arrives whole or not at all.
//   - Recovery is complete, or the client is notified that it is not. If the log has dropped
//     events that the client has not seen, began a new incarnation (epoch), or ends before
//     the client's position, the stream begins with a [Reset], which carries the state at
//     that point if the server has a Snapshot. The same happens when the log overtakes an
//     open stream.
//   - A client has a position from the start of its first stream, and its position moves
//     past events of other topics, so that the log does not overtake it unnoticed.
//   - A stream is never silent for longer than Heartbeat, and a client that hears nothing
//     for Misses heartbeats reconnects.
//   - A client that does not read costs the server one page of the log, MaxBytes or one
//     event, and loses its connection after WriteTimeout. It delays no other client, and
//     resumes where it stopped. With Coalesce it gets only the newest event per subject.
//   - The timeouts of an http.Server do not end a stream.
//   - Before it reconnects a client waits for the reconnection time, doubled after every
//     connection that brought nothing, never less than Backoff.Min, and with jitter. It
//     honours Retry-After, also on a stream that ends without an event. A status of 204, a
//     status that [Client.Temporary] calls final and another content type end it.
//   - Drain ends streams in good order, and http.Server.Shutdown then returns.
//   - With Authenticate a client gets the topics that it may see and no others, until its
//     credentials expire.
//
// # What it does not promise
//
// Exactly-once delivery: a client that crashed gets the events since the ID that it last
// stored again. Presence: if a client disappears silently, the server notices when TCP gives
// up on unacknowledged data, up to 15 minutes later, or when its buffers are full, and holds
// the connection until then. Order across servers. Access control without Authenticate.
//
// Through a proxy that buffers, the proxy decides the latency. Server asks for no buffering
// and no compression in the two ways that exist (X-Accel-Buffering, no-transform), and can
// fill buffers of a fixed size ([Server.Padding]). A client notices such a proxy by its
// silence: it reports [ErrSilent] to OnRetry.
//
// # Protocol
//
//	GET <url>?topic=a&topic=b
//	Last-Event-ID: <epoch>-<offset>
//
// A topic is a name or a filter ([access.Match]). A request without topics is for all that the
// client may see. A client without a position gets everything
// in the log, or, with from=now, the events published from now on. The query parameter
// lastEventId replaces the header where a client cannot set one, as in a browser's first
// request; if both are present the header counts.
//
// The event's type is its topic. Characters that cannot stand there (below U+0020,
// U+007F, ";" and "%", and bytes that are not UTF-8) are sent as % and two hexadecimal
// digits, and so is the first character of the topics "message" and "eventlog.reset". The
// empty topic has the type "message". Data that is not UTF-8, or contains a CR, is sent in
// base64 under the type <topic>;base64. An event of the
// type "eventlog.reset" is a [Reset]; its data is {"reason": ..., "snapshot": ...}, the
// snapshot in base64. An ID without data only moves the position; clients that give the program an
// event without data for it, against the standard, are r3labs/sse 2.10.0, tmaxmax/go-sse 0.12.0,
// launchdarkly/eventsource 1.11.0 and @microsoft/fetch-event-source 2.0.1, where an empty event is to be
// ignored.
//
// Accept: application/x-ndjson asks for one JSON object per line instead, and a WebSocket
// handshake for messages of such lines: {"id": ..., "event": ..., "data": ...}, in which
// a missing or empty member means the same as in Server-Sent Events, {"retry":
// milliseconds}, and {} as heartbeat.
//
// Errors that repeating the request would not change are 400 for a malformed request, 401
// if Authenticate does not know the client, 403 for a topic that it may not see and for the
// WebSocket handshake of a page from another origin, and 406 if the client accepts neither
// media type.
//
// A server that is drained or has too many streams refuses Server-Sent Events with status
// 200, a Retry-After and a stream that sets the reconnection time and ends without an event:
// an EventSource reconnects after that, and after no other status. The other encodings, and
// all of them with [Server.RefuseWithStatus], are refused with 503 and a Retry-After.
//
// Two clients for Go do otherwise than an EventSource here. To r3labs/sse 2.10.0 a stream that ends in
// order, by [Server.Drain] or such a refusal, is the end, without an error: a program that uses it has to
// subscribe again by itself. launchdarkly/eventsource 1.11.0 never stops: it comes back after a 204, a 404
// and a page of HTML as well.
//
// A WebSocket is closed with 1008 if the client sends a message, and with 1002 if it breaks
// the protocol. A close frame is answered with its own status, and with 1007 if its reason is
// not UTF-8 (RFC 6455, section 5.5.1 and 8.1).
package stream
