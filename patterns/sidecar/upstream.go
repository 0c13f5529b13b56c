package sidecar

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Balance is how an [Upstream] chooses a replica.
type Balance int8

// The ways to choose.
const (
	// LeastRequest draws two replicas and takes the one with fewer requests in progress. A slow
	// replica gets fewer.
	LeastRequest Balance = iota
	// RoundRobin takes one replica after the other.
	RoundRobin
)

// Upstream is a service that requests go to: its replicas, and everything that the proxy knows
// about them. A new Config that contains the same Upstream keeps its state, its connections and its
// budget. Do not change or copy its fields after first use; [Upstream.SetAddrs] changes the
// replicas.
type Upstream struct {
	// Name is its name in logs, and the Host of an HTTP/1.0 request that has none. It is also the
	// name that the replicas' certificates must have, if TLS has no ServerName.
	Name string
	// Addrs are the addresses of its replicas, such as "10.0.0.2:8080": 1 to 1,000. A host name
	// works too: DialContext resolves it for each connection. The name then counts as one replica,
	// however many addresses it has.
	Addrs []string
	// DialContext connects to a replica, by its address in Addrs. Nil: a
	// net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for the connections to replicas. Nil: plain connections. Credentials takes
	// precedence.
	TLS *tls.Config
	// Credentials is for mutual TLS, with certificates that can be replaced.
	Credentials *Credentials
	// Balance is how a replica is chosen.
	Balance Balance

	// ConnectTimeout bounds connecting to a replica, including TLS. Zero: 5 s.
	ConnectTimeout time.Duration
	// Timeout bounds the time from the head of the request to the head of the answer, over all
	// attempts. Zero: 60 s. A Request-Timeout header, in milliseconds, shortens it. Requests that
	// take longer than 60 s, such as long polls, need more.
	Timeout time.Duration
	// AttemptTimeout bounds the same for each attempt. Zero: whatever is left
	// of Timeout.
	AttemptTimeout time.Duration
	// StreamTimeout ends an exchange after the head of the answer if no byte has passed in either
	// direction for this time. Zero: 1 h. Streams should have heartbeats.
	StreamTimeout time.Duration
	// IdleTimeout is how long a connection without requests is kept. Zero: 60 s. It must be less
	// than that of the replica's server, or requests meet connections that are being closed.
	IdleTimeout time.Duration
	// MaxIdle is how many idle connections are kept for each replica. Zero:
	// 1,024.
	MaxIdle int
	// MaxRequests bounds the requests in progress, to all replicas. Zero: 10,000. Further ones are
	// answered with 503.
	MaxRequests int

	// MaxAttempts is how many attempts a request can have. Zero: 2. The package comment says which
	// are repeated, and when.
	MaxAttempts int
	// Backoff bounds the delay between attempts, by default from 25 ms to 250 ms. After an answer
	// with Retry-After the delay is that long, if there is time.
	Backoff retry.Backoff
	// Budget bounds the attempts beyond the first. Nil: one for this upstream, with
	// defaults.
	Budget *retry.Budget
	// MaxReplayBytes is how many bytes of a request are kept for a repetition. Zero: 64 KiB. A
	// request of which more was sent is not repeated.
	MaxReplayBytes int
	// StartWait is how long a request waits while no replica accepts connections, for example
	// before it has started. Zero: the request fails at once. Such attempts are not counted.
	StartWait time.Duration

	// Breaker is the upstream's breaker; its zero value has the defaults.
	Breaker Breaker
	// Outlier says which replicas are ejected because of their answers.
	Outlier Outlier
	// Health probes the replicas. Zero: there are no probes.
	Health Health

	// Jitter draws replicas and delays. Nil: seeded by the clock and Name.
	Jitter retry.Jitter
	// Logger gets replicas that are ejected or fail, and changes of the breaker, as warnings. Nil:
	// nothing is logged.
	Logger *slog.Logger

	once   sync.Once
	set    upstreamSettings
	active atomic.Int64
	begun  atomic.Int64 // requests

	mu       sync.Mutex
	h2       *http.Transport
	h2number uint64 // of the identity that it is for
	replicas []*replica
	next     int       // of RoundRobin
	judged   time.Time // by Outlier
	stats    UpstreamStats
}

// upstreamSettings are fields of an Upstream with their defaults.
type upstreamSettings struct {
	ConnectTimeout, Timeout, AttemptTimeout, StreamTimeout, IdleTimeout time.Duration
	MaxIdle, MaxRequests, MaxAttempts, MaxReplayBytes                   int
	Backoff                                                             retry.Backoff
	Budget                                                              *retry.Budget
	Outlier                                                             Outlier
	Health                                                              Health
	Jitter                                                              retry.Jitter
	dial                                                                func(ctx context.Context, network, address string) (net.Conn, error)
}

