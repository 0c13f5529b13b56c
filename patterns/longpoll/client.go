package longpoll

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client polls a [Server]. Only URL must be set. Do not change or copy it while
// Run is running; one Client may be in several Runs.
type Client struct {
	// URL is where the server's handler is mounted.
	URL string
	// HTTP makes the requests. Nil: http.DefaultClient. Its Timeout must be 0 or
	// exceed that of a poll.
	// In a process with thousands of clients, the transport's ReadBufferSize and
	// WriteBufferSize (4 KiB each by default) take much of the memory.
	HTTP *http.Client
	// Header returns headers for each request, such as Authorization. The time that it takes
	// counts as silence of the server. An error is a failed poll, after which Header is called
	// again, unless the error is a final [*retry.StatusError], which ends Run. Nil: no
	// headers.
	Header func(context.Context) (http.Header, error)
	// Topics limits the events to these topics, at most 100: names or filters, see
	// [access.Match]. If the client may not see one of them, Run ends with 403. None:
	// everything that the client may see.
	Topics []string

	// From is where to begin: the Cursor of the last Batch that was handled in an
	// earlier Run. Zero: the oldest event that the server has.
	From eventlog.Cursor
	// FromNow begins with what is published from now on, if From is zero.
	FromNow bool

	// Wait is how long the server may hold a poll. Zero: 30 s. The server may hold
	// it for less, and adds up to a sixteenth.
	Wait time.Duration
	// Margin is how long a poll may take in addition to the server's wait. Zero: 10
	// s. A poll times out after Wait + Wait/16 + Margin of silence; that is when a
	// dead connection is detected.
	Margin time.Duration
	// ProxyTimeout is as in [Server]. If it is set, Check compares it with Wait.
	ProxyTimeout time.Duration

	// Interval is the shortest mean time between polls. Zero: 100 ms. Two polls can
	// follow each other at once (a token bucket with a burst of 2), so Interval
	// delays no event as long as events are rarer than that.
	Interval time.Duration
	// Backoff bounds the delays after failures.
	Backoff retry.Backoff
	// Jitter draws the delays within Backoff's bounds. Nil: seeded by the clock when Run is
	// called. Clients that start at the same instant of a simulation then draw the same
	// delays; give each its own retry.Seeded.
	Jitter retry.Jitter
	// StaleAnswers is how many answers in a row, from a server that is behind this
	// client, are attributed to a lagging replica and retried with Backoff. The next one
	// is treated as a Reset. Zero: 3. Negative: none is retried.
	StaleAnswers int
	// MaxAnswerBytes is the longest answer. Zero: 16 MiB. JSON encodes data in base64, so 1
	// MiB of data becomes 1.4 MiB.
	MaxAnswerBytes int

	// OnRetry is called after each failed poll, with its error and the delay before the next.
	// Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets gaps and the errors that end a Run as warnings, failed polls at level Debug.
	// Nil: nothing is logged.
	Logger *slog.Logger

	mu    sync.Mutex
	stats ClientStats
}

// ClientStats are the counters of a Client over all its Runs.
type ClientStats struct {
	// Polls counts requests. Answers counts those answered with events, and Events
	// the events delivered. Empty counts polls that ended without events: empty
	// answers and gateway timeouts.
	Polls, Answers, Events, Empty int64
	// Resets counts the resets passed to the handler. Stale counts answers from servers
	// behind this client. Duplicates counts events that were dropped because they had been
	// delivered before.
	Resets, Stale, Duplicates int64
	// Failures counts polls that failed. TimedOut counts those of them that ended
	// by the poll's timeout.
	Failures, TimedOut int64
}

// Run polls until ctx ends, handle fails or the server refuses permanently. It
// returns ctx.Err, the error of handle, or a [*retry.StatusError]. An answer
// beyond MaxAnswerBytes also ends it, with [eventlog.ErrTooLarge], because the
// next answer would be as long. Other failures are retried.
//
// Run calls handle from its own goroutine, for one batch at a time. When handle
// returns nil, the batch is finished, and the next poll tells the server. When it
// fails or panics, the batch is not finished: a Run from the Cursor of the
// previous batch gets its events again. Run panics if handle is nil.
func (c *Client) Run(ctx context.Context, handle func(context.Context, Batch) error) error {
	if err := c.Check(); err != nil {
		return err
	}
	if handle == nil {
		panic("longpoll: Client.Run: handle is nil: want a function")
	}
	p := newPoller(c)
	for {
		if err := p.limit.take(ctx); err != nil {
			return err
		}
		batch, delay, err := p.poll(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if final(err) {
				p.log.Warn("polling ended", "error", err)
				return err
			}
			p.log.Debug("poll failed", "error", err, "delay", delay)
			if c.OnRetry != nil {
				c.OnRetry(err, delay)
			}
			if err := retry.Sleep(ctx, delay); err != nil {
				return err
			}
			continue
		}
		if batch.Reset != "" {
			p.log.Warn("events may be missing", "reason", batch.Reset, "cursor", p.Reader.Cursor)
		}
		if len(batch.Events) > 0 || batch.Reset != "" || p.Begins(batch) {
			if err := handle(ctx, Batch(batch)); err != nil {
				return err
			}
		}
		p.Accept(batch)
		p.count(func(s *ClientStats) {
			s.Events += int64(len(batch.Events))
			if batch.Reset != "" {
				s.Resets++
			}
		})
	}
}

// final reports whether to ask again is of no use.
func final(err error) bool {
	var status *retry.StatusError
	return errors.As(err, &status) && !retry.Temporary(status.Status) || errors.Is(err, eventlog.ErrTooLarge)
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
