// Package sidecar is a proxy next to an app, for its incoming and outgoing requests. It chooses
// among the replicas of a service, retries what is safe to retry, stops calling a service that
// fails, ejects replicas that do worse than the others, and speaks mutual TLS, so that the app need
// not.
//
// A [Proxy] serves any net.Listener. Its [Config] routes requests to an [Upstream] by host and
// path, and can be replaced while requests are in progress. An Upstream has the replicas of a
// service, and everything that is known about them. [Breaker], [Outlier], [Health] and
// [Credentials] are its parts; a Breaker can also be used on its own.
//
// # When to use it
//
// Use it when apps in several languages should handle each other's failures alike; when
// certificates and replicas change more often than the apps; or when the cost of retries must be
// controlled in one place. The app keeps what only it knows: which of its calls can be repeated,
// which it marks with a key, and how long it waits.
//
// Do not use it when every microsecond counts: a call passes through two more connections or, with
// a sidecar on each side, four. Do not use it for an app that can use a library instead, which has
// no second process to start, stop and watch. It does not replace keys: a proxy in between does not
// learn either whether a call that broke off was executed.
//
// Measured (BenchmarkRequest: a GET of five bytes over the loopback; client, proxy and server in
// one process on two shared processors; medians of six runs, all contenders in each): a request
// takes 1.7 times the processor time of one without a proxy, with a tuned httputil.ReverseProxy 3.3
// times, and with a proxy that only copies bytes 1.5 times. The proxy adds about 25 µs to the
// median request of a single client, 1.2 times as much as the proxy that copies; a ReverseProxy
// adds 3.0 times as much. A request allocates nothing on the heap. An idle connection of a client
// holds 4 KB and a goroutine, and so does one to a replica.
//
// # What it promises
//
//   - The proxy passes on what was sent: status, fields in their order and spelling, body,
//     trailers in both directions, early answers, upgrades, and each half of a connection with its
//     end, or the fact that it broke. The first byte arrives after the network's transit only.
//     This includes gRPC's statuses and WebSockets. The proxy removes the fields that are for one
//     hop (RFC 9110, section 7.6.1), and adds none. HTTP/1 continues as HTTP/1.1, and HTTP/2, with
//     or without TLS, as HTTP/2.
//   - Ambiguous messages are not passed on: two lengths, a length with chunks, lines that end with
//     LF, folded fields, a length among the trailers. The client gets 400, or the status that the
//     RFC prescribes, and the replica gets nothing.
//   - A truncated answer arrives as truncated, and a gRPC call gets the status that it would have
//     had without a proxy.
//   - A request is repeated only in three cases: no replica was sent any of it; it has an
//     idempotent method (GET, HEAD, OPTIONS, TRACE, QUERY, PUT, DELETE) or an Idempotency-Key, and
//     its replica broke off without an answer or answered 503; or the answer says "Call-Outcome:
//     not-executed". All of it must have been kept (MaxReplayBytes), a replica that failed is
//     avoided, and there must be time, attempts and budget left. A request with a Request-Attempt
//     of 2 or more is a retry by the client itself: it is repeated only if it was not sent.
//   - Attempts beyond the first stay within the upstream's budget ([retry.Budget]), whatever fails
//     and whoever calls.
//   - The proxy's own answers give their cause and meaning: Proxy-Status (RFC 9209), and
//     Call-Outcome, which is not-executed or unknown. 503 means that there is no replica, 502 that
//     one broke off, 504 that none answered in time.
//   - When a client disconnects, the replica notices one transit later, however much of the
//     request has not been read.
//   - An open breaker answers at once. A hanging probe, an answer from before it opened, and a
//     client that cancels neither keep it open nor close it.
//   - Neither Outlier nor Health excludes so many replicas that the rest breaks down.
//   - Streams continue when certificates, replicas and configuration change. Whatever begins after
//     the change uses only the new ones.
//   - Memory is bounded: heads, data kept for a repetition, connections, requests.
//
// # What it does not promise
//
// That a request is executed once: a client that repeats it after "unknown" needs a key. The exact
// bytes of chunks: a body can arrive in other pieces. Caching, compression, rewriting of paths,
// authentication of users: these are for a gateway. Limits for each client. CONNECT. HTTP/3. That
// an HTTP/2 connection survives a request whose trailers are in transit while its answer ends:
// net/http's server treats them as an error of the connection (golang.org/issue/58286), with or
// without a proxy.
//
// # HTTP
//
// A request of HTTP/1.1 is served by two existing goroutines: that of the client's connection reads
// it and passes it on, and that of the replica's connection does the same with the answer. The same
// code parses both strictly. HTTP/2 is net/http's, on both sides. Without TLS it begins at once: an
// Upgrade to h2c, which RFC 9113 has removed, is not passed on. Empty lines before a request are
// skipped.
//
// A Request-Timeout, in milliseconds, is how long the client waits. The proxy gives up then, and
// tells the replica how much is left. Expect: 100-continue is for the replica to answer. Over
// HTTP/2 a client is told to continue at once, because net/http's server hides the field from its
// handler (Go 1.26 and 1.27). A client that half-closes its connection after its request can still
// get its answer: the replica is told of the half-close and decides, as without a proxy. For the
// breaker, that request was cancelled.
//
// Connections to replicas are kept for IdleTimeout, which must be less than that of the replica's
// server; package timeouts checks such pairs.
//
// # Starting and stopping
//
// If the app starts first, its calls are refused at once until there is a proxy. If the proxy
// starts first, it holds requests for StartWait while nothing accepts connections, and
// [Proxy.Ready] waits for that. To stop, end the app before its proxy: [Proxy.Drain] continues to
// serve until there was no request for DrainQuiet.
package sidecar
