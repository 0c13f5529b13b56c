package mux

import (
	"errors"
	"fmt"
)

// Errors of sessions and streams. A stream's Read and Write wrap them in a *net.OpError.
// net.ErrClosed and os.ErrDeadlineExceeded mean what they mean for any net.Conn.
var (
	// ErrClosed is returned by every method after this side's [Session.Close].
	ErrClosed = errors.New("mux: session closed")
	// ErrDraining is returned by Open when this side or the peer is draining the session, and by
	// Accept when this side has finished draining. Nothing was sent, so another session can be
	// tried.
	ErrDraining = errors.New("mux: session is draining")
	// ErrRefused ends a stream that the peer reset before its program accepted it: nothing of it
	// was processed, and another session can be tried.
	ErrRefused = errors.New("mux: stream refused by the peer")
	// ErrTimeout ends a session whose peer or connection was silent for too long:
	// [Config].KeepAlive, Timeout and WriteTimeout.
	ErrTimeout = errors.New("mux: peer does not answer")
	// ErrExhausted is returned by Open when all 2^31 stream numbers are used: a new session is
	// needed.
	ErrExhausted = errors.New("mux: session has no numbers for streams left")
	// ErrReceiveBuffer ends the stream with the most unread bytes when the session held more than
	// [Config].MaxReceiveBytes.
	ErrReceiveBuffer = errors.New("mux: stream reset: too much of the session is unread")
	// ErrFlow ends a stream whose peer sent data after its end, or windows of more than 2^32-1
	// bytes.
	ErrFlow = errors.New("mux: stream reset: peer broke its flow control")
	// ErrCloseTimeout ends a closed stream that the peer did not end in time:
	// [Config].CloseTimeout.
	ErrCloseTimeout = errors.New("mux: stream reset: peer did not end it")
)

// Codes with which a session ends (yamux's specification, "Session termination").
const (
	CodeNormal   = 0
	CodeProtocol = 1
	CodeInternal = 2
)

// GoAwayError is the end of a session by the peer. With CodeNormal the peer had announced it; any
// other code comes without warning.
type GoAwayError struct {
	Code uint32 // what the peer sent
}

// Error returns the code, as text.
func (e *GoAwayError) Error() string {
	what := "unknown code"
	switch e.Code {
	case CodeNormal:
		what = "normal"
	case CodeProtocol:
		what = "protocol error"
	case CodeInternal:
		what = "internal error"
	}
	return fmt.Sprintf("mux: peer went away: %s (%d)", what, e.Code)
}

// ResetError is the end of a stream by [Stream.Reset], on either side.
type ResetError struct {
	Code   uint32 // from the side that reset it
	Remote bool   // whether the peer reset it
}

// Error returns which side reset the stream, and the code.
func (e *ResetError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the peer"
	}
	return fmt.Sprintf("mux: stream reset by %s (%d)", who, e.Code)
}

// ProtocolError is the end of a session whose peer sent something that the protocol does not allow,
// or exceeded this side's limits. The peer gets [CodeProtocol].
type ProtocolError struct {
	Stream uint32 // 0: none
	Reason string // what the peer did
}

// Error describes what the peer did.
func (e *ProtocolError) Error() string {
	if e.Stream == 0 {
		return "mux: protocol error: " + e.Reason
	}
	return fmt.Sprintf("mux: protocol error on stream %d: %s", e.Stream, e.Reason)
}
