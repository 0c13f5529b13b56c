package tcp

import (
	"fmt"
	"math"
	"time"
)

// Config holds the parameters of TCP. The zero value of each field stands for
// Linux's default, so that the zero Config behaves like a Linux host out of the
// box with a Go program on it. Where zero would be a sensible wish of its own a
// negative value expresses it.
type Config struct {
	// CongestionControl is "cubic" (RFC 9438 with HyStart, the default) or
	// "reno" (RFC 5681). Linux: net.ipv4.tcp_congestion_control.
	CongestionControl string

	// InitialCwnd is the congestion window of a new connection in segments.
	// Default 10 (RFC 6928; Linux: TCP_INIT_CWND), at least 1.
	InitialCwnd int

	// RTOInitial is the retransmission timeout before any round trip was
	// measured. Default 1 s (RFC 6298; Linux: TCP_TIMEOUT_INIT).
	RTOInitial time.Duration
	// RTOMin is what the variance counts for at least in the retransmission
	// timeout. Default 200 ms (Linux: net.ipv4.tcp_rto_min_us).
	RTOMin time.Duration
	// RTOMax caps the retransmission timeout and its doubling.
	// Default 120 s (Linux: net.ipv4.tcp_rto_max_ms).
	RTOMax time.Duration

	// SynRetries is how often a SYN is repeated. The first SynLinearTimeouts
	// repetitions follow at RTOInitial, later ones at doubled distances: with
	// the defaults at 1, 2, 3, 4, 5, 7, 11, 19, 35 and 67 s, and failure at
	// 131 s. Default 6, negative for none (Linux: net.ipv4.tcp_syn_retries).
	SynRetries int
	// SynLinearTimeouts: see SynRetries. Default 4, negative for none, which
	// is Linux before 6.5: 1, 3, 7, 15, 31, 63 and failure at 127 s (Linux:
	// net.ipv4.tcp_syn_linear_timeouts).
	SynLinearTimeouts int
	// SynAckRetries is how often a SYN-ACK is repeated: at 1, 3, 7, 15, 31 s,
	// and given up in silence at 63 s. Default 5, negative for none (Linux:
	// net.ipv4.tcp_synack_retries).
	SynAckRetries int

	// Retries2 bounds the life of a connection whose data is not acknowledged:
	// it fails at the first timeout that is not earlier than this many
	// doublings of RTOMin would take, 924.6 s with the default 15 (Linux:
	// net.ipv4.tcp_retries2). It also bounds the unanswered window probes.
	Retries2 int
	// OrphanRetries does the same for a connection that the program has closed. Default
	// 8, but none once the timeout has reached RTOMax (Linux:
	// net.ipv4.tcp_orphan_retries = 0). A value set here counts then too, unless an
	// ICMP message said that the peer cannot be reached.
	OrphanRetries int

	// UserTimeout is how long a peer may leave data unacknowledged, from the first
	// retransmission on, or the window closed, from the first probe on, and how long it may
	// be silent to keep-alive, before the connection fails; also an attempt to connect.
	// It takes the place of SynRetries (if that would take longer), Retries2, OrphanRetries
	// and KeepAlive.Count. Default 0: none (Linux: the socket option TCP_USER_TIMEOUT).
	UserTimeout time.Duration

	// FinTimeout is how long a connection that the program has closed waits
	// for the peer's FIN. Default 60 s (Linux: net.ipv4.tcp_fin_timeout).
	FinTimeout time.Duration
	// TimeWait is how long the side that closed first remembers the
	// connection. Default 60 s (Linux: TCP_TIMEWAIT_LEN).
	TimeWait time.Duration

	// KeepAlive is the keep-alive of a new connection. The default is that of
	// Go's package net, not Linux's: on, 15 s, 15 s, 9 probes.
	KeepAlive KeepAlive

	// DelayedAckMin and DelayedAckMax bound the delay of an acknowledgement.
	// Defaults 40 ms and 200 ms (Linux: TCP_DELACK_MIN, TCP_DELACK_MAX).
	DelayedAckMin, DelayedAckMax time.Duration

	// SendBuffer and ReceiveBuffer bound the two buffers of a connection, as
	// net.ipv4.tcp_wmem and net.ipv4.tcp_rmem do; the kernel's bookkeeping
	// counts against them. Defaults {4096, 16384, 4 MiB} and {4096, 131072, 6 MiB}.
	SendBuffer, ReceiveBuffer Buffer

	// AcceptBacklog bounds the connections that wait to be accepted: one more than
	// this. Default 4096, negative for 0 (Linux: net.core.somaxconn, which package
	// net asks for).
	AcceptBacklog int
	// AbortOnOverflow resets a connection whose handshake ends when no more may wait,
	// instead of keeping silent (Linux: net.ipv4.tcp_abort_on_overflow = 1).
	AbortOnOverflow bool

	NoSACK               bool // net.ipv4.tcp_sack = 0: no selective acknowledgement, so neither RACK nor tail loss probes
	NoDSACK              bool // net.ipv4.tcp_dsack = 0: duplicates are not reported
	NoTimestamps         bool // net.ipv4.tcp_timestamps = 0: segments carry 12 bytes more
	NoWindowScaling      bool // net.ipv4.tcp_window_scaling = 0: windows of at most 65535 bytes
	NoTailLossProbe      bool // net.ipv4.tcp_early_retrans = 0
	NoFRTO               bool // net.ipv4.tcp_frto = 0: spurious timeouts are found by timestamps alone
	NoSlowStartAfterIdle bool // net.ipv4.tcp_slow_start_after_idle = 0: an idle connection keeps its window
	NoHyStart            bool // tcp_cubic.hystart = 0
	NoBufferTuning       bool // net.ipv4.tcp_moderate_rcvbuf = 0: the receive buffer stays at its default

	// Reordering is how many duplicate acknowledgements mean a loss when there
	// is no SACK, and where the measure of reordering starts when there is.
	// Default 3 (Linux: net.ipv4.tcp_reordering).
	Reordering int

	complete     bool
	orphansUnset bool // OrphanRetries is the default
	ipHeader     uint8
	ctrl         control
}

