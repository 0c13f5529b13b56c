package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// world is an app with a sidecar for what it calls, on one host, and the replicas of a service, each on its own, 40 ms away. Where nothing
// waits a call takes 80 ms, and 160 ms with a new connection.
type world struct {
	t        *testing.T
	n        *sim.Network
	app      *sim.Host
	up       *sidecar.Upstream
	proxy    *sidecar.Proxy
	replicas []*replica
	http     *http.Client
}

// replica is one of the service, and what it was sent.
type replica struct {
	host    *sim.Host
	link    *sim.Link
	server  *http.Server
	begun   atomic.Int64
	keys    sync.Map // effects by key
	effects atomic.Int64
	handle  atomic.Pointer[http.HandlerFunc]
}

// does has it do something else; nil: answer with its name.
func (r *replica) does(f http.HandlerFunc) {
	if f == nil {
		r.handle.Store(nil)
		return
	}
	r.handle.Store(&f)
}

// answers has it answer with a status.
func (r *replica) answers(status int) {
	r.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// start makes a world in which the sidecar runs. An option changes what is called.
func start(t *testing.T, n *sim.Network, replicas int, options ...func(*sidecar.Upstream)) *world {
	w := &world{t: t, n: n, app: n.Host("app")}
	w.up = w.service("service", replicas, options...)
	w.proxy = &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: w.up}}}}
	w.run()
	return w
}

// service starts replicas of a service, and returns it as an upstream.
func (w *world) service(name string, replicas int, options ...func(*sidecar.Upstream)) *sidecar.Upstream {
	up := &sidecar.Upstream{
		Name: name, DialContext: w.app.DialContext, Jitter: retry.Seeded(w.n.Seed()), Balance: sidecar.RoundRobin,
	}
	for i := range replicas {
		r := &replica{host: w.n.Host(fmt.Sprintf("%s%d", name, i))}
		r.link = w.n.Link(w.app, r.host, scenario.Good)
		r.server = r.host.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			r.begun.Add(1)
			if f := r.handle.Load(); f != nil {
				(*f)(w, req)
				return
			}
			io.WriteString(w, r.host.Name())
		}))
		w.replicas = append(w.replicas, r)
		up.Addrs = append(up.Addrs, r.host.Name()+":80")
	}
	for _, o := range options {
		o(up)
	}
	return up
}

// run runs the sidecar as a process of the app's host, port 15001.
func (w *world) run() {
	listening := make(chan struct{}, 100)
	w.app.Run("sidecar", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":15001")
		if err != nil {
			return err
		}
		p := &sidecar.Proxy{Config: w.proxy.Config, Credentials: w.proxy.Credentials, TLS: w.proxy.TLS, DrainQuiet: w.proxy.DrainQuiet}
		w.proxy = p
		defer context.AfterFunc(ctx, func() { p.Close() })()
		listening <- struct{}{}
		p.Serve(l)
		<-ctx.Done()
		return p.Close()
	})
	<-listening
	time.Sleep(1)
	w.http = w.app.HTTPClient()
	w.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 1000
}

// begun is how many requests all replicas were sent.
func (w *world) begun() (all int64) {
	for _, r := range w.replicas {
		all += r.begun.Load()
	}
	return all
}

// answer is what a call came to.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
	took   time.Duration
}

// status of no answer at all.
const none = 0

// call calls through the sidecar. Headers come in pairs.
func (w *world) call(method, body string, headers ...string) answer {
	return w.callWith(context.Background(), method, body, headers...)
}

func (w *world) callWith(ctx context.Context, method, body string, headers ...string) answer {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://app:15001/", r)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	begin := w.n.Elapsed()
	resp, err := w.http.Do(req)
	a := answer{err: err}
	if err == nil {
		var b []byte
		b, a.err = io.ReadAll(resp.Body)
		resp.Body.Close()
		a.status, a.body, a.header = resp.StatusCode, string(b), resp.Header
	}
	a.took = round(w.n.Elapsed() - begin)
	return a
}

func (w *world) get() answer { return w.call(http.MethodGet, "") }

// round takes off the nanoseconds by which packets of one instant are apart.
func round(d time.Duration) time.Duration { return d.Truncate(time.Microsecond) }

// each has k callers call at once, a nanosecond apart, and counts the answers by status.
func (w *world) each(k int, call func() answer) map[int]int {
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range k {
		time.Sleep(1)
		all.Go(func() {
			a := call()
			mu.Lock()
			got[a.status]++
			mu.Unlock()
		})
	}
	all.Wait()
	return got
}

// error of the proxy's own answer, by RFC 9209.
func (a answer) proxyError() string {
	return strings.TrimPrefix(a.header.Get("Proxy-Status"), "sidecar; error=")
}

func (w *world) mustBe(a answer, status int, took time.Duration) {
	w.t.Helper()
	require.NoError(w.t, a.err)
	require.Equal(w.t, status, a.status, a.body)
	require.Equal(w.t, took, a.took)
}

const (
	ms  = time.Millisecond
	sec = time.Second
)
