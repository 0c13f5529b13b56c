package shortpoll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Jobs is a server for work that takes longer than a request should: a client submits a
// job under an id of its own, and polls its state until it has ended. Do not change or
// copy it after first use.
//
// All its state is in its log: the states of each job, as entries whose topic is the
// job's id or, with Authenticate, the client, a slash and the id. A Jobs whose log is a
// copy is a replica. A Jobs started with the log of an earlier incarnation continues its
// jobs.
type Jobs struct {
	// Run does a job. It returns the result, or an error, which becomes the job's; a
	// panic counts as an error. If the process ends in the meantime, Run is called again
	// with the same task: at least once. ctx ends with Close. Nil: this is a replica,
	// which reads Log and accepts no jobs.
	Run func(ctx context.Context, task Task) ([]byte, error)

	// Log holds the jobs and nothing else. Nil: an eventlog.Memory with default bounds.
	// A log that must make room before Retention has passed forgets jobs at a restart.
	// The owner of the log closes it, after Close.
	Log eventlog.Log

	// Retention is how long after its end a job's result can be read, any number of
	// times. Zero: 1 h. After that the answer is 410.
	Retention time.Duration
	// Remember is how long after Retention the job is still known to have
	// existed. Zero: 24 h. After that the answer is 404, and the id can be used
	// again.
	Remember time.Duration

	// RetryAfter is how long clients are asked to wait before they poll again, in whole
	// seconds, rounded up. Zero: 1 s after the submission, and then as the client
	// chooses.
	RetryAfter time.Duration
	// MinInterval is the shortest time between two polls of one job. An earlier
	// poll gets 429, which slows its client down. Zero: none.
	MinInterval time.Duration

	// Workers is how many jobs run at once. Zero: 16.
	Workers int
	// MaxJobs bounds the jobs that are kept, including those with a result. Zero:
	// 10,000. Others are refused with 503.
	MaxJobs int
	// MaxPayloadBytes bounds a submitted payload. Zero: 1 MiB.
	MaxPayloadBytes int
	// Limit bounds the request rate.
	Limit Limit

	// Authenticate returns who sends a request. A job belongs to the client that submitted it: no
	// other client sees it, and another client's job can have the same id. Submit accepts jobs
	// whose ids the identity may publish. An identity without a Client is refused with 401, and an
	// error is answered by access.Refuse. Nil: all requests are from one client, which may do
	// everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets refused requests and failed jobs as warnings, and errors of the log as
	// errors. Nil: nothing is logged.
	Logger *slog.Logger

	starting sync.Mutex // held while the log is read
	started  atomic.Bool
	gate     *gate
	table    *table
	log      *slog.Logger
	working  context.Context // of Run
	abort    context.CancelFunc

	life      polling.Lifecycle // Drain waits for submissions and for jobs that run
	mu        sync.Mutex
	queue     []string // topics of jobs that wait for a worker
	busy      int      // workers that have a job
	running   sync.WaitGroup
	accepting map[string]chan struct{} // submissions that are on their way to the log

	polls, unchanged, behind, refused, slowed atomic.Int64
}

