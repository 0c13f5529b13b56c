package stream

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// defaultBackoff is what browsers do, more or less.
var defaultBackoff = retry.Backoff{Min: time.Second, Base: 3 * time.Second}

// Client receives a stream, over as many connections as it takes: from a [Server], or
// from any server of Server-Sent Events. Only URL must be set. Do not change or copy
// it while Run is running; one Client may be in several Runs.
type Client struct {
	// URL is where the stream is: http, https, or for a WebSocket also ws and wss.
	URL string
	// HTTP makes the requests. Nil: http.DefaultClient. Its Timeout must be 0.
	// In a process with thousands of clients, the transport's ReadBufferSize and
	// WriteBufferSize (4 KiB each by default) take much of the memory.
	HTTP *http.Client
	// Header returns the headers of each request, such as its Authorization, which it can
	// renew. An error is a failed attempt, unless it is a final [*retry.StatusError], which
	// ends Run. Nil: no headers.
	Header func(context.Context) (http.Header, error)
	// Encoding is requested from the server, which must answer with it. Zero: SSE.
	Encoding Encoding

	// Topics limits the events to these topics, if the server is a Server: at most 100 names or
	// filters, see [access.Match]. If the client may not see one of them, Run ends with 403.
	// None: everything that the client may see.
	Topics []string
	// LastEventID is where to begin: the ID of the last Event that an earlier Run handled, or a
	// later position (OnPosition). Empty: the server decides; a Server begins with its oldest
	// event.
	LastEventID string
	// FromNow begins with what is published from now on, if LastEventID is empty and the server
	// is a Server.
	FromNow bool

	// OnReset is called when the server could not continue from the client's position, so
	// events may be missing between the last one and the next. An error ends Run. Nil: a reset
	// ends Run with [ErrReset].
	OnReset func(context.Context, Reset) error
	// OnPosition gets the positions that the stream moves to without an event, for clients that
	// store their position. Nil: not called.
	OnPosition func(id string)
	// OnRetry gets the reason why a connection ended or failed, and the delay before the next
	// attempt. Nil: not called.
	OnRetry func(err error, delay time.Duration)

	// Heartbeat is the longest time that the server is silent, with or without events. Zero: 15
	// s. Negative: unbounded; a connection that dies silently is not detected.
	Heartbeat time.Duration
	// Misses is the number of Heartbeats of silence after which a connection counts as dead.
	// Zero: 3. The server has the same time to answer the request.
	Misses int
	// Backoff bounds the delays between connections. Its Min defaults to 1 s and its Base to 3
	// s. If the stream sends a reconnection time, the client waits for all of it (doubled after
	// failures as Base is, and at most RetryAfterMax), plus a random delay of up to Base.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the clock when Run is called. Clients that start at
	// the same instant of a simulation then draw the same delays; give each its own.
	Jitter retry.Jitter
	// Temporary reports whether the same request may succeed later. If not, a status other than 200
	// and 204 ends Run. Nil: [retry.Temporary].
	Temporary func(status int) bool
	// MaxMessageBytes bounds the encoded size of an event. Zero: 16 MiB. A longer one ends Run with
	// [eventlog.ErrTooLarge]: it would be as long the next time.
	MaxMessageBytes int
	// Logger gets the error that ends Run, and resets, as warnings, and connections that begin, end
	// or fail at level Debug, with the attributes url (without its query), error, delay and reason.
	// Nil: nothing is logged.
	Logger *slog.Logger

	mu    sync.Mutex
	stats ClientStats
}

// ClientStats are the counters of a Client over all its Runs.
type ClientStats struct {
	// Requests counts attempts to connect. Opened counts those answered with a
	// stream. Events counts events handled, Resets the resets.
	Requests, Opened, Events, Resets int64
	// Ended counts streams that the server ended gracefully. Failures counts all other
	// ends and failed attempts, and Silent those of them that were declared dead.
	Ended, Failures, Silent int64
}

