package systems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// SidecarCalls is a service of plain net/http and its clients, with a sidecar on the host of each. Requests pass through both sidecars. The client makes one
// attempt of each call. Its sidecar knows the servers, and makes the further attempts. Without sidecars there is one server, and nobody repeats anything.
func SidecarCalls(n *sim.Network, sidecars bool) patterntest.Service {
	handler := func(app *patterntest.App) http.Handler { return calls{app} }
	if sidecars {
		return behindSidecars(n, handler, func(_ *sim.Host, c *http.Client, url string) patterntest.Ask { return asking(c, url) })
	}
	return patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			return serveHTTP(ctx, h, handler(app))
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := httpClient(ctx, h)
			context.AfterFunc(ctx, c.CloseIdleConnections)
			return asking(c, "http://"+servers[0]+"/")
		},
		Cancels: true, Streams: &patterntest.Streams{Halves: true},
	}
}

// behindSidecars is a service of three replicas. asks returns how a client asks its sidecar.
func behindSidecars(n *sim.Network, handler func(*patterntest.App) http.Handler, asks func(h *sim.Host, c *http.Client, url string) patterntest.Ask) patterntest.Service {
	return patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			return serveCalls(ctx, h, handler(app))
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := h.HTTPClient()
			to, err := outbound(ctx, n, h, servers, c)
			if err != nil {
				return func(context.Context, patterntest.Request) (string, error) {
					return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
				}
			}
			return asks(h, c, "http://"+to+"/")
		},
		Cancels: true, Drains: true, Replicas: 3, Streams: &patterntest.Streams{Halves: true, Buffer: 8 << 20}, // the buffers of three connections
		Retries: &patterntest.Retries{Percent: 10, Burst: 3},
		Bound:   10 * 40 * time.Millisecond, // at first a server that refuses connections, then the same as without sidecars
	}
}

// outbound runs the sidecar of a client, and returns the sidecar's address.
func outbound(ctx context.Context, n *sim.Network, h *sim.Host, servers []string, c *http.Client) (address string, err error) {
	l, err := h.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	up := &sidecar.Upstream{
		Name: "server", DialContext: narrow(h), Budget: &retry.Budget{Every: 24 * time.Hour}, Timeout: time.Hour,
		MaxAttempts: 3, Jitter: retry.Seeded(n.Rand(h.Name()).Uint64()),
		// Health checks detect a server that is gone or frozen. The few calls that it does not answer in time reveal a server that has become slow: the
		// sidecar chooses the server with the fewest calls in progress.
		Health:  sidecar.Health{Path: "/healthz", Interval: time.Second, Timeout: 500 * time.Millisecond, Down: 2},
		Outlier: sidecar.Outlier{Interval: 2 * time.Second, MinRequests: 1, MinReplicas: 2, FailurePercent: 50, MaxPercent: 34},
	}
	for _, s := range servers {
		up.Addrs = append(up.Addrs, s+":80")
	}
	p := &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: up}}}}
	go p.Serve(l)
	context.AfterFunc(ctx, func() {
		c.CloseIdleConnections()
		time.Sleep(time.Millisecond) // the sidecar ends last
		p.Close()
	})
	return l.Addr().String(), nil
}

// narrow returns a function that dials from h. Its sockets buffer little unread data, so a stream that its caller does not read waits at
// its server.
func narrow(h *sim.Host) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := h.DialContext(ctx, network, address)
		takesLittle(conn)
		return conn, err
	}
}

func takesLittle(conn net.Conn) {
	if c, ok := conn.(interface{ SetReadBuffer(bytes int) error }); ok {
		c.SetReadBuffer(64 << 10)
	}
}

// serveCalls serves with a sidecar in front until ctx is done, and then finishes the requests in progress.
func serveCalls(ctx context.Context, h *sim.Host, app http.Handler) error {
	outside, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	inside, err := h.Listen("tcp", ":8080")
	if err != nil {
		outside.Close()
		return err
	}
	web := &http.Server{Handler: withHealth(app), ErrorLog: log.New(io.Discard, "", 0)}
	p := &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: &sidecar.Upstream{
		Name: h.Name(), Addrs: []string{h.Name() + ":8080"}, DialContext: narrow(h), MaxAttempts: 1, Timeout: time.Hour,
	}}}}}
	var ended sync.WaitGroup
	ended.Go(func() { web.Serve(inside) })
	ended.Go(func() { p.Serve(outside) })
	<-ctx.Done()
	soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.Drain(soon) // afterwards the server has no request in progress either
	p.Close()
	web.Close()
	ended.Wait()
	return nil
}

