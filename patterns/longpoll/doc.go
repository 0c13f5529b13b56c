// Package longpoll delivers events over plain HTTP by long polling (RFC 6202,
// section 2): the client asks for what came after its cursor, and the server
// answers at once if there is something, or holds the request until there is, or
// until the wait ends.
//
// [Server] has an http.Handler over an [eventlog.Log]. [Client] is the loop that polls
// it. They share nothing but the protocol below, and run over any net.Listener and any
// http.RoundTripper.
//
// # When to use it
//
// When events are rare and should arrive within a round trip, when plain HTTP
// requests are all that the path lets through, and when a load balancer should
// see requests it can count and route. Each idle client holds one connection and
// one goroutine of the server.
//
// Not when events come faster than polls return: each answer then costs a
// request, and a stream (Server-Sent Events, WebSocket) is cheaper. [Server.Linger]
// trades delay for fewer, larger answers. Not for more than a few polls at once in one
// browser page: HTTP/1.1 gives it six connections to a host, and a parked poll
// occupies one.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP): an event arrives
// after 25 ms (p50), and 74 ms when it just misses an answer. One in 10 minutes takes
// 20 requests and 15 kB, one a second a request and 620 bytes; a stream of Server-Sent
// Events takes 4.6 kB and 190 bytes. Short polling is cheaper only while events come
// at least once an interval.
//
// # What it promises
//
//   - No event is lost between two polls: a poll names a position, and the answer
//     contains everything after it. The server keeps nothing on behalf of a
//     client, so a lost answer, an abandoned poll and a restart consume nothing.
//   - At least once, in order. The client moves its cursor when the handler has
//     returned nil, and the next poll carries it. Within one Run no event is
//     handed over twice, unless a [Batch] with a Reset came in between.
//   - Recovery is complete or the handler is notified: when the log no longer has
//     what the client has not seen, when it began a new epoch, and when it ends
//     before what the client has seen.
//   - An answer is applied as a whole or not at all.
//   - Every poll ends: in an answer, empty if need be, or at the client's timeout,
//     which is longer than the server's wait. A dead connection is noticed then.
//   - No hot loop: polls are limited by a token bucket, failures back off with
//     jitter, and Retry-After is honoured.
//   - An event is handed over within three network transits, plus Linger, plus
//     what the token bucket demands: an event that just misses an answer waits
//     for the answer to arrive and for the next poll and its answer.
//
// # What it does not promise
//
// Exactly once: after a crash of the client, events since the cursor it stored last come again.
// Delivery to a client that stays away for longer than the log keeps events: it gets a Reset.
// Order across different servers. An immediate end of a poll whose client vanished silently:
// the server notices when the wait ends.
//
// # Who may see what
//
// Without [Server.Authenticate] everyone may see everything. With it a client gets the topics
// that its identity may see (package access), and [Client.Header] presents its credentials with
// each poll. A poll is answered when its credentials expire, and the next one needs new ones:
// 401 and 403 end a client.
//
// # Protocol
//
//	GET <url>?cursor=<epoch>-<offset>&wait=30s&topic=a&topic=b
//
// A topic is a name or a filter ([access.Match]); without one a poll is for all that the client may
// see. A poll without a cursor is answered at once, from the oldest entry kept or, with from=now,
// from the newest: a client has a position before it ever waits. 200 carries {"cursor": ...,
// "events": [...]}; the cursor is what to ask with next, also when there are no events. 410
// carries {"cursor": ..., "reset": why}: there is a gap, and the cursor is where reading can
// begin again. It is an error status on purpose, so that a client that knows nothing of gaps
// fails instead of skipping them. 401 and 403 are for clients that may not see what they ask
// for. 503 means retry after Retry-After. Clients ignore unknown fields, so that later versions
// may add some.
package longpoll
