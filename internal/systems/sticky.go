package systems

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	neturl "net/url"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/session"
	"github.com/squall-sim/squall/sim"
)

// SessionSticky is the application of Session on three replicas, each with its own sessions in memory. A router on each client's host passes the
// client's requests on to the same replica every time. The router checks whether a replica works by health requests, and not by the outcome of the
// client's requests, so a replica that is only slow keeps its clients. A client whose replica is gone gets another one and a new session. Such a
// service cannot promise to keep objects in sessions, and does not.
func SessionSticky(*sim.Network) patterntest.Service {
	jars := jars{}
	return patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			m := &session.Manager{Insecure: true, Store: &session.Memory{}}
			return patterntest.ServeHTTP(ctx, h, withHealth(m.Handler(counted(app))))
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := h.HTTPClient()
			c.Jar = jars.of(h)
			to, err := stickyRouter(ctx, h, servers)
			if err != nil {
				return func(context.Context, patterntest.Request) (string, error) {
					return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
				}
			}
			context.AfterFunc(ctx, c.CloseIdleConnections)
			return asking(c, "http://"+to+"/")
		},
		Cancels:  true,
		Replicas: 3,
	}
}

// stickyRouter runs a router on h, and returns its address.
func stickyRouter(ctx context.Context, h *sim.Host, servers []string) (address string, err error) {
	l, err := h.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	r := &replicas{all: servers, to: map[string]*httputil.ReverseProxy{}, down: map[string]int{}}
	for i, name := range servers {
		transport := h.HTTPClient().Transport.(*http.Transport)
		target := &neturl.URL{Scheme: "http", Host: name}
		r.to[name] = &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }, Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
		}
		time.AfterFunc(time.Duration(i+1)*time.Millisecond, func() { r.watch(ctx, h, name, transport) }) // one after another
	}
	b := &session.Sticky{Insecure: true, Replicas: r.alive, To: func(name string) http.Handler { return r.to[name] }}
	srv := &http.Server{Handler: b.Handler(), ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(l)
	context.AfterFunc(ctx, func() { srv.Close() })
	return l.Addr().String(), nil
}

// replicas are the replicas that a router knows.
type replicas struct {
	all []string
	to  map[string]*httputil.ReverseProxy

	mu   sync.Mutex
	down map[string]int // how many times in a row a replica has not answered
}

// alive returns the replicas that have answered recently.
func (r *replicas) alive() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.all), func(name string) bool { return r.down[name] >= 2 })
}

// watch asks a replica every second whether it works, over a separate connection, until ctx is done. If the replica does not work, its other
// connections are not used again.
func (r *replicas) watch(ctx context.Context, h *sim.Host, name string, others *http.Transport) {
	c := h.HTTPClient()
	c.Timeout = 500 * time.Millisecond
	for ctx.Err() == nil {
		resp, err := c.Get("http://" + name + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		r.mu.Lock()
		if r.down[name]++; err == nil {
			r.down[name] = 0
		}
		gone := r.down[name] == 2
		r.mu.Unlock()
		if gone {
			others.CloseIdleConnections()
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	c.CloseIdleConnections()
	others.CloseIdleConnections()
}
