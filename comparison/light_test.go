package comparison

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// What a light client costs, and what becomes of requests that take long.

// lightRun is a client on LTE that wants to know the latest of what happens once each so
// often. It polls for it, or holds a connection and is told all.
type lightRun struct {
	who   string        // a contender; empty: it polls, with a connection for each poll
	every time.Duration // if it polls
	mean  time.Duration // between events
}

type lightFigures struct {
	traffic
	lost int
}

func (r lightRun) run(t *testing.T, n *sim.Network) (f lightFigures) {
	c := lightPoller(r.every)
	if r.who != "" {
		c = contenderNamed(r.who)
	}
	st := newStage(t, n, c.system(n, systems.InMemory), "server")
	o, _ := st.client("client", presetNamed("LTE"))
	time.Sleep(10 * time.Second)
	from := n.Elapsed()
	to := from + max(4*time.Hour, 12*r.every)
	draws := n.Rand("events")
	for n.Elapsed() < to {
		time.Sleep(earlier(poisson(r.mean, draws.Float64()), to-n.Elapsed()))
		if n.Elapsed() < to {
			st.publish()
		}
	}
	time.Sleep(r.every + 5*time.Minute)
	f.traffic, f.lost = measure(t, n, "client", from, to), st.missing(o)
	return f
}

// closing has a client use a connection for each poll.
func closing(c *shortpoll.Client) {
	c.HTTP.Transport.(*http.Transport).DisableKeepAlives = true
}

// jobRun is work of 10 minutes, asked for through a proxy that gives up on a silent
// server after a minute.
type jobRun struct{ how string }

const (
	heldRequest   = "one request, held until the end"
	submitAndPoll = "submitted, and polled every 5 s"
)

type jobFigures struct {
	done   bool
	status int // the last answer's
	took   time.Duration
	held   float64 // connections, of the client
}

func (r jobRun) run(t *testing.T, n *sim.Network) (f jobFigures) {
	work := systems.Lasts(10 * time.Minute)
	jobs := &shortpoll.Jobs{Run: work}
	handler := jobs.Handler()
	if r.how == heldRequest {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if result, err := work(r.Context(), shortpoll.Task{}); err == nil {
				w.Write(result)
			}
		})
	}
	n.Host("server").Run("server", func(ctx context.Context, h *sim.Host) error {
		defer jobs.Close()
		return patterntest.ServeHTTP(ctx, h, handler)
	})
	proxy, phone := n.Host("proxy"), n.Host("client")
	n.Link(proxy, n.Host("server"), scenario.Good)
	n.Link(phone, proxy, scenario.Good)
	proxy.ServeHTTP(":80", proxy.Proxy("http://server", sim.ProxyConfig{Timeout: time.Minute}))

	if r.how == heldRequest {
		resp, err := phone.HTTPClient().Get("http://proxy/")
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		f.status, f.done = resp.StatusCode, resp.StatusCode == http.StatusOK
	} else {
		c := shortpoll.Client{URL: "http://proxy/jobs", HTTP: phone.HTTPClient(), Interval: 5 * time.Second, Jitter: retry.NoJitter}
		closing(&c)
		job, err := c.Submit(t.Context(), "a", nil)
		require.NoError(t, err)
		job, err = c.Wait(t.Context(), job)
		require.NoError(t, err)
		f.status, f.done = http.StatusOK, job.State == shortpoll.Done
	}
	f.took = n.Elapsed()
	f.held = measure(t, n, "client", 0, f.took).held
	return f
}
