// Package shortpoll delivers by short polling: a client asks at intervals, and is
// answered at once.
//
// What is polled is a log (package eventlog), in one of two views. A [Server] is the log
// itself: what came after this position? A [Jobs] is the last word of a log on one of
// its topics: has this job ended? In both the client's position in the log is all there
// is between two polls, so that any replica can answer any poll and the client may go
// away, for an hour or for good. One [Client] polls both, on the same schedules.
//
// # When to use it
//
// For work that takes longer than a request may, or longer than its client stays. For
// news that need not be fresh, when clients must cost nothing between two polls. Where
// servers are stateless, behind load balancers and proxies of all kinds.
//
// Not when news should arrive within less than some seconds: the mean delay is half an
// interval, and the load of the server is the number of clients over the interval,
// whether anything happens or not. Package longpoll asks the same servers by the same
// protocol and is answered when there is news.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP): polls each second bring
// an event after 0.5 s (p50) and 1 s (p99). With an event a second each costs 0.96
// requests and 630 bytes, with one in 10 minutes 594 requests and 270 kB, of which 99.8 %
// are for nothing; long polling then takes 20 requests and 17 kB, and 25 ms. When events
// come more often than once a second, polls each second are the cheaper of the two. A
// client with a connection for each poll takes fewer bytes than one that holds a stream
// of Server-Sent Events when it wants to know less often than each 2.2 minutes, and less
// of an LTE radio's time from 13.5 s on.
//
// # What it promises
//
//   - An event or the end of a job is noticed within an interval and a round trip.
//   - A fixed interval makes one poll per interval; a growing one a number of polls that
//     is logarithmic in the time, until its maximum.
//   - Nothing is consumed by being read. A job's result can be read any number of times
//     until its retention ends, and is then answered with 410; a job that a replica has
//     not heard of with 404.
//   - To submit a job again makes no second one.
//   - A job that was accepted reaches an end, over restarts of a server whose log is kept.
//   - A client sees only states that the job had, and never an earlier one after a
//     later, whatever replicas it meets: it carries the version that it has seen, and a
//     replica that is behind says so.
//   - Events come at least once, in order, and once within one Run. Recovery
//     is complete or the handler gets a [Batch] with a Reset.
//   - Clients that start together are spread over the interval, and so are those that
//     failed together. Retry-After is honoured, clamped to Backoff.RetryAfterMax and to
//     the deadline. Being told to slow down slows down for good.
//   - Polling stops: at the end of the job, with the context, when no poll fits before
//     the deadline, and at answers that to ask again will not change.
//
// # What it does not promise
//
// To see every state: a job that is pending at one poll may be done at the next. To run
// a job once: one that was running when its server died is run again, under the same id.
// To cancel a job. To tell 410 from 404 for longer than Jobs.Remember.
//
// # Who may see what
//
// Without [Server.Authenticate] everybody may see everything, and without
// [Jobs.Authenticate] a job's result is for anyone who knows its id. With them a client
// gets the topics that its identity may see (package access), submits jobs whose ids it
// may publish, and sees those that it has submitted, and no others. [Client.Header]
// presents its credentials with each request; 401 and 403 end a call.
//
// # Protocol
//
//	PUT <url>/<id>                     the payload: 202, Location, Retry-After
//	GET <url>/<id>?version=<cursor>    200 {"id", "state", "version", "result", "error"}
//	GET <url>?cursor=<cursor>&topic=a  200 {"cursor", "events", "more"}
//
// Each answer has an entity tag, which is the position in the log that it stands for: a
// client that stands there sends it as If-None-Match, and is answered with 304 if there
// is no news. A job's version is the least position that a replica must have come to; one
// that has not answers with 503. A [Server] is as in package longpoll, also in its 410. 429
// means that a client polls too often, 503 to come back after Retry-After, 422 that
// there is a job of that id with another payload.
package shortpoll
