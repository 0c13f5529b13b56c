package patterntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A NewService constructs the service under test on a network. It is called once a story.
type NewService func(n *sim.Network) Service

// A Service is an implementation of a pattern that calls, on one network. Its functions are called from
// several goroutines.
type Service struct {
	// Serve runs a server on h, whose name clients are given, until ctx is done, and then stops, for which it has 10 s.
	// For each call that it takes it has app do what was asked. It runs as a process of the host: after a crash it is called again, as soon
	// as it has returned, and must start with empty memory; what it keeps in app.Folder is still there.
	Serve func(ctx context.Context, h *sim.Host, app *App) error

	// Client begins a client on h, for as long as ctx is not done, and returns how it asks one of these servers. It
	// returns at once, whether or not there is a server. A process that starts anew begins a client anew.
	// Several questions may be asked at a time.
	Client func(ctx context.Context, h *sim.Host, servers ...string) Ask

	// Bound is the longest time that a call may take over a good network with 40 ms each way, beyond
	// what the server works on it, but for 40 ms more for each 4 kB. Zero: six transits, 240 ms: two for a connection, two for
	// the call, and two to spare.
	Bound time.Duration

	// Recovery is the longest time that it may take, once all faults are over, until calls succeed. Zero: 3 min.
	Recovery time.Duration

	// Detects is for how long a client may go on to use a connection over which nothing comes any more, after a
	// call has failed by that. Zero: no call that begins later may fail. Those who share a connection among calls cannot tell a slow call
	// from a dead connection without asking the other end, which takes them this long.
	Detects time.Duration

	// MaxBytes is how large questions and answers may be. What is larger may be refused, or fail, but not be cut. Zero: 50,000.
	MaxBytes int

	// What follows is a capability each, which not every service has. Nil, false and zero: there are no stories
	// about it.

	// Keys says that a call may have a key by which the server knows it again.
	Keys *Keys

	// Cancels says that the server stops working on a call that its client has given up: the context that App.Do
	// is given is done within a round trip.
	Cancels bool

	// Deadlines says that the server knows how long the client will wait: the context that App.Do is given has a
	// deadline, and is not given to it after that.
	Deadlines bool

	// Drains says that a server that is asked to stop finishes, and answers, what it has begun, within 10 s. What
	// it breaks off counts against it even if its client asks again and is answered then.
	Drains bool

	// Durable says that a server that has taken a call will do it, even if it crashes meanwhile, and that its
	// client waits for that.
	Durable bool

	// Retries is about clients that ask again by themselves.
	Retries *Retries

	// State says that a call may be about an object that the service keeps.
	State *State

	// Streams says that the answer to a call may be a stream.
	Streams *Streams

	// Replicas is how many servers a client can choose among, of which one may fail. Zero: one.
	Replicas int
}

// An Ask asks, and returns the answer: the call is done. An error that wraps [ErrNotExecuted] says that
// it was not executed, and will not be; after any other error that is unknown. It returns soon after ctx is done.
type Ask func(ctx context.Context, r Request) (answer string, err error)

// A Request is what a client asks.
type Request struct {
	Data string // UTF-8; what App.Do is to be given
	Key  string // if the service has Keys: of the call, the same when it is repeated; "": it has none

	// Object is the name of what it is about, if the service has State: the server reads or changes that by App.Change. "":
	// nothing.
	Object string

	// Into, if it is not nil, is where the answer goes: a stream, if the service has Streams. The client writes to it what comes, as it comes,
	// and takes no more than Streams.Buffer beyond what has been written. It returns "" and nil when the answer is whole.
	Into io.Writer
	// More is what the caller says beyond Data, up to io.EOF, if Streams has Halves. The answer begins, and goes on, meanwhile; when it is whole the client
	// returns, whether or not there is more to say. Nil: nothing.
	More io.Reader
}

// Keys is what a [Service] says of the keys of its calls. Of several calls with one key and the same data one takes
// effect, and all that are done have its answer. A call with the key of another and different data fails.
type Keys struct {
	// Window is for how long after a call took effect its key is known. Zero: for ever.
	Window time.Duration
	// Durable says that keys, and the answers to them, survive a restart of the server.
	Durable bool
}

// State is what a [Service] says of the objects that it keeps: that it is linearizable. There is one order of the calls about an object, in which none
// comes before one that had ended when it began, and of which each answer is that which it would have been with one call after the
// other. Objects survive a restart of the server.
type State struct {
	// Own says that each caller has objects of its own, which others do not see under the same names, as with sessions.
	Own bool
}

// Retries is what a [Service] says of clients that ask again when a call has failed.
type Retries struct {
	// Percent and Burst bound how often: within any time servers see no more attempts than
	// Percent for every hundred calls, and Burst, beyond one for each call. It holds for each client, and for a
	// server that asks another.
	Percent, Burst int

	// After says that the delay of a [Refusal] is kept, as Retry-After: not before that is over the client asks again.
	After bool
}

// ErrNotExecuted is wrapped by the errors of calls that are known to have had no effect, and to have
// none in future: nothing was sent, or the server said so.
var ErrNotExecuted = errors.New("patterntest: not executed")

// A Refusal is the error of [App.Do] for a call that the application refuses to execute now. A server tells
// its client so.
type Refusal struct {
	RetryAfter time.Duration // when it may ask again, in whole seconds; 0: not said
}

// Error returns what it says, as text.
func (r *Refusal) Error() string {
	if r.RetryAfter > 0 {
		return fmt.Sprintf("patterntest: refused; to be asked again after %v", r.RetryAfter)
	}
	return "patterntest: refused"
}
