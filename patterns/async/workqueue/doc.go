// Package workqueue is a queue of jobs that workers lease: the part of asynchronous work that must
// survive a crash. What is accepted reaches an end, whoever dies; a job is done by one worker at a
// time; and a worker that has lost its job cannot change how it ends.
//
//	queue := &workqueue.Queue{Path: "jobs.db"}
//	http.Handle("/jobs/", queue.Handler())
//
//	worker := &workqueue.Worker{Source: &workqueue.Client{URL: "http://server/jobs"}}
//	err := worker.Run(ctx, func(ctx context.Context, t workqueue.Task) ([]byte, error) { ... })
//
// # When to use it
//
// For work that outlives a request, whose submitter may go away: reports, mails, payments that a
// slow partner confirms. Between services of one owner, with one process that holds the queue.
//
// Not when the caller waits for the result anyway and can ask again: then call. Not for events that
// many want: that is a log (package pubsub). Not for more jobs than fit in memory, nor when the queue
// must outlive its machine: use a replicated broker or the database that the work is about.
//
// # What it promises
//
//   - What Add has returned is in the file, and reaches an end: Done, Failed, Cancelled or, when all
//     attempts are used up, Dead.
//   - At most one worker has a lease. The next gets the job only when the lease has ended, at its
//     exact instant, or was given back. A repeated or late Finish never changes an end.
//   - Tokens grow with every lease, over restarts too. A checkpoint is saved by the holder of the
//     lease or not at all.
//   - Every call may be repeated when its answer was lost: Add by its ID, Lease by its request, Finish
//     by its token. None makes a second job, a second attempt or a second end. An attempt whose
//     worker never had the job, since the answer with it was lost, counts only until that worker
//     asks again.
//   - Jobs are leased in the order in which they became due, to those who wait in the order in which
//     they came. After a failed attempt a job waits with full jitter, without holding up others.
//   - Memory and file are bounded: MaxJobs jobs; others are refused, and the submitter is told.
//
// # What it does not promise
//
// One execution. A worker may die after its effect and before its end; one that was paused may go on
// for a moment beside its successor. The effect happens once if it is keyed by Task.ID, and is safe
// from the paused one if whatever it changes compares Task.Token. Order: an attempt that fails is
// overtaken.
//
// Against the wall clock: leases and delays are measured by the monotonic one. Over a restart of the
// queue, delays and oblivion go by the wall clock, which can shorten them; leases begin anew.
//
// # Measured
//
// go test -bench . ./patterns/async/workqueue with TMPDIR on a disk: an Add, a Lease and a Finish of one
// caller alone take 1.2 times as long as three transactions of bbolt, the reference. Callers at once
// share their transactions: 10 do 5 times as many jobs per second as one, 100 do 40 times as many.
//
// # Protocol
//
// POST <url>/add, get, list, cancel, retry, lease, extend and finish with JSON; durations are in
// nanoseconds, but for the wait of lease, in milliseconds. An error of the queue is its text with
// its status: 404, 409, 412, 422, 503; 400 is a wrong request, 413 one that is too long. Clients and queues ignore unknown fields.
package workqueue
