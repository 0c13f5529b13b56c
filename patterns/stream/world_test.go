package stream_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

const (
	epoch = 0xe9
	url   = "http://server/events"
)

var encodings = []stream.Encoding{stream.SSE, stream.NDJSON, stream.WebSocket}

func id(offset uint64) string { return eventlog.Cursor{Epoch: epoch, Offset: offset}.String() }

func memory() *eventlog.Memory { return eventlog.NewMemory(eventlog.Options{Epoch: epoch}) }

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

// world is one network: a server, and a host with HTTP clients of it, on a link without delay.
type world struct {
	*testing.T
	net    *sim.Network
	phone  *sim.Host
	server *http.Server
	start  time.Time
	dials  atomic.Int64
	cut    atomic.Int64 // bytes that a server's connection carries before it breaks; 0: all
}

// overHTTP2 is why two runs of a test may differ.
const overHTTP2 = "the goroutines of a connection of HTTP/2 race to write frames"

func inWorld(t *testing.T, f func(w *world), opts ...sim.Option) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := &world{T: t, net: n, phone: n.Host("phone"), start: time.Now()}
		n.Host("server")
		t.Cleanup(func() {
			if w.server != nil {
				settle() // clients, or streams by the end of a log
				w.server.Close()
			}
		})
		f(w)
		settle() // what f has closed ends streams
	}, opts...)
}

// smallBuffers leave what a client does not read with the server, but for a few kilobytes.
func smallBuffers() sim.Option {
	b := sim.TCPBuffer{Min: 4 << 10, Default: 4 << 10, Max: 4 << 10}
	return sim.WithTCP(sim.TCPConfig{SendBuffer: b, ReceiveBuffer: b, NoBufferTuning: true})
}

// serve starts a server; the one before, if any, ends.
func (w *world) serve(h http.Handler) *http.Server {
	return w.serveBy(&http.Server{Handler: h})
}

func (w *world) serveBy(s *http.Server) *http.Server {
	if w.server != nil {
		w.server.Close()
	}
	l, err := w.net.Host("server").Listen("tcp", ":80")
	require.NoError(w, err)
	w.server = s
	go s.Serve(&cutListener{l, w})
	settle()
	return s
}

// cutListener has the connections that it accepts break after as many bytes as the world says then.
type cutListener struct {
	net.Listener
	w *world
}

func (l *cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if cut := l.w.cut.Load(); err == nil && cut > 0 {
		return &cutConn{Conn: c, left: int(cut)}, nil
	}
	return c, err
}

// settle waits until all that can happen now has happened.
func settle() { time.Sleep(10 * time.Microsecond) }

// exact leaves out the microseconds of settle, and those that things on the network are apart
// which happen at one instant.
func exact(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// stream serves a stream. Without a Jitter of its own it draws nothing.
func (w *world) stream(s *stream.Server) *stream.Server {
	if s.Jitter == nil {
		s.Jitter = retry.NoJitter
	}
	if s.Log == nil {
		log := memory()
		w.Cleanup(func() {
			settle() // the clients have ended
			log.Close()
		})
		s.Log = log
	}
	w.serve(s.Handler())
	return s
}

// client is an HTTP client with connections of its own.
func (w *world) client() *http.Client {
	c := w.phone.HTTPClient()
	tr := c.Transport.(*http.Transport)
	tr.IdleConnTimeout = 0 // at which net/http forgets a connection of HTTP/2, even one with a stream
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.dials.Add(1)
		return dial(ctx, network, addr)
	}
	w.Cleanup(tr.CloseIdleConnections)
	return c
}

func (w *world) elapsed() time.Duration { return exact(w.net.Elapsed()) }

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

// receive runs a client in the background, and lets a nanosecond pass: of clients that begin at one instant, any may be the first.
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
	time.Sleep(1)
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
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *receiver) resets() []stream.Reset {
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

func (r *receiver) position() string {
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// retries are the delays before connections so far.
func (r *receiver) retries() []time.Duration {
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.delays)
}

func (r *receiver) failures() []string {
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failed)
}

// result is what Run returned, and whether it has.
func (r *receiver) result() (error, bool) {
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end, r.ended
}

func settled[S any](of interface{ Stats() S }) S {
	settle()
	return of.Stats()
}

// publish makes one event per word, of topic "t".
func publish(t require.TestingT, s *stream.Server, data ...string) {
	for _, d := range data {
		publishTo(t, s, "t", d)
	}
}

// publishTo makes an event, and lets a nanosecond pass: how many events of one instant a stream writes at once, and whether
// what comes next at that instant finds them written, is the runtime's choice.
func publishTo(t require.TestingT, s *stream.Server, topic, data string) {
	_, err := s.Publish(context.Background(), topic, []byte(data))
	require.NoError(t, err)
	time.Sleep(1)
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
