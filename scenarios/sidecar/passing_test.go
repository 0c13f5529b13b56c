package sidecar_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// What httputil.ReverseProxy does otherwise.
var passing = []scenario.Row{
	{Name: "SC-05 what is sent again", Reason: "ReverseProxy retries only requests without a body: net/http's transport cannot rewind the body of an incoming request",
		Story: sentAgain(nil)},
	{Name: "SC-05 what is sent again over HTTP/2", Races: frames, Reason: "the same over HTTP/2: ReverseProxy retries only requests without a body",
		Story: sentAgain(systems.HTTP2())},
	{Name: "SC-19 500 statuses of gRPC without a body", Races: frames, Reason: "with FlushInterval -1 ReverseProxy flushes concurrently with the end of the answer, and 2 to 3 % of them arrive in another form",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/grpc")
				rw.Header().Set("Grpc-Status", "5")
			})
			w.http.Transport.(*http.Transport).Protocols = systems.HTTP2()
			post := func(address string) *http.Response {
				resp, err := w.http.Post("http://"+address+"/a.B/C", "application/grpc", strings.NewReader("x"))
				require.NoError(t, err)
				return resp
			}
			direct := post("service0:80")
			for range 500 {
				resp := post("app:15001")
				require.IsType(t, direct.Body, resp.Body, "net/http has a body of its own for an answer whose only frame ends the stream")
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Empty(t, body)
				require.Equal(t, "5", resp.Header.Get("Grpc-Status"))
				require.Empty(t, resp.Trailer)
			}
		}},
	{Name: "SC-19 a client that asks before it sends over HTTP/2", Races: frames, Reason: "net/http's server hides Expect from its handler: the client sends at once, and still gets the service's answer",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			for _, status := range []int{403, 200} {
				w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
					if status == 403 {
						rw.WriteHeader(status)
						return
					}
					io.Copy(rw, r.Body)
				})
				client := w.app.HTTPClient()
				tr := client.Transport.(*http.Transport)
				tr.Protocols, tr.ExpectContinueTimeout = systems.HTTP2(), 10*sec
				req, err := http.NewRequest("POST", "http://app:15001", strings.NewReader("body"))
				require.NoError(t, err)
				req.Header.Set("Expect", "100-continue")
				begin := n.Elapsed()
				resp, err := client.Do(req)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, status, resp.StatusCode)
				require.Equal(t, map[int]string{403: "", 200: "body"}[status], string(body))
				// The connection to the service the first time, and the request: that the client may go on costs no round trip.
				require.Equal(t, map[int]time.Duration{403: 160 * ms, 200: 80 * ms}[status], round(n.Elapsed()-begin))
				client.CloseIdleConnections()
			}
		}},
}

// sentAgain has the first of two replicas break off after it has read a request: the second answers what may be sent again.
func sentAgain(protocols *http.Protocols) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		w := start(t, n, 2, noBreaker, func(up *sidecar.Upstream) { up.Budget = &retry.Budget{Percent: 100, Burst: 100} })
		w.http.Transport.(*http.Transport).Protocols = protocols
		broken := false
		for _, r := range w.replicas {
			r.does(func(rw http.ResponseWriter, req *http.Request) {
				all, _ := io.ReadAll(req.Body)
				if broken = !broken; broken {
					panic(http.ErrAbortHandler)
				}
				fmt.Fprint(rw, req.Method, " ", len(all))
			})
		}
		body := strings.Repeat("x", 50_000)
		for _, row := range []struct {
			method, body string
			key          []string
			again        bool
		}{
			{"GET", "", nil, true},
			{"GET", body, nil, true},
			{"PUT", body, nil, true},
			{"DELETE", "", nil, true},
			{"QUERY", body, nil, true},
			{"POST", "", []string{"Idempotency-Key", "1"}, true},
			{"POST", body, []string{"Idempotency-Key", "1"}, true},
			{"PATCH", body, []string{"Idempotency-Key", "1"}, true},
			{"POST", "", nil, false},
			{"POST", body, nil, false},
			{"PATCH", body, nil, false},
			{"POST", body, []string{"Idempotency-Key", ""}, false},
		} {
			broken = false
			before := w.begun()
			a := w.call(row.method, row.body, row.key...)
			require.NoError(t, a.err)
			if row.again {
				require.Equal(t, 200, a.status, "%v %s", row, a.body)
				require.Equal(t, fmt.Sprint(row.method, " ", len(row.body)), a.body)
				require.EqualValues(t, 2, w.begun()-before)
			} else {
				require.Equal(t, 502, a.status, "%s %v", row.method, row.key)
				require.Equal(t, "unknown", a.header.Get("Call-Outcome"))
				require.EqualValues(t, 1, w.begun()-before)
			}
		}
	}
}
