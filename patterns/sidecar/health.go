package sidecar

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Health probes each replica, from [Proxy.Serve] until Close. An unhealthy replica gets no
// requests. A replica counts as healthy until its first probe.
type Health struct {
	// Path is requested with GET; an answer below 400 is good. Empty: a successful connection is
	// enough.
	Path string
	// Interval is the time between two probes. Zero: there are no probes, and all replicas are
	// healthy.
	Interval time.Duration
	// Timeout bounds the answer. Zero: 1 s, or Interval if that is less.
	Timeout time.Duration
	// Down is how many bad answers in a row make a healthy replica unhealthy. Zero: 3. A failing
	// replica is detected within Down x Interval + Timeout.
	Down int
	// Up is how many good answers in a row make it healthy again. Zero: 2.
	Up int
	// MinPercent is the share of the replicas that must be in use. Zero: 50. If fewer would be,
	// neither Health nor Outlier excludes any, because it is then more likely that the proxy cannot
	// reach them.
	MinPercent int
}

func (h Health) withDefaults() Health {
	h.Timeout = cmp.Or(h.Timeout, min(time.Second, h.Interval))
	h.Down = cmp.Or(h.Down, 3)
	h.Up = cmp.Or(h.Up, 2)
	h.MinPercent = cmp.Or(h.MinPercent, 50)
	return h
}

func (h Health) check(check *fields.Check) {
	if u, err := url.Parse(h.Path); err != nil || h.Path != "" && (h.Path[0] != '/' || u.Host != "") {
		check.Bad("Health.Path is %q: want a path, as in /healthz", h.Path)
	}
	check.Duration("Health.Interval", h.Interval)
	check.Duration("Health.Timeout", h.Timeout)
	check.Int("Health.Down", h.Down)
	check.Int("Health.Up", h.Up)
	checkPercent(check, "Health.MinPercent", h.MinPercent)
	if h.Interval > 0 && h.Timeout > h.Interval {
		check.Bad("Health.Timeout is %v: want at most Health.Interval, %v", h.Timeout, h.Interval)
	}
}

// watch probes until ctx is done.
func (up *Upstream) watch(ctx context.Context) {
	h := up.set.Health
	if h.Interval == 0 {
		return
	}
	for {
		up.ask(ctx, h)
		if sleep(ctx, h.Interval) != nil {
			return
		}
	}
}

// ask probes all replicas once, and returns when they have answered or Timeout is
// over.
func (up *Upstream) ask(ctx context.Context, h Health) (healthy int) {
	up.mu.Lock()
	replicas := up.replicas
	up.mu.Unlock()
	good := make([]bool, len(replicas))
	var all sync.WaitGroup
	for i, r := range replicas {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, time.Second))
			defer cancel()
			good[i] = up.well(ctx, r, h.Path) == nil
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return 0
	}
	for i, r := range replicas {
		up.learn(r, good[i], h)
		if good[i] {
			healthy++
		}
	}
	return healthy
}

// learn records a probe's answer.
func (up *Upstream) learn(r *replica, good bool, h Health) {
	up.mu.Lock()
	defer up.mu.Unlock()
	if good == r.healthy {
		r.row = 0
		return
	}
	r.row++
	if good && r.row >= h.Up || !good && r.row >= h.Down {
		r.healthy, r.row = good, 0
		up.log("the health of a replica has changed", "replica", r.addr, "healthy", good)
	}
}

// well probes one replica.
func (up *Upstream) well(ctx context.Context, r *replica, path string) error {
	nc, err := up.connect(ctx, r, up.protocol1())
	if err != nil {
		return err
	}
	defer nc.Close()
	if path == "" {
		return nil
	}
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	head := "GET " + path + " HTTP/1.1\r\nHost: " + up.Name + "\r\nUser-Agent: sidecar\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(nc, head); err != nil {
		return err
	}
	in := reader{src: nc, most: 16 << 10}
	answer, err := in.head()
	if err != nil {
		return err
	}
	var m message
	if err := parseAnswer(&m, answer, false); err != nil {
		return err
	}
	if m.status < 200 || m.status >= 400 {
		return errors.New(http.StatusText(m.status))
	}
	return nil
}

// Ready waits until at least one replica of each upstream answers, or returns ctx's error. An app
// that waits for it before it starts has a proxy to call, and a proxy that waits for it has an app.
// It can be called before Serve. It panics if Check returns an error.
func (p *Proxy) Ready(ctx context.Context) error {
	p.begin()
	for up := range p.config.Load().upstreams() {
		for up.ask(ctx, up.set.Health) == 0 {
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error { return retry.Sleep(ctx, d) }