// withHealth answers checks of the server's health.
func withHealth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			next.ServeHTTP(w, r)
		}
	})
}

// calls makes the application do the work of requests.
type calls struct{ app *patterntest.App }

func (s calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if length, err := strconv.Atoi(r.Header.Get(streamHeader)); err == nil {
		s.stream(w, r, length)
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var refusal *patterntest.Refusal
	switch answer, err := s.app.Do(r.Context(), string(data)); {
	case errors.As(err, &refusal):
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(refusal.RetryAfter/time.Second)))
		}
		w.Header().Set("Call-Outcome", "not-executed")
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		io.WriteString(w, answer)
	}
}

// streamHeader is a header of requests that a stream answers. It says how many bytes of the body are the beginning of the question.
const streamHeader = "Stream"

// stream answers by a stream, and ends the connection if the stream cannot be complete.
func (s calls) stream(w http.ResponseWriter, r *http.Request, length int) {
	out := flowing{w, http.NewResponseController(w)}
	out.ResponseController.EnableFullDuplex()
	data := make([]byte, min(length, 1<<20))
	if _, err := io.ReadFull(r.Body, data); err != nil {
		panic(http.ErrAbortHandler)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// A Write that waits does not notice that its caller has gone.
	defer context.AfterFunc(ctx, func() { out.SetWriteDeadline(time.Now()) })()
	switch err := s.app.Stream(ctx, string(data), readAhead(ctx, r.Body, cancel), out); {
	case errors.As(err, new(*patterntest.Refusal)):
		w.Header().Set("Call-Outcome", "not-executed")
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		panic(http.ErrAbortHandler)
	}
}

// An ahead reads up to 1 MiB of a body in advance, and calls gone if reading fails. Package http tells a handler that its caller has gone
// only after the whole body was read. A handler that works before it reads the body would otherwise work for nobody.
type ahead struct {
	parts chan []byte
	part  []byte // the rest of the part being read
	err   error  // the error after the last part
}

func readAhead(ctx context.Context, body io.Reader, gone func()) *ahead {
	a := &ahead{parts: make(chan []byte, 64)}
	go func() {
		defer close(a.parts)
		for {
			part := make([]byte, 16<<10)
			n, err := body.Read(part)
			if n > 0 {
				select {
				case a.parts <- part[:n]:
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			if err != nil {
				if a.err = err; err != io.EOF {
					gone()
				}
				return
			}
		}
	}()
	return a
}

// Read implements [io.Reader].
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.part) == 0 {
		part, ok := <-a.parts
		if !ok {
			return 0, a.err
		}
		a.part = part
	}
	n := copy(p, a.part)
	a.part = a.part[n:]
	return n, nil
}

// flowing sends data as soon as it is written.
type flowing struct {
	http.ResponseWriter
	*http.ResponseController
}

func (f flowing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = f.Flush()
	}
	return n, err
}

// asking makes one POST request for each question.
func asking(c *http.Client, url string) patterntest.Ask {
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+r.Object, strings.NewReader(r.Data))
		if err != nil {
			return "", err
		}
		if at, ok := ctx.Deadline(); ok {
			// A little less than the time left, so that the answer that it was too late does not itself arrive too late.
			req.Header.Set("Request-Timeout", strconv.FormatInt(max(time.Until(at).Milliseconds()-1, 0), 10))
		}
		if r.Into != nil {
			req.Header.Set(streamHeader, strconv.Itoa(len(r.Data)))
		}
		if r.More != nil {
			req.Body, req.ContentLength, req.GetBody = io.NopCloser(io.MultiReader(req.Body, r.More)), -1, nil
		}
		resp, err := c.Do(req)
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
			return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
		} else if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		if r.Into != nil && resp.StatusCode == http.StatusOK {
			_, err := io.Copy(r.Into, resp.Body)
			if ctx.Err() != nil {
				// net/http also learns at this instant that nobody waits. If the body were closed before net/http had ended the request,
				// the client of Go 1.27 would read on for 50 ms to keep the connection usable.
				time.Sleep(time.Nanosecond)
			}
			return "", err
		}
		answer, err := io.ReadAll(resp.Body)
		switch {
		case resp.Header.Get("Call-Outcome") == "not-executed", resp.StatusCode == http.StatusUnauthorized: // the client's session has ended in the meantime
			return "", fmt.Errorf("%w: %s: %s", patterntest.ErrNotExecuted, resp.Status, answer)
		case resp.StatusCode != http.StatusOK:
			return "", fmt.Errorf("%s: %s", resp.Status, answer)
		}
		return string(answer), err
	}
}
