package push

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Identity is who a connection belongs to and what it may receive: its Topics, which
// are names here, not filters, besides its mailbox. Its Client is never empty.
type Identity = access.Identity

// Tokens signs identities and verifies them again.
type Tokens = access.Tokens

// ServerOptions configure a Server. The zero value has the defaults below.
// No duration may exceed 1,000 h.
type ServerOptions struct {
	// Authenticate decides who a request comes from; an error is answered with
	// 401. It must be cheap, best without any I/O, since after an outage all
	// clients ask at once: see [Tokens]. Nil: the client is whoever the query
	// parameter "client" says, which is for trusted networks only.
	Authenticate func(*http.Request) (Identity, error)

	// Snapshot returns the state that makes up for the events a client missed.
	// It is called when a client can not continue from its cursor, after the
	// position was read from which events will follow: what happens meanwhile
	// is sent as an event too, and nothing is missed. Nil: such a client gets
	// all that the log still keeps for it.
	Snapshot func(context.Context, Identity) ([]byte, error)

	// OnAck is told of each acknowledged position. It holds up the reading from
	// that client, so it must return soon. Nil: nobody is told.
	OnAck func(client string, c eventlog.Cursor)

	// OriginPatterns lists the hosts other than the server's own whose web pages
	// may connect, as in package path's Match. Empty: none.
	OriginPatterns []string

	// Slow is what happens to a client whose queue is full.
	Slow SlowPolicy
	// MaxQueue bounds the messages, MaxQueueBytes the bytes that wait for one
	// client. Zero: 1,024 and 1 MiB. At least 1.
	MaxQueue      int
	MaxQueueBytes int
	// MaxBlock is how long Publish waits for slow clients under [Block].
	// Zero: 1 s.
	MaxBlock time.Duration
	// CoalesceKey names what a message is about, for [Coalesce]. Nil: its topic.
	CoalesceKey func(topic string, data []byte) string

	// Window bounds the messages, WindowBytes the bytes that are sent to a
	// client ahead of its acknowledgements. Because of it a slow handler fills
	// the queue here, where the policy sees it, and not the kernel's buffers,
	// where pings would be stuck behind events. Zero: 256 and 256 KiB. At most
	// 65,536 and 64 MiB.
	Window      int
	WindowBytes int

	// MaxMessageBytes bounds a message's data. Zero: 64 KiB. At most 1 GiB.
	MaxMessageBytes int
	// MaxSessions bounds the connected clients; more are answered with 503 and
	// Retry-After. Zero: no bound.
	MaxSessions int

	// PingInterval is the time from one ping to the next. A client from which
	// nothing is heard within PingTimeout after a ping is gone. So is one that
	// died, no later than PingInterval + PingTimeout after it did. Choose an
	// interval below the idle timeout of every proxy and NAT on the way.
	// Zero: 25 s and 10 s. The timeout is at most the interval.
	PingInterval time.Duration
	PingTimeout  time.Duration
	// WriteTimeout bounds each single write. Zero: 10 s.
	WriteTimeout time.Duration
	// NowTimeout is how long Publish waits for the confirmation of a message
	// with TTL 0. Zero: PingTimeout.
	NowTimeout time.Duration

	// Spread is the time over which clients should spread their reconnects:
	// their number divided by the rate that the server can take. They are told
	// at the start of each session, so that they know it after a crash too.
	// Zero: no hint; negative: none is needed, they may come at once.
	Spread time.Duration

	// Logger is told when a function of the options fails or panics, with the attributes
	// client, topic and error. Nil: nothing is logged.
	Logger *slog.Logger
}

// SlowPolicy is what happens to a client whose queue is full.
type SlowPolicy int

const (
	// Disconnect closes with [StatusSlow]. The client comes back and continues
	// from the log, so nothing is lost that the log keeps.
	Disconnect SlowPolicy = iota
	// Block makes Publish wait until the client has caught up, for MaxBlock at
	// most; then it is disconnected. Other clients do not wait: they have the
	// message before the waiting begins. Nothing is lost.
	Block
	// DropOldest makes room at the head of the queue. The client is told how
	// many messages it lost.
	DropOldest
	// DropNewest refuses what does not fit. The client is told how many
	// messages it lost.
	DropNewest
	// Coalesce replaces a waiting message by a newer one of the same
	// CoalesceKey, whether the queue is full or not; the client is not told. If
	// that does not make room the client is disconnected.
	Coalesce
)

func (p SlowPolicy) String() string {
	names := [...]string{"disconnect", "block", "drop-oldest", "drop-newest", "coalesce"}
	if p < 0 || int(p) >= len(names) {
		return fmt.Sprintf("SlowPolicy(%d)", int(p))
	}
	return names[p]
}

// check returns what is wrong with the options.
func (o *ServerOptions) check() error {
	c := fields.Of("push: ServerOptions")
	if o.Slow < Disconnect || o.Slow > Coalesce {
		c.Bad("Slow is %v: want Disconnect to Coalesce", o.Slow)
	}
	c.Int("MaxQueue", o.MaxQueue)
	c.Int("MaxQueueBytes", o.MaxQueueBytes)
	atMost(c, "Window", o.Window, maxWindow)
	atMost(c, "WindowBytes", o.WindowBytes, maxWindowBytes)
	atMost(c, "MaxMessageBytes", o.MaxMessageBytes, maxMessageBytes)
	c.Int("MaxSessions", o.MaxSessions)
	interval := cmp.Or(o.PingInterval, defaultPingInterval)
	atMost(c, "MaxBlock", o.MaxBlock, maxTime)
	atMost(c, "PingInterval", o.PingInterval, maxTime)
	atMost(c, "PingTimeout", o.PingTimeout, interval)
	atMost(c, "WriteTimeout", o.WriteTimeout, maxTime)
	atMost(c, "NowTimeout", o.NowTimeout, maxTime)
	if o.Spread > maxTime {
		c.Bad("Spread is %v: want at most %v", o.Spread, maxTime)
	}
	return c.Err()
}

// atMost refuses a value that is negative or too large.
func atMost[T int | time.Duration](c *fields.Check, name string, v, most T) {
	if v < 0 || v > most {
		c.Bad("%s is %v: want 0 for the default, or up to %v", name, v, most)
	}
}

const defaultPingInterval = 25 * time.Second

// withDefaults returns the options with the zero values replaced.
func (o ServerOptions) withDefaults() ServerOptions {
	if o.Authenticate == nil {
		o.Authenticate = clientParameter
	}
	if o.CoalesceKey == nil {
		o.CoalesceKey = func(topic string, _ []byte) string { return topic }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.MaxQueue = cmp.Or(o.MaxQueue, 1024)
	o.MaxQueueBytes = cmp.Or(o.MaxQueueBytes, 1<<20)
	o.Window = cmp.Or(o.Window, 256)
	o.WindowBytes = cmp.Or(o.WindowBytes, 256<<10)
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, 64<<10)
	o.MaxBlock = cmp.Or(o.MaxBlock, time.Second)
	o.PingInterval = cmp.Or(o.PingInterval, defaultPingInterval)
	o.PingTimeout = cmp.Or(o.PingTimeout, min(10*time.Second, o.PingInterval))
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.NowTimeout = cmp.Or(o.NowTimeout, o.PingTimeout)
	return o
}

func clientParameter(r *http.Request) (Identity, error) {
	client := r.URL.Query().Get("client")
	if client == "" {
		return Identity{}, fmt.Errorf("push: no client parameter in the query")
	}
	return Identity{Client: client}, nil
}