// JobsStats are the counters of a Jobs.
type JobsStats struct {
	// Kept is the number of jobs that are kept now.
	Kept int64
	// Polls counts requests for a job's state. Unchanged counts those answered
	// with 304, Behind those that this replica could not answer yet.
	Polls, Unchanged, Behind int64
	// Refused counts requests refused with 503 for want of capacity. Slowed counts
	// polls that came before MinInterval had passed.
	Refused, Slowed int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (j *Jobs) Check() error {
	check := fields.Of("shortpoll: Jobs")
	check.Duration("Retention", j.Retention)
	check.Duration("Remember", j.Remember)
	check.Wait("RetryAfter", j.RetryAfter, 1)
	check.Duration("MinInterval", j.MinInterval)
	check.Int("Workers", j.Workers)
	check.Int("MaxJobs", j.MaxJobs)
	check.Int("MaxPayloadBytes", j.MaxPayloadBytes)
	if j.Run == nil && j.Log == nil {
		check.Bad("Run and Log are nil: want a Run, or for a replica the Log that it reads")
	}
	j.Limit.check(check)
	return check.Err()
}

// Start reads the log and continues the jobs that have not ended in it. Handler
// calls it. After an error, of the log or of Check, it can be called again.
func (j *Jobs) Start() error {
	if err := j.Check(); err != nil {
		return err
	}
	j.starting.Lock()
	defer j.starting.Unlock()
	if j.started.Load() {
		return nil
	}
	j.life.Errors(ErrDraining, ErrClosed)
	if err := j.life.Err(); err != nil {
		return err
	}
	if j.Log == nil {
		j.Log = eventlog.NewMemory(eventlog.Options{})
	}
	table := &table{
		retention: cmp.Or(j.Retention, time.Hour),
		remember:  cmp.Or(j.Remember, 24*time.Hour),
	}
	if err := table.catchUp(j.Log); err != nil {
		return fmt.Errorf("shortpoll: Jobs.Log: %w", err)
	}
	j.table = table
	j.gate = newGate(j.Limit)
	j.log = polling.Logger(j.Logger)
	j.working, j.abort = context.WithCancel(context.Background())
	j.accepting = make(map[string]chan struct{})
	j.started.Store(true)
	if j.Run != nil {
		for _, topic := range j.table.unfinished() {
			j.spawn(topic)
		}
	}
	return nil
}

// Handler returns the handler for jobs. Mount it so that the last element of the path
// is a job's id. It panics if Start fails.
func (j *Jobs) Handler() http.Handler {
	if err := j.Start(); err != nil {
		panic(err.Error())
	}
	return http.HandlerFunc(j.serve)
}

// Drain accepts no more jobs and starts none of those that wait: a Jobs with the same log
// runs them. It returns when the running jobs have ended, or with ctx's error when ctx
// ends first. Polls are answered until Close.
func (j *Jobs) Drain(ctx context.Context) error { return j.life.Drain(ctx) }

// Close refuses all requests from now on and ends the contexts of running jobs. It
// returns nil when their Run has returned. They have not ended: a Jobs with the same
// log runs them again.
func (j *Jobs) Close() error {
	j.starting.Lock()
	defer j.starting.Unlock()
	j.mu.Lock() // what is dispatched has been dispatched before
	_ = j.life.Close()
	j.mu.Unlock()
	if j.started.Load() {
		j.abort()
		j.running.Wait()
	}
	return nil
}

// Stats returns the counters.
func (j *Jobs) Stats() JobsStats {
	s := JobsStats{
		Polls:     j.polls.Load(),
		Unchanged: j.unchanged.Load(),
		Behind:    j.behind.Load(),
		Refused:   j.refused.Load(),
		Slowed:    j.slowed.Load(),
	}
	if j.started.Load() {
		s.Kept = int64(j.table.kept())
	}
	return s
}

var (
	errFull = errors.New("shortpoll: too many jobs are kept")
	errLog  = errors.New("shortpoll: the log failed") // all that a client is told of it
)

// accept makes a job of a submission, unless there is one, and returns it. It has been
// stored when accept returns.
func (j *Jobs) accept(ctx context.Context, topic string, payload []byte) (record, error) {
	if !j.life.Enter() {
		return record{}, j.life.Err()
	}
	defer j.life.Leave()
	entry, digest := newEntry(topic, payload)
	for {
		if err := j.table.catchUp(j.Log); err != nil {
			return record{}, err
		}
		known, wait, err := j.reserve(topic)
		switch {
		case err != nil:
			return record{}, err
		case wait != nil: // the same submission, from another connection
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return record{}, ctx.Err()
			}
		case known.ID != "" && !known.expired && known.digest != digest:
			return record{}, ErrConflict
		case known.ID != "":
			return known, nil
		}
		if _, err = j.Log.Append(ctx, entry); err == nil {
			err = j.table.catchUp(j.Log)
			known, _ = j.table.get(topic)
			j.spawn(topic) // it is accepted, also if this submission does not hear of it
		}
		j.mu.Lock()
		close(j.accepting[topic])
		delete(j.accepting, topic)
		j.mu.Unlock()
		if err != nil {
			return record{}, err
		}
		return known, nil
	}
}

