package sidecar_test

import (
	"context"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// How a sidecar and what is beside it begin and end.
var lifecycle = []scenario.Row{
	{Name: "SC-01 the app starts before the sidecar", Reason: "apps that make calls at their start crash in a loop (istio/istio#11130)",
		Story: func(t *testing.T, n *sim.Network) {
			app := n.Host("app")
			_, err := app.HTTPClient().Get("http://app:15001/")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.Zero(t, round(n.Elapsed()), "it is told at once")
			w := start(t, n, 1)
			w.mustBe(w.get(), 200, 160*ms)
		}},
	{Name: "SC-01 the sidecar starts before what is behind it", Reason: "a request that waits a little is better than one that fails, but it must not wait forever",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 0, func(up *sidecar.Upstream) { up.Addrs, up.StartWait = []string{"late:80"}, 10*sec })
			n.Link(w.app, n.Host("late"), scenario.Good)
			n.After(2*sec, func() { n.Host("late").ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) })
			// It is refused after 80 ms, and waits for 250: attempts begin every 330 ms, of which the one at 1.98 s arrives 20 ms after the start.
			w.mustBe(w.get(), 200, 6*330*ms+160*ms)
		}},
	{Name: "SC-01 what is behind the sidecar never starts", Reason: "the wait ends, and the app learns that nothing was executed",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 0, func(up *sidecar.Upstream) { up.Addrs, up.StartWait, up.MaxAttempts = []string{"late:80"}, sec, 1 })
			n.Link(w.app, n.Host("late"), scenario.Good)
			a := w.call("POST", "x")
			// 80, 410, 740 and 1070 ms.
			w.mustBe(a, 503, 3*330*ms+80*ms)
			require.Equal(t, "connection_refused", a.proxyError())
			require.Equal(t, "not-executed", a.header.Get("Call-Outcome"))
		}},
	{Name: "SC-01 an app that waits until the sidecar is ready", Reason: "the starting order can also be enforced (holdApplicationUntilProxyStarts)",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 0, func(up *sidecar.Upstream) { up.Addrs = []string{"late:80"} })
			n.Link(w.app, n.Host("late"), scenario.Good)
			n.After(sec, func() { n.Host("late").ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) })
			ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
			defer cancel()
			require.ErrorIs(t, w.proxy.Ready(ctx), context.DeadlineExceeded)
			require.NoError(t, w.proxy.Ready(t.Context()))
			w.mustBe(w.get(), 200, 160*ms)
		}},
	{Name: "SC-02 the sidecar is stopped first", Reason: "an app that shuts down still makes its last calls (istio/istio#7136)",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.get()
			drained := make(chan time.Duration, 1)
			began := n.Elapsed()
			go func() {
				require.NoError(t, w.proxy.Drain(t.Context()))
				drained <- round(n.Elapsed() - began)
			}()
			for range 5 {
				time.Sleep(500 * ms)
				require.Equal(t, 200, w.get().status)
			}
			// The last call began at 2.5 s of its own time and four calls of 80 ms; what looks every 250 ms finds a quiet second at last.
			require.Less(t, <-drained, 4500*ms)
			require.ErrorIs(t, w.get().err, syscall.ECONNREFUSED)
		}},
	{Name: "SC-02 a request is under way when the sidecar is to stop", Reason: "it gets its answer first, however long it takes",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(w http.ResponseWriter, _ *http.Request) { time.Sleep(20 * sec) })
			n.After(sec, func() { go w.proxy.Drain(context.Background()) })
			w.mustBe(w.get(), 200, 20*sec+160*ms)
		}},
	{Name: "SC-02 a stream lasts longer than there is time to stop", Reason: "draining has a deadline, and a stream cut off by it ends with an error, not with an end of stream",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "a")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			ended := make(chan error, 1)
			n.After(sec, func() {
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), 10*sec)
					defer cancel()
					ended <- w.proxy.Drain(ctx)
				}()
			})
			a := w.get()
			require.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
			require.Equal(t, 11*sec, a.took)
			require.ErrorIs(t, <-ended, context.DeadlineExceeded)
		}},
	{Name: "SC-03 the sidecar crashes in the middle of a request", Reason: "the app cannot know the outcome; with a key it can safely ask again",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			r := w.replicas[0]
			r.does(func(w http.ResponseWriter, req *http.Request) {
				if _, again := r.keys.LoadOrStore(req.Header.Get("Idempotency-Key"), true); !again {
					r.effects.Add(1)
					time.Sleep(sec)
				}
				io.WriteString(w, "done")
			})
			n.After(n.Elapsed()+500*ms, w.app.Crash)
			n.After(n.Elapsed()+600*ms, w.app.Restart)
			a := w.call("POST", "x", "Idempotency-Key", "7")
			require.Error(t, a.err)
			require.Equal(t, none, a.status)
			require.Equal(t, 500*ms, a.took, "it hears of it at once")
			time.Sleep(200 * ms)
			require.Equal(t, "done", w.call("POST", "x", "Idempotency-Key", "7").body)
			require.EqualValues(t, 1, r.effects.Load())
		}},
	{Name: "SC-21 the configuration changes under load", Reason: "a request is handled under the old or the new configuration, never under a mix",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			other := w.service("other", 1)
			old, now := w.proxy.Config, sidecar.Config{Routes: []sidecar.Route{{Upstream: other}}}
			w.replicas[0].does(func(w http.ResponseWriter, r *http.Request) { // the old one answers after the change
				body, _ := io.ReadAll(r.Body)
				time.Sleep(300 * ms)
				w.Write(append([]byte("old "), body...))
			})
			w.replicas[1].does(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Write(append([]byte("new "), body...))
			})
			for range 20 {
				require.NoError(t, w.proxy.Configure(old))
				before, after := make(chan answer, 1), make(chan answer, 1)
				go func() { before <- w.call("POST", "x") }()
				time.Sleep(100 * ms)
				require.NoError(t, w.proxy.Configure(now))
				go func() { after <- w.call("POST", "y") }()
				require.Equal(t, "old x", (<-before).body)
				require.Equal(t, "new y", (<-after).body)
			}
			bad := sidecar.Config{Routes: []sidecar.Route{{Upstream: &sidecar.Upstream{Name: "x"}}}}
			require.ErrorContains(t, w.proxy.Configure(bad), "Addrs has 0 elements")
			require.Equal(t, "new z", w.call("POST", "z").body, "what is wrong changes nothing")
		}},
	{Name: "SC-21 replicas come and go", Reason: "requests to a removed replica end normally, no new ones go there, and the other replicas keep their connections",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 3)
			for range 3 {
				w.get()
			}
			w.replicas[0].does(func(w http.ResponseWriter, _ *http.Request) { time.Sleep(sec); io.WriteString(w, "slow") })
			slow := make(chan answer, 1)
			go func() { slow <- w.get() }()
			time.Sleep(100 * ms)
			require.NoError(t, w.up.SetAddrs("service1:80", "service2:80"))
			for range 10 {
				w.mustBe(w.get(), 200, 80*ms)
			}
			require.Equal(t, "slow", (<-slow).body)
			require.EqualValues(t, 2, w.replicas[0].begun.Load())
			require.EqualValues(t, 3, w.up.Stats().Connects)
		}},
}
