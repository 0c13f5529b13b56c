package sidecar_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// open has a service answer 500 until its breaker opens, which takes 20 calls.
func open(t *testing.T, n *sim.Network, options ...func(*sidecar.Upstream)) *world {
	w := start(t, n, 1, options...)
	w.replicas[0].answers(500)
	for range 19 {
		require.Equal(t, 500, w.get().status)
	}
	require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
	require.Equal(t, 500, w.get().status)
	require.Equal(t, sidecar.BreakerOpen, w.up.Breaker.State())
	return w
}

// hangs has a replica never answer.
func (r *replica) hangs() {
	r.does(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
}

// What a breaker does.
var breakers = []scenario.Row{
	{Name: "SC-07 a service answers 500", Reason: "callers learn at once that a call will fail, and the service is left alone",
		Story: func(t *testing.T, n *sim.Network) {
			w := open(t, n)
			opened := n.Elapsed()
			for range 100 {
				a := w.get()
				w.mustBe(a, 503, 0)
				require.Equal(t, "destination_unavailable", a.proxyError())
				require.Equal(t, "not-executed", a.header.Get("Call-Outcome"))
			}
			require.EqualValues(t, 20, w.begun())
			time.Sleep(opened + 5*sec - ms - n.Elapsed())
			require.Equal(t, 503, w.get().status)
			w.replicas[0].does(nil)
			time.Sleep(ms)
			w.mustBe(w.get(), 200, 80*ms)
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
		}},
	{Name: "SC-07 half of the calls succeed", Reason: "the share of failures within the window counts, older calls do not",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, _ *http.Request) {
				if w.begun()%5 < 2 {
					rw.WriteHeader(500)
				}
			})
			for range 500 {
				w.get()
			}
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State(), "40 % is not enough")
			w.replicas[0].answers(500)
			for range 30 { // a failure every 2 s is never 20 in 10 s
				w.get()
				time.Sleep(2 * sec)
			}
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
		}},
	{Name: "SC-08 a probe hangs", Reason: "a breaker that waits for it stays half-open forever (sony/gobreaker, failsafe-go)",
		Story: func(t *testing.T, n *sim.Network) {
			w := open(t, n)
			w.replicas[0].hangs()
			time.Sleep(5 * sec)
			probe := make(chan answer, 1)
			go func() { probe <- w.get() }()
			time.Sleep(10*sec - 1)
			require.Equal(t, sidecar.BreakerHalfOpen, w.up.Breaker.State())
			require.Equal(t, 503, w.get().status)
			time.Sleep(1)
			require.Equal(t, sidecar.BreakerOpen, w.up.Breaker.State())
			require.EqualValues(t, 1, w.up.Breaker.Stats().Hung)
			w.replicas[0].does(nil)
			time.Sleep(5 * sec)
			require.Equal(t, 200, w.get().status)
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
			require.Equal(t, 504, (<-probe).status)
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State(), "it is of an earlier generation")
		}},
	{Name: "SC-09 a hundred calls come when it is half-open", Reason: "only the probes pass, so there is no stampede",
		Story: func(t *testing.T, n *sim.Network) {
			w := open(t, n, func(up *sidecar.Upstream) { up.Breaker.Probes = 3 })
			w.replicas[0].does(func(http.ResponseWriter, *http.Request) { time.Sleep(sec) })
			time.Sleep(5 * sec)
			require.Equal(t, map[int]int{200: 3, 503: 97}, w.each(100, w.get))
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
			require.Equal(t, map[int]int{200: 100}, w.each(100, w.get))
		}},
	{Name: "SC-10 an answer of before comes late", Reason: "it says nothing about the service now (failsafe-go closes on such a success)",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(http.ResponseWriter, *http.Request) { time.Sleep(7 * sec) })
			late := make(chan answer, 1)
			go func() { late <- w.get() }()
			time.Sleep(sec)
			w.replicas[0].answers(500)
			for range 20 {
				w.get()
			}
			// It opened at 2.68 s. The old answer comes at 7.16 s, while it is open; at 7.68 s it is half-open.
			require.Equal(t, sidecar.BreakerOpen, w.up.Breaker.State())
			require.Equal(t, 200, (<-late).status)
			require.Equal(t, sidecar.BreakerOpen, w.up.Breaker.State())
			require.EqualValues(t, 1, w.up.Breaker.Stats().Late)
		}},
	{Name: "SC-11 callers give up in crowds", Reason: "a cancelled call says nothing about the service",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].hangs()
			for range 3 {
				w.each(50, func() answer {
					ctx, cancel := context.WithTimeout(t.Context(), sec)
					defer cancel()
					return w.callWith(ctx, "GET", "")
				})
			}
			time.Sleep(sec)
			require.EqualValues(t, 150, w.begun())
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
			require.Zero(t, w.up.Replicas()[0].Failures)
			require.Zero(t, w.up.Replicas()[0].Active)
		}},
	{Name: "SC-11 a probe is cancelled", Reason: "it neither opens nor closes the breaker, and frees its slot",
		Story: func(t *testing.T, n *sim.Network) {
			w := open(t, n)
			w.replicas[0].hangs()
			time.Sleep(5 * sec)
			ctx, cancel := context.WithTimeout(t.Context(), sec)
			defer cancel()
			w.callWith(ctx, "GET", "")
			time.Sleep(scenario.Transit)
			require.Equal(t, sidecar.BreakerHalfOpen, w.up.Breaker.State())
			w.replicas[0].does(nil)
			require.Equal(t, 200, w.get().status)
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
		}},
	{Name: "SC-11 callers make mistakes", Reason: "a 4xx comes from a service that works",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			for _, status := range []int{400, 401, 404, 409, 429, 501} {
				w.replicas[0].answers(status)
				for range 30 {
					require.Equal(t, status, w.get().status)
				}
			}
			require.Equal(t, sidecar.BreakerClosed, w.up.Breaker.State())
		}},
	{Name: "SC-12 another service fails", Reason: "a breaker shared by two services cuts off the one that works (DoorDash, 2022)",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			bad := w.service("bad", 1)
			w.replicas[1].answers(500)
			require.NoError(t, w.proxy.Configure(sidecar.Config{Routes: []sidecar.Route{{Host: "bad.test", Upstream: bad}, {Upstream: w.up}}}))
			callBad := func() answer {
				req, _ := http.NewRequest("GET", "http://app:15001/", nil)
				req.Host = "bad.test:15001"
				resp, err := w.http.Do(req)
				scenario.ReadAll(resp, err)
				return answer{status: resp.StatusCode}
			}
			for range 20 {
				require.Equal(t, 500, callBad().status)
			}
			require.Equal(t, 503, callBad().status)
			require.Equal(t, 200, w.get().status)
		}},
	{Name: "the service is full", Reason: "requests beyond MaxRequests are refused at once, and cost other requests nothing",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1, func(up *sidecar.Upstream) { up.MaxRequests = 10 })
			var most, now atomic.Int64
			w.replicas[0].does(func(http.ResponseWriter, *http.Request) {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(sec)
				now.Add(-1)
			})
			require.Equal(t, map[int]int{200: 10, 503: 40}, w.each(50, w.get))
			require.EqualValues(t, 10, most.Load())
			require.EqualValues(t, 40, w.up.Stats().Full)
		}},
}
