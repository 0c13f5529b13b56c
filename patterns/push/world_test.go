package push_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	goleak.VerifyTestMain(m)
}

// tb is what the helpers need of a test: *testing.T and *rapid.T have it.
type tb interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// options are the settings of a server, for each of its incarnations.
type options struct {
	Authenticate                        func(*http.Request) (access.Identity, error)
	Snapshot                            func(context.Context, access.Identity) ([]byte, error)
	OnAck                               func(client string, c eventlog.Cursor)
	CoalesceKey                         func(topic string, data []byte) string
	Slow                                push.SlowPolicy
	MaxQueue, MaxQueueBytes             int
	Window, WindowBytes                 int
	MaxClients                          int
	PingInterval, PingTimeout           time.Duration
	WriteTimeout, MaxBlock, RetrySpread time.Duration
	Logger                              *slog.Logger
}

func (o options) server(log eventlog.Log) *push.Server {
	return &push.Server{
		Log: log, Authenticate: o.Authenticate, Snapshot: o.Snapshot, OnAck: o.OnAck, CoalesceKey: o.CoalesceKey,
		Slow: o.Slow, MaxQueue: o.MaxQueue, MaxQueueBytes: o.MaxQueueBytes, Window: o.Window, WindowBytes: o.WindowBytes,
		MaxClients: o.MaxClients, PingInterval: o.PingInterval, PingTimeout: o.PingTimeout,
		WriteTimeout: o.WriteTimeout, MaxBlock: o.MaxBlock, RetrySpread: o.RetrySpread, Logger: o.Logger,
	}
}

// world is a server and the network that leads to it.
type world struct {
	t      tb
	log    eventlog.Log
	opts   options
	net    *pipes // nil over TCP
	url    string
	http   *http.Client
	listen func() net.Listener
	cut    func()

	srv  *push.Server
	web  *http.Server
	done chan struct{}
}

// inBubble runs f on a network in memory and in virtual time.
func inBubble(t *testing.T, delay time.Duration, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// For what a failed test leaves behind, once its context is cancelled.
		t.Cleanup(func() { time.Sleep(time.Hour) })
		w := onPipes(t, delay)
		defer w.stop()
		f(t, w)
	})
}

func onPipes(t tb, delay time.Duration) *world {
	p := newPipes(delay)
	return &world{
		t: t, net: p, url: "ws://server/push", http: p.HTTPClient(),
		listen: p.Listen, cut: p.Cut,
		log: eventlog.NewMemory(eventlog.Options{Epoch: 0xe1}),
	}
}

// everywhere runs f in a bubble and on real TCP over loopback. It must not
// depend on exact times.
func everywhere(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("pipes in a bubble", func(t *testing.T) { inBubble(t, time.Millisecond, f) })
	t.Run("loopback TCP", func(t *testing.T) {
		var l *tracked
		transport := &http.Transport{DisableKeepAlives: true}
		w := &world{
			t: t, http: &http.Client{Transport: transport},
			log: eventlog.NewMemory(eventlog.Options{Epoch: 0xe1}),
			cut: func() { l.cut() },
		}
		addr := "127.0.0.1:0"
		w.listen = func() net.Listener {
			inner, err := net.Listen("tcp", addr)
			require.NoError(t, err)
			addr = inner.Addr().String()
			w.url = "ws://" + addr + "/push"
			l = &tracked{Listener: inner}
			return l
		}
		defer w.stop()
		f(t, w)
	})
}

// tracked is a listener that can reset the connections it has accepted.
type tracked struct {
	net.Listener
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (l *tracked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c.(*net.TCPConn))
		l.mu.Unlock()
	}
	return c, err
}

func (l *tracked) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.SetLinger(0)
		c.Close()
	}
	l.conns = nil
}

// start starts a server on the world's log.
func (w *world) start() *push.Server {
	w.t.Helper()
	srv := w.opts.server(w.log)
	w.serve(srv.Handler())
	w.srv = srv
	return srv
}

