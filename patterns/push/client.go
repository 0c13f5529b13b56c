package push

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	mathrand "math/rand/v2"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Client receives what a Server pushes, over as many connections as it takes.
// The fields are not to be changed once Run was called.
type Client struct {
	// URL is the server's endpoint: ws, wss, http or https.
	URL string
	// ID names the client. The server takes it from the query parameter
	// "client" unless it authenticates otherwise; it also seeds Rand.
	ID string
	// HTTP makes the connections. Nil: http.DefaultClient.
	// Where a process has thousands of clients, its transport's ReadBufferSize and
	// WriteBufferSize, 4 KiB each by default, are much of what they hold.
	HTTP *http.Client
	// Header returns the headers of the next handshake, such as fresh
	// credentials. An error ends Run. Nil: none.
	Header func(context.Context) (http.Header, error)
	// From is the cursor to continue from. Zero: the client is new, and OnReset
	// is called.
	From eventlog.Cursor

	// OnEvent handles a message. It is called for one at a time, in order. An
	// error ends Run, and the message counts as not handled.
	OnEvent func(context.Context, Event) error
	// OnReset starts again from the given state, because the server can not
	// continue from the client's cursor. An error ends Run.
	OnReset func(context.Context, Reset) error
	// OnGap takes note that messages were dropped. Nil: a gap ends Run with
	// [ErrGap]. An error ends Run.
	OnGap func(context.Context, Gap) error
	// OnRetry is told why a connection ended or was not made, and how long Run
	// waits before the next. Nil: nobody is.
	OnRetry func(err error, delay time.Duration)

	// DialTimeout bounds the time from dialling to the server's hello. Zero: 10 s.
	DialTimeout time.Duration
	// AckInterval is how long a handled message waits for its acknowledgement,
	// so that one acknowledges many. One is sent earlier when half the server's
	// window is used. Zero: 1 s.
	AckInterval time.Duration
	// WriteTimeout bounds each single write. Zero: 10 s.
	WriteTimeout time.Duration
	// MaxMessageBytes bounds a message or snapshot. A larger message is skipped:
	// it becomes a [Gap]. A larger snapshot ends Run. Zero: 1 MiB. At most 1 GiB.
	MaxMessageBytes int

	// Spread is the time over which reconnects are spread: the first delay after
	// a connection ended is uniform in [0, Spread). The server's hint replaces
	// it. Zero: 5 s; negative: none.
	Spread time.Duration
	// MinDelay and MaxDelay bound the delays after a failed attempt. The n-th in
	// a row is uniform in [MinDelay, w), where w is the larger of Spread and
	// MinDelay·2^n, but at most MaxDelay. A connection that did not last for
	// MinDelay counts as failed. Zero: 500 ms and 30 s.
	MinDelay, MaxDelay time.Duration
	// Rand draws the delays; only Run uses it. Nil: a generator seeded with ID,
	// so that clients differ from each other and a run can be repeated.
	Rand *mathrand.Rand

	mu     sync.Mutex
	cursor eventlog.Cursor
	stats  ClientStats
}

// Event is a message that arrived.
type Event struct {
	// Topic is empty for the client's own mailbox.
	Topic string
	// Cursor is the position to continue from once the message is handled:
	// whoever stores it together with the message's effect handles it exactly
	// once. Zero for a message with TTL 0.
	Cursor eventlog.Cursor
	Data   []byte
}

// Reset says that the client must start again. Events that it has seen may come
// again afterwards.
type Reset struct {
	Reason Reason
	// Cursor is the position that events will follow.
	Cursor eventlog.Cursor
	// Snapshot is the server's state at Cursor or later. Nil if the server has
	// none to offer: what the log still keeps follows then, and who needs more
	// asks for it now.
	Snapshot []byte
}

// Gap says that messages were dropped before Cursor.
type Gap struct {
	Skipped uint64
	Cursor  eventlog.Cursor
	// Oversized: one message was over MaxMessageBytes. Otherwise the client was
	// too slow for the server's policy.
	Oversized bool
}

// ClientStats are the counters of a client.
type ClientStats struct {
	// Dials are attempts to connect; Connects those answered by a hello.
	Dials, Connects uint64
	// Events were handled; Duplicates, Expired and Oversized ones were not. Expired
	// includes those that died in the mailbox while the client was away, as far as the
	// server knows: it forgets them when it restarts, and those of the client that has
	// been away the longest of more than 65,536.
	Events, Duplicates, Expired, Oversized uint64
	// Resets and Gaps are calls of the functions; Skipped is the sum of all gaps.
	Resets, Gaps, Skipped uint64
	// Acks were sent; Pings came from the server.
	Acks, Pings uint64
	// Silent counts connections given up because nothing was heard.
	Silent uint64
}

// Stats returns a snapshot of the counters.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Cursor returns the position up to which messages are handled.
func (c *Client) Cursor() eventlog.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor
}

// Run receives until ctx ends, and returns ctx's error; until a function returns
// an error, and returns that; or until there is no use in going on, and returns
// [ErrFenced], [ErrGap], [ErrTooLarge] or a [HandshakeError]. It is to be called
// once at a time; a second call continues from Cursor.
func (c *Client) Run(ctx context.Context) error {
	run, err := c.newRun()
	if err != nil {
		return err
	}
	for {
		lasted, err := run.connect(ctx)
		switch final := new(finalError); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &final):
			return final.err
		case websocket.CloseStatus(err) == StatusFenced:
			return ErrFenced
		}
		delay := run.backoff.next(lasted, err)
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// finalError ends Run.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }

// check returns what is wrong with the fields.
func (c *Client) check() error {
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
	if c.OnEvent == nil {
		f.Bad("OnEvent is nil: want a function")
	}
	if c.OnReset == nil {
		f.Bad("OnReset is nil: want a function, since every client has to start from nothing once")
	}
	f.Duration("DialTimeout", c.DialTimeout)
	f.Duration("AckInterval", c.AckInterval)
	f.Duration("WriteTimeout", c.WriteTimeout)
	atMost(f, "MaxMessageBytes", c.MaxMessageBytes, maxMessageBytes)
	f.Duration("MinDelay", c.MinDelay)
	f.Duration("MaxDelay", c.MaxDelay)
	if least := cmp.Or(c.MinDelay, defaultMinDelay); c.MaxDelay > 0 && c.MaxDelay < least {
		f.Bad("MaxDelay is %v: want at least MinDelay, %v", c.MaxDelay, least)
	}
	return f.Err()
}

const defaultMinDelay = 500 * time.Millisecond

func (c *Client) newRun() (*clientRun, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	r := &clientRun{
		Client:       c,
		name:         rand.Text(),
		dialTimeout:  cmp.Or(c.DialTimeout, 10*time.Second),
		ackInterval:  cmp.Or(c.AckInterval, time.Second),
		writeTimeout: cmp.Or(c.WriteTimeout, 10*time.Second),
		maxBytes:     cmp.Or(c.MaxMessageBytes, 1<<20),
	}
	minDelay := cmp.Or(c.MinDelay, defaultMinDelay)
	maxDelay := cmp.Or(c.MaxDelay, max(30*time.Second, minDelay))
	r.backoff = newBackoff(max(cmp.Or(c.Spread, 5*time.Second), 0), minDelay, maxDelay, c.Rand, c.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cursor.IsZero() {
		c.cursor = c.From
	}
	return r, nil
}