var (
	// ErrContentType ends Run: the answer was 200, but not a stream of the Encoding.
	ErrContentType = errors.New("stream: answer has another content type")
	// ErrSilent is passed to OnRetry for a connection on which nothing was heard for Misses
	// Heartbeats: it is dead, or a proxy holds the stream back.
	ErrSilent = errors.New("stream: nothing was heard for too long: a dead connection, or a proxy that buffers")
	// ErrEnded is passed to OnRetry for a stream that the server ended gracefully.
	ErrEnded = errors.New("stream: the server ended the stream")
)

// Check returns an error that names each invalid setting and its value, or nil. Run calls it.
func (c *Client) Check() error {
	check := fields.Of("stream: Client")
	if c.Encoding < SSE || c.Encoding > WebSocket {
		check.Bad("Encoding is %v: want SSE, NDJSON or WebSocket", c.Encoding)
	}
	u, err := url.Parse(c.URL)
	ws := err == nil && c.Encoding == WebSocket && (u.Scheme == "ws" || u.Scheme == "wss")
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && !ws {
		check.Bad("URL is %q: want http://host/path or https://host/path", c.URL)
	}
	if len(c.Topics) > maxTopics {
		check.Bad("Topics has %d elements: want at most %d", len(c.Topics), maxTopics)
	}
	check.Filters("Topics", c.Topics)
	if !fitsHeader(c.LastEventID) {
		check.Bad("LastEventID is %q: want no control characters", c.LastEventID)
	}
	if n := len(c.LastEventID); n > maxIDBytes {
		check.Bad("LastEventID has %d bytes: want at most %d", n, maxIDBytes)
	}
	check.Backoff("Backoff", c.Backoff, defaultBackoff)
	check.Int("Misses", c.Misses)
	if most := time.Duration(math.MaxInt64) / time.Duration(max(1, cmp.Or(c.Misses, 3))); c.Heartbeat > most {
		check.Bad("Heartbeat is %v: want at most %v, with Misses, or less than 0 for no bound", c.Heartbeat, most)
	}
	check.Int("MaxMessageBytes", c.MaxMessageBytes)
	if c.HTTP != nil && c.HTTP.Timeout != 0 {
		check.Bad("HTTP.Timeout is %v: want 0, since it would end every stream", c.HTTP.Timeout)
	}
	return check.Err()
}

// patience returns how long the server may be silent. Zero: forever.
func (c *Client) patience() time.Duration {
	if c.Heartbeat < 0 {
		return 0
	}
	return cmp.Or(c.Heartbeat, 15*time.Second) * time.Duration(cmp.Or(c.Misses, 3))
}

// Run receives until ctx ends, handle or OnReset fails, or the server refuses permanently.
// It returns ctx.Err, the error of the function, [ErrReset], [ErrContentType],
// [eventlog.ErrTooLarge] or a [*retry.StatusError]. It returns nil when the server answers
// 204, which means that there is no more. Other failures are retried.
//
// Run calls handle from its own goroutine, for one event at a time. When handle returns nil,
// the event is finished, and the next connection begins after it. When it fails or panics,
// the event is not finished: a Run from the previous ID gets it again. Run panics if handle
// is nil.
func (c *Client) Run(ctx context.Context, handle func(context.Context, Event) error) error {
	if err := c.Check(); err != nil {
		return err
	}
	if handle == nil {
		panic("stream: Client.Run: handle is nil: want a function")
	}
	r := newRun(c, handle)
	for {
		worked, err := r.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var final *finalError
		if errors.As(err, &final) {
			if final.error != nil {
				r.logger.WarnContext(ctx, "the client ends", "error", final.error)
			}
			return final.error
		}
		delay := r.next(worked, err)
		r.logger.DebugContext(ctx, "connection ended", "error", err, "delay", delay)
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
		if err := retry.Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// Stats returns the counters.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *Client) count(f func(*ClientStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}
