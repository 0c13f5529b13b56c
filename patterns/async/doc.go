// Package async is asynchronous request and response: a caller starts something, works on, and gets
// the result when it is there.
//
// A [Future] is the result within a process. A [Server] is the same between processes: it answers with the
// result if that comes soon, and otherwise with 202 and the address of an operation, which the caller polls
// or cancels; a [Client] makes a future of that. A [Pool] bounds what is done at once. The
// packages below this one are what the rest needs: workqueue, jobs that survive crashes, on which a
// Server stands; webhook, to call the caller back; outbox, to publish what a transaction has committed;
// saga, transactions over several services.
//
// # When to use it
//
// When the work takes longer than a proxy or a caller waits (AIP-151, https://google.aip.dev/151, draws the line at some 10 s), when the
// caller has other work to do meanwhile, or when the result must survive the caller. Not
// when the answer comes within a second and the caller can do nothing without it: a plain call needs no
// states, no polling and no second address.
//
// A [Server] beside shortpoll.Jobs, of which it speaks the protocol, so that shortpoll.Client
// polls both: Jobs runs its jobs in its own process and keeps every state in a log that replicas can read;
// a Server has workers anywhere, with leases, attempts, cancellation, exclusion and synchronous answers, and one
// process that holds the queue.
//
// # What it promises
//
//   - A future resolves once: with its result, its error, or the end of its context; every caller of
//     Wait gets the same, at once when it is there; what comes later is dropped and counted.
//   - 202 says that the operation is in the queue's file, and will end: done, failed or cancelled. Its
//     state never goes back, but by workqueue.Queue.Retry. To start it again under its id starts nothing.
//   - What keeps an operation from starting is the answer to the request: 400 and others of Validate, 409 if another
//     one has its Key, 503 if there is no room. What goes wrong later is the operation's error.
//   - wait=n of Prefer (RFC 7240) is honoured, up to Server.Wait, from the receipt of the request on.
//   - A pool rejects at once what it has no room for, and begins nothing whose deadline is over.
//
// It does not promise one execution: see package workqueue. A cancelled operation may have had its effect.
//
// # Measured
//
// Row SA-01 of scenarios/async, links of 40 ms each way, an operation of 10 s: a caller that waits for its
// answer has it after 10.16 s and does no work meanwhile; one with a future, polling each second, has it
// after 10.24 s, and has done 102 units of work of 100 ms.
//
// # Protocol
//
//	PUT <url>/<id>                     the payload: 200 with the operation, if it has ended; 202, Location, Retry-After
//	GET <url>/<id>?version=<cursor>    200 {"id", "state", "version", "result", "error", "expires"}
//	DELETE <url>/<id>                  200 with the operation: cancelled, or as it had ended before
//
// Prefer: respond-async has a PUT answered at once, with wait=n after n seconds at the latest; without it
// it is answered when the operation has ended, or with 202 after Server.Wait. A GET waits only for wait=n. The rest is
// as in package shortpoll: 304, 404, 422.
package async
