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
	// Where a process has thousands of clients, its transport's ReadBufferSize and
	// WriteBufferSize, 4 KiB each by default, are much of what they hold.
	HTTP *http.Client
	// Header returns headers of each request, such as Authorization. The time it takes counts
	// as silence of the server. An error is a failed poll, after which it is asked again,
	// unless it is a [*retry.StatusError] that is final. Nil: there are none.
	Header func(context.Context) (http.Header, error)
	// Topics limits the events to these topics, at most 100: names or filters, see
	// [access.Match]. One that the client may not see ends Run with 403. None: all that it may
	// see.
	Topics []string

	// From is where to begin: the Cursor of the last Batch that was handled in an
	// earlier Run. Zero: the oldest event that the server has.
	From eventlog.Cursor
	// FromNow begins, if From is zero, with what is published from now on.
	FromNow bool

	// Wait is how long the server may hold a poll: 30 s. The server may lower it,
	// and adds up to a sixteenth.
	Wait time.Duration
	// Margin is what a poll may take beyond the server's wait: 10 s. A poll's
	// timeout is Wait + Wait/16 + Margin of silence; a connection that died is
	// noticed then.
	Margin time.Duration
	// ProxyTimeout is as for [Server]. If it is known, Check compares it with Wait.
	ProxyTimeout time.Duration

	// Interval is the least mean time between polls: 100 ms. Two may follow each
	// other at once (a token bucket with a burst of 2), so it delays no event
	// while events are rarer than that.
	Interval time.Duration
	// Backoff bounds the delays after failures.
	Backoff retry.Backoff
	// Jitter draws within Backoff's bounds. Nil: seeded by the clock when Run is
	// called. Clients that start at the same instant of a simulation then draw
	// alike; give each a retry.Seeded of its own.
	Jitter retry.Jitter
	// StaleAnswers is how many answers in a row, from a server that is behind
	// this client, are taken for a replica that lags and asked again, with
	// Backoff, before they are taken for a Reset: 3. Negative: none.
	StaleAnswers int
	// MaxAnswerBytes is the longest answer: 16 MiB. JSON encodes data in base64, so
	// that 1 MiB becomes 1.4.
	MaxAnswerBytes int

	// OnRetry, if not nil, is called after each failed poll, with its error and the delay
	// before the next.
	OnRetry func(err error, delay time.Duration)
	// Logger gets gaps and the errors that end a Run as warnings, failed polls at level Debug.
	// Nil: nothing is logged.
	Logger *slog.Logger

	mu    sync.Mutex
	stats ClientStats
}

// ClientStats are the counters of a Client over all its Runs.
type ClientStats struct {
	// Polls counts requests, Answers those answered with events, Events the events
	// handed over, Empty the polls that ended without news: empty answers and
	// gateway timeouts.
	Polls, Answers, Events, Empty int64
	// Resets counts the resets handed to the handler, Stale the answers from servers behind
	// this client, Duplicates the events that were dropped because they had been handed over
	// before.
	Resets, Stale, Duplicates int64
	// Failures counts polls that failed, TimedOut those of them that ended by the
	// poll's timeout.
	Failures, TimedOut int64
}

// Run polls until ctx ends, handle fails or the server refuses for good, and
// returns that error: ctx.Err, what handle returned, or a [*retry.StatusError]. An
// answer beyond MaxAnswerBytes ends it too, with an eventlog.ErrTooLarge, since it
// would be as long the next time. Other failures are retried.
//
// handle is called from this goroutine, with one batch after the other. When it
// returns nil the batch is done with, and the next poll says so to the server.
// When it fails or panics the batch is not; a Run from the Cursor of the batch
// before gets its events again. It panics if handle is nil.
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