func (w *world) serve(h http.Handler) {
	w.web = &http.Server{Handler: h, ErrorLog: log.New(quiet{}, "", 0)}
	l, done := w.listen(), make(chan struct{})
	web := w.web
	go func() {
		web.Serve(l)
		close(done)
	}()
	w.done = done
}

type quiet struct{}

func (quiet) Write(b []byte) (int, error) { return len(b), nil }

// stop ends the server as a crash does: connections break, the log stays.
func (w *world) stop() {
	if w.web == nil {
		return
	}
	w.web.Close()
	if w.srv != nil {
		w.srv.Close()
	}
	<-w.done
	w.web, w.srv = nil, nil
}

func (w *world) publish(topic string, ttl time.Duration, data string) push.Receipt {
	w.t.Helper()
	r, err := w.srv.Publish(w.t.Context(), push.Message{Topic: topic, TTL: ttl, Data: []byte(data)})
	require.NoError(w.t, err)
	return r
}

// phone is a client and what it has seen.
type phone struct {
	*push.Client
	OnEvent func(context.Context, push.Event) error
	t       tb
	seen    chan string // every call of a handler, as text
	cancel  context.CancelFunc
	result  chan error
}

// shortest draws the most that there is, by which a delay is shortened.
func shortest(max time.Duration) time.Duration { return max }

// phone returns a client that is not running yet. Its delays are the shortest.
func (w *world) phone(id string) *phone {
	p := &phone{t: w.t, seen: make(chan string, 100_000)}
	p.OnEvent = func(_ context.Context, e push.Event) error {
		p.seen <- strings.TrimPrefix(e.Topic+":"+string(e.Data), ":")
		return nil
	}
	p.Client = &push.Client{
		URL: w.url, ID: id, HTTP: w.http,
		Jitter: shortest, Backoff: retry.Backoff{Min: 10 * time.Millisecond},
		OnReset: func(_ context.Context, r push.Reset) error {
			p.seen <- strings.TrimSuffix(fmt.Sprintf("reset %s %s", r.Reason, r.Snapshot), " ")
			return nil
		},
		OnGap: func(_ context.Context, g push.Gap) error {
			p.seen <- fmt.Sprintf("gap %d oversized=%v", g.Skipped, g.Oversized)
			return nil
		},
	}
	return p
}

func (p *phone) on() {
	ctx, cancel := context.WithCancel(p.t.Context())
	p.cancel, p.result = cancel, make(chan error, 1)
	go func() { p.result <- p.Run(ctx, p.OnEvent) }()
}

// off ends Run and returns its error.
func (p *phone) off() error {
	p.cancel()
	return <-p.result
}

// ended waits for Run to end by itself, and returns its error.
func (p *phone) ended() error {
	p.t.Helper()
	select {
	case err := <-p.result:
		return err
	case <-time.After(time.Minute):
		require.Fail(p.t, "Run goes on")
		return nil
	}
}

// wants waits for exactly these calls of the handlers.
func (p *phone) wants(want ...string) {
	p.t.Helper()
	for _, text := range want {
		select {
		case got := <-p.seen:
			require.Equal(p.t, text, got)
		case <-time.After(time.Minute):
			require.Fail(p.t, "the client waits", "for %q", text)
		}
	}
}

// next is what a handler is called with next.
func (p *phone) next() string {
	p.t.Helper()
	select {
	case got := <-p.seen:
		return got
	case <-time.After(time.Minute):
		require.Fail(p.t, "the client waits")
		return ""
	}
}

// idle fails if a handler was called.
func (p *phone) idle() {
	p.t.Helper()
	select {
	case got := <-p.seen:
		require.Fail(p.t, "unexpected", "the client got %q", got)
	default:
	}
}

// online waits until the client is connected and live.
func (w *world) online(clients ...string) {
	w.t.Helper()
	w.eventually("clients online", func() bool {
		for _, c := range clients {
			if !w.srv.Online(c) {
				return false
			}
		}
		s := w.srv.Stats()
		return s.Live == s.Sessions
	})
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for range 20_000 {
		if f() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	require.Fail(w.t, "never happened", what)
}
