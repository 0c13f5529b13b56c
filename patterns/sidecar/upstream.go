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
	// LeastRequest draws two replicas and takes the one with fewer requests under way. A slow replica gets less.
	LeastRequest Balance = iota
	// RoundRobin takes one after the other.
	RoundRobin
)

// Upstream is a service that requests go to: its replicas, and all that the proxy knows of them. A change of the [Config]
// that keeps an Upstream keeps what it knows, its connections and its budget. Do not change or copy its fields after
// first use; [Upstream.SetAddrs] changes the replicas.
type Upstream struct {
	// Name is what it is called in logs and, where a request of HTTP/1.0 has none, as Host. It is also the name that the certificates of
	// the replicas must have, if TLS has no ServerName.
	Name string
	// Addrs are the addresses of its replicas, as in "10.0.0.2:8080": 1 to 1,000. A name in place of
	// the address works too: DialContext resolves it for each connection, and the replica is that name, not each address that it has.
	Addrs []string
	// DialContext connects to a replica, as in Addrs. Nil: that of a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for the connections to replicas. Nil: they have none. Credentials takes precedence.
	TLS *tls.Config
	// Credentials is for mutual TLS, with certificates that may be replaced.
	Credentials *Credentials
	// Balance is how a replica is chosen.
	Balance Balance

	// ConnectTimeout bounds connecting to a replica, with TLS: 5 s.
	ConnectTimeout time.Duration
	// Timeout is until when the head of an answer must have come, from the head of the request on and with all attempts: 60 s. A Request-Timeout
	// header, in milliseconds, shortens it. What is longer than 60 s, such as a long poll, needs more.
	Timeout time.Duration
	// AttemptTimeout is the same for each attempt: as long as there is time.
	AttemptTimeout time.Duration
	// StreamTimeout ends an exchange when for so long no byte has passed in either direction, after the head of the answer: 1 h.
	// Streams have heartbeats.
	StreamTimeout time.Duration
	// IdleTimeout is how long a connection without requests is kept: 60 s. It must be less than that of the replica's
	// server, or requests meet connections that are being closed.
	IdleTimeout time.Duration
	// MaxIdle is how many of them are kept for each replica: 1,024.
	MaxIdle int
	// MaxRequests bounds the requests under way, to all replicas: 10,000. What is more is answered 503.
	MaxRequests int

	// MaxAttempts is how many attempts a request may have: 2. Which are repeated, and when, is said in the package's comment.
	MaxAttempts int
	// Backoff is how long to wait between them, from 25 ms to 250 ms: after an answer that says Retry-After so long, if there is time.
	Backoff retry.Backoff
	// Budget bounds the attempts beyond the first. Nil: one of its own, with defaults.
	Budget *retry.Budget
	// MaxReplayBytes is how many bytes of a request are kept to be sent again: 64 KiB. A request of which more was sent is not
	// repeated.
	MaxReplayBytes int
	// StartWait is how long a request waits while no replica accepts connections, as before it has started. Zero: it
	// fails at once. Such attempts are not counted.
	StartWait time.Duration

	// Breaker is its breaker; its zero value has the defaults.
	Breaker Breaker
	// Outlier says which replicas are left out by their answers.
	Outlier Outlier
	// Health asks replicas how they are. Zero: nobody does.
	Health Health

	// Jitter draws replicas and delays. Nil: seeded by the clock and Name.
	Jitter retry.Jitter
	// Logger gets replicas that are left out or fail, and the breaker's changes, as warnings. Nil: nothing is logged.
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
	// Requests counts those that began, Attempts all attempts to send one to a replica, and Retries those beyond the first of each.
	Requests, Attempts, Retries int64
	// NoBudget counts retries for which there was no budget, and NoReplay those that were not safe, or of which too much was sent.
	NoBudget, NoReplay int64
	// Connects counts connections to replicas, and ConnectErrors those that failed.
	Connects, ConnectErrors int64
	// Full counts requests that were refused for MaxRequests.
	Full int64
}

// Replica is how a replica of an Upstream is.
type Replica struct {
	Addr string // of Addrs
	// Active is the number of its requests under way, and Idle that of its connections without one.
	Active, Idle int64
	// Attempts counts the requests that it was sent, Failures those that ended in a [Failure], and Ejected how often it was left out by Outlier.
	Attempts, Failures, Ejected int64
	// Healthy is what Health says: true if nobody asks.
	Healthy bool
	// Out is whether it is left out by Outlier.
	Out bool
}

// Check returns what is wrong with the settings.
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

// begin makes it ready at first use. It panics if Check finds fault.
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

// SetAddrs replaces the replicas. One that stays keeps its connections and what is known of it; requests to one that goes
// end as they would.
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

// Replicas returns how the replicas are, in the order of Addrs.
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