// maxUserTimeout is what the socket option takes, milliseconds in an int.
const maxUserTimeout = math.MaxInt32 * time.Millisecond

// Buffer bounds a buffer in bytes.
type Buffer struct{ Min, Default, Max int }

// KeepAlive says when an idle connection is probed. The zero value stands for
// the defaults of Go's net.KeepAliveConfig.
type KeepAlive struct {
	Off      bool
	Idle     time.Duration // of silence before the first probe; default 15 s
	Interval time.Duration // between probes; default 15 s
	Count    int           // unanswered probes before the connection fails; default 9
}

type control uint8

const (
	cubic control = iota
	reno
)

// Validate names the first field whose value is not allowed.
func (c Config) Validate() error {
	_, err := c.Complete()
	return err
}

// Complete checks c and returns a copy in which each zero is replaced by the
// default, ready for [Dial] and [Accept]. Any number of connections may share it;
// it must not be changed afterwards.
func (c Config) Complete() (*Config, error) {
	switch c.CongestionControl {
	case "", "cubic":
		c.CongestionControl, c.ctrl = "cubic", cubic
	case "reno":
		c.ctrl = reno
	default:
		return nil, fmt.Errorf("tcp: CongestionControl is %q, want \"cubic\" or \"reno\"", c.CongestionControl)
	}
	c.orphansUnset = c.orphansUnset || c.OrphanRetries == 0
	ints := [...]struct {
		name     string
		v        *int
		def      int
		min, max int
		none     bool // negative stands for 0
	}{
		{"InitialCwnd", &c.InitialCwnd, 10, 1, 1 << 16, false},
		{"SynRetries", &c.SynRetries, 6, 0, 127, true},
		{"SynLinearTimeouts", &c.SynLinearTimeouts, 4, 0, 127, true},
		{"SynAckRetries", &c.SynAckRetries, 5, 0, 127, true},
		{"Retries2", &c.Retries2, 15, 1, 127, false},
		{"OrphanRetries", &c.OrphanRetries, 8, 1, 127, false},
		{"Reordering", &c.Reordering, 3, 1, 300, false},
		{"AcceptBacklog", &c.AcceptBacklog, 4096, 0, 1 << 20, true},
		{"SendBuffer.Min", &c.SendBuffer.Min, 4096, 1, 1 << 30, false},
		{"SendBuffer.Default", &c.SendBuffer.Default, 16384, 1, 1 << 30, false},
		{"SendBuffer.Max", &c.SendBuffer.Max, 4 << 20, 1, 1 << 30, false},
		{"ReceiveBuffer.Min", &c.ReceiveBuffer.Min, 4096, 1, 1 << 30, false},
		{"ReceiveBuffer.Default", &c.ReceiveBuffer.Default, 131072, 1, 1 << 30, false},
		{"ReceiveBuffer.Max", &c.ReceiveBuffer.Max, 6 << 20, 1, 1 << 30, false},
		{"KeepAlive.Count", &c.KeepAlive.Count, 9, 1, 127, false},
	}
	for _, f := range ints {
		switch {
		case *f.v == 0:
			*f.v = f.def
		case *f.v < 0 && f.none:
			*f.v = 0
		case *f.v < f.min || *f.v > f.max:
			return nil, fmt.Errorf("tcp: %s is %d, want %d to %d", f.name, *f.v, f.min, f.max)
		}
	}
	times := [...]struct {
		name     string
		v        *time.Duration
		def      time.Duration
		min, max time.Duration
	}{
		{"RTOInitial", &c.RTOInitial, time.Second, time.Millisecond, time.Hour},
		{"RTOMin", &c.RTOMin, 200 * time.Millisecond, time.Millisecond, time.Hour},
		{"RTOMax", &c.RTOMax, 120 * time.Second, time.Millisecond, time.Hour},
		{"FinTimeout", &c.FinTimeout, 60 * time.Second, time.Nanosecond, 24 * time.Hour},
		{"TimeWait", &c.TimeWait, 60 * time.Second, time.Nanosecond, 24 * time.Hour},
		{"KeepAlive.Idle", &c.KeepAlive.Idle, 15 * time.Second, time.Millisecond, 32767 * time.Second},
		{"KeepAlive.Interval", &c.KeepAlive.Interval, 15 * time.Second, time.Millisecond, 32767 * time.Second},
		{"DelayedAckMin", &c.DelayedAckMin, 40 * time.Millisecond, time.Millisecond, time.Second},
		{"DelayedAckMax", &c.DelayedAckMax, 200 * time.Millisecond, time.Millisecond, time.Second},
	}
	for _, f := range times {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < f.min || *f.v > f.max {
			return nil, fmt.Errorf("tcp: %s is %v, want %v to %v", f.name, *f.v, f.min, f.max)
		}
	}
	for _, f := range [...]struct {
		name string
		lo   any
		hi   any
		bad  bool
	}{
		{"RTOMin, RTOMax", c.RTOMin, c.RTOMax, c.RTOMin > c.RTOMax},
		{"RTOInitial, RTOMax", c.RTOInitial, c.RTOMax, c.RTOInitial > c.RTOMax},
		{"DelayedAckMin, DelayedAckMax", c.DelayedAckMin, c.DelayedAckMax, c.DelayedAckMin > c.DelayedAckMax},
		{"SendBuffer.Default, SendBuffer.Max", c.SendBuffer.Default, c.SendBuffer.Max, c.SendBuffer.Default > c.SendBuffer.Max},
		{"ReceiveBuffer.Default, ReceiveBuffer.Max", c.ReceiveBuffer.Default, c.ReceiveBuffer.Max, c.ReceiveBuffer.Default > c.ReceiveBuffer.Max},
	} {
		if f.bad {
			return nil, fmt.Errorf("tcp: %s are %v, %v: the first must not exceed the second", f.name, f.lo, f.hi)
		}
	}
	if c.UserTimeout < 0 || c.UserTimeout > maxUserTimeout {
		return nil, fmt.Errorf("tcp: UserTimeout is %v, want 0s to %v", c.UserTimeout, maxUserTimeout)
	}
	if c.ipHeader == 0 {
		c.ipHeader = ipv4Header
	}
	c.complete = true
	return &c, nil
}

// ForIPv6 returns a copy of a complete Config for connections over IPv6, whose
// headers are 20 bytes longer.
func (c *Config) ForIPv6() *Config {
	v6 := *c
	v6.ipHeader = ipv6Header
	return &v6
}
