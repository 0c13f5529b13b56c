package sim

import "github.com/squall-sim/squall/sim/internal/tcp"

// TCPConfig holds the TCP settings of a host, as sysctls do. The zero value of each
// field is the default of Linux, or of Go's package net where that sets its own; so the
// zero TCPConfig is a Linux host out of the box with a Go program on it. Where zero would
// be a wish of its own, a negative value expresses it. A value out of range is refused
// with the field, the value and the range.
//
//	CongestionControl string     "cubic" (RFC 9438 with HyStart; default) or "reno" (RFC 5681)
//	InitialCwnd int              congestion window at the start, in segments; 10 (RFC 6928)
//	RTOInitial time.Duration     retransmission timeout before a round trip was measured; 1 s (RFC 6298)
//	RTOMin time.Duration         least of the timeout's variance part; 200 ms (tcp_rto_min_us)
//	RTOMax time.Duration         most of the timeout, doubled or not; 120 s (tcp_rto_max_ms)
//	SynRetries int               repetitions of a SYN; 6, negative for none (tcp_syn_retries). With the defaults
//	                             at 1, 2, 3, 4, 5, 7, 11, 19, 35, 67 s, and ETIMEDOUT at 131 s
//	SynLinearTimeouts int        repetitions that come before those, RTOInitial apart; 4, negative for none, which
//	                             is Linux before 6.5: 1, 3, 7, 15, 31, 63 s and 127 s (tcp_syn_linear_timeouts)
//	SynAckRetries int            repetitions of a SYN-ACK; 5, negative for none (tcp_synack_retries)
//	Retries2 int                 doublings of the timeout after which a connection fails whose data is not
//	                             acknowledged; 15, that is at the first timeout from 924.6 s on (tcp_retries2)
//	OrphanRetries int            the same when the program has closed it; 8 (tcp_orphan_retries)
//	UserTimeout time.Duration    the same in time, from the first retransmission on; it counts also for an attempt to
//	                             connect, a window that stays closed though probes are answered (from the first
//	                             probe on), and for silence to keep-alive instead of its count; 0: none
//	                             (TCP_USER_TIMEOUT, which gRPC sets)
//	FinTimeout time.Duration     how long a closed connection waits for the peer's FIN; 60 s (tcp_fin_timeout)
//	TimeWait time.Duration       how long the side that closed first remembers it; 60 s (TCP_TIMEWAIT_LEN)
//	KeepAlive TCPKeepAlive       keep-alive of a new connection; on, 15 s, 15 s, 9 probes (package net)
//	DelayedAckMin time.Duration  bounds of the delay of an acknowledgement; 40 ms
//	DelayedAckMax time.Duration  and 200 ms (TCP_DELACK_MIN, TCP_DELACK_MAX)
//	SendBuffer TCPBuffer         bytes, bookkeeping included; 4096, 16384, 4 MiB (tcp_wmem)
//	ReceiveBuffer TCPBuffer      bytes, bookkeeping included; 4096, 131072, 6 MiB (tcp_rmem)
//	Reordering int               duplicate acknowledgements that mean a loss, without SACK; 3 (tcp_reordering)
//	AcceptBacklog int            connections that wait to be accepted, less one; 4096, negative for 0
//	                             (net.core.somaxconn, which package net asks for at Listen)
//	AbortOnOverflow bool         the handshake that ends when no more may wait is reset, not ignored; a SYN
//	                             that comes then is ignored all the same (tcp_abort_on_overflow = 1)
//	NoSACK bool                  no selective acknowledgement, RACK or tail loss probe (tcp_sack = 0)
//	NoDSACK bool                 duplicates are not reported (tcp_dsack = 0)
//	NoTimestamps bool            12 bytes more payload a segment (tcp_timestamps = 0)
//	NoWindowScaling bool         windows of at most 65535 bytes (tcp_window_scaling = 0)
//	NoTailLossProbe bool         (tcp_early_retrans = 0)
//	NoFRTO bool                  only timestamps tell that a timeout was spurious (tcp_frto = 0)
//	NoSlowStartAfterIdle bool    an idle connection keeps its window (tcp_slow_start_after_idle = 0)
//	NoHyStart bool               (tcp_cubic.hystart = 0)
//	NoBufferTuning bool          the receive buffer stays at its default (tcp_moderate_rcvbuf = 0)
type TCPConfig = tcp.Config

// TCPBuffer bounds a buffer in bytes: Min, Default and Max.
type TCPBuffer = tcp.Buffer

// TCPKeepAlive says when an idle connection is probed: Off; Idle, the silence before
// the first probe (15 s); Interval between probes (15 s); Count of unanswered probes
// before the connection fails (9).
type TCPKeepAlive = tcp.KeepAlive
