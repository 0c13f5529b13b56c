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

// A Job is work to be done once.
type Job struct {
	// ID is the submitter's to choose: 1 to 128 letters, digits and any of "-._~". To add a job
	// again under the same ID makes no second one.
	ID string `json:"id"`
	// Key excludes: of the jobs with one Key only one may be unfinished; another is refused with
	// [ErrBusy]. At most 256 bytes. Empty: it excludes none.
	Key string `json:"key,omitempty"`
	// Payload is what the worker gets, at most Queue.MaxPayloadBytes.
	Payload []byte `json:"payload,omitempty"`
	// Delay is how long the job waits before its first attempt. At most 100 years.
	Delay time.Duration `json:"delay,omitempty"`
	// TTL is within what time of Add the first attempt must have begun: a job that nobody waits for
	// any more is not begun, and ends as Failed. Zero: it does not matter.
	TTL time.Duration `json:"ttl,omitempty"`
}

// Status is where a job stands.
type Status struct {
	// ID is the job's.
	ID string `json:"id"`
	// State is the job's.
	State State `json:"state"`
	// Version grows with each change of the job, also over restarts of the queue.
	Version uint64 `json:"version"`
	// Attempts is how often it was leased, without the leases whose answers were lost, as far as the queue knows (see
	// [Source]).
	Attempts int `json:"attempts"`
	// Result is what the worker returned.
	Result []byte `json:"result,omitempty"`
	// Error is the text of the last attempt's.
	Error string `json:"error,omitempty"`
	// Expires is when the queue forgets the job, by its clock. Zero for jobs that have not ended,
	// and for Dead ones.
	Expires time.Time `json:"expires,omitzero"`
}

// State is where a job stands. It moves from Pending to Running, back to Pending when an attempt has
// failed or its lease has ended, and to one of the other four, which it never leaves but by
// [Queue.Retry].
type State string

const (
	Pending   State = "pending"   // waits for a worker
	Running   State = "running"   // is leased to one
	Done      State = "done"      // there is a Result
	Failed    State = "failed"    // a worker said that it fails for good, or TTL passed; there is an Error
	Cancelled State = "cancelled" // by Cancel
	// Dead is a job that has had all its attempts, a dead letter: how it would end nobody could say.
	// It is kept, with its payload and its checkpoint, until Retry or Cancel.
	Dead State = "dead"
)

// Ended reports whether no worker will be given the job.
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
	// Token grows with each lease of the queue, also over its restarts: the fencing token. What the
	// worker changes elsewhere should be refused there if a greater one was seen for the same job,
	// since a worker that was paused cannot know that its lease has ended.
	Token uint64 `json:"token"`
	// Lease is for how long the job is this worker's, from the answer to Lease or Extend on.
	Lease time.Duration `json:"lease"`
	// Checkpoint is what was last saved, by this attempt or an earlier one.
	Checkpoint []byte `json:"checkpoint,omitempty"`

	save func(ctx context.Context, checkpoint []byte) error
}

// Save stores how far the work has come, for the attempt after this one; it replaces what was stored
// before. The error is [ErrLeaseLost] if the job is another worker's by now, whose checkpoint it
// does not touch. It is for tasks that a [Worker] hands over.
func (t Task) Save(ctx context.Context, checkpoint []byte) error {
	if t.save == nil {
		return errors.New("workqueue: Save: the task does not come from a Worker")
	}
	return t.save(ctx, checkpoint)
}

// End is how an attempt ends.
type End struct {
	// State is Done, or Failed for good, or Pending: the job waits for another attempt.
	State State `json:"state"`
	// Result is that of a job that is Done, at most Queue.MaxPayloadBytes.
	Result []byte `json:"result,omitempty"`
	// Error says why it is Failed, or why another attempt is needed; its first 1,000 bytes are kept.
	// With Pending and no Error the attempt does not count: the worker gives the job back.
	Error string `json:"error,omitempty"`
	// After is when the next attempt is due. Zero: Queue.Backoff decides.
	After time.Duration `json:"after,omitempty"`
}

// A Source is what workers get their jobs from: a [Queue], or a [Client] of one elsewhere.
type Source interface {
	// Lease waits for a job until ctx is done, and leases it. request names the call: one that is
	// repeated because its answer was lost gets the same job, as the same attempt; if the lease has
	// ended meanwhile it was no attempt. Empty: the call is not repeated.
	Lease(ctx context.Context, request string) (Task, error)
	// Extend leases it for Task.Lease from now on, and stores a checkpoint if that is not nil. The
	// error is ErrLeaseLost if the job is not the task's any more.
	Extend(ctx context.Context, id string, token uint64, checkpoint []byte) error
	// Finish ends an attempt. To repeat it with the same token changes nothing. The error is
	// ErrLeaseLost if the job is not the task's any more.
	Finish(ctx context.Context, id string, token uint64, end End) error
}

var (
	// ErrNotFound: the queue knows no job of that ID, or has forgotten it (status 404).
	ErrNotFound = errors.New("workqueue: no such job")
	// ErrConflict: there is a job of that ID that differs (status 422).
	ErrConflict = errors.New("workqueue: a job of this ID differs")
	// ErrBusy: an unfinished job has the same Key (status 409).
	ErrBusy = errors.New("workqueue: an unfinished job has this key")
	// ErrLeaseLost: the lease has ended, or the job was cancelled: what the worker has done since must
	// not count (status 412).
	ErrLeaseLost = errors.New("workqueue: the lease is lost")
	// ErrFull: the queue has MaxJobs jobs (status 503).
	ErrFull = errors.New("workqueue: queue is full")
	// ErrState: the job is in a state in which that cannot be done, as Retry of one that is not Dead
	// (status 400).
	ErrState = errors.New("workqueue: not in this state")
	// ErrDraining and ErrClosed: the queue takes no jobs and gives none away (status 503).
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

// IsBadRequest reports whether an error says what is wrong with a job or another argument: to ask again
// is of no use.
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