// reserve returns the job of that topic, or what to wait for until there may be one, or
// reserves the topic for a new one.
func (j *Jobs) reserve(topic string) (known record, wait chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if known, ok := j.table.get(topic); ok {
		return known, nil, nil
	}
	if wait := j.accepting[topic]; wait != nil {
		return record{}, wait, nil
	}
	if j.table.kept()+len(j.accepting) >= cmp.Or(j.MaxJobs, 10_000) {
		return record{}, nil, errFull
	}
	j.accepting[topic] = make(chan struct{})
	return record{}, nil, nil
}

// spawn runs a job when a worker is free and those before it have begun.
func (j *Jobs) spawn(topic string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, topic)
	j.dispatch()
}

// dispatch hands jobs to workers that are free. It is called with the lock.
func (j *Jobs) dispatch() {
	for len(j.queue) > 0 && j.busy < cmp.Or(j.Workers, 16) && j.life.Enter() {
		topic := j.queue[0]
		j.queue = j.queue[1:]
		j.busy++
		j.running.Go(func() {
			defer j.retire()
			j.work(topic)
		})
	}
}

func (j *Jobs) retire() {
	j.life.Leave()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.busy--
	j.dispatch()
}

// work runs a job and stores its end.
func (j *Jobs) work(topic string) {
	if j.insist(topic, func() error { return j.table.catchUp(j.Log) }) != nil {
		return
	}
	r, ok := j.table.get(topic)
	if !ok || r.State.Terminal() || r.State == Pending && j.move(topic, entryData{State: Running}) != nil {
		return
	}
	end := entryData{State: Failed, Error: "Run ended its goroutine"}
	defer func() {
		if p := recover(); p != nil {
			end.Error = fmt.Sprintf("Run panicked: %v", p)
			j.log.Error("Run panicked", "client", r.client, "job", r.ID, "error", p, "stack", string(debug.Stack()))
		}
		if j.working.Err() == nil {
			j.finish(topic, end)
		}
	}()
	result, err := j.Run(j.working, Task{Client: r.client, ID: r.ID, Payload: r.payload})
	if err != nil {
		end.Error = err.Error()
	} else {
		end = entryData{State: Done, Result: result}
	}
}

// finish stores how a job ended. An end that does not fit into the log is a failure, and
// one whose reason does not fit either has none: that is shorter than the job's first
// entry, which did fit.
func (j *Jobs) finish(topic string, end entryData) {
	err := j.move(topic, end)
	if errors.Is(err, eventlog.ErrTooLarge) {
		end = entryData{State: Failed, Error: err.Error()}
		err = j.move(topic, end)
	}
	if errors.Is(err, eventlog.ErrTooLarge) {
		err = j.move(topic, entryData{State: Failed})
	}
	if end.State == Failed || err != nil {
		j.log.Warn("job failed", "topic", topic, "error", cmp.Or(end.Error, fmt.Sprint(err)))
	}
}

// move brings a job into a state. It returns an error if that does not fit into the log,
// or never comes to be in this incarnation.
func (j *Jobs) move(topic string, to entryData) error {
	err := j.insist(topic, func() error { _, err := j.Log.Append(j.working, to.entry(topic)); return err })
	if err != nil {
		return err
	}
	return j.insist(topic, func() error { return j.table.catchUp(j.Log) })
}

// insist does what needs the log, again and again while the log fails: a job that was
// accepted is owed its end. It gives up with the Jobs or its log, and where another
// attempt would fail for the same reason.
func (j *Jobs) insist(topic string, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		if err == nil || errors.Is(err, eventlog.ErrClosed) || errors.Is(err, eventlog.ErrTooLarge) {
			return err
		}
		delay := retry.Backoff{}.Delay(n, j.gate.jitter)
		j.log.Error("a job waits for its log", "topic", topic, "error", err, "delay", delay)
		if retry.Sleep(j.working, delay) != nil {
			return err
		}
	}
}
