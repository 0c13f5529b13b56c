package shortpoll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client polls a server: [Client.Run] polls a [Server], [Client.Submit] and [Client.Wait] a
// [Jobs]. Only URL must be set. Do not change or copy it after first use; its methods may be
// called concurrently.
//
// Without MaxInterval, polls begin at multiples of Interval after the first one, however long
// answers take and whatever goes wrong in between. The first poll begins Interval after the
// call, minus a random part drawn by Jitter, so that clients started at one instant stay
// apart. With MaxInterval, the n-th delay without news is drawn from Interval to Interval<<n,
// at most MaxInterval.
//
// If the context has a deadline, the last poll begins Margin before it. If that poll does not
// report the end of the job, the method returns context.DeadlineExceeded at once.
type Client struct {
	// URL is where the handler of a Server or a Jobs is mounted.
	URL string
	// HTTP makes the requests. Nil: http.DefaultClient. Its Timeout must be 0 or
	// exceed Timeout.
	HTTP *http.Client

	// Header returns headers for each request, such as Authorization. The time that it takes
	// counts as silence of the server. An error is a failed request, which is retried, unless
	// it is a final [*retry.StatusError]. Nil: no headers.
	Header func(context.Context) (http.Header, error)

	// From is where Run begins: the Cursor of the last Batch that an earlier Run
	// handled. Zero: the oldest event that the server has. A client without a cursor
	// asks for one at once, before its first interval.
	From eventlog.Cursor
	// FromNow begins with what is published from now on, if From is zero.
	FromNow bool
	// Topics limits the events to these topics, at most 100: names or filters, see
	// [access.Match]. If the client may not see one of them, Run ends with 403. None:
	// everything that the client may see.
	Topics []string

	// Interval is the time between polls. Zero: 1 s. A longer Retry-After from the
	// server is honoured, up to Backoff.RetryAfterMax.
	Interval time.Duration
	// MaxInterval, if longer than Interval, is what the time between polls grows to
	// while nothing changes.
	MaxInterval time.Duration
	// SlowDown is added to Interval, for the rest of a call, with each 429. Zero: 5 s
	// (RFC 8628, section 3.5). Negative: nothing.
	SlowDown time.Duration
	// Margin is how long before a deadline the last poll begins. Zero: 1 s.
	Margin time.Duration
	// Timeout is how long a server may be silent during a poll, even in the middle of an
	// answer. Zero: 10 s. That is when a dead connection is detected.
	Timeout time.Duration

	// Backoff bounds the delays after failures.
	Backoff retry.Backoff
	// Jitter draws phases and delays. Nil: seeded by the clock at each call. Clients
	// that start at the same instant of a simulation then draw the same; give each
	// its own retry.Seeded.
	Jitter retry.Jitter
	// StaleAnswers is how many answers in a row, from a server that is behind this
	// client, are attributed to a lagging replica and retried with Backoff. The next
	// one is treated as a Reset. Zero: 3. Negative: none is retried.
	StaleAnswers int
	// Patience is how long a 404 is attributed to a replica that has not heard of the
	// job yet. Zero: 10 s. Negative: not at all.
	Patience time.Duration
	// MaxAnswerBytes is the longest answer. Zero: 16 MiB. JSON encodes data in base64,
	// so 1 MiB of data becomes 1.4 MiB.
	MaxAnswerBytes int

	// OnState is called by Wait with each state of the job that it sees, in order and once for
	// each. Nil: not called.
	OnState func(Job)
	// OnRetry is called after each failed request, with its error and the delay before the
	// next. Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets gaps and the errors that end a call as warnings, failed requests at level
	// Debug. Nil: nothing is logged.
	Logger *slog.Logger

	mu    sync.Mutex
	stats ClientStats
}

// ClientStats are the counters of a Client over all its calls.
type ClientStats struct {
	// Polls counts requests, including submissions. Unchanged counts the answers 304
	// and those without news.
	Polls, Unchanged int64
	// Answers counts answers with events, Events the events delivered, Resets the resets
	// passed to the handler, and Duplicates the events that were dropped because they had been
	// delivered before.
	Answers, Events, Resets, Duplicates int64
	// Stale counts answers from replicas behind this client, SlowedDown the answers 429.
	Stale, SlowedDown int64
	// Failures counts requests that failed, TimedOut those of them that were silent for
	// Timeout.
	Failures, TimedOut int64
}

// Check returns an error that names each invalid setting and its value, or nil. The methods call it.
func (c *Client) Check() error {
	check := fields.Of("shortpoll: Client")
	check.HTTP("URL", c.URL)
	if len(c.Topics) > polling.MaxTopics {
		check.Bad("Topics has %d elements: want at most %d", len(c.Topics), polling.MaxTopics)
	}
	check.Filters("Topics", c.Topics)
	check.Duration("Interval", c.Interval)
	check.Duration("MaxInterval", c.MaxInterval)
	check.Duration("SlowDown", max(0, c.SlowDown))
	check.Duration("Margin", c.Margin)
	check.Duration("Timeout", c.Timeout)
	check.Backoff("Backoff", c.Backoff, retry.Backoff{})
	if c.MaxInterval > 0 && c.MaxInterval < c.interval() {
		check.Bad("MaxInterval is %v: want 0 for a fixed interval, or at least Interval, %v", c.MaxInterval, c.interval())
	}
	check.Int("MaxAnswerBytes", c.MaxAnswerBytes)
	if c.HTTP != nil && c.HTTP.Timeout > 0 && c.HTTP.Timeout <= c.timeout() {
		check.Bad("HTTP.Timeout is %v: want 0, or more than Timeout, %v", c.HTTP.Timeout, c.timeout())
	}
	return check.Err()
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

func (c *Client) log() *slog.Logger { return polling.Logger(c.Logger) }

func (c *Client) interval() time.Duration { return cmp.Or(c.Interval, time.Second) }
func (c *Client) timeout() time.Duration  { return cmp.Or(c.Timeout, 10*time.Second) }

// A question is what a client asks again and again.
type question interface {
	// request returns the request to send next.
	request() (*http.Request, error)
	// answered takes an answer. An error is a failure, after which the client asks
	// again; a stop ends it.
	answered(ctx context.Context, resp *http.Response, body []byte) (verdict, error)
}

// verdict is what an answer means for the schedule.
type verdict struct {
	done bool // there is nothing more to ask
	news bool // something has changed
	more bool // and there is more to fetch at once
}

// stop is an error that ends polling.
type stop struct{ error }

func (s stop) Unwrap() error { return s.error }

// ask polls until the question is answered.
func (c *Client) ask(ctx context.Context, q question, p *pacer) error {
	requests := polling.Requester{
		HTTP:           c.HTTP,
		Header:         c.Header,
		Timeout:        c.timeout(),
		MaxAnswerBytes: cmp.Or(c.MaxAnswerBytes, 16<<20),
	}
	if c.HTTP == nil {
		requests.HTTP = http.DefaultClient
	}
	for {
		if err := p.wait(ctx); err != nil {
			return err
		}
		c.count(func(s *ClientStats) { s.Polls++ })
		req, err := q.request()
		if err != nil {
			return fmt.Errorf("shortpoll: %w", err)
		}
		resp, body, err := requests.Do(ctx, req)
		var v verdict
		if err == nil {
			v, err = q.answered(ctx, resp, body)
		}
		switch {
		case err == nil && v.done:
			return nil
		case err == nil:
			p.answered(v, resp.Header)
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case isFinal(err):
			return c.finalError(err)
		}
		delay := p.failed(resp)
		c.count(func(s *ClientStats) {
			s.Failures++
			if errors.Is(err, polling.ErrTimeout) {
				s.TimedOut++
			}
			if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
				s.SlowedDown++
			}
		})
		err = fmt.Errorf("shortpoll: %w", err)
		c.log().Debug("request failed", "error", err, "delay", delay)
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
	}
}

// isFinal reports whether to ask again is of no use.
func isFinal(err error) bool {
	var status *retry.StatusError
	return errors.As(err, new(stop)) || errors.Is(err, eventlog.ErrTooLarge) ||
		errors.As(err, &status) && !retry.Temporary(status.Status)
}

func (c *Client) finalError(err error) error {
	var s stop
	if errors.As(err, &s) {
		return s.error // its receiver knows what it means
	}
	err = fmt.Errorf("shortpoll: %w", err)
	c.log().Warn("polling ended", "error", err)
	return err
}
