package workqueue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// A Job is work that must be done once.
type Job struct {
	// ID is chosen by the submitter: 1 to 128 letters, digits and any of "-._~". Adding a job
	// again under the same ID does not create a second one.
	ID string `json:"id"`
	// Key excludes other jobs: only one job with a Key can be unfinished, and another is refused
	// with [ErrBusy]. At most 256 bytes. Empty: the job excludes none.
	Key string `json:"key,omitempty"`
	// Payload is passed to the worker. At most Queue.MaxPayloadBytes.
	Payload []byte `json:"payload,omitempty"`
	// Delay is how long the job waits before its first attempt. At most 100 years.
	Delay time.Duration `json:"delay,omitempty"`
	// TTL is the time after Add within which the first attempt must begin. A job that nobody waits
	// for any more is not begun, and ends as Failed. Zero: unlimited.
	TTL time.Duration `json:"ttl,omitempty"`
}

// Status is the current state of a job.
type Status struct {
	// ID is the job's ID.
	ID string `json:"id"`
	// State is the job's state.
	State State `json:"state"`
	// Version grows with each change of the job, even over restarts of the queue.
	Version uint64 `json:"version"`
	// Attempts is how often the job was leased, without leases whose answers were lost, as far as
	// the queue knows (see [Source]).
	Attempts int `json:"attempts"`
	// Result is what the worker returned.
	Result []byte `json:"result,omitempty"`
	// Error is the error text of the last attempt.
	Error string `json:"error,omitempty"`
	// Expires is when the queue forgets the job, by its clock. Zero for jobs that have not ended,
	// and for Dead jobs.
	Expires time.Time `json:"expires,omitzero"`
}

// State is the state of a job. It moves from Pending to Running, back to Pending when an attempt
// has failed or its lease has ended, and finally to one of the other four, which it leaves only by
// [Queue.Retry].
type State string

const (
	Pending   State = "pending"   // waiting for a worker
	Running   State = "running"   // leased to a worker
	Done      State = "done"      // it has a Result
	Failed    State = "failed"    // a worker said that it fails permanently, or its TTL passed; it has an Error
	Cancelled State = "cancelled" // by Cancel
	// Dead is a job that has used up all its attempts, a dead letter: its outcome is unknown. It is
	// kept, with its payload and its checkpoint, until Retry or Cancel.
	Dead State = "dead"
)

// Ended reports whether no worker will get the job any more.
func (s State) Ended() bool {
	switch s {
	case Done, Failed, Cancelled, Dead:
		return true
	}
	return false
}

// A Task is an attempt at a job, leased to a worker.
type Task struct {
	// ID, Key and Payload are the job's.
	ID      string `json:"id"`
	Key     string `json:"key,omitempty"`
	Payload []byte `json:"payload,omitempty"`
	// Attempt is 1 for the first.
	Attempt int `json:"attempt"`
	// Token is the fencing token. It grows with each lease of the queue, even over restarts. A
	// system that the worker changes should refuse the change if it has seen a greater token for
	// the same job, because a paused worker cannot know that its lease has ended.
	Token uint64 `json:"token"`
	// Lease is how long the job belongs to this worker, from the answer to Lease or Extend
	// on.
	Lease time.Duration `json:"lease"`
	// Checkpoint is what was last saved, by this attempt or an earlier one.
	Checkpoint []byte `json:"checkpoint,omitempty"`

	save func(ctx context.Context, checkpoint []byte) error
}

// Save stores how far the work has come, for the next attempt. It replaces the previous checkpoint.
// The error is [ErrLeaseLost] if the job belongs to another worker by now, whose checkpoint is not
// touched. Save works only for tasks that a [Worker] passes to its handler.
func (t Task) Save(ctx context.Context, checkpoint []byte) error {
	if t.save == nil {
		return errors.New("workqueue: Save: the task does not come from a Worker")
	}
	return t.save(ctx, checkpoint)
}

// End is how an attempt ends.
type End struct {
	// State is Done, Failed (permanently), or Pending: the job waits for another
	// attempt.
	State State `json:"state"`
	// Result is the result of a job that is Done, at most
	// Queue.MaxPayloadBytes.
	Result []byte `json:"result,omitempty"`
	// Error says why it is Failed, or why another attempt is needed. The first 1,000 bytes are
	// kept. Pending without an Error means that the worker gives the job back, and the attempt does
	// not count.
	Error string `json:"error,omitempty"`
	// After is when the next attempt is due. Zero: Queue.Backoff decides.
	After time.Duration `json:"after,omitempty"`
}

