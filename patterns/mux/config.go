package mux

import (
	"log/slog"
	"net"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Config is how one end of a connection multiplexes. The zero value is ready to use. The two ends
// need not agree in anything but who is the client.
type Config struct {
	// AcceptBacklog bounds the peer's streams that wait to be accepted; further ones are refused.
	// As many of its own streams an end opens before the peer has acknowledged one: the next Open
	// waits. Zero: 256, which is what yamux's libraries have on both sides. At most 65,536.
	AcceptBacklog int
	// MaxStreams bounds the streams of the peer that exist at once; further ones are refused. A
	// stream counts until both the protocol and the program have done with it: one that the peer
	// has reset counts until the program has closed it or was told. Zero: 1,000. At most a
	// million.
	MaxStreams int
	// MaxResets bounds how many streams the peer may reset before they were accepted, in 10 s. More end
	// the session with [CodeProtocol]. Zero: 1,000. At most a million.
	MaxResets int
	// PingBacklog bounds the answers to pings that wait to be sent. Pings beyond it are not
	// answered. Zero: 32. At most 65,536.
	PingBacklog int

	// Window is how much the peer may send on a stream beyond what the program has read, in
	// bytes: the throughput of a stream is at most one window per round trip. Zero: 256 KiB, which
	// is also the least. At most 1 GiB.
	Window int
	// MaxReceiveBytes bounds what all streams together hold unread, in bytes. The protocol has no
	// window for a session, and a window once given cannot be taken back; so when there is more,
	// the stream with the most of it is reset, with [ErrReceiveBuffer]. Zero: 16 MiB, or four
	// windows if that is more. At least a window, at most 1 TiB.
	MaxReceiveBytes int
	// MaxFrameBytes bounds the payload of the data frames that are sent, in bytes: so much of one stream
	// goes before a frame of another gets its turn. Zero: 64 KiB. From 1 KiB to 1 MiB.
	MaxFrameBytes int

	// Linger is how long the session waits, before each write to the connection, for more that can go with it, and
	// so does each Write. Zero: not at all, which suits all but programs whose goroutines make many small writes at one
	// time. In a test with virtual time a nanosecond has everything that is written at one instant go together, in the
	// order of the streams, so that the frames do not depend on which goroutine ran first. At most 1 s.
	Linger time.Duration
	// KeepAlive is how long nothing may have come from the peer before it is sent a ping. Zero: 30 s;
	// negative: never. At most 100 years.
	KeepAlive time.Duration
	// Timeout is how long after that ping something must have come; otherwise the session ends with
	// [ErrTimeout]. A ping that cannot be sent, since the connection takes no more, counts like one
	// that is not answered. Zero: 10 s. At most 100 years.
	Timeout time.Duration
	// WriteTimeout is how long one write to the connection may take, which has at most MaxFrameBytes
	// and 16 KiB; otherwise the session ends with ErrTimeout. It limits a peer that sends but does
	// not read. Zero: 1 min, which is 1.4 KB/s; negative: for ever. At most 100 years.
	WriteTimeout time.Duration
	// CloseTimeout is how long after Close of a stream the peer may take to end its direction;
	// then the stream is reset. Zero: 1 min. At most 100 years.
	CloseTimeout time.Duration
	// GoAwayTimeout is how long a session that ends waits for its last frame to be taken. Zero:
	// 1 s. At most 100 years.
	GoAwayTimeout time.Duration

	// MaxAge is when a session drains itself, as by [Session.Drain], so that clients move to other
	// servers; Jitter draws up to a tenth more or less. Zero: never. At most 90 years.
	MaxAge time.Duration
	// MaxAgeGrace is how long streams may take to finish then; those that are left are cut off. Zero: for
	// ever. At most 100 years.
	MaxAgeGrace time.Duration
	// Jitter draws MaxAge's spread. Nil: seeded by the clock.
	Jitter retry.Jitter

	// Logger gets the end of a session by an error as Warn, and as Debug that of one whose peer said
	// that it was going and cut off no stream, and streams that were refused or reset by a rule of this
	// package. Nil: nothing is logged.
	Logger *slog.Logger
}

// Check returns what is wrong with the fields.
func (c Config) Check() error {
	check := fields.Of("mux: Config")
	c = c.withDefaults()
	for _, f := range []struct {
		name             string
		value, min, most int
	}{
		{"AcceptBacklog", c.AcceptBacklog, 1, 1 << 16},
		{"MaxStreams", c.MaxStreams, 1, 1_000_000},
		{"MaxResets", c.MaxResets, 1, 1_000_000},
		{"PingBacklog", c.PingBacklog, 1, 1 << 16},
		{"Window", c.Window, initialWindow, 1 << 30},
		{"MaxReceiveBytes", c.MaxReceiveBytes, c.Window, 1 << 40},
		{"MaxFrameBytes", c.MaxFrameBytes, 1 << 10, 1 << 20},
	} {
		if f.value < f.min || f.value > f.most {
			check.Bad("%s is %d: want 0 for the default, or %d to %d", f.name, f.value, f.min, f.most)
		}
	}
	if c.Linger < 0 || c.Linger > time.Second {
		check.Bad("Linger is %v: want 0 to 1s", c.Linger)
	}
	check.Duration("KeepAlive", max(c.KeepAlive, 0))
	check.Duration("Timeout", c.Timeout)
	check.Duration("WriteTimeout", max(c.WriteTimeout, 0))
	check.Duration("CloseTimeout", c.CloseTimeout)
	check.Duration("GoAwayTimeout", c.GoAwayTimeout)
	check.Duration("MaxAge", c.MaxAge)
	check.Duration("MaxAgeGrace", c.MaxAgeGrace)
	return check.Err()
}

func (c Config) withDefaults() Config {
	fields.Default(&c.AcceptBacklog, 256)
	fields.Default(&c.MaxStreams, 1000)
	fields.Default(&c.MaxResets, 1000)
	fields.Default(&c.PingBacklog, 32)
	fields.Default(&c.Window, initialWindow)
	fields.Default(&c.MaxReceiveBytes, max(16<<20, 4*c.Window))
	fields.Default(&c.MaxFrameBytes, 64<<10)
	fields.Default(&c.KeepAlive, 30*time.Second)
	fields.Default(&c.Timeout, 10*time.Second)
	fields.Default(&c.WriteTimeout, time.Minute)
	fields.Default(&c.CloseTimeout, time.Minute)
	fields.Default(&c.GoAwayTimeout, time.Second)
	if c.MaxAge > 0 {
		c.Jitter = c.Jitter.OrSeeded("")
	}
	return c
}

// Client begins a session on a connection, as the one who dialled it. The session owns the
// connection from then on. A field that Check refuses is a panic.
func (c Config) Client(conn net.Conn) *Session { return start(conn, c, true) }

// Server begins a session as the one who accepted the connection; otherwise it is as Client.
func (c Config) Server(conn net.Conn) *Session { return start(conn, c, false) }
