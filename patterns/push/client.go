package push

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client receives what a Server pushes, over as many connections as it takes. URL and ID
// must be set. Do not change or copy it while Run is running.
type Client struct {
	// URL is the server's endpoint: ws, wss, http or https.
	URL string
	// ID names the client. The server takes it from the query parameter
	// "client" unless it authenticates otherwise. At most 1,017 bytes.
	ID string
	// HTTP makes the connections. Nil: http.DefaultClient.
	// In a process with thousands of clients, the transport's ReadBufferSize and
	// WriteBufferSize (4 KiB each by default) take much of the memory.
	HTTP *http.Client
	// Header returns the headers of the next handshake, such as fresh credentials. It must
	// return within DialTimeout. An error is a failed attempt, unless it is a final
	// [*retry.StatusError], which ends Run. Nil: no headers.
	Header func(context.Context) (http.Header, error)

	// Topics limits the messages to these topics, in addition to the mailbox: names or
	// filters, see [access.Match]. If the client may not see one of them, Run ends with
	// 403. At most 1,000. None: everything that the client may see.
	Topics []string
	// From is the cursor to continue from. Zero: the client is new and OnReset is called;
	// without a snapshot it begins with the oldest message in the log.
	From eventlog.Cursor
	// FromNow begins with what is published from now on, if From is zero. OnReset is then
	// not called.
	FromNow bool

	// OnReset is called with the state to start again from, because the server cannot
	// continue from the client's cursor. An error ends Run. Nil: a reset ends Run with
	// [ErrReset], except for a new client without a snapshot.
	OnReset func(context.Context, Reset) error
	// OnGap is called when messages were dropped. An error ends Run. Nil: a gap ends Run
	// with [ErrGap].
	OnGap func(context.Context, Gap) error
	// OnRetry is called with the reason why a connection ended or failed, and the delay
	// before the next one. Nil: not called.
	OnRetry func(err error, delay time.Duration)

	// DialTimeout bounds the time from dialling to the server's hello. Zero: 10 s.
	DialTimeout time.Duration
	// AckInterval is how long the acknowledgement of a handled message is delayed, so
	// that one acknowledgement covers many messages. It is sent earlier once half of
	// the server's window is used. Zero: 1 s.
	AckInterval time.Duration
	// WriteTimeout bounds each single write. Zero: 10 s.
	WriteTimeout time.Duration
	// MaxMessageBytes bounds a message or snapshot. A larger message is skipped:
	// it becomes a [Gap]. A larger snapshot ends Run with [eventlog.ErrTooLarge].
	// Zero: 1 MiB. At most 1 GiB.
	MaxMessageBytes int

	// Backoff bounds the delays between connections. Zero fields: Min 500 ms, Base 5 s, Max 30 s,
	// RetryAfterMax 5 min. After a connection that worked for at least Min, the delay is drawn from
	// 0 to Base, so that clients that lost their server together come back evenly. If the server
	// hinted at a time over which to spread, that time replaces Base: a shorter one, even zero,
	// after a connection that worked, and a longer one also after failures.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the clock and ID, so that clients differ.
	Jitter retry.Jitter

	// Logger gets the error that ends Run, and gaps and resets, as warnings, and connections that
	// begin, end or fail at level Debug, with the attributes client and error. Nil: nothing is
	// logged.
	Logger *slog.Logger

	mu     sync.Mutex
	cursor eventlog.Cursor
	stats  ClientStats
}

// Event is a message that arrived.
type Event struct {
	// Topic is empty for the client's own mailbox.
	Topic string
	// Cursor is the position to continue from once the message is handled. A
	// handler that stores it together with the message's effect handles each
	// message exactly once. Zero for a message with TTL Now.
	Cursor eventlog.Cursor
	// Data is the message's payload.
	Data []byte
}

// Reset says that the client must start again. Events that it has already seen
// can arrive again afterwards.
type Reset struct {
	// Reason is why: a reason of package eventlog, or [ReasonNew].
	Reason eventlog.Reason
	// Cursor is the position that events will follow.
	Cursor eventlog.Cursor
	// Snapshot is the server's state at Cursor or later. Nil: the server has
	// none. What the log still keeps follows; a client that needs more must
	// fetch it now.
	Snapshot []byte
}

// Gap says that messages were dropped before Cursor.
type Gap struct {
	// Skipped is the number of messages dropped, Cursor the position after
	// them.
	Skipped int64
	Cursor  eventlog.Cursor
	// Oversized: one message exceeded MaxMessageBytes. Otherwise the client was
	// too slow for the server's policy.
	Oversized bool
}

