package mux

import (
	"errors"
	"fmt"
)

// Errors of sessions and streams. Those of a stream's Read and Write are inside a *net.OpError, and
// net.ErrClosed and os.ErrDeadlineExceeded mean there what they do of any net.Conn.
var (
	// ErrClosed is what everything returns after this side's [Session.Close].
	ErrClosed = errors.New("mux: session closed")
	// ErrDraining is what Open returns when this side or the peer is draining the session, and
	// Accept when this side has done with it. Nothing was sent: another session may be tried.
	ErrDraining = errors.New("mux: session is draining")
	// ErrRefused is the end of a stream that the peer reset before its program accepted it: nothing
	// of it was processed, and another session may be tried.
	ErrRefused = errors.New("mux: stream refused by the peer")
	// ErrTimeout is the end of a session whose peer or connection was silent for too long:
	// [Config].KeepAlive, Timeout and WriteTimeout.
	ErrTimeout = errors.New("mux: peer does not answer")
	// ErrExhausted is what Open returns when all 2^31 numbers of streams are used up: a new session
	// is needed.
	ErrExhausted = errors.New("mux: session has no numbers for streams left")
	// ErrReceiveBuffer is the end of a stream that had the most unread bytes when the session held
	// more than [Config].MaxReceiveBytes.
	ErrReceiveBuffer = errors.New("mux: stream reset: too much of the session is unread")
	// ErrFlow is the end of a stream whose peer sent data after its end, or windows of more than 2^32-1 bytes.
	ErrFlow = errors.New("mux: stream reset: peer broke its flow control")
	// ErrCloseTimeout is the end of a closed stream that the peer did not end in time: [Config].CloseTimeout.
	ErrCloseTimeout = errors.New("mux: stream reset: peer did not end it")
)

// Codes with which a session ends (yamux's specification, "Session termination").
const (
	CodeNormal   = 0
	CodeProtocol = 1
	CodeInternal = 2
)

// GoAwayError is the end of a session by the peer: with [CodeNormal] after it had said that it was going,
// otherwise at once.
type GoAwayError struct {
	Code uint32 // what the peer sent
}

// Error says the code.
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

// ResetError is the end of a stream by [Stream.Reset] of either side.
type ResetError struct {
	Code   uint32 // of the one who reset it
	Remote bool   // it was the peer
}

// Error says who reset the stream, and the code.
func (e *ResetError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the peer"
	}
	return fmt.Sprintf("mux: stream reset by %s (%d)", who, e.Code)
}

// ProtocolError is the end of a session whose peer sent what the protocol does not allow, or more than this
// side's limits. The peer gets [CodeProtocol].
type ProtocolError struct {
	Stream uint32 // 0: none
	Reason string // what the peer did
}

// Error says what the peer did.
func (e *ProtocolError) Error() string {
	if e.Stream == 0 {
		return "mux: protocol error: " + e.Reason
	}
	return fmt.Sprintf("mux: protocol error on stream %d: %s", e.Stream, e.Reason)
}
