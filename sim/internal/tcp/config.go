package tcp

import (
	"fmt"
	"math"
	"time"
)

// Config holds the parameters of TCP. TCPConfig in package sim has the same fields; it documents each field and names the Linux parameter.
// A zero field means the default given here.
type Config struct {
	CongestionControl               string        // "cubic" (default) or "reno"
	InitialCwnd                     int           // segments; 10
	RTOInitial, RTOMin, RTOMax      time.Duration // 1 s, 200 ms, 120 s
	SynRetries, SynLinearTimeouts   int           // 6, 4
	SynAckRetries                   int           // 5
	Retries2, OrphanRetries         int           // 15, 8
	UserTimeout                     time.Duration // 0: none
	FinTimeout, TimeWait            time.Duration // 60 s, 60 s
	KeepAlive                       KeepAlive
	DelayedAckMin, DelayedAckMax    time.Duration // 40 ms, 200 ms
	SendBuffer, ReceiveBuffer       Buffer        // {4096, 16384, 4 MiB}, {4096, 131072, 6 MiB}
	AcceptBacklog                   int           // 4096
	AbortOnOverflow                 bool
	ECN                             bool // true: net.ipv4.tcp_ecn = 1; false: 2, which agrees to ECN if the peer asks for it
	NoSACK, NoDSACK                 bool
	NoTimestamps, NoWindowScaling   bool
	NoTailLossProbe, NoFRTO         bool
	NoSlowStartAfterIdle, NoHyStart bool
	NoBufferTuning                  bool
	Reordering                      int // 3

	complete     bool
	orphansUnset bool // OrphanRetries was not set by the user
	ipHeader     uint8
	ctrl         control
}

// maxUserTimeout is the largest value of the socket option, which is an int in milliseconds.
const maxUserTimeout = math.MaxInt32 * time.Millisecond

// Buffer bounds the size of a buffer, in bytes.
type Buffer struct{ Min, Default, Max int }

// KeepAlive configures the probing of an idle connection. The zero value means the defaults of Go's net.KeepAliveConfig.
type KeepAlive struct {
	Off      bool
	Idle     time.Duration // silence before the first probe; default 15 s
	Interval time.Duration // time between probes; default 15 s
	Count    int           // unanswered probes before the connection fails; default 9
}

type control uint8

const (
	cubic control = iota
	reno
)

// Complete returns a copy of c in which each zero field has its default, ready for [Dial] and [Accept]. If a field has a value that is not
// allowed, it returns an error that names the first such field. Any number of connections may share the copy. Do not change the copy
// afterwards.
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
		none     bool // a negative value means 0
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

// ForIPv6 returns a copy of a complete Config for connections over IPv6, whose headers are 20 bytes longer than those of IPv4.
func (c *Config) ForIPv6() *Config {
	v6 := *c
	v6.ipHeader = ipv6Header
	return &v6
}
