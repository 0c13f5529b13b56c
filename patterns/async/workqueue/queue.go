package workqueue

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/group"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Queue holds jobs and leases them to workers. Once Add, Finish, Cancel or Retry has returned
// without an error, its change is in the file, if there is one. Concurrent calls that wait for
// the disk share a transaction. Do not change or copy it after first use.
//
// All its jobs are in memory, with their payloads, and a file belongs to one process. Workers and
// submitters in other processes reach the queue through its [Queue.Handler].
type Queue struct {
	// Path is the bbolt file with the jobs. It is created if it does not exist. Empty: the jobs
	// are only in memory, and lost with the process.
	Path string

	// LeaseTimeout is how long a worker has a job unless it extends the lease. Zero: 30 s. It must
	// exceed the longest silence of a live worker. It is also how long the job of a dead worker
	// waits.
	LeaseTimeout time.Duration
	// MaxAttempts is how often a job is leased before it is Dead. Zero: 10. A lease whose answer
	// was lost does not count once its request is repeated.
	MaxAttempts int
	// Backoff bounds the delays after failed attempts: by default 1 s at first, at most 10 min.
	// There is no delay after a lease that has ended.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the clock.
	Jitter retry.Jitter
	// Retention is how long jobs that have ended are kept. Zero: 24 h. Then their IDs can be
	// used again.
	Retention time.Duration

	// MaxJobs bounds the jobs that are kept, including those that have ended. Zero:
	// 10,000.
	MaxJobs int
	// MaxPayloadBytes bounds a payload, a result and a checkpoint. Zero: 1 MiB
	// each.
	MaxPayloadBytes int

	// Authenticate returns who sends a request to the Handler. The identity must be allowed to
	// publish under a job's ID to add or cancel it, to see the ID to get the job's status, and to
	// see everything to work, retry or list jobs. Nil: everyone may do everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets dead letters and refused requests as warnings, errors of the disk as errors. Nil:
	// nothing is logged.
	Logger *slog.Logger

	starting sync.Mutex
	started  bool
	log      *slog.Logger

	mu      sync.Mutex
	stage   error    // nil, ErrDraining or ErrClosed
	leasing []*lease // those that wait for a job, in their order
	watches map[string][]chan struct{}
	timer   *time.Timer // at what is due next, while somebody waits

	calls group.Group[*call]
	table *table // of the call that leads, and so are the store and the pause
	store *store
	pause time.Time // until when nothing that is due is done, since the disk has failed; zero: it has not

	stats struct{ added, leased, finished, retried, lost, dead atomic.Int64 }
	jobs  atomic.Int64
}

// QueueStats are the counters of a Queue.
type QueueStats struct {
	// Jobs is the number of jobs kept now.
	Jobs int64
	// Added counts jobs, Leased attempts, Finished jobs that workers ended as Done or Failed,
	// Retried attempts that failed, Lost calls whose lease had ended, and Dead jobs that became
	// Dead.
	Added, Leased, Finished, Retried, Lost, Dead int64
}

// own are the bounds of the delays between attempts.
var own = retry.Backoff{Base: time.Second, Max: 10 * time.Minute}

// Check returns an error that names each invalid setting and its value, or nil.
func (q *Queue) Check() error {
	check := fields.Of("workqueue: Queue")
	check.Duration("LeaseTimeout", q.LeaseTimeout)
	check.Int("MaxAttempts", q.MaxAttempts)
	check.Backoff("Backoff", q.Backoff, own)
	check.Duration("Retention", q.Retention)
	check.Int("MaxJobs", q.MaxJobs)
	check.Int("MaxPayloadBytes", q.MaxPayloadBytes)
	return check.Err()
}

func (q *Queue) maxPayload() int { return cmp.Or(q.MaxPayloadBytes, 1<<20) }

// Start opens the file and continues the jobs in it. The leases of running jobs begin anew, because
// their workers can be alive. All methods call it. After an error, of the file or of Check, it can
// be called again.
func (q *Queue) Start() error {
	q.starting.Lock()
	defer q.starting.Unlock()
	if q.started {
		return nil
	}
	if err := q.Check(); err != nil {
		return err
	}
	if stage := q.ending(); stage != nil {
		return stage
	}
	backoff, jitter := q.Backoff.WithDefaults(own), q.Jitter.OrSeeded("workqueue")
	t := newTable(rules{
		lease:       cmp.Or(q.LeaseTimeout, 30*time.Second),
		retention:   cmp.Or(q.Retention, 24*time.Hour),
		maxAttempts: cmp.Or(q.MaxAttempts, 10),
		maxAll:      cmp.Or(q.MaxJobs, 10_000),
		backoff:     func(failures int) time.Duration { return backoff.Delay(failures, jitter) },
	})
	if q.Path != "" {
		var err error
		if q.store, err = openStore(q.Path, t, time.Now()); err != nil {
			return err
		}
	}
	q.table = t
	q.jobs.Store(int64(len(t.jobs)))
	q.log = polling.Logger(q.Logger)
	q.watches = map[string][]chan struct{}{}
	q.started = true
	return nil
}

// Add adds a job to the queue and returns its status. If a job with the same ID, Key and Payload
// exists, it returns the status of that job. The errors are [ErrConflict], [ErrBusy], [ErrFull],
// [ErrDraining] and [ErrClosed], those of the disk, and one that says why the job is invalid.
func (q *Queue) Add(_ context.Context, job Job) (s Status, err error) {
	if err := q.open(); err != nil {
		return Status{}, err
	}
	if err := job.check(q.maxPayload()); err != nil {
		return Status{}, err
	}
	job.Payload = append([]byte(nil), job.Payload...)
	added := 0
	err = q.do(func(now time.Time) error {
		if stage := q.ending(); stage != nil {
			return stage
		}
		known := len(q.table.jobs)
		s, err = q.table.add(job, now)
		added = len(q.table.jobs) - known
		return err
	})
	if err == nil {
		q.stats.added.Add(int64(added))
	}
	return s, err
}