// ownBackoff is between attempts of a proxy: short, since a caller waits and another replica may do.
var ownBackoff = retry.Backoff{Min: 25 * time.Millisecond, Base: 25 * time.Millisecond, Max: 250 * time.Millisecond}

// Limits of an Upstream.
const (
	maxReplicas = 1000
	maxAttempts = 100
	maxReplay   = 64 << 20
)

// UpstreamStats are the counters of an Upstream.
type UpstreamStats struct {
	// Requests counts requests that began, Attempts all attempts to send one to a replica, and
	// Retries those beyond the first of each request.
	Requests, Attempts, Retries int64
	// NoBudget counts retries for which there was no budget. NoReplay counts those that were not
	// safe, or of whose request too much was sent.
	NoBudget, NoReplay int64
	// Connects counts connections to replicas. ConnectErrors counts those that
	// failed.
	Connects, ConnectErrors int64
	// Full counts requests refused because of MaxRequests.
	Full int64
}

// Replica is the state of a replica of an [Upstream].
type Replica struct {
	Addr string // as in Addrs
	// Active is the number of its requests in progress, and Idle the number of its connections
	// without one.
	Active, Idle int64
	// Attempts counts the requests that it was sent, Failures those that ended in a [Failure], and
	// Ejected how often Outlier ejected it.
	Attempts, Failures, Ejected int64
	// Healthy is the verdict of Health, and true if there are no probes.
	Healthy bool
	// Out is whether it is ejected by Outlier now.
	Out bool
}

// Check returns an error that names each invalid setting and its value, or nil.
func (up *Upstream) Check() error {
	check := fields.Of("sidecar: Upstream")
	checkAddrs(check, up.Addrs)
	if up.Name == "" || !isHost([]byte(up.Name)) {
		check.Bad("Name is %q: want the name of a host", up.Name)
	}
	if up.Balance < LeastRequest || up.Balance > RoundRobin {
		check.Bad("Balance is %d: want LeastRequest or RoundRobin", up.Balance)
	}
	check.Duration("ConnectTimeout", up.ConnectTimeout)
	check.Duration("Timeout", up.Timeout)
	check.Duration("AttemptTimeout", up.AttemptTimeout)
	check.Duration("StreamTimeout", up.StreamTimeout)
	check.Duration("IdleTimeout", up.IdleTimeout)
	check.Duration("StartWait", up.StartWait)
	check.Int("MaxIdle", up.MaxIdle)
	check.Int("MaxRequests", up.MaxRequests)
	if up.MaxAttempts < 0 || up.MaxAttempts > maxAttempts {
		check.Bad("MaxAttempts is %d: want 0 for the default, or up to %d", up.MaxAttempts, maxAttempts)
	}
	if up.MaxReplayBytes < 0 || up.MaxReplayBytes > maxReplay {
		check.Bad("MaxReplayBytes is %d: want 0 for the default, or up to 64 MiB, %d", up.MaxReplayBytes, maxReplay)
	}
	check.Backoff("Backoff", up.Backoff, ownBackoff)
	if up.Budget != nil {
		if err := up.Budget.Check(); err != nil {
			check.Bad("Budget: %w", err)
		}
	}
	if err := up.Breaker.Check(); err != nil {
		check.Bad("Breaker: %w", err)
	}
	up.Outlier.check(check)
	up.Health.check(check)
	if set := up.settings(); set.AttemptTimeout > set.Timeout {
		check.Bad("AttemptTimeout is %v: want at most Timeout, %v", set.AttemptTimeout, set.Timeout)
	} else if up.StartWait > set.Timeout {
		check.Bad("StartWait is %v: want at most Timeout, %v", up.StartWait, set.Timeout)
	}
	return check.Err()
}

func checkAddrs(check *fields.Check, addrs []string) {
	if len(addrs) == 0 || len(addrs) > maxReplicas {
		check.Bad("Addrs has %d elements: want 1 to %d", len(addrs), maxReplicas)
	}
	seen := map[string]bool{}
	for i, addr := range addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			check.Bad("Addrs[%d] is %q: want host:port", i, addr)
		}
		if seen[addr] {
			check.Bad("Addrs[%d] is %q: want it once", i, addr)
		}
		seen[addr] = true
	}
}

