package sidecar_test

import (
	"context"
	"io"
	"net"
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

// noBreaker lets a story fail as often as it likes.
func noBreaker(up *sidecar.Upstream) { up.Breaker.MinRequests = 1 << 30 }

// breaksOff has a replica work, and end the connection instead of answering.
func (r *replica) breaksOff() {
	r.does(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		r.effects.Add(1)
		panic(http.ErrAbortHandler)
	})
}

// What is repeated.
var retries = []scenario.Row{
	{Name: "SC-04 the app repeats, and so does the sidecar", Reason: "3 x 2 attempts for each call overwhelm a service that is already failing (istio/istio#13851, dapr/dapr#1289)",
		Story: func(t *testing.T, n *sim.Network) { require.LessOrEqual(t, storm(t, n, nil), int64(300+30+3)) }},
	{Name: "SC-04 ... without a budget", Reason: "the control: with an unlimited budget the service gets twice what the app sends",
		Story: func(t *testing.T, n *sim.Network) {
			require.EqualValues(t, 600, storm(t, n, &retry.Budget{Percent: 100, Burst: 10_000}))
		}},
	{Name: "SC-04 the app says that it repeats", Reason: "only one layer retries: the sidecar does not retry an app's retry",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1, noBreaker)
			w.replicas[0].breaksOff()
			w.call("GET", "", "Request-Attempt", "1")
			require.EqualValues(t, 2, w.begun())
			w.call("GET", "", "Request-Attempt", "2")
			require.EqualValues(t, 3, w.begun())
		}},
	{Name: "SC-05 POST, and the replica breaks off after its work", Reason: "sending it again would execute it twice (istio/istio#27340)",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 2)
			for _, r := range w.replicas {
				r.breaksOff()
			}
			a := w.call("POST", "x")
			require.Equal(t, 502, a.status)
			require.Equal(t, "connection_terminated", a.proxyError())
			require.Equal(t, "unknown", a.header.Get("Call-Outcome"))
			require.EqualValues(t, 1, w.begun())
		}},
	{Name: "SC-05 POST with a key and a body", Reason: "the key makes it safe to send again; ReverseProxy cannot repeat a body and answers 502",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 2)
			w.replicas[0].breaksOff()
			w.replicas[1].does(func(w http.ResponseWriter, r *http.Request) {
				all, _ := io.ReadAll(r.Body)
				w.Write(all)
			})
			body := strings.Repeat("x", 50_000)
			a := w.call("POST", body, "Idempotency-Key", "1")
			require.Equal(t, 200, a.status)
			require.True(t, body == a.body)
		}},
	{Name: "SC-05 POST with a key and a body that is larger than what is kept", Reason: "a request that cannot be repeated completely is not repeated at all",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 2)
			w.replicas[0].breaksOff()
			a := w.call("POST", strings.Repeat("x", 100_000), "Idempotency-Key", "1")
			require.Equal(t, 502, a.status)
			require.EqualValues(t, 1, w.begun())
			require.EqualValues(t, 1, w.up.Stats().NoReplay)
		}},
	{Name: "SC-05 POST to a replica that is down", Reason: "a request that was never sent can go to another replica, whatever it does",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 2)
			w.replicas[0].server.Close()
			a := w.call("POST", "x")
			w.mustBe(a, 200, 80*ms+160*ms) // refused, and then a connection and the call
			require.Equal(t, "service1", a.body)
		}},
	{Name: "SC-05 a replica refuses for now", Reason: "503 is an answer; an idempotent request can try another replica",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 2)
			w.replicas[0].answers(503)
			a := w.get()
			require.Equal(t, 200, a.status)
			require.Equal(t, 503, w.call("POST", "x").status, "a POST may have been executed")
			w.replicas[1].does(nil)
			w.replicas[0].does(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Call-Outcome", "not-executed")
				w.WriteHeader(503)
			})
			w.replicas[1].does(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "another") })
			require.Equal(t, "another", w.call("POST", "x").body, "unless it says that it was not")
		}},
	{Name: "SC-05 a replica says when to ask again", Reason: "the sidecar honours Retry-After if there is time, and otherwise passes the answer on",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			after := "2"
			w.replicas[0].does(func(rw http.ResponseWriter, _ *http.Request) {
				if w.begun()%2 == 1 {
					rw.Header().Set("Retry-After", after)
					rw.WriteHeader(503)
				}
			})
			w.mustBe(w.get(), 200, 160*ms+2*sec+80*ms)
			after = "86400"
			w.mustBe(w.get(), 503, 80*ms)
		}},
	{Name: "SC-06 a connection is closed just as a request is sent", Reason: "servers close idle connections, and the request may or may not have arrived in time (envoyproxy/envoy#1979)",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			l, _ := n.Host("service0").Listen("tcp", ":81") // each connection serves one request, and ends a second later
			go closing(l)
			require.NoError(t, w.up.SetAddrs("service0:81"))
			race := func() { time.Sleep(sec - 80*ms + 20*ms) } // 20 ms before the end is sent, 60 ms before it arrives
			w.mustBe(w.get(), 200, 160*ms)
			race()
			// A transit until it meets the end, one for the reset, 25 ms, and a call with a new connection.
			require.Equal(t, 200, w.get().status, "what is idempotent is sent again")
			race()
			require.Equal(t, 200, w.call("POST", "x", "Idempotency-Key", "1").status)
			race()
			a := w.call("POST", "x")
			require.Equal(t, 502, a.status)
			require.Equal(t, "unknown", a.header.Get("Call-Outcome"))
			require.Equal(t, 200, w.get().status)
			time.Sleep(2 * sec) // the end has been seen
			w.mustBe(w.call("POST", "x"), 200, 160*ms)
		}},
	{Name: "SC-06 replicas are restarted while many connections are idle", Reason: "net/http would try one dead connection after another",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(http.ResponseWriter, *http.Request) { time.Sleep(sec) })
			w.each(20, w.get)
			w.replicas[0].does(nil)
			require.EqualValues(t, 20, w.up.Replicas()[0].Idle)
			w.replicas[0].link.Down() // it is not seen to go
			w.replicas[0].host.Crash()
			w.replicas[0].host.Restart()
			w.replicas[0].link.Up()
			// The first attempt meets a reset after a round trip, the second, at least 25 ms later, has a connection of its own or
			// another that is dead: at most so many as MaxAttempts.
			got := w.each(20, w.get)
			require.LessOrEqual(t, w.up.Stats().Attempts, int64(20+2*20))
			require.NotZero(t, got[200]+got[502])
		}},
	{Name: "SC-17 a budget of 20 %", Reason: "in an outage, retries are a share of the requests, however many callers there are",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1, noBreaker, func(up *sidecar.Upstream) {
				up.MaxAttempts, up.Budget = 4, &retry.Budget{Percent: 20}
			})
			w.replicas[0].breaksOff()
			w.load(10 * sec)
			s := w.up.Stats()
			require.EqualValues(t, 1000, s.Requests)
			require.LessOrEqual(t, s.Attempts, int64(1000+200+3))
			require.GreaterOrEqual(t, s.Attempts, int64(1000+190))
			require.NotZero(t, s.NoBudget)
			w.each(100, w.get)
			require.LessOrEqual(t, w.up.Stats().Attempts, s.Attempts+100+3, "a crowd has what it holds, three")
			a := w.call("POST", "x", "Idempotency-Key", "1")
			require.Equal(t, 502, a.status)
			require.Contains(t, a.body, "not repeated: the budget of retries is spent")
		}},
	{Name: "SC-23 the sidecar has too little of the processor", Reason: "50 ms more in each direction must not cause attempts that nobody waits for any more",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1, func(up *sidecar.Upstream) {
				up.Timeout, up.AttemptTimeout, up.MaxAttempts = 900*ms, 400*ms, 2
				dial := up.DialContext
				up.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					time.Sleep(50 * ms)
					return dial(ctx, network, address)
				}
			})
			w.replicas[0].does(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			a := w.call("GET", "")
			require.Equal(t, 504, a.status)
			require.Equal(t, "http_response_timeout", a.proxyError())
			require.LessOrEqual(t, a.took, 900*ms)
			require.EqualValues(t, 2, w.begun())
			a = w.call("GET", "", "Request-Timeout", "300")
			require.Equal(t, 504, a.status)
			require.Equal(t, 300*ms, a.took, "what the app has left is less")
			require.EqualValues(t, 3, w.begun())
		}},
	{Name: "SC-23 nothing is left", Reason: "work that nobody waits for must not begin", Story: nothingLeft(systems.HTTP1())},
	{Name: "SC-23 nothing is left, over HTTP/2", Races: frames, Reason: "the HTTP version must not matter", Story: nothingLeft(systems.HTTP2())},
	{Name: "SC-23 what is left goes on with the request", Reason: "the next server must know how long the caller still waits",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			var told []string
			w.replicas[0].does(func(w http.ResponseWriter, r *http.Request) {
				told = append(told, r.Header.Get("Request-Timeout"))
				if len(told) == 1 {
					w.WriteHeader(503)
				}
			})
			require.Equal(t, 200, w.call("GET", "", "Request-Timeout", "1000").status)
			require.Len(t, told, 2)
			require.Equal(t, "1000", told[0])
		}},
}

// nothingLeft asks for work with no time left, and with a second.
func nothingLeft(protocols *http.Protocols) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		w := start(t, n, 1)
		w.http.Transport.(*http.Transport).Protocols = protocols
		a := w.call("GET", "", "Request-Timeout", "0")
		require.Equal(t, 504, a.status)
		require.Equal(t, "http_response_timeout", a.proxyError())
		require.Equal(t, "not-executed", a.header.Get("Call-Outcome"))
		require.Zero(t, w.begun())
		require.Equal(t, 200, w.call("GET", "", "Request-Timeout", "1000").status)
	}
}

// closing serves one request on each connection, and closes it a second after the answer.
func closing(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			conn.Read(make([]byte, 10_000))
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			time.Sleep(sec)
		}()
	}
}

// storm has 100 calls of an app that makes up to three attempts of each meet a service that always fails, and returns how many it was sent.
func storm(t *testing.T, n *sim.Network, budget *retry.Budget) int64 {
	w := start(t, n, 1, noBreaker, func(up *sidecar.Upstream) { up.Budget = budget })
	w.replicas[0].breaksOff()
	w.each(100, func() (a answer) {
		for range 3 {
			if a = w.get(); a.status == 200 {
				break
			}
		}
		return a
	})
	return w.begun()
}