// ClientStats are the counters of a client.
type ClientStats struct {
	// Dials counts attempts to connect, Connects those that were answered by a
	// hello.
	Dials, Connects int64
	// Events counts messages that were handled. Duplicates, Expired and Oversized
	// count those that were not. Expired includes messages that expired in the mailbox
	// while the client was away, as far as the server knows: it forgets them when it
	// restarts, and keeps them for at most 65,536 clients, dropping the one that has
	// been away the longest.
	Events, Duplicates, Expired, Oversized int64
	// Resets and Gaps count calls of OnReset and OnGap. Skipped is the sum of all
	// gaps.
	Resets, Gaps, Skipped int64
	// Acks counts acknowledgements sent, Pings those received.
	Acks, Pings int64
	// Silent counts connections that were given up because nothing was heard.
	Silent int64
}

// Stats returns a snapshot of the counters.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Cursor returns the position up to which messages have been handled.
func (c *Client) Cursor() eventlog.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor
}

// Run receives, and calls handle for one message at a time, in order. It returns
//
//   - ctx's error when ctx ends;
//   - the error of handle or of another of the client's functions; a message for which handle returned an error counts as
//     not handled;
//   - [ErrFenced], [ErrGap], [ErrReset], [eventlog.ErrTooLarge], or a [*retry.StatusError] for a refusal that a retry would
//     not change.
//
// Other failures are retried. Call Run once at a time; a second call continues from
// Cursor. It panics if handle is nil.
func (c *Client) Run(ctx context.Context, handle func(context.Context, Event) error) error {
	if err := c.Check(); err != nil {
		return err
	}
	if handle == nil {
		panic("push: Client.Run: handle is nil: want a function")
	}
	run := c.newRun(handle)
	for {
		lasted, err := run.connect(ctx)
		switch final := new(finalError); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &final):
			run.log.Warn("push: the client ends", "client", c.ID, "error", final.err)
			return final.err
		case websocket.CloseStatus(err) == StatusFenced:
			run.log.Warn("push: the client ends", "client", c.ID, "error", ErrFenced)
			return ErrFenced
		}
		delay := run.comeback.next(lasted, err)
		run.log.Debug("push: connection ended", "client", c.ID, "error", err, "delay", delay)
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
		if err := retry.Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// finalError ends Run.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }

// Check returns an error that names each invalid setting and its value, or nil. Run calls it.
func (c *Client) Check() error {
	f := fields.Of("push: Client")
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
		f.Bad("URL is %q: want the server's endpoint, ws://host/path or wss://host/path", c.URL)
	}
	switch {
	case c.ID == "":
		f.Bad("ID is empty: want a name")
	case len(c.ID) > maxClientBytes:
		f.Bad("ID has %d bytes: want at most %d", len(c.ID), maxClientBytes)
	}
	if len(c.Topics) > maxTopics {
		f.Bad("Topics has %d elements: want at most %d", len(c.Topics), maxTopics)
	}
	f.Filters("Topics", c.Topics)
	f.Duration("DialTimeout", c.DialTimeout)
	f.Duration("AckInterval", c.AckInterval)
	f.Duration("WriteTimeout", c.WriteTimeout)
	atMost(f, "MaxMessageBytes", c.MaxMessageBytes, maxMessageBytes)
	f.Backoff("Backoff", c.Backoff, ownBackoff)
	return f.Err()
}

// ownBackoff spreads clients that lost their server over 5 s.
var ownBackoff = retry.Backoff{Min: 500 * time.Millisecond, Base: 5 * time.Second}

func (c *Client) newRun(handle func(context.Context, Event) error) *clientRun {
	r := &clientRun{
		Client:       c,
		handler:      handle,
		name:         rand.Text(),
		comeback:     newComeback(c.Backoff.WithDefaults(ownBackoff), c.Jitter.OrSeeded(c.ID)),
		log:          c.Logger,
		dialTimeout:  cmp.Or(c.DialTimeout, 10*time.Second),
		ackInterval:  cmp.Or(c.AckInterval, time.Second),
		writeTimeout: cmp.Or(c.WriteTimeout, 10*time.Second),
		maxBytes:     cmp.Or(c.MaxMessageBytes, 1<<20),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cursor.IsZero() {
		c.cursor = c.From
	}
	return r
}
