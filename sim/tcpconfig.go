package sim

import (
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// TCPConfig holds the TCP settings of a host, as sysctls do. The zero value of each field is Linux's default,
// or that of Go's package net where it sets its own. So the zero TCPConfig is a Linux host out of the box
// with a Go program on it. Where zero would be a setting of its own, a negative value stands for it. A value
// out of range is refused with the field, the value and the range.
type TCPConfig struct {
	// CongestionControl is "cubic" (RFC 9438 with HyStart, the default) or
	// "reno" (RFC 5681). Linux: net.ipv4.tcp_congestion_control.
	CongestionControl string

	// InitialCwnd is the congestion window of a new connection, in segments. Default 10 (RFC 6928; Linux:
	// TCP_INIT_CWND), at least 1.
	InitialCwnd int

	// RTOInitial is the retransmission timeout before the first round trip is measured. Default 1 s (RFC
	// 6298; Linux: TCP_TIMEOUT_INIT).
	RTOInitial time.Duration
	// RTOMin is the lower bound of the variance term of the retransmission timeout. Default 200 ms (Linux:
	// net.ipv4.tcp_rto_min_us).
	RTOMin time.Duration
	// RTOMax caps the retransmission timeout, doubled or not. Default 120 s (Linux: net.ipv4.tcp_rto_max_ms).
	RTOMax time.Duration

	// SynRetries is how often a SYN is repeated. The first SynLinearTimeouts repetitions follow RTOInitial
	// apart, later ones at doubled intervals: with the defaults at 1, 2, 3, 4, 5, 7, 11, 19, 35 and 67 s,
	// with failure at 131 s. Default 6, negative for none (Linux: net.ipv4.tcp_syn_retries).
	SynRetries int
	// SynLinearTimeouts is how many repetitions of a SYN are equally spaced: see SynRetries. Default 4,
	// negative for none (Linux: net.ipv4.tcp_syn_linear_timeouts). None is Linux before 6.5: 1, 3, 7, 15, 31,
	// 63 and failure at 127 s.
	SynLinearTimeouts int
	// SynAckRetries is how often a SYN-ACK is repeated: at 1, 3, 7, 15 and 31 s. The host gives up in silence
	// at 63 s. Default 5, negative for none (Linux: net.ipv4.tcp_synack_retries).
	SynAckRetries int

	// Retries2 bounds the life of a connection whose data is not acknowledged. It fails at the first timeout
	// that is not earlier than this many doublings of RTOMin would take: 924.6 s with the default 15 (Linux:
	// net.ipv4.tcp_retries2). Retries2 also bounds unanswered window probes.
	Retries2 int
	// OrphanRetries does the same for a connection that the program has closed. Default 8, but none once the
	// timeout has reached RTOMax (Linux: net.ipv4.tcp_orphan_retries = 0). A value set here applies even
	// then, unless an ICMP message said that the peer cannot be reached.
	OrphanRetries int

	// UserTimeout, which gRPC sets, is how long a peer may be unresponsive before the connection fails. It
	// bounds the time that data stays unacknowledged, from the first retransmission on; that the window stays
	// closed, from the first probe on; that the peer is silent to keep-alive; and that an attempt to connect
	// takes. It replaces SynRetries (if that would take longer), Retries2, OrphanRetries and KeepAlive.Count.
	// Default 0: none (Linux: the socket option TCP_USER_TIMEOUT).
	UserTimeout time.Duration

	// FinTimeout is how long a connection that the program has closed waits for the peer's FIN. Default 60 s
	// (Linux: net.ipv4.tcp_fin_timeout). As in Linux, a value above TimeWait does not mean what it says: the
	// connection waits for twice the difference, so 65 s means 10 s (6.18 took 10.5 s).
	FinTimeout time.Duration
	// TimeWait is how long the side that closed first remembers the connection. Default 60 s (Linux:
	// TCP_TIMEWAIT_LEN).
	TimeWait time.Duration

	// KeepAlive is the keep-alive of a new connection. The default is that of Go's package net, not Linux's:
	// on, 15 s, 15 s, 9 probes.
	KeepAlive TCPKeepAlive

	// DelayedAckMin and DelayedAckMax bound the delay of an acknowledgement.
	// Defaults 40 ms and 200 ms (Linux: TCP_DELACK_MIN, TCP_DELACK_MAX).
	DelayedAckMin, DelayedAckMax time.Duration

	// SendBuffer and ReceiveBuffer bound the two buffers of a connection, as net.ipv4.tcp_wmem and
	// net.ipv4.tcp_rmem do. The kernel's bookkeeping counts against them. Defaults {4096, 16384, 4 MiB} and
	// {4096, 131072, 6 MiB}.
	SendBuffer, ReceiveBuffer TCPBuffer

	// AcceptBacklog bounds the connections that wait to be accepted: up to one more than this wait. Default
	// 4096, negative for 0 (Linux: net.core.somaxconn, which package net asks for).
	AcceptBacklog int
	// AbortOnOverflow answers a handshake that completes while the accept queue is full with a reset instead
	// of silence (Linux: net.ipv4.tcp_abort_on_overflow = 1). A SYN that arrives then is dropped in either
	// case.
	AbortOnOverflow bool

	// ECN asks for explicit congestion notification (RFC 3168) on connections that this host dials. Links
	// with a [netem.Queue] that marks, or with [netem.Config.ECN], then mark packets instead of dropping
	// them. Default false: the host only agrees to ECN if the other end asks for it (Linux: net.ipv4.tcp_ecn
	// = 2; true is 1).
	ECN bool

	NoSACK               bool // net.ipv4.tcp_sack = 0: no selective acknowledgement, so neither RACK nor tail loss probes
	NoDSACK              bool // net.ipv4.tcp_dsack = 0: no reports of duplicates
	NoTimestamps         bool // net.ipv4.tcp_timestamps = 0: segments carry 12 bytes more payload
	NoWindowScaling      bool // net.ipv4.tcp_window_scaling = 0: windows of at most 65535 bytes
	NoTailLossProbe      bool // net.ipv4.tcp_early_retrans = 0
	NoFRTO               bool // net.ipv4.tcp_frto = 0: only timestamps reveal spurious timeouts
	NoSlowStartAfterIdle bool // net.ipv4.tcp_slow_start_after_idle = 0: an idle connection keeps its window
	NoHyStart            bool // tcp_cubic.hystart = 0
	NoBufferTuning       bool // net.ipv4.tcp_moderate_rcvbuf = 0: the receive buffer stays at its default

	// Reordering is how many duplicate acknowledgements mean a loss when there is no SACK, and the initial
	// measure of reordering when there is. Default 3 (Linux: net.ipv4.tcp_reordering).
	Reordering int
}

// TCPBuffer bounds a buffer in bytes, the kernel's bookkeeping included. Zero fields have the defaults that
// [TCPConfig] names.
type TCPBuffer struct {
	Min, Default, Max int // the three values of net.ipv4.tcp_rmem and tcp_wmem
}

// TCPKeepAlive says when an idle connection is probed. The zero value means the defaults of
// [net.KeepAliveConfig]: on, 15 s, 15 s and 9 probes.
type TCPKeepAlive struct {
	Off      bool          // no probes
	Idle     time.Duration // silence before the first probe; default 15 s, at most 32767 s
	Interval time.Duration // time between probes; default 15 s, at most 32767 s
	Count    int           // unanswered probes before the connection fails; default 9, at most 127
}

// Validate returns an error for the first field whose value is not allowed.
func (c TCPConfig) Validate() error {
	_, err := c.complete()
	return err
}

// complete checks c and fills in the defaults.
func (c TCPConfig) complete() (*tcp.Config, error) { return c.tcp().Complete() }

// tcp returns c in the state machine's form.
func (c TCPConfig) tcp() tcp.Config {
	return tcp.Config{
		CongestionControl:    c.CongestionControl,
		InitialCwnd:          c.InitialCwnd,
		RTOInitial:           c.RTOInitial,
		RTOMin:               c.RTOMin,
		RTOMax:               c.RTOMax,
		SynRetries:           c.SynRetries,
		SynLinearTimeouts:    c.SynLinearTimeouts,
		SynAckRetries:        c.SynAckRetries,
		Retries2:             c.Retries2,
		OrphanRetries:        c.OrphanRetries,
		UserTimeout:          c.UserTimeout,
		FinTimeout:           c.FinTimeout,
		TimeWait:             c.TimeWait,
		KeepAlive:            tcp.KeepAlive(c.KeepAlive),
		DelayedAckMin:        c.DelayedAckMin,
		DelayedAckMax:        c.DelayedAckMax,
		SendBuffer:           tcp.Buffer(c.SendBuffer),
		ReceiveBuffer:        tcp.Buffer(c.ReceiveBuffer),
		AcceptBacklog:        c.AcceptBacklog,
		AbortOnOverflow:      c.AbortOnOverflow,
		NoSACK:               c.NoSACK,
		NoDSACK:              c.NoDSACK,
		NoTimestamps:         c.NoTimestamps,
		NoWindowScaling:      c.NoWindowScaling,
		NoTailLossProbe:      c.NoTailLossProbe,
		NoFRTO:               c.NoFRTO,
		ECN:                  c.ECN,
		NoSlowStartAfterIdle: c.NoSlowStartAfterIdle,
		NoHyStart:            c.NoHyStart,
		NoBufferTuning:       c.NoBufferTuning,
		Reordering:           c.Reordering,
	}
}
