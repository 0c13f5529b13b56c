package comparison

import (
	"io"
	"log"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/sim"
)

// What becomes of a pattern behind a proxy, and beside others in one client.

// proxiedRun is a client that hears of events through a reverse proxy as it comes, which
// knows nothing of the pattern: 25 ms to the proxy, 25 ms more to the server.
type proxiedRun struct{ who string }

type proxiedFigures struct {
	events, lost int
	p50, max     time.Duration
}

func (r proxiedRun) run(t *testing.T, n *sim.Network) (f proxiedFigures) {
	st := newStage(t, n, contenderNamed(r.who).system(n, systems.InMemory), "origin")
	n.LinkAsym(st.front, st.server, reference.Up, reference.Down)
	target, _ := url.Parse("http://origin/")
	st.front.ServeHTTP(":80", &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport: st.front.HTTPClient().Transport,
		ErrorLog:  log.New(io.Discard, "", 0),
	})
	o, _ := st.client("client", reference)
	time.Sleep(10 * time.Second)
	draws := n.Rand("events")
	for range 100 {
		time.Sleep(poisson(10*time.Second, draws.Float64()))
		st.publish()
	}
	st.settle(o)
	d := st.delays(o)
	f.events, f.lost, f.p50, f.max = len(st.published), st.missing(o), quantile(d, 0.5), quantile(d, 1)
	return f
}

// seventhRun is a request of a client that has six streams open, as many as browsers give
// connections to a host.
type seventhRun struct{ protocol string }

type seventhFigures struct {
	err  error
	took time.Duration
}

func (r seventhRun) run(_ *testing.T, n *sim.Network) (f seventhFigures) {
	protocols := systems.HTTP1()
	if r.protocol == "HTTP/2" {
		protocols = systems.HTTP2()
	}
	f.err = systems.Seventh(n, 6, protocols)
	f.took = n.Elapsed() - time.Second // they open for a second
	return f
}
