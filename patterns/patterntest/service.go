package patterntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A NewService constructs the service under test on a network. It is called once for each
// story.
type NewService func(n *sim.Network) Service

// A Service is an implementation of a pattern that calls, on one network. Its functions are called
// from several goroutines.
type Service struct {
	// Serve runs a server on h until ctx is done, and must then return within 10 s. Clients are
	// given the name of h. For each call that it takes, it passes the request to app. Serve runs as
	// a process of the host: after a crash it is called again as soon as it has returned. It must
	// then start with empty memory; what it keeps in app.Folder is still there.
	Serve func(ctx context.Context, h *sim.Host, app *App) error

	// Client starts a client on h, which lives until ctx is done, and returns a function that asks
	// one of the servers. It returns at once, whether or not a server is up. A restarted process
	// calls Client again. The function can be called several times concurrently.
	Client func(ctx context.Context, h *sim.Host, servers ...string) Ask

	// Bound is the longest time that a call takes over a good network with 40 ms each way, in
	// addition to the server's work. The suite adds 40 ms for each 4 kB of question and answer.
	// Zero: six transits, 240 ms: two for a connection, two for the call, and two to spare.
	Bound time.Duration

	// Recovery is the longest time until calls succeed again after all faults have ended. Zero: 3
	// min.
	Recovery time.Duration

	// Detects is how long after a connection went silent a client can go on using it, once a call
	// on it has failed. Zero: no call that begins after that failure may fail. A client that shares
	// a connection among calls cannot tell a slow call from a dead connection without probing the
	// other end; Detects is the time that the probe takes.
	Detects time.Duration

	// MaxBytes is the largest size of a question or answer, in bytes. Larger ones can be refused,
	// or fail, but must not be truncated. Zero: 50,000.
	MaxBytes int

	// Each of the following is a capability that not every service has. Nil, false and zero: there are no stories
	// about it.

	// Keys says that a call can have a key by which the server recognises a
	// repetition.
	Keys *Keys

	// Cancels says that the server stops working on a call that its client has given up: the
	// context passed to App.Do is done within a round trip.
	Cancels bool

	// Deadlines says that the server knows how long the client will wait: the context passed to
	// App.Do has a deadline, and App.Do is not called after that deadline.
	Deadlines bool

	// Drains says that a server that is asked to stop finishes and answers the calls that it has
	// begun, within 10 s. Abandoning one is a breach even if its client asks again and gets an
	// answer.
	Drains bool

	// Durable says that a server executes every call that it has taken, even if it crashes in
	// between, and that the client waits for that.
	Durable bool

	// Retries describes clients that retry by themselves.
	Retries *Retries

	// State says that a call can be about an object that the service keeps.
	State *State

	// Streams says that the answer to a call can be a stream.
	Streams *Streams

	// Replicas is the number of servers that a client can choose from, one of which can fail.
	// Zero: one.
	Replicas int
}

// An Ask sends a request and returns the answer; the call is then done. An error that wraps
// [ErrNotExecuted] says that the call was not executed and never will be. After any other error the
// outcome is unknown. An Ask returns soon after ctx is done.
type Ask func(ctx context.Context, r Request) (answer string, err error)

// A Request is what a client asks.
type Request struct {
	Data string // UTF-8; passed to App.Do
	Key  string // if the service has Keys: the key of the call, the same when the call is repeated; "": none

	// Object, if the service has State, names the object that the call is about. The server reads
	// or changes it with App.Change. "": none.
	Object string

	// Into, if it is not nil, receives the answer as a stream (the service has Streams). The client
	// writes data to it as the data arrives, and reads at most Streams.Buffer bytes beyond what it
	// has written. When the answer is complete, the client returns "" and nil.
	Into io.Writer
	// More is the rest of the question after Data, up to io.EOF, if Streams has Halves. The answer
	// can begin and continue before More has ended. When the answer is complete, the client returns
	// even if More has not ended. Nil: the question is Data alone.
	More io.Reader
}

// Keys describes the keys of a [Service]'s calls. Of several calls with the same key and the same
// data, only one takes effect, and all that are done get its answer. A call that reuses a key with
// different data fails.
type Keys struct {
	// Window is how long a key is remembered after its call took effect. Zero: forever.
	Window time.Duration
	// Durable says that keys and their answers survive a restart of the server.
	Durable bool
}

// State describes the objects that a [Service] keeps. They are linearizable: all calls about an
// object fit into one order in which a call that ended before another began comes first, and in
// which every answer is the one that the calls would get if they ran one after another. Objects
// survive a restart of the server.
type State struct {
	// Own says that each caller has its own objects, as with sessions: two callers that use the
	// same name have different objects.
	Own bool
}

// Retries describes the clients of a [Service] that retry failed calls.
type Retries struct {
	// Percent and Burst are the retry budget. In any period, a server sees at most one attempt for
	// each call, plus Percent retries for every hundred calls, plus Burst retries. The budget
	// applies to each client, and to each server that calls another.
	Percent, Burst int

	// After says that a client respects the delay of a [Refusal], like Retry-After: it does not
	// retry earlier.
	After bool
}

// ErrNotExecuted is wrapped by the error of a call that is known to have had no effect and never to
// have one: nothing was sent, or the server said so.
var ErrNotExecuted = errors.New("patterntest: not executed")

// A Refusal is the error of [App.Do] for a call that the application refuses to execute now. The
// server must tell its client so.
type Refusal struct {
	RetryAfter time.Duration // when the client may retry, in whole seconds; 0: not stated
}

// Error returns the refusal as text, with its RetryAfter if there is one.
func (r *Refusal) Error() string {
	if r.RetryAfter > 0 {
		return fmt.Sprintf("patterntest: refused; to be asked again after %v", r.RetryAfter)
	}
	return "patterntest: refused"
}
