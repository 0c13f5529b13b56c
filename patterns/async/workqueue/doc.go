// Package workqueue is a queue of jobs that workers lease. It is the part of asynchronous work
// that must survive a crash. Every accepted job reaches an end, whichever process dies; one worker
// at a time does a job; and a worker that has lost its job cannot change how it ends.
//
//	queue := &workqueue.Queue{Path: "jobs.db"}
//	http.Handle("/jobs/", queue.Handler())
//
//	worker := &workqueue.Worker{Source: &workqueue.Client{URL: "http://server/jobs"}}
//	err := worker.Run(ctx, func(ctx context.Context, t workqueue.Task) ([]byte, error) { ... })
//
// # When to use it
//
// Use it for work that outlives a request, whose submitter may go away: reports, mail, payments
// that a slow partner confirms. Use it between services of one owner, with one process that holds
// the queue.
//
// Do not use it when the caller waits for the result anyway and can ask again: use a call. Do not
// use it for events that many parties want: use a log (package pubsub). Do not use it for more jobs
// than fit in memory, or when the queue must outlive its machine: use a replicated broker, or the
// database that the work is about.
//
// # What it promises
//
//   - A job that Add has returned is in the file, and reaches an end: [Done], [Failed],
//     [Cancelled] or, when all attempts are used up, [Dead].
//   - At most one worker has a lease. The next worker gets the job only when the lease has ended,
//     at its exact instant, or was given back. A repeated or late Finish never changes an end.
//   - Tokens grow with every lease, even over restarts. Only the holder of the lease can save a
//     checkpoint.
//   - Every call can be repeated if its answer was lost: Add is identified by its ID, Lease by its
//     request, Finish by its token. A repetition never creates a second job, attempt or end. If
//     the answer with a job was lost, so that the worker never had it, the attempt counts only
//     until that worker asks again.
//   - Jobs are leased in the order in which they became due, and to waiting workers in the order
//     in which they asked. After a failed attempt a job waits with full jitter, without holding up
//     others.
//   - Memory and file are bounded to MaxJobs jobs. Others are refused, and the submitter is told.
//
// # What it does not promise
//
// One execution. A worker can die after its effect and before its end; a paused worker can continue
// for a moment in parallel with its successor. The effect happens once if it is keyed by [Task].ID.
// It is safe from a paused worker if every system that it changes compares [Task].Token. Order: an
// attempt that fails is overtaken.
//
// Protection from changes of the wall clock: leases and delays are measured by the monotonic clock.
// Over a restart of the queue, delays and retention go by the wall clock, which can shorten them;
// leases begin anew.
//
// # Measured
//
// go test -bench . ./patterns/async/workqueue with TMPDIR on a disk: an Add, a Lease and a Finish
// of a single caller take 1.2 times as long as three bbolt transactions, the reference. Concurrent
// callers share their transactions: 10 do 5 times as many jobs per second as one, 100 do 40 times
// as many.
//
// # Protocol
//
// POST <url>/add, get, list, cancel, retry, lease, extend and finish with JSON. Durations are in
// nanoseconds, except the wait of lease, which is in milliseconds. An error of the queue is its
// text with its status: 404, 409, 412, 422, 503. 400 is an invalid request, 413 one that is too
// long. Clients and queues ignore unknown fields.
package workqueue
