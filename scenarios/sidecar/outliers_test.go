package sidecar_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// out is which replicas are left out.
func (w *world) out() (all []int) {
	for i, r := range w.up.Replicas() {
		if r.Out {
			all = append(all, i)
		}
	}
	return all
}

// load makes calls at the rate of one in 10 ms, for so long.
func (w *world) load(d time.Duration) (failed int) {
	return w.loadOf(10*ms, d)
}

func (w *world) loadOf(every, d time.Duration) (failed int) {
	calls := int(d / every)
	var begun atomic.Int64 // callers begin one after the other, a nanosecond apart
	got := w.each(calls, func() answer {
		time.Sleep(time.Duration(begun.Add(1)-1) * every)
		return w.get()
	})
	return calls - got[200]
}

// tenOf has ten replicas, of which the first so many always fail.
func tenOf(t *testing.T, n *sim.Network, bad int, options ...func(*sidecar.Upstream)) *world {
	w := start(t, n, 10, append([]func(*sidecar.Upstream){noBreaker}, options...)...)
	for _, r := range w.replicas[:bad] {
		r.answers(500)
	}
	return w
}

// Which replicas get requests.
var outliers = []scenario.Row{
	{Name: "SC-13 one of ten replicas always fails", Reason: "without ejection a tenth of all calls would fail (gRPC A50)",
		Story: func(t *testing.T, n *sim.Network) {
			w := tenOf(t, n, 1)
			// In 10 s each is called 100 times, which is twice what it takes to judge.
			require.NotZero(t, w.load(10*sec))
			w.get()
			require.Equal(t, []int{0}, w.out())
			before := w.replicas[0].begun.Load()
			require.Zero(t, w.loadOf(100*ms, 28*sec), "for 30 s it gets nothing")
			require.Equal(t, before, w.replicas[0].begun.Load())
			time.Sleep(2 * sec)
			w.get()
			require.Empty(t, w.out(), "then it is tried again")
			require.NotZero(t, w.load(11*sec))
			require.Equal(t, []int{0}, w.out(), "and is left out for twice as long")
			require.Zero(t, w.loadOf(100*ms, 40*sec))
			w.replicas[0].does(nil)
			time.Sleep(60 * sec)
			require.Zero(t, w.load(11*sec))
			require.Empty(t, w.out())
			require.Greater(t, w.replicas[0].begun.Load(), before+150, "one that has recovered has its share")
		}},
	{Name: "SC-14 eight of ten replicas fail", Reason: "ejecting all of them would overload the rest",
		Story: func(t *testing.T, n *sim.Network) {
			w := tenOf(t, n, 8)
			w.load(21 * sec)
			require.Len(t, w.out(), 1, "10 %")
		}},
	{Name: "SC-14 eight of ten, and 50 % may be left out", Reason: "at most the configured share is ejected",
		Story: func(t *testing.T, n *sim.Network) {
			w := tenOf(t, n, 8, func(up *sidecar.Upstream) { up.Outlier.MaxPercent = 50 })
			w.load(11 * sec)
			require.Len(t, w.out(), 5)
		}},
	{Name: "SC-14 all fail, and all may be left out", Reason: "there is always a replica to send requests to",
		Story: func(t *testing.T, n *sim.Network) {
			w := tenOf(t, n, 10, func(up *sidecar.Upstream) { up.Outlier.MaxPercent, up.Health.MinPercent = 100, 1 })
			w.load(11 * sec)
			require.Len(t, w.out(), 9)
			require.Equal(t, 500, w.get().status)
		}},
	{Name: "SC-15 few calls", Reason: "one failure among three calls proves nothing",
		Story: func(t *testing.T, n *sim.Network) {
			w := tenOf(t, n, 1)
			w.loadOf(25*ms, 31*sec) // 40 calls of each in 10 s
			require.Empty(t, w.out())
		}},
	{Name: "SC-13 the sidecar itself is cut off", Reason: "all replicas then appear to fail, and none is to blame",
		Story: func(t *testing.T, n *sim.Network) {
			w := tenOf(t, n, 0, func(up *sidecar.Upstream) {
				up.Health = sidecar.Health{Path: "/", Interval: sec}
				up.ConnectTimeout = sec
			})
			w.load(5 * sec)
			for _, r := range w.replicas {
				r.link.Down()
			}
			time.Sleep(20 * sec)
			for _, r := range w.replicas {
				r.link.Up()
			}
			for _, r := range w.up.Replicas() {
				require.False(t, r.Healthy)
			}
			require.Equal(t, 200, w.get().status, "as soon as there is a way again")
		}},
	{Name: "health: a replica that says it is not well", Reason: "it is excluded after three bad answers, and back after two good ones",
		Story: func(t *testing.T, n *sim.Network) {
			var ill atomic.Bool
			w := start(t, n, 2, func(up *sidecar.Upstream) { up.Health = sidecar.Health{Path: "/healthz", Interval: 10 * sec} })
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/healthz" && ill.Load() {
					rw.WriteHeader(503)
				}
			})
			healthy := func() bool { return w.up.Replicas()[0].Healthy }
			time.Sleep(sec)
			ill.Store(true)
			// Asked at about 10, 20 and 30 s; each question takes 160 ms.
			time.Sleep(29 * sec)
			require.True(t, healthy())
			time.Sleep(2 * sec)
			require.False(t, healthy())
			for range 4 {
				require.Equal(t, "service1", w.get().body)
			}
			ill.Store(false)
			time.Sleep(11 * sec)
			require.False(t, healthy())
			time.Sleep(10 * sec)
			require.True(t, healthy())
		}},
	{Name: "SC-16 a replica is slow", Reason: "it fails no call, but delays every call sent to it",
		Story: func(t *testing.T, n *sim.Network) {
			w := slowOfFour(t, n, sidecar.LeastRequest)
			// It is chosen only where two are drawn that have as many under way, which is when it has hardly any.
			require.Less(t, w.replicas[0].begun.Load(), int64(100), "of 2000")
		}},
	{Name: "SC-16 a replica is slow, and each has its turn", Reason: "the control: with round robin a quarter of all calls is slow",
		Story: func(t *testing.T, n *sim.Network) {
			require.EqualValues(t, 500, slowOfFour(t, n, sidecar.RoundRobin).replicas[0].begun.Load())
		}},
}

// slowOfFour has 2000 calls in 20 s go to four replicas, of which the first takes 2 s for each.
func slowOfFour(t *testing.T, n *sim.Network, b sidecar.Balance) *world {
	w := start(t, n, 4, func(up *sidecar.Upstream) { up.Balance = b })
	w.replicas[0].does(func(http.ResponseWriter, *http.Request) { time.Sleep(2 * sec) })
	w.load(20 * sec)
	return w
}
