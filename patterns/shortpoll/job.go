package shortpoll

import (
	"errors"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A Job is the state of a job as its server reported it.
type Job struct {
	// ID is the name that the client chose: 1 to 128 letters, digits and any of
	// "-._~".
	ID string
	// State moves from [Pending] through [Running] to [Done], [Failed] or [Cancelled],
	// and never back.
	State State
	// Version is the position, in the server's log, of the entry that brought the job
	// into its state. A client that sends it to another replica never gets an earlier
	// state.
	Version eventlog.Cursor
	// Result is what [Jobs].Run returned. Error is the text of its error.
	Result []byte
	Error  string
	// Expires is when the result is dropped, by the server's clock. Zero until the
	// job has ended.
	Expires time.Time

	location string        // where to poll; empty: below Client.URL
	notFor   time.Duration // the server's Retry-After
}

// jobAnswer is a job as it travels: fields may be added, and none change their names or
// meanings.
type jobAnswer struct {
	ID      string          `json:"id"`
	State   State           `json:"state"`
	Version eventlog.Cursor `json:"version"`
	Result  []byte          `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Expires time.Time       `json:"expires,omitzero"`
}

// A Task is a job that [Jobs].Run must do.
type Task struct {
	// Client is the client that submitted the job: Identity.Client, empty
	// without [Jobs].Authenticate.
	Client string
	// ID is the name that the client chose. Other clients can use the same
	// name.
	ID string
	// Payload is the submitted payload.
	Payload []byte
}

// State is the state of a job.
type State string

const (
	Pending State = "pending" // accepted, and not started
	Running State = "running" // Run was called
	Done    State = "done"    // it has a Result
	Failed  State = "failed"  // it has an Error
	// Cancelled is a state of operations (package async), which a client can cancel. The jobs of a
	// Jobs never have it.
	Cancelled State = "cancelled"
)

// Terminal reports whether the state is the job's last.
func (s State) Terminal() bool { return s == Done || s == Failed || s == Cancelled }

// rank orders the states.
func (s State) rank() int {
	switch s {
	case Pending:
		return 1
	case Running:
		return 2
	case Done, Failed, Cancelled:
		return 3
	}
	return 0
}

var (
	// ErrExpired: the job has ended, and its result is no longer kept (status 410).
	ErrExpired = errors.New("shortpoll: the job's result has expired")
	// ErrNotFound: no replica has heard of the job within [Client].Patience (status
	// 404), or the server has lost its log.
	ErrNotFound = errors.New("shortpoll: no such job")
	// ErrConflict: a job with that id has another payload (status 422).
	ErrConflict = errors.New("shortpoll: a job of this id has another payload")
)