func (up *Upstream) settings() upstreamSettings {
	s := upstreamSettings{
		ConnectTimeout: cmp.Or(up.ConnectTimeout, 5*time.Second),
		Timeout:        cmp.Or(up.Timeout, 60*time.Second),
		StreamTimeout:  cmp.Or(up.StreamTimeout, time.Hour),
		IdleTimeout:    cmp.Or(up.IdleTimeout, 60*time.Second),
		MaxIdle:        cmp.Or(up.MaxIdle, 1024),
		MaxRequests:    cmp.Or(up.MaxRequests, 10_000),
		MaxAttempts:    cmp.Or(up.MaxAttempts, 2),
		MaxReplayBytes: cmp.Or(up.MaxReplayBytes, 64<<10),
		Backoff:        up.Backoff.WithDefaults(ownBackoff),
		Budget:         up.Budget,
		Outlier:        up.Outlier.withDefaults(),
		Health:         up.Health.withDefaults(),
		Jitter:         up.Jitter.OrSeeded(up.Name),
		dial:           up.DialContext,
	}
	s.AttemptTimeout = cmp.Or(up.AttemptTimeout, s.Timeout)
	if s.Budget == nil {
		s.Budget = &retry.Budget{}
	}
	if s.dial == nil {
		s.dial = new(net.Dialer).DialContext
	}
	return s
}

// begin makes it ready at first use. It panics if Check returns an error.
func (up *Upstream) begin() {
	up.once.Do(func() {
		if err := up.Check(); err != nil {
			panic(err.Error())
		}
		up.set = up.settings()
		up.replicas = up.updated(up.Addrs)
		up.h2, up.h2number = up.transport(), up.Credentials.number()
	})
}

// SetAddrs replaces the replicas. A replica that stays keeps its connections and its state.
// Requests to a replica that is removed end normally.
func (up *Upstream) SetAddrs(addrs ...string) error {
	check := fields.Of("sidecar: Upstream")
	checkAddrs(check, addrs)
	if err := check.Err(); err != nil {
		return err
	}
	up.begin()
	up.mu.Lock()
	before := up.replicas
	up.replicas = up.updated(addrs)
	var gone []*replica
	for _, r := range before {
		if !slices.Contains(up.replicas, r) {
			gone = append(gone, r)
		}
	}
	up.mu.Unlock()
	for _, r := range gone {
		r.closeIdle()
	}
	return nil
}

func (up *Upstream) updated(addrs []string) (all []*replica) {
	known := map[string]*replica{}
	for _, r := range up.replicas {
		known[r.addr] = r
	}
	for _, addr := range addrs {
		r := known[addr]
		if r == nil {
			r = &replica{up: up, addr: addr, healthy: true}
		}
		all = append(all, r)
	}
	return all
}

// Stats returns the counters.
func (up *Upstream) Stats() UpstreamStats {
	up.begin()
	up.mu.Lock()
	defer up.mu.Unlock()
	s := up.stats
	s.Requests = up.begun.Load()
	return s
}

// Replicas returns the state of the replicas, in the order of Addrs.
func (up *Upstream) Replicas() (all []Replica) {
	up.begin()
	up.mu.Lock()
	defer up.mu.Unlock()
	up.judge(time.Now())
	for _, r := range up.replicas {
		s := r.stats
		s.Addr, s.Active, s.Healthy, s.Out = r.addr, r.active, r.healthy, !r.ejected.IsZero()
		s.Idle = r.idleConns()
		all = append(all, s)
	}
	return all
}

func (up *Upstream) count(f func(*UpstreamStats)) {
	up.mu.Lock()
	f(&up.stats)
	up.mu.Unlock()
}

func (up *Upstream) log(text string, attributes ...any) {
	if up.Logger != nil {
		up.Logger.Warn("sidecar: "+text, append([]any{"upstream", up.Name}, attributes...)...)
	}
}

// connect connects to a replica, with TLS if there is to be.
func (up *Upstream) connect(ctx context.Context, r *replica, protocol string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, up.set.ConnectTimeout)
	defer cancel()
	conn, err := up.set.dial(ctx, "tcp", r.addr)
	up.count(func(s *UpstreamStats) {
		s.Connects++
		if err != nil {
			s.ConnectErrors++
		}
	})
	if err != nil {
		return nil, &connectError{err}
	}
	cfg := up.tlsConfig(protocol)
	if cfg == nil {
		return conn, nil
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &connectError{err}
	}
	if got := secure.ConnectionState().NegotiatedProtocol; got != protocol && (got != "" || protocol == "h2") {
		secure.Close()
		return nil, &connectError{fmt.Errorf("the replica speaks %q: want %q", got, protocol)}
	}
	return secure, nil
}

func (up *Upstream) tlsConfig(protocol string) *tls.Config {
	cfg := up.TLS
	if up.Credentials != nil {
		cfg = up.Credentials.Client(up.Name)
	}
	if cfg == nil {
		return nil
	}
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = up.Name
	}
	if protocol != "" {
		cfg.NextProtos = []string{protocol}
	}
	return cfg
}

// A connectError is of a request that was not sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }
