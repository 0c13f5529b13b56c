package sidecar

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Errors of a Proxy that was closed or drained.
var (
	ErrClosed   = errors.New("sidecar: the proxy is closed")
	ErrDraining = errors.New("sidecar: the proxy is drained")
)

// Proxy stands between clients and the replicas of upstreams. An app has two: one for incoming
// requests, whose only upstream is the app, and one for the app's own calls. Do not change or copy
// it after first use.
type Proxy struct {
	// Config is the initial configuration; Configure replaces it.
	Config Config
	// TLS is for the connections of clients. Nil: plain connections. Credentials takes precedence,
	// and requires client certificates.
	TLS         *tls.Config
	Credentials *Credentials

	// HeaderTimeout bounds a TLS handshake, and the head of a request from its first byte on. Zero:
	// 10 s. Then the connection is closed.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a client's connection is kept without a request. Zero: 3 min. It must
	// be longer than that of its clients (net/http: 90 s), so that they close first.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the head of a request or answer. Zero: 64 KiB. At most 1 MiB. A larger
	// request is answered with 431.
	MaxHeaderBytes int
	// MaxClients bounds the connections of clients; further ones are closed at once.
	// Zero: 100,000.
	MaxClients int
	// DrainQuiet is the time without a request after which Drain ends. Zero: 1 s.
	DrainQuiet time.Duration

	// Logger gets refused connections as warnings. Nil: nothing is logged.
	Logger *slog.Logger

	once      sync.Once
	set       proxySettings
	config    atomic.Pointer[Config]
	draining  atomic.Bool
	ctx       context.Context // ended by Close
	stop      context.CancelFunc
	h2        *http.Server
	h2conns   chan net.Conn
	stats     proxyStats
	running   sync.WaitGroup
	mu        sync.Mutex
	ending    error // what Serve returns
	listeners map[net.Listener]bool
	conns     map[net.Conn]int64 // with their numbers, so that Close closes them in an order
	last      int64              // of the numbers
	watches   map[*Upstream]context.CancelFunc
}

type proxySettings struct {
	HeaderTimeout, IdleTimeout, DrainQuiet time.Duration
	MaxHeaderBytes, MaxClients             int
}

// Config is the routing of requests. A request stays under one Config from its head to its end,
// even if Configure is called in the meantime.
type Config struct {
	// Routes are tried in order; the first match gets the request. If none matches, the answer is
	// 404.
	Routes []Route
	// TCP is where connections go without being parsed. There must be no Routes then.
	TCP *Upstream
}

// Route selects the requests that go to an upstream.
type Route struct {
	// Host is the host of the request, without a port and case-insensitive.
	// Empty: any.
	Host string
	// Prefix is a prefix of its path: "/api" matches "/api", "/api/..." and "/api?...", but not
	// "/apiary". Empty: any.
	Prefix   string
	Upstream *Upstream // never nil
}

// ProxyStats are the counters of a Proxy.
type ProxyStats struct {
	// Clients is the number of open connections. Connections counts all so far.
	Clients, Connections int64
	// Requests counts requests that were passed on, or should have been. Failed counts those of
	// them that got an answer of the proxy's own, and Refused requests that are not HTTP/1.1 or
	// have no route.
	Requests, Failed, Refused int64
	// Full counts connections closed because of MaxClients.
	Full int64
}

type proxyStats struct{ connections, requests, failed, refused, full atomic.Int64 }

// Check returns an error that names each invalid setting and its value, or nil.
func (p *Proxy) Check() error {
	check := fields.Of("sidecar: Proxy")
	check.Duration("HeaderTimeout", p.HeaderTimeout)
	check.Duration("IdleTimeout", p.IdleTimeout)
	check.Duration("DrainQuiet", p.DrainQuiet)
	check.Int("MaxClients", p.MaxClients)
	if p.MaxHeaderBytes < 0 || p.MaxHeaderBytes > 1<<20 {
		check.Bad("MaxHeaderBytes is %d: want 0 for the default, or up to 1 MiB, %d", p.MaxHeaderBytes, 1<<20)
	}
	if err := p.Config.Check(); err != nil {
		check.Bad("Config: %w", err)
	}
	return check.Err()
}

