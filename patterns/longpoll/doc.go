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
// Use it when events are rare and should arrive within a round trip, when plain HTTP
// requests are all that the path lets through, or when a load balancer should see
// requests that it can count and route. Each idle client costs one connection and one
// goroutine of the server.
//
// Do not use it when events are more frequent than polls: each answer then costs a
// request, and a stream (Server-Sent Events, WebSocket) is cheaper. [Server].Linger
// trades delay for fewer, larger answers. Do not use it for more than a few
// simultaneous polls in one browser page: over HTTP/1.1 a browser opens six
// connections to a host, and a parked poll occupies one.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP): an event arrives
// after 25 ms (p50), or after 74 ms if it just misses an answer. One event in 10
// minutes costs 20 requests and 15 kB. One event a second costs one request and 620
// bytes each. A stream of Server-Sent Events costs 4.6 kB and 190 bytes. Short polling
// is cheaper only if at least one event comes in each interval.
//
// # What it promises
//
//   - No event is lost between two polls: a poll names a position, and the answer
//     contains everything after it. The server keeps nothing on behalf of a
//     client, so a lost answer, an abandoned poll and a restart consume nothing.
//   - Delivery is at least once, in order. The client moves its cursor when the
//     handler has returned nil, and the next poll carries it. Within one Run no event
//     is delivered twice, unless a [Batch] with a Reset came in between.
//   - Recovery is complete, or the handler is notified that it is not: because the
//     log no longer has events that the client has not seen, has begun a new epoch,
//     or ends before what the client has seen.
//   - An answer is applied as a whole or not at all.
//   - Every poll ends: with an answer, which can be empty, or at the client's
//     timeout, which is longer than the server's wait. That is when a dead
//     connection is detected.
//   - No hot loop: polls are limited by a token bucket, failures back off with
//     jitter, and Retry-After is honoured.
//   - An event is delivered within three network transits, plus Linger, plus the delay of the
//     token bucket. An event that just misses an answer waits until that answer has arrived,
//     and for the next poll and its answer.
//
// # What it does not promise
//
// Exactly-once delivery: after a crash the client gets the events since the cursor that it last
// stored again. Delivery to a client that stays away for longer than the log keeps events: it
// gets a Reset. Order across different servers. An immediate end of a poll whose client
// vanished silently: the server notices when the wait ends.
//
// # Who may see what
//
// Without [Server.Authenticate] everyone may see everything. With it, a client gets the topics that
// its identity may see (package access). [Client.Header] supplies its credentials for each poll. A
// poll is answered when its credentials expire, and the next one needs new ones. 401 and 403 end a
// client's Run.
//
// # Protocol
//
//	GET <url>?cursor=<epoch>-<offset>&wait=30s&topic=a&topic=b
//
// A topic is a name or a filter ([access.Match]). Without topics, a poll is for everything that the
// client may see. A poll without a cursor is answered at once, from the oldest entry kept or, with
// from=now, from the newest, so a client has a position before it ever waits. 200 carries
// {"cursor": ..., "events": [...]}; the next poll must send this cursor, even if there are no
// events. 410 carries {"cursor": ..., "reset": why}: there is a gap, and reading can continue from
// the cursor. 410 is an error status on purpose: a client that does not know about gaps fails
// instead of skipping events. 401 and 403 are for clients that may not see what they ask for. 503
// means retry after Retry-After. Clients ignore unknown fields, so later versions can add some.
package longpoll
