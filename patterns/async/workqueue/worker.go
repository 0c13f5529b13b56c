package workqueue

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Worker does the jobs of a queue. Only Source must be set. Do not change or copy it after first use.
type Worker struct {
	// Source is where the jobs come from: a [Queue], or a [Client].
	Source Source
	// Jobs is how many jobs it does at once. Zero: 1.
	Jobs int
	// Heartbeat is how often it extends the lease of a job in progress. Zero: three tenths of the
	// lease, so that two can be lost without harm, and none coincides with the end of the lease.
	Heartbeat time.Duration

	// Backoff bounds the delays after a failure of the Source.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the clock.
	Jitter retry.Jitter
	// OnRetry is called after each failure of the Source, with its error and the delay before the
	// next attempt. Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets attempts that failed and leases that were lost as warnings, panics as errors. Nil:
	// nothing is logged.
	Logger *slog.Logger

	done, failed, lost atomic.Int64
}

// WorkerStats are the counters of a Worker.
type WorkerStats struct {
	// Done counts attempts whose result the queue has, Failed those that ended with an error, and
	// Lost those whose lease ended before their work did, which therefore does not count.
	Done, Failed, Lost int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (w *Worker) Check() error {
	check := fields.Of("workqueue: Worker")
	if w.Source == nil {
		check.Bad("Source is nil: want a *Queue or a *Client")
	}
	check.Int("Jobs", w.Jobs)
	check.Duration("Heartbeat", w.Heartbeat)
	check.Backoff("Backoff", w.Backoff, retry.Backoff{})
	return check.Err()
}

// Stats returns the counters.
func (w *Worker) Stats() WorkerStats {
	return WorkerStats{Done: w.done.Load(), Failed: w.failed.Load(), Lost: w.lost.Load()}
}

// Final is an error of a job that would fail again: the job ends as Failed at once. Err is the
// reason.
type Final struct{ Err error }

// Error returns the reason's text.
func (f Final) Error() string { return f.Err.Error() }

// Unwrap returns the reason.
func (f Final) Unwrap() error { return f.Err }

// Later is an error of a job whose next attempt is due after a time of its own, instead of the
// queue's Backoff.
type Later struct {
	Err   error         // the reason
	After time.Duration // more than 0; at most 100 years
}

// Error returns the reason's text.
func (l Later) Error() string { return l.Err.Error() }

// Unwrap returns the reason.
func (l Later) Unwrap() error { return l.Err }

// Run has handle do jobs until ctx ends, and returns ctx's error when handle has returned. If Check
// returns an error, Run returns that at once. Jobs that handle could not end because ctx ended are
// given back.
//
// handle returns the result of a job, or an error, after which the job is attempted again ([Final]
// and [Later] change that). A panic counts as an error. Its context ends when the lease is lost,
// with [ErrLeaseLost] as the cause: another worker may have the job, and the work of handle no
// longer counts. A paused process does not notice that in time; only systems that check
// [Task].Token refuse its work.
func (w *Worker) Run(ctx context.Context, handle func(ctx context.Context, t Task) ([]byte, error)) error {
	if err := w.Check(); err != nil {
		return err
	}
	var all sync.WaitGroup
	name := rand.Text()
	for i := range max(w.Jobs, 1) {
		all.Go(func() { w.loop(ctx, fmt.Sprintf("%s-%d", name, i), handle) })
	}
	all.Wait()
	return ctx.Err()
}

// loop does one job after another. The names of its requests are unique.
func (w *Worker) loop(ctx context.Context, name string, handle func(context.Context, Task) ([]byte, error)) {
	jitter := w.Jitter.OrSeeded("worker")
	log := polling.Logger(w.Logger)
	for n, failures := 0, 0; ctx.Err() == nil; n++ {
		task, err := w.Source.Lease(ctx, fmt.Sprintf("%s-%d", name, n))
		if err == nil {
			failures = 0
			w.attempt(ctx, task, handle, log)
			continue
		}
		failures++
		delay := w.Backoff.Delay(failures, jitter)
		if ctx.Err() == nil && w.OnRetry != nil {
			w.OnRetry(err, delay)
		}
		_ = retry.Sleep(ctx, delay)
	}
}

// attempt does a task and reports to the source how it ended.
func (w *Worker) attempt(ctx context.Context, task Task, handle func(context.Context, Task) ([]byte, error), log *slog.Logger) {
	// The lease is extended until the source has received the end, even while the process
	// shuts down.
	held := w.hold(context.WithoutCancel(ctx), task)
	defer held.release()
	working, cancel := context.WithCancelCause(held.ctx)
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	defer cancel(nil)
	task.save = held.save

	var result []byte
	err := guard.Call(log, "workqueue: Worker.Run's handle", func() (err error) {
		result, err = handle(working, task)
		return err
	}, "job", task.ID)
	end := endOf(result, err, ctx.Err() != nil && errors.Is(err, context.Cause(ctx)))
	err = w.Source.Finish(held.ctx, task.ID, task.Token, end)
	if isRefused(err) { // such as a result that is too long
		end = End{State: Failed, Error: err.Error()}
		err = w.Source.Finish(held.ctx, task.ID, task.Token, end)
	}
	if err != nil {
		w.lost.Add(1)
		log.Warn("a lease was lost", "job", task.ID, "attempt", task.Attempt, "error", err)
		return
	}
	w.count(end, task, log)
}

// isRefused reports whether an error says that the request itself was invalid.
func isRefused(err error) bool {
	var status *retry.StatusError
	return errors.As(err, new(badRequest)) || errors.As(err, &status) && !retry.Temporary(status.Status)
}

func (w *Worker) count(end End, task Task, log *slog.Logger) {
	if end.State == Done {
		w.done.Add(1)
	} else if end.Error != "" {
		w.failed.Add(1)
		log.Warn("an attempt failed", "job", task.ID, "attempt", task.Attempt, "error", end.Error)
	}
}

// endOf returns the end of an attempt from handle's results. stopped says that the worker was asked
// to stop.
func endOf(result []byte, err error, stopped bool) End {
	var later Later
	switch {
	case err == nil:
		return End{State: Done, Result: result}
	case stopped:
		return End{State: Pending}
	case errors.As(err, new(Final)):
		return End{State: Failed, Error: err.Error()}
	case errors.As(err, &later):
		return End{State: Pending, Error: cmp.Or(err.Error(), "failed"), After: later.After}
	}
	return End{State: Pending, Error: cmp.Or(err.Error(), "failed")}
}

// A hold keeps extending a lease.
type hold struct {
	worker *Worker
	task   Task
	ctx    context.Context // ends with the lease
	cancel context.CancelCauseFunc
	over   sync.WaitGroup
	ending chan struct{}

	mu   sync.Mutex
	ends *time.Timer // at the end of the lease, by this process's clock
}

// hold begins with a lease. When the source granted it is not known, but its answer arrived within
// this call, and the source refuses a lease that has ended.
func (w *Worker) hold(ctx context.Context, task Task) *hold {
	h := &hold{worker: w, task: task, ending: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	h.ends = time.AfterFunc(task.Lease, func() { h.cancel(ErrLeaseLost) })
	h.over.Go(h.beat)
	return h
}

func (h *hold) release() {
	close(h.ending)
	h.cancel(nil)
	h.over.Wait()
	h.ends.Stop()
}

func (h *hold) beat() {
	every := cmp.Or(h.worker.Heartbeat, h.task.Lease/10*3)
	ticks := time.NewTicker(max(every, time.Millisecond))
	defer ticks.Stop()
	for {
		select {
		case <-h.ending:
			return
		case <-h.ctx.Done():
			return
		case <-ticks.C:
			_ = h.extend(h.ctx, nil)
		}
	}
}

// save stores a checkpoint, and retries until the lease ends.
func (h *hold) save(ctx context.Context, checkpoint []byte) error {
	if checkpoint == nil {
		checkpoint = []byte{}
	}
	jitter := h.worker.Jitter.OrSeeded("worker")
	for failures := 1; ; failures++ {
		err := h.extend(ctx, checkpoint)
		if err == nil || errors.Is(err, ErrLeaseLost) || isRefused(err) {
			return err
		}
		if h.ctx.Err() != nil {
			return fmt.Errorf("%w, after %w", ErrLeaseLost, err)
		}
		if serr := retry.Sleep(ctx, h.worker.Backoff.Delay(failures, jitter)); serr != nil {
			return fmt.Errorf("workqueue: Save: %w, after %w", context.Cause(ctx), err)
		}
	}
}

// extend extends the lease. The new lease is counted from before the request, which is
// earlier than the source counts.
func (h *hold) extend(ctx context.Context, checkpoint []byte) error {
	began := time.Now()
	err := h.worker.Source.Extend(ctx, h.task.ID, h.task.Token, checkpoint)
	if errors.Is(err, ErrLeaseLost) {
		h.cancel(ErrLeaseLost)
		return err
	}
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.ends.Stop() {
			h.ends.Reset(max(0, h.task.Lease-time.Since(began)))
		}
	}
	return err
}
