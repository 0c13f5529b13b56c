package patterntest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// The contract of calls tests your own service: here a shop that takes orders by POST, and customers that distinguish
// an order that was not taken from an order whose outcome is unknown.
func ExampleCall() {
	var t *testing.T // of a test function
	patterntest.Call(t, shopAndCustomers)
	patterntest.CallLoopback(t, shopAndCustomers)
}

// shopAndCustomers describes them to the contract.
func shopAndCustomers(*sim.Network) patterntest.Service {
	return patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			return patterntest.ServeHTTP(ctx, h, shop{app})
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := customer{h.HTTPClient(), "http://" + servers[0] + "/orders"}
			context.AfterFunc(ctx, c.http.CloseIdleConnections)
			return c.order
		},
		Cancels: true,
	}
}

// shop is the server.
type shop struct{ app *patterntest.App }

func (s shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(r.Body) // to its end, because only then net/http notices that a client disconnects
	if err != nil {
		return // it was truncated
	}
	var refusal *patterntest.Refusal
	switch answer, err := s.app.Do(r.Context(), string(order)); {
	case errors.As(err, &refusal):
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		io.WriteString(w, answer)
	}
}

// customer is the client.
type customer struct {
	http *http.Client
	url  string
}

func (c customer) order(ctx context.Context, r patterntest.Request) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(r.Data))
	if err != nil {
		return "", err
	}
	resp, err := c.http.Do(req)
	if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
		return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
	} else if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body) // returns an error if the answer is truncated
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		return "", fmt.Errorf("%w: %s", patterntest.ErrNotExecuted, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return "", errors.New(resp.Status)
	}
	return string(answer), err
}