// open is Start, for what a queue that is draining refuses.
func (q *Queue) open() error {
	if err := q.Start(); err != nil {
		return err
	}
	return q.ending()
}

// ending returns ErrDraining or ErrClosed, or nil.
func (q *Queue) ending() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stage
}

// Get returns the status of a job, or [ErrNotFound].
func (q *Queue) Get(_ context.Context, id string) (s Status, err error) {
	err = q.do(func(time.Time) error {
		r := q.table.jobs[id]
		if r == nil {
			return ErrNotFound
		}
		s = r.status()
		return nil
	})
	return s, err
}

// Wait returns the status of a job when its version is greater than after. If ctx ends first, it
// returns the current status and ctx's error.
func (q *Queue) Wait(ctx context.Context, id string, after uint64) (Status, error) {
	for {
		changed, err := q.watch(id)
		if err != nil {
			return Status{}, err
		}
		s, err := q.Get(ctx, id)
		if err != nil || s.Version > after {
			q.unwatch(id, changed)
			return s, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			q.unwatch(id, changed)
			return s, ctx.Err()
		}
	}
}

// List returns the jobs in a state, in the order in which they were added, at most the first 1,000.
// It is for dead letters.
func (q *Queue) List(_ context.Context, state State) (all []Status, err error) {
	err = q.do(func(time.Time) error {
		all = q.table.list(state, maxListed)
		return nil
	})
	return all, err
}

// Cancel ends a job that has not ended, or is dead, and returns its status. A worker that has the
// job learns of it when it extends its lease; its result does not count. Work that it has done is
// not undone.
func (q *Queue) Cancel(_ context.Context, id string) (s Status, err error) {
	err = q.do(func(now time.Time) error {
		s, err = q.table.cancel(id, now)
		return err
	})
	return s, err
}

// Retry gives a Dead job another MaxAttempts attempts, with its checkpoint. The errors are
// [ErrNotFound], [ErrState] and [ErrBusy].
func (q *Queue) Retry(_ context.Context, id string) (s Status, err error) {
	err = q.do(func(now time.Time) error {
		s, err = q.table.retry(id, now)
		return err
	})
	return s, err
}

// Lease is as for every Source.
func (q *Queue) Lease(ctx context.Context, request string) (Task, error) {
	if err := q.open(); err != nil {
		return Task{}, err
	}
	l := &lease{ctx: ctx, request: request}
	err := q.do(func(now time.Time) error { return q.leaseOrWait(l, now) })
	switch {
	case l.ended == nil && err != nil:
		return Task{}, err
	case l.ended == nil:
		return l.task, nil
	case err != nil: // of the disk
		if q.leave(l) {
			return Task{}, err
		}
	default:
		select {
		case <-l.ended:
		case <-ctx.Done():
			if q.leave(l) {
				return Task{}, ctx.Err()
			}
		}
	}
	<-l.ended // it may have a job
	return l.task, l.err
}

// Extend is as for every [Source]. Without a checkpoint it does not wait for the
// disk.
func (q *Queue) Extend(_ context.Context, id string, token uint64, checkpoint []byte) error {
	if len(checkpoint) > q.maxPayload() {
		return badRequest("checkpoint has more than MaxPayloadBytes")
	}
	return q.mine(func(now time.Time) error { return q.table.extend(id, token, checkpoint, now) })
}

// Finish is as for every Source.
func (q *Queue) Finish(_ context.Context, id string, token uint64, end End) error {
	if err := end.check(q.maxPayload()); err != nil {
		return err
	}
	err := q.mine(func(now time.Time) error { return q.table.finish(id, token, end, now) })
	switch {
	case err != nil:
	case end.State == Pending:
		q.stats.retried.Add(1)
	default:
		q.stats.finished.Add(1)
	}
	return err
}

func (q *Queue) mine(run func(now time.Time) error) error {
	err := q.do(run)
	if err == ErrLeaseLost {
		q.stats.lost.Add(1)
	}
	return err
}

// Drain accepts and leases no more jobs. It returns when leased jobs have ended, or with ctx's
// error when ctx ends first. Other jobs stay for a queue with the same file.
func (q *Queue) Drain(ctx context.Context) error {
	if err := q.Start(); err != nil {
		return err
	}
	q.enter(ErrDraining)
	for {
		changed, err := q.watch("")
		if err != nil {
			return err
		}
		running := 0
		err = q.do(func(time.Time) error { running = q.table.running; return nil })
		if err != nil || running == 0 {
			q.unwatch("", changed)
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			q.unwatch("", changed)
			return ctx.Err()
		}
	}
}

// Close ends the queue and closes its file, after the calls in progress. The jobs stay in the file.
func (q *Queue) Close() error {
	q.starting.Lock()
	defer q.starting.Unlock()
	q.enter(ErrClosed)
	if !q.started {
		return nil
	}
	var err error
	q.alone(func() {
		err = q.store.close()
		q.store = nil
	})
	return err
}

// Stats returns the counters.
func (q *Queue) Stats() QueueStats {
	return QueueStats{
		Jobs: q.jobs.Load(), Added: q.stats.added.Load(), Leased: q.stats.leased.Load(), Finished: q.stats.finished.Load(),
		Retried: q.stats.retried.Load(), Lost: q.stats.lost.Load(), Dead: q.stats.dead.Load(),
	}
}
