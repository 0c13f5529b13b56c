// Package shortpoll delivers events by short polling: a client asks at intervals and is
// answered at once.
//
// Clients poll a log (package eventlog) in one of two views. A [Server] answers with the
// entries after a position. A [Jobs] answers with the last entry of one topic, which is
// the state of a job. In both, the client's position in the log is the only state between
// two polls. Any replica can therefore answer any poll, and a client can disappear for an
// hour or permanently. One [Client] polls both, on the same schedules.
//
// # When to use it
//
// Use it for work that takes longer than a request may, or longer than its client stays
// connected; for news that may be late, when clients must cost nothing between two polls;
// and for stateless servers behind load balancers and proxies of all kinds.
//
// Do not use it when news must arrive within seconds: the mean delay is half an interval,
// and the server answers one poll per client and interval, whether or not anything
// happened. Package longpoll speaks the same protocol, and its servers answer when there
// is news.
//
// Measured (docs/comparison.md; 25 ms each way, all bytes of IP): polling every second
// delivers an event after 0.5 s (p50) and 1 s (p99). With one event a second, each event
// costs 1.00 requests and 650 bytes. With one event in 10 minutes, each costs 600
// requests and 270 kB, of which 99.8 % are for nothing; long polling then takes 20
// requests and 15 kB, and 25 ms. If events come more often than once a second, polling
// every second is cheaper than long polling. Polling on a new connection each time takes
// fewer bytes than a stream of Server-Sent Events at intervals of more than 2.2 minutes,
// and less LTE radio time at more than 13.5 s.
//
// # What it promises
//
//   - An event or the end of a job is noticed within an interval and a round trip.
//   - A fixed interval makes one poll per interval. With a growing interval the number of
//     polls is logarithmic in the time, until the interval has reached its maximum.
//   - Reading consumes nothing. A job's result can be read any number of times until its
//     retention ends, and is then answered with 410. A job that a replica has not heard
//     of is answered with 404.
//   - Submitting a job again does not create a second job.
//   - A job that was accepted reaches an end, even over restarts of the server, if its
//     log is kept.
//   - A client sees only states that the job had, and never an earlier one after a later
//     one, whichever replicas answer. It sends the version that it has seen, and a
//     replica that is behind says so.
//   - Delivery of events is at least once, in order, and once within one Run. Recovery
//     is complete, or the handler gets a Batch with a Reset.
//   - Clients that start together are spread over the interval, and so are clients that
//     failed together. Retry-After is honoured, limited by Backoff.RetryAfterMax and by
//     the deadline. A client that is asked to slow down does so for the rest of its call.
//   - Polling stops at the end of the job, with the context, when no further poll fits
//     before the deadline, and at answers that would be the same the next time.
//
// # What it does not promise
//
// Every state: a job that is pending at one poll can be done at the next. Exactly one run: a
// job that was running when its server died is run again, under the same id. Cancellation. 410
// instead of 404 for longer than [Jobs].Remember.
//
// # Who may see what
//
// Without [Server.Authenticate] everyone may see everything, and without [Jobs.Authenticate] anyone
// who knows a job's id may see its result. With them, a client gets the topics that its identity
// may see (package access), may submit jobs whose ids its Publish filters select, and sees the jobs
// that it submitted. [Client.Header] supplies its credentials for each request. 401 and 403 end a
// call.
//
// # Protocol
//
//	PUT <url>/<id>                     the payload: 202, Location, Retry-After
//	GET <url>/<id>?version=<cursor>    200 {"id", "state", "version", "result", "error"}
//	GET <url>?cursor=<cursor>&topic=a  200 {"cursor", "events", "more"}
//
// A topic is a name or a filter ([access.Match]). Without topics, a poll is for everything that the
// client may see.
//
// A client follows a Location only if it has the scheme and host of its request, because other
// hosts must not get its credentials.
//
// The entity tag of an answer is the position in the log from which it was made. A client sends it
// back as If-None-Match, and gets 304 if there is no news. A job's version is the position that a
// replica must have reached to answer; a replica that has not answers 503. The answers of a Server
// are those of package longpoll, including 410. 429 means that a client polls too often, 503 that
// it should retry after Retry-After, 422 that a job with that id has another payload. Clients
// ignore unknown fields, so later versions can add some.
package shortpoll
