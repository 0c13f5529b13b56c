// Package sidecar puts a proxy beside an app, for what comes in and for what it calls: it chooses among the replicas of a service, repeats
// what is safe to repeat, stops calling what fails, leaves out replicas that do worse than others, and speaks mutual TLS, so that the app
// need not.
//
// A [Proxy] serves any net.Listener. Its [Config] says to which [Upstream] a request goes, by host and path, and can be replaced while requests
// are under way. An Upstream has the replicas of a service, and all that is known of them. [Breaker], [Outlier], [Health] and [Credentials] are
// its parts; a Breaker can be used by itself.
//
// # When to use it
//
// When apps in several languages are to behave alike towards each other's failures; when their certificates and replicas change more often than
// they do; when what a retry costs is to be decided in one place. The app keeps what only it knows: which of its calls may be repeated, which it says
// by a key, and how long it waits.
//
// Not when each microsecond counts: a call goes through two more connections and, with a sidecar on each side, four. Not for an app that can use a
// library for it: that has no second process to start, stop and watch. Not instead of keys: what a proxy cannot know, whether a call that
// broke off was executed, it does not learn by standing in between.
//
// Measured (BenchmarkRequest: a GET of five bytes over the loopback, client, proxy and server in one process on two processors that others used too; medians of six runs, all contenders in
// each): the processors work 1.7 times as long for a request as without a proxy; with a tuned httputil.ReverseProxy 3.3 times as long, with a proxy that only copies bytes 1.5 times. The
// median request of one client takes 1.2 times as much longer as with the proxy that copies, which is some 25 µs; with a ReverseProxy 3.0 times as much. A request takes nothing from the heap. An idle client's connection holds 4 KB and a
// goroutine, one to a replica the same.
//
// # What it promises
//
//   - What passes is what was sent: status, fields in their order and spelling, body, trailers in both directions, early answers, upgrades, each half of a connection and
//     its end, or that it broke, at the time of the first byte plus the way; gRPC's statuses and WebSockets included. It removes the fields that are for one hop (RFC 9110, section 7.6.1), and adds
//     none. HTTP/1 goes on as HTTP/1.1, and HTTP/2, with TLS or without, as HTTP/2.
//   - What could be read in two ways is not passed on: two lengths, a length with chunks, lines that end with LF, folded fields, a length among the trailers. The client gets 400, or
//     the status that the RFC has, and the replica nothing.
//   - An answer that is cut short arrives as one that is cut short, and a call of gRPC with the status that it would have had without a proxy.
//   - A request is repeated only if no replica was sent any of it; or if its method is idempotent (GET, HEAD, OPTIONS, TRACE, QUERY, PUT, DELETE) or it has an Idempotency-Key, and its replica
//     broke off without an answer, or answered 503; or if that says "Call-Outcome: not-executed". All of it must have been kept (MaxReplayBytes), a replica that failed is avoided, and there must be time,
//     attempts and budget left. One with a Request-Attempt of 2 or more is an attempt of the client's own: it is repeated only if it was not sent.
//   - Attempts beyond the first stay within the budget of the upstream ([retry.Budget]), whatever fails and whoever calls.
//   - The proxy's own answers say why and what they mean: Proxy-Status (RFC 9209), and Call-Outcome, which is not-executed or unknown. 503 is for no replica, 502 for one that broke off, 504 for
//     none in time.
//   - A client that goes is heard by the replica a transit later, however much of the request nobody has read.
//   - An open breaker answers at once. A probe that hangs, an answer from before, and a client that cancels do not keep it open, or close it.
//   - Neither Outlier nor Health leaves out so many replicas that the rest breaks down.
//   - Streams go on when certificates, replicas and configuration change; what begins afterwards is under what is new, and only that.
//   - Memory is bounded: heads, what is kept to be sent again, connections, requests.
//
// # What it does not promise
//
// That a request is executed once: who repeats it after "unknown" needs a key. Exactly the bytes of chunks: a body may arrive in other pieces. Caching, compression, rewriting of paths, authentication of
// users: those are a gateway's. Limits of each client. CONNECT. HTTP/3.
// That a connection of HTTP/2 outlasts a request whose trailers are on their way while its answer ends: net/http's server takes them for an error of the connection (golang.org/issue/58286), as without a proxy.
//
// # HTTP
//
// A request of HTTP/1.1 is served by two goroutines that exist before it: that of the client's connection reads it and passes it on, and that of the replica's connection does the same with
// the answer. Both are parsed strictly, by the same code on both sides. HTTP/2 is net/http's, on both sides. Without TLS it begins at once: an Upgrade to h2c, which RFC 9113 has removed, is
// not passed on. Empty lines before a request are skipped.
//
// A Request-Timeout, in milliseconds, is how long the client waits: the proxy gives up then, and tells the replica what is left. Expect: 100-continue is the replica's
// to answer; over HTTP/2 a client is told at once to go on, since net/http's server keeps from its handler that it asks (Go 1.26 and 1.27). A client that half-closes its connection after its request may still have its answer: the replica is told the same, and decides, as without a proxy; for the breaker that request has been cancelled.
//
// Connections to replicas are kept for IdleTimeout, which must be less than what the replica's server has; package timeouts checks such pairs.
//
// # Starting and stopping
//
// An app may start first: it is refused at once while there is no proxy. A proxy may start first: StartWait is how long it holds requests while nothing accepts connections, and [Proxy.Ready]
// waits for that. To stop, the app ends before its proxy does: [Proxy.Drain] goes on serving until there was no request for DrainQuiet.
package sidecar
