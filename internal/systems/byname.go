package systems

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/patterntest"
)

// clientHeader names the client of a request. It stands for a header that a gateway adds after it has authenticated the client.
const clientHeader = "Client"

// byName identifies the client of a request, which may see the events for everybody and its own.
func byName(r *http.Request) (access.Identity, error) { return only(r.Header.Get(clientHeader)), nil }

func only(client string) access.Identity {
	return access.Identity{Client: client, Topics: []string{"news", forOne(client)}, Publish: []string{"news"}}
}

// forOne is the topic of events that only one client may see.
func forOne(client string) string { return "only." + client }

// named returns the function that makes the header of a client's requests.
func named(client string) func(context.Context) (http.Header, error) {
	return func(context.Context) (http.Header, error) { return http.Header{clientHeader: {client}}, nil }
}

// errHandler ends a client whose handler has failed.
var errHandler = errors.New("systems: the handler has failed")

// again runs a worker's client until ctx is done. When a handler has failed, it runs the client again a second later, as a supervisor
// restarts a process.
func again(ctx context.Context, run func() error) error {
	for {
		if err := run(); !errors.Is(err, errHandler) {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// A handler is what a client calls with the data of an event.
type handler = func(ctx context.Context, data string) error

// reports returns the handler of a client that only records events.
func reports(r patterntest.Receiver) handler {
	return func(_ context.Context, data string) error {
		r.Event(data)
		return nil
	}
}

// does returns the handler of a worker.
func does(w patterntest.Worker) handler {
	return func(ctx context.Context, data string) error {
		if w.Handle(ctx, data) != nil {
			return errHandler
		}
		return nil
	}
}