// Check returns an error that names each invalid setting, including those of
// its upstreams, or nil.
func (c *Config) Check() error {
	check := fields.Of("sidecar: Config")
	if (c.TCP == nil) == (len(c.Routes) == 0) {
		check.Bad("Routes has %d elements and TCP is set: %v: want one of them", len(c.Routes), c.TCP != nil)
	}
	for i, r := range c.Routes {
		switch {
		case r.Upstream == nil:
			check.Bad("Routes[%d].Upstream is nil: want one", i)
		case r.Prefix != "" && r.Prefix[0] != '/':
			check.Bad("Routes[%d].Prefix is %q: want a path, as in /api", i, r.Prefix)
		case strings.ContainsAny(r.Host, ":/ ") && !strings.HasPrefix(r.Host, "["):
			check.Bad("Routes[%d].Host is %q: want a name without a port", i, r.Host)
		}
	}
	for up := range c.upstreams() {
		if err := up.Check(); err != nil {
			check.Bad("Upstream %q: %w", up.Name, err)
		}
	}
	return check.Err()
}

// upstreams yields each once.
func (c *Config) upstreams() func(yield func(*Upstream) bool) {
	return func(yield func(*Upstream) bool) {
		seen := map[*Upstream]bool{}
		if c.TCP != nil && !yield(c.TCP) {
			return
		}
		for _, r := range c.Routes {
			if r.Upstream != nil && !seen[r.Upstream] {
				seen[r.Upstream] = true
				if !yield(r.Upstream) {
					return
				}
			}
		}
	}
}

// begin makes it ready at first use. It panics if Check returns an error.
func (p *Proxy) begin() {
	p.once.Do(func() {
		if err := p.Check(); err != nil {
			panic(err.Error())
		}
		p.set = proxySettings{
			HeaderTimeout:  cmp.Or(p.HeaderTimeout, 10*time.Second),
			IdleTimeout:    cmp.Or(p.IdleTimeout, 3*time.Minute),
			DrainQuiet:     cmp.Or(p.DrainQuiet, time.Second),
			MaxHeaderBytes: cmp.Or(p.MaxHeaderBytes, 64<<10),
			MaxClients:     cmp.Or(p.MaxClients, 100_000),
		}
		p.ctx, p.stop = context.WithCancel(context.Background())
		p.listeners, p.conns, p.watches = map[net.Listener]bool{}, map[net.Conn]int64{}, map[*Upstream]context.CancelFunc{}
		p.beginHTTP2()
		p.use(p.Config)
	})
}

// Configure replaces the configuration. Requests that have begun end under the old one, all others
// use the new one, and none uses both. An [Upstream] that is in both keeps its state. If c is
// invalid, Configure returns an error and changes nothing.
func (p *Proxy) Configure(c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	p.begin()
	if now := p.config.Load(); (now.TCP == nil) != (c.TCP == nil) {
		return errors.New("sidecar: Proxy.Configure: TCP is set in one of them: want it in both or none")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.use(c)
	return nil
}

// use makes c the configuration, and has the health of its upstreams watched.
func (p *Proxy) use(c Config) {
	c.Routes = append([]Route(nil), c.Routes...)
	kept := map[*Upstream]bool{}
	for up := range c.upstreams() {
		up.begin()
		kept[up] = true
		if p.watches[up] == nil && p.ctx.Err() == nil {
			ctx, cancel := context.WithCancel(p.ctx)
			p.watches[up] = cancel
			p.running.Go(func() { up.watch(ctx) })
		}
	}
	p.config.Store(&c)
	for up, cancel := range p.watches {
		if !kept[up] {
			cancel()
			delete(p.watches, up)
		}
	}
}

// route returns the upstream of a request, or nil.
func (p *Proxy) route(host, target []byte) *Upstream {
	name := host
	if at := bytes.LastIndexByte(name, ':'); at >= 0 && bytes.IndexByte(name[at:], ']') < 0 {
		name = name[:at]
	}
	for _, r := range p.config.Load().Routes {
		if r.Host != "" && !strings.EqualFold(r.Host, string(name)) {
			continue
		}
		if rest, ok := bytes.CutPrefix(target, []byte(r.Prefix)); ok &&
			(len(rest) == 0 || rest[0] == '/' || rest[0] == '?' || r.Prefix == "" || strings.HasSuffix(r.Prefix, "/")) {
			return r.Upstream
		}
	}
	return nil
}

// Serve serves the connections of a listener until that fails, or until Drain or Close ends it,
// when it returns [ErrDraining] or [ErrClosed]. It can be called for several listeners. It panics
// if Check returns an error.
func (p *Proxy) Serve(l net.Listener) error {
	p.begin()
	p.mu.Lock()
	if err := p.ending; err != nil {
		p.mu.Unlock()
		l.Close()
		return err
	}
	p.listeners[l] = true
	p.mu.Unlock()
	defer func() {
		l.Close()
		p.mu.Lock()
		delete(p.listeners, l)
		p.mu.Unlock()
	}()
	for {
		nc, err := l.Accept()
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.ending != nil {
				return p.ending
			}
			return err
		}
		p.stats.connections.Add(1)
		if !p.hold(nc) {
			nc.Close()
			continue
		}
		p.running.Go(func() {
			defer p.release(nc)
			p.serveConn(nc)
		})
	}
}

