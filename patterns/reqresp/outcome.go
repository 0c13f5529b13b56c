package reqresp

import (
	"errors"
	"fmt"
)

// Outcome is what the caller knows of a call that has ended. There are three: whoever treats the
// third as the second executes things twice, and as the first, not at all.
type Outcome int8

const (
	// Unknown is a call that was or was not executed: the request may have arrived, and no
	// answer has. It is the zero value, since it is all that may be said of what nobody looked at.
	Unknown Outcome = iota
	// NotExecuted is a call whose request never left, or that the server refused before it
	// began. To repeat it is safe whatever it does.
	NotExecuted
	// Done is a call with an answer, which came whole.
	Done
)

// String returns "unknown", "not executed" or "done".
func (o Outcome) String() string {
	switch o {
	case Done:
		return "done"
	case NotExecuted:
		return "not executed"
	}
	return "unknown"
}

// Error is the error of every call that did not end with an answer.
type Error struct {
	// Outcome is NotExecuted or Unknown: Unknown if it is so for any of its attempts.
	Outcome Outcome
	// Attempts is how many were begun.
	Attempts int
	// Err is the failure of the last attempt, and why there was no other. It wraps a
	// [*retry.StatusError] if the server answered with a status that is no answer to the call, the
	// context's error if that ended the call, and [ErrBudget] if there was no budget.
	Err error

	since error // what made the outcome unknown, if it was not the last attempt
}

// Error says the outcome, the number of attempts and the failure of the last, and that of the attempt since which the outcome is
// unknown, if it was another.
func (e *Error) Error() string {
	attempts := "attempts"
	if e.Attempts == 1 {
		attempts = "attempt"
	}
	if e.since != nil {
		return fmt.Sprintf("reqresp: %v since %v; after %d %s: %v", e.Outcome, e.since, e.Attempts, attempts, e.Err)
	}
	return fmt.Sprintf("reqresp: %v, after %d %s: %v", e.Outcome, e.Attempts, attempts, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeOf returns the outcome of a call by its error: Done for nil, that of an [*Error], and
// Unknown for any other.
func OutcomeOf(err error) Outcome {
	var e *Error
	switch {
	case err == nil:
		return Done
	case errors.As(err, &e):
		return e.Outcome
	}
	return Unknown
}

// ErrBudget is wrapped by the error of a call that was not repeated for want of a budget.
var ErrBudget = errors.New("budget of retries is spent")
