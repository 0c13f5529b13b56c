package mux

import (
	"log/slog"
	"net"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Config configures how one end of a connection multiplexes. The zero value is ready to use. The
// two ends need only agree on which of them is the client.
type Config struct {
	// AcceptBacklog bounds the peer's streams that wait to be accepted; further ones are refused.
	// It also bounds this side's own streams that the peer has not acknowledged; the next Open
	// waits. Zero: 256, as in yamux's libraries on both sides. At most 65,536.
	AcceptBacklog int
	// MaxStreams bounds the peer's streams that exist at once; further ones are refused. A
	// stream counts until both the protocol and the program have finished with it: a stream that
	// the peer has reset counts until the program has closed it or was told. Zero: 1,000. At
	// most a million.
	MaxStreams int
	// MaxResets bounds how many streams the peer can reset in 10 s before they are accepted. More
	// end the session with [CodeProtocol]. Zero: 1,000. At most a million.
	MaxResets int
	// PingBacklog bounds the ping answers that wait to be sent. Further pings are not
	// answered. Zero: 32. At most 65,536.
	PingBacklog int

	// Window is how much the peer can send on a stream beyond what the program has read, in bytes.
	// It limits a stream's throughput to one window per round trip. Zero: 256 KiB, which is also
	// the minimum. At most 1 GiB.
	Window int
	// MaxReceiveBytes bounds what all streams together hold unread, in bytes. The protocol has no
	// window for a session, and a window once granted cannot be revoked. So beyond this limit the
	// stream with the most unread bytes is reset, with [ErrReceiveBuffer]. Zero: 16 MiB, or four
	// windows if that is more. At least a window, at most 1 TiB.
	MaxReceiveBytes int
	// MaxFrameBytes bounds the payload of the data frames that are sent, in bytes: one stream sends
	// that much before another gets its turn. Zero: 64 KiB. From 1 KiB to 1 MiB.
	MaxFrameBytes int

	// Linger is how long the session waits, before each write to the connection, for more data to
	// send with it. Each Write waits as long. Zero: not at all, which suits every program except
	// those whose goroutines make many small writes at one time. In a test with virtual time, set a
	// nanosecond: everything written at one instant is then sent together, in the order of the
	// streams, and the frames do not depend on which goroutine ran first. At most 1 s.
	Linger time.Duration
	// KeepAlive is the silence of the peer after which it is sent a ping. Zero: 30 s; negative:
	// never. At most 100 years.
	KeepAlive time.Duration
	// Timeout is how long after that ping something must arrive; otherwise the session ends with
	// [ErrTimeout]. A ping that cannot be sent, because the connection accepts no more data, counts
	// as unanswered. Zero: 10 s. At most 100 years.
	Timeout time.Duration
	// WriteTimeout bounds one write to the connection, of at most MaxFrameBytes and 16 KiB;
	// otherwise the session ends with [ErrTimeout]. It limits a peer that sends but does not read.
	// Zero: 1 min, which is 1.4 KB/s; negative: forever. At most 100 years.
	WriteTimeout time.Duration
	// CloseTimeout is how long after a stream's Close the peer may take to end its direction;
	// then the stream is reset. Zero: 1 min. At most 100 years.
	CloseTimeout time.Duration
	// GoAwayTimeout is how long a session that ends waits until the connection has accepted its
	// last frame. Zero: 1 s. At most 100 years.
	GoAwayTimeout time.Duration

	// MaxAge is the age at which a session drains itself, as by [Session.Drain], so that clients
	// move to other servers. Jitter draws up to a tenth more or less. Zero: never. At most 90
	// years.
	MaxAge time.Duration
	// MaxAgeGrace is how long streams may then take to finish; the others are cut off. Zero:
	// forever. At most 100 years.
	MaxAgeGrace time.Duration
	// Jitter draws the spread of MaxAge. Nil: seeded by the clock.
	Jitter retry.Jitter

	// Logger gets the end of a session by an error as Warn. As Debug it gets the end of a session
	// whose peer announced it and cut off no stream, and streams that this package's rules refused
	// or reset. Nil: nothing is logged.
	Logger *slog.Logger
}

// Check returns an error that names each invalid field and its value, or nil.
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

// Client begins a session on a connection, as the side that dialled it. The session then
// owns the connection. It panics if Check returns an error.
func (c Config) Client(conn net.Conn) *Session { return start(conn, c, true) }

// Server begins a session as the side that accepted the connection. Otherwise it is like
// Client.
func (c Config) Server(conn net.Conn) *Session { return start(conn, c, false) }