// hold takes note of a connection, so that Close closes it.
func (p *Proxy) hold(nc net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	if len(p.conns) >= p.set.MaxClients {
		p.stats.full.Add(1)
		return false
	}
	p.number(nc)
	return true
}

// number takes note of a connection. p.mu is held.
func (p *Proxy) number(nc net.Conn) {
	p.last++
	p.conns[nc] = p.last
}

func (p *Proxy) release(nc net.Conn) {
	p.mu.Lock()
	delete(p.conns, nc)
	p.mu.Unlock()
}

func (p *Proxy) serveConn(nc net.Conn) {
	if cfg := p.tlsConfig(); cfg != nil {
		secure := tls.Server(nc, cfg)
		ctx, cancel := context.WithTimeout(p.ctx, p.set.HeaderTimeout)
		err := secure.HandshakeContext(ctx)
		cancel()
		if err != nil {
			nc.Close()
			if p.Logger != nil {
				p.Logger.Warn("sidecar: a client is refused", "client", nc.RemoteAddr().String(), "error", err)
			}
			return
		}
		nc = secure
		if secure.ConnectionState().NegotiatedProtocol == "h2" && p.config.Load().TCP == nil {
			p.serveHTTP2(nc)
			return
		}
	}
	if p.config.Load().TCP != nil {
		p.serveTCP(nc)
		return
	}
	c := &client{p: p, nc: nc, in: reader{src: nc, most: p.set.MaxHeaderBytes}}
	c.serve()
}

func (p *Proxy) tlsConfig() *tls.Config {
	if p.Credentials != nil {
		return p.Credentials.Server()
	}
	return p.TLS
}

// idleTimeout is how long an idle connection is kept: shorter while draining.
func (p *Proxy) idleTimeout() time.Duration {
	if p.draining.Load() {
		return p.set.DrainQuiet
	}
	return p.set.IdleTimeout
}

// Drain ends the proxy without loss. It continues to serve, even new connections, because clients
// learn late that it is going, and an app that shuts down makes its last calls. Each answer asks
// its client to close the connection. When there was no request for DrainQuiet, Drain closes what
// is left and returns. If ctx is done first, it closes everything and returns ctx's error. Long
// streams last until then.
func (p *Proxy) Drain(ctx context.Context) error {
	p.begin()
	p.draining.Store(true)
	quiet := p.set.DrainQuiet
	seen, since := int64(-1), time.Now()
	for time.Since(since) < quiet {
		if now := p.stats.requests.Load(); now != seen || p.busy() > 0 {
			seen, since = now, time.Now()
		}
		if err := sleep(ctx, quiet/4); err != nil {
			p.Close()
			return err
		}
	}
	p.end(ErrDraining)
	err := p.h2.Shutdown(ctx)
	p.Close()
	return err
}

// busy is the number of requests under way.
func (p *Proxy) busy() (n int64) {
	for up := range p.config.Load().upstreams() {
		n += up.active.Load()
	}
	return n
}

// end has Serve return err.
func (p *Proxy) end(err error) {
	p.mu.Lock()
	if p.ending == nil {
		p.ending = err
	}
	for l := range p.listeners {
		l.Close()
	}
	p.mu.Unlock()
}

// Close aborts everything in progress, and returns when it has ended.
func (p *Proxy) Close() error {
	p.begin()
	p.end(ErrClosed)
	p.stop()
	p.h2.Close()
	p.mu.Lock()
	conns := slices.SortedFunc(maps.Keys(p.conns), func(a, b net.Conn) int { return cmp.Compare(p.conns[a], p.conns[b]) })
	ups := p.config.Load()
	p.mu.Unlock()
	for _, nc := range conns {
		nc.Close()
	}
	p.running.Wait()
	for up := range ups.upstreams() {
		up.closeIdle()
	}
	return nil
}

// Stats returns the counters.
func (p *Proxy) Stats() ProxyStats {
	p.begin()
	p.mu.Lock()
	clients := int64(len(p.conns))
	p.mu.Unlock()
	return ProxyStats{
		Clients: clients, Connections: p.stats.connections.Load(), Requests: p.stats.requests.Load(),
		Failed: p.stats.failed.Load(), Refused: p.stats.refused.Load(), Full: p.stats.full.Load(),
	}
}
