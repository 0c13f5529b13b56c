package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
)

const (
	epoch = 0xe9
	url   = "http://server/events"
)

var encodings = []stream.Encoding{stream.SSE, stream.NDJSON, stream.WebSocket}

func id(offset uint64) string { return eventlog.Cursor{Epoch: epoch, Offset: offset}.String() }

func memory() *eventlog.Memory { return eventlog.NewMemory(eventlog.Options{Epoch: epoch}) }

// pipes is a network without delay: each connection is a net.Pipe, on which a write
// takes until it is read, and deadlines work.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()

	mu    sync.Mutex
	cut   int // bytes that a server's connection carries before it breaks; 0: all
	dials int
}

func newPipes() *pipes {
	p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

// cutAfter has the connections that are made from now on break when the server has
// sent so many bytes. Zero: not at all.
func (p *pipes) cutAfter(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = bytes
}

func (p *pipes) dialed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	p.mu.Lock()
	p.dials++
	if p.cut > 0 {
		server = &cutConn{Conn: server, left: p.cut}
	}
	p.mu.Unlock()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

// cutConn breaks after so many bytes written.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	n, err := c.Conn.Write(b[:n])
	if err == nil && n < len(b) {
		c.Conn.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

// world is one bubble: a server on pipes, and HTTP clients of it.
type world struct {
	*testing.T
	server *http.Server
	start  time.Time

	mu  sync.Mutex
	net *pipes // of the server of the moment
}

func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, start: time.Now()}
		t.Cleanup(func() {
			if w.server != nil {
				w.server.Close()
			}
			time.Sleep(time.Minute) // for what waits for an end
		})
		f(w)
	})
}

// serve starts a server; the one before, if any, ends.
func (w *world) serve(h http.Handler) *http.Server {
	return w.serveBy(&http.Server{Handler: h})
}

func (w *world) serveBy(s *http.Server) *http.Server {
	if w.server != nil {
		w.server.Close()
	}
	net := newPipes()
	w.mu.Lock()
	w.net = net
	w.mu.Unlock()
	w.server = s
	go s.Serve(net)
	return s
}

// stream serves a stream.
func (w *world) stream(s *stream.Server) *stream.Server {
	if s.Log == nil {
		log := memory()
		w.Cleanup(func() { log.Close() })
		s.Log = log
	}
	w.serve(s.Handler())
	return s
}

// client is an HTTP client with connections of its own, to the server of the moment.
func (w *world) client() *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.mu.Lock()
		net := w.net
		w.mu.Unlock()
		return net.DialContext(ctx, network, addr)
	}}
	w.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w *world) elapsed() time.Duration { return time.Since(w.start) }

// receiver is a client in a Run, and what it got.
type receiver struct {
	*stream.Client
	stop func() // ends the Run and waits

	mu     sync.Mutex
	events []stream.Event
	told   []stream.Reset
	at     string // the position
	failed []string
	delays []time.Duration
	end    error
	ended  bool
}

// most draws the most there is: delays are the shortest, and hints the longest.
func most(max time.Duration) time.Duration { return max }

// receive runs a client in the background.
func (w *world) receive(c *stream.Client) *receiver {
	r := &receiver{Client: c, at: c.LastEventID}
	if c.URL == "" {
		c.URL = url
	}
	if c.HTTP == nil {
		c.HTTP = w.client()
	}
	if c.Jitter == nil {
		c.Jitter = retry.NoJitter
	}
	locked := func(f func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
	}
	c.OnReset = func(_ context.Context, reset stream.Reset) error {
		locked(func() { r.told = append(r.told, reset); r.at = reset.ID })
		return nil
	}
	c.OnPosition = func(id string) { locked(func() { r.at = id }) }
	c.OnRetry = func(err error, delay time.Duration) {
		locked(func() { r.failed = append(r.failed, err.Error()); r.delays = append(r.delays, delay) })
	}
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := c.Run(ctx, func(_ context.Context, e stream.Event) error {
			locked(func() { r.events = append(r.events, e); r.at = e.ID })
			return nil
		})
		locked(func() { r.end, r.ended = err, true })
	}()
	r.stop = func() { cancel(); <-done }
	w.Cleanup(r.stop)
	return r
}

// got is the data of the events so far.
func (r *receiver) got() (all []string) {
	for _, e := range r.all() {
		all = append(all, e.Data)
	}
	return all
}

func (r *receiver) all() []stream.Event {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *receiver) resets() []stream.Reset {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

func (r *receiver) position() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// retries are the delays before connections so far.
func (r *receiver) retries() []time.Duration {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.delays)
}

func (r *receiver) failures() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failed)
}

// result is what Run returned, and whether it has.
func (r *receiver) result() (error, bool) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end, r.ended
}

func settled[S any](of interface{ Stats() S }) S {
	synctest.Wait()
	return of.Stats()
}

// publish makes one event per word, of topic "t".
func publish(t require.TestingT, s *stream.Server, data ...string) {
	for _, d := range data {
		_, err := s.Publish(context.Background(), "t", []byte(d))
		require.NoError(t, err)
	}
}

func numbered(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint("e", i))
	}
	return all
}

// get opens a stream by hand.
func (w *world) get(query string, header http.Header) *http.Response {
	return w.getWith(w.Context(), query, header)
}

func (w *world) getWith(ctx context.Context, query string, header http.Header) *http.Response {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+query, nil)
	require.NoError(w, err)
	if header != nil {
		req.Header = header
	}
	resp, err := w.client().Do(req)
	require.NoError(w, err)
	w.Cleanup(func() { resp.Body.Close() })
	return resp
}

// A download is a response that is read for a while. Its request is cancelled then: to close
// the body while it is read does not do in a bubble. Since Go 1.27 net/http waits up to 50 ms
// for what is left of it (golang/go#77370), with a goroutine that waits for the mutex which the
// Read holds, and while one waits for a mutex the 50 ms do not pass.
type download struct {
	*http.Response
	cancel context.CancelFunc
}

func (w *world) download(query string, header http.Header) download {
	ctx, cancel := context.WithCancel(w.Context())
	return download{w.getWith(ctx, query, header), cancel}
}

// readFor is what comes within d.
func (l download) readFor(d time.Duration) string {
	t := time.AfterFunc(d, l.cancel)
	defer t.Stop()
	var b strings.Builder
	io.Copy(&b, l.Body)
	return b.String()
}