// A Source is where workers get their jobs: a [Queue], or a [Client] of one in another
// process.
type Source interface {
	// Lease waits for a job until ctx is done, and leases it. request names the call: a call that
	// is repeated because its answer was lost gets the same job, as the same attempt. If the lease
	// has ended in the meantime, it was no attempt. Empty: the call is not repeated.
	Lease(ctx context.Context, request string) (Task, error)
	// Extend extends the lease to Task.Lease from now, and stores a checkpoint if that is not nil.
	// The error is ErrLeaseLost if the job no longer belongs to the task.
	Extend(ctx context.Context, id string, token uint64, checkpoint []byte) error
	// Finish ends an attempt. Repeating it with the same token changes nothing. The error is
	// ErrLeaseLost if the job no longer belongs to the task.
	Finish(ctx context.Context, id string, token uint64, end End) error
}

var (
	// ErrNotFound: the queue knows no job with that ID, or has forgotten it (status 404).
	ErrNotFound = errors.New("workqueue: no such job")
	// ErrConflict: a different job has that ID (status 422).
	ErrConflict = errors.New("workqueue: a job of this ID differs")
	// ErrBusy: an unfinished job has the same Key (status 409).
	ErrBusy = errors.New("workqueue: an unfinished job has this key")
	// ErrLeaseLost: the lease has ended, or the job was cancelled. The worker's work since then
	// must not count (status 412).
	ErrLeaseLost = errors.New("workqueue: the lease is lost")
	// ErrFull: the queue has MaxJobs jobs (status 503).
	ErrFull = errors.New("workqueue: queue is full")
	// ErrState: the job's state does not allow the call, such as Retry of a job that is not Dead
	// (status 400).
	ErrState = errors.New("workqueue: not in this state")
	// ErrDraining and ErrClosed: the queue accepts and leases no jobs (status 503).
	ErrDraining = errors.New("workqueue: queue is draining")
	ErrClosed   = errors.New("workqueue: queue is closed")
)

const (
	maxKeyBytes   = 256
	maxErrorBytes = 1000
	longest       = 100 * 365 * 24 * time.Hour
)

// badRequest is an error of what was asked for; to ask again is of no use.
type badRequest string

func (e badRequest) Error() string { return "workqueue: " + string(e) }

// IsBadRequest reports whether an error says that a job or another argument is invalid, so that
// retrying is useless.
func IsBadRequest(err error) bool { return errors.As(err, new(badRequest)) }

// check returns what is wrong with a job.
func (j *Job) check(maxPayload int) error {
	switch {
	case !fields.ValidID(j.ID):
		return badRequest(fmt.Sprintf("Job.ID is %q: want 1 to 128 letters, digits and any of -._~", j.ID))
	case len(j.Key) > maxKeyBytes:
		return badRequest(fmt.Sprintf("Job.Key has %d bytes: want at most %d", len(j.Key), maxKeyBytes))
	case len(j.Payload) > maxPayload:
		return badRequest(fmt.Sprintf("Job.Payload has %d bytes: want at most MaxPayloadBytes, %d", len(j.Payload), maxPayload))
	case j.Delay < 0 || j.Delay > longest:
		return badRequest(fmt.Sprintf("Job.Delay is %v: want 0 to 100 years", j.Delay))
	case j.TTL < 0 || j.TTL > longest:
		return badRequest(fmt.Sprintf("Job.TTL is %v: want 0 to 100 years", j.TTL))
	}
	return nil
}

// digest tells a job from another one of the same ID.
func (j *Job) digest() [sha256.Size]byte {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(j.Key)))
	h.Write(n[:])
	h.Write([]byte(j.Key))
	h.Write(j.Payload)
	return [sha256.Size]byte(h.Sum(nil))
}

// check returns what is wrong with an end.
func (e *End) check(maxResult int) error {
	switch {
	case e.State != Done && e.State != Failed && e.State != Pending:
		return badRequest(fmt.Sprintf("End.State is %q: want %q, %q or %q", e.State, Done, Failed, Pending))
	case len(e.Result) > maxResult:
		return badRequest(fmt.Sprintf("End.Result has %d bytes: want at most MaxPayloadBytes, %d", len(e.Result), maxResult))
	case e.After < 0 || e.After > longest:
		return badRequest(fmt.Sprintf("End.After is %v: want 0 to 100 years", e.After))
	}
	return nil
}
