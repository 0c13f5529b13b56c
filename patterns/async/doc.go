// Package async is asynchronous request and response: a caller starts an operation, does other
// work, and gets the result when it is ready.
//
// A [Future] is such a result within a process. A [Server] provides the same between processes: if
// the result is ready soon, it answers with the result, and otherwise with 202 and the address of
// an operation, which the caller can poll or cancel. A [Client] turns that into a Future. A [Pool]
// limits how much runs at once. The packages below this one provide the rest: workqueue, jobs that
// survive crashes, on which a Server is built; webhook, to call the caller back; outbox, to publish
// what a transaction has committed; saga, transactions over several services.
//
// # When to use it
//
// Use it when the work takes longer than a proxy or a caller waits (AIP-151,
// https://google.aip.dev/151, draws the line at about 10 s), when the caller has other work to do
// in the meantime, or when the result must survive the caller. Do not use it when the answer comes
// within a second and the caller can do nothing without it: a plain call needs no states, no
// polling and no second address.
//
// A [Server] speaks the protocol of [shortpoll.Jobs], so [shortpoll.Client] can poll both. Jobs
// runs its jobs in its own process and keeps every state in a log that replicas can read. A Server
// has workers anywhere, with leases, attempts, cancellation, mutual exclusion and synchronous
// answers, and one process that holds the queue.
//
// # What it promises
//
//   - A future resolves once: with its result, its error, or the end of its context. Every caller
//     of Wait gets the same result, immediately once it is there. Later results are dropped and
//     counted.
//   - 202 means that the operation is in the queue's file and will end: done, failed or cancelled.
//     Its state never goes back, except by [workqueue.Queue.Retry]. Starting it again under its id
//     starts nothing.
//   - If an operation cannot start, the answer to the request says so: 400 or another status from
//     Validate, 409 if another operation has its Key, 503 if there is no room. A later failure is
//     the operation's error.
//   - wait=n of Prefer (RFC 7240) is honoured, up to [Server].Wait, counted from the receipt of
//     the request.
//   - A pool at once rejects work for which it has no room, and does not begin work whose deadline
//     has passed.
//
// It does not promise that an operation is executed once: see package workqueue. A cancelled
// operation may have had its effect.
//
// # Measured
//
// Row SA-01 of scenarios/async, links of 40 ms each way, an operation of 10 s: a caller that waits
// for its answer has it after 10.16 s and does no work in the meantime. A caller with a future that
// polls every second has it after 10.24 s, and has done 102 units of work of 100 ms.
//
// # Protocol
//
//	PUT <url>/<id>                     the payload: 200 with the operation, if it has ended; 202, Location, Retry-After
//	GET <url>/<id>?version=<cursor>    200 {"id", "state", "version", "result", "error", "expires"}
//	DELETE <url>/<id>                  200 with the operation: cancelled, or as it had ended before
//
// With Prefer: respond-async, a PUT is answered at once; with wait=n added, after n seconds at the
// latest. Without Prefer it is answered when the operation has ended, or with 202 after
// [Server].Wait. A GET waits only with wait=n. The rest is as in package shortpoll: 304, 404, 422.
package async
