package shortpoll

import (
	"errors"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A Job is the state of a job as its server reported it.
type Job struct {
	// ID is what the client chose: 1 to 128 letters, digits and any of "-._~".
	ID string
	// State moves from Pending over Running to Done, Failed or Cancelled, and never back.
	State State
	// Version is the position in the server's log of the entry that brought the job
	// into its state. A client that hands it to another replica is not shown an earlier
	// one.
	Version eventlog.Cursor
	// Result is what Jobs.Run returned; Error the text of its error.
	Result []byte
	Error  string
	// Expires is when the result will be gone, by the server's clock. Zero until the
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

// A Task is what [Jobs.Run] is to do.
type Task struct {
	// Client is who submitted the job: Identity.Client, empty without
	// Jobs.Authenticate.
	Client string
	// ID is what the client called it. Other clients may use the same.
	ID string
	// Payload is what it submitted.
	Payload []byte
}

// State is where a job stands.
type State string

const (
	Pending State = "pending" // accepted, and not begun
	Running State = "running" // Run was called
	Done    State = "done"    // there is a Result
	Failed  State = "failed"  // there is an Error
	// Cancelled is of operations (package async), which a client may cancel. A Jobs has no such state.
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
	// ErrNotFound: no replica has heard of the job within Client.Patience (status
	// 404), or the server has lost its memory.
	ErrNotFound = errors.New("shortpoll: no such job")
	// ErrConflict: there is a job of that id with another payload (status 422).
	ErrConflict = errors.New("shortpoll: a job of this id has another payload")
)
