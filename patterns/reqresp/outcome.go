package reqresp

import (
	"errors"
	"fmt"
)

// Outcome is what the caller knows about a call that has ended. If a caller treats Unknown as
// NotExecuted, it executes things twice; if it treats it as Done, not at all.
type Outcome int8

const (
	// Unknown is a call that may or may not have been executed: the request may have arrived, but
	// no answer has. It is the zero value, because nothing else can be said of a call that nobody
	// looked at.
	Unknown Outcome = iota
	// NotExecuted is a call whose request was never sent, or that the server refused before it
	// began. Repeating it is always safe.
	NotExecuted
	// Done is a call with a complete answer.
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
	// Outcome is NotExecuted or Unknown. It is Unknown if any of the attempts has an
	// unknown outcome.
	Outcome Outcome
	// Attempts is the number of attempts that were begun.
	Attempts int
	// Err is the failure of the last attempt, and why there was no further one. It wraps a
	// [*retry.StatusError] if the server sent a status that is not an answer, the context's error
	// if that ended the call, and [ErrBudget] if the budget was spent.
	Err error

	since error // what made the outcome unknown, if it was not the last attempt
}

// Error returns the outcome, the number of attempts, the failure of the last one and, if the
// outcome became unknown with another attempt, that attempt's failure.
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

// OutcomeOf returns the outcome of a call from its error: Done for nil, the Outcome of an
// [*Error], and Unknown for any other error.
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

// ErrBudget is wrapped by the error of a call that was not retried because the retry
// budget was spent.
var ErrBudget = errors.New("budget of retries is spent")
