package workqueue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client reaches a [Queue] in another process. Only URL must be set. Do not change or copy it after
// first use; its methods may be called concurrently.
//
// Every call can safely be repeated, and is retried until it is answered or ctx ends. If it returns
// ctx's error, the caller does not know whether the queue did it. Only Extend is not retried,
// because a worker soon extends again. A queue that drains or is closed is retried too, because
// another one will take its place.
type Client struct {
	// URL is where the queue's handler is mounted.
	URL string
	// HTTP makes the requests. Nil: http.DefaultClient.
	HTTP *http.Client
	// Header returns headers for each request, such as Authorization. An error is a failed
	// request. Nil: no headers.
	Header func(context.Context) (http.Header, error)
	// Wait is how long a request for a job waits at the queue. Zero: 20 s. At most
	// 30 s.
	Wait time.Duration
	// Timeout is how long the queue may be silent, in addition to Wait for a request that
	// waits. Zero: 10 s.
	Timeout time.Duration
	// MaxAnswerBytes is the longest answer. Zero: 4 MiB. A task has its payload and its checkpoint,
	// in base64.
	MaxAnswerBytes int

	// Backoff bounds the delays after failures.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the clock.
	Jitter retry.Jitter
	// OnRetry is called after each failed request that will be repeated, with its error and the
	// delay before the next. Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets failed requests at level Debug. Nil: nothing is logged.
	Logger *slog.Logger

	requests, failures atomic.Int64
}

// ClientStats are the counters of a Client.
type ClientStats struct {
	// Requests counts requests. Failures counts those that failed and were not answered with one of
	// the queue's errors.
	Requests, Failures int64
}

var _ Source = (*Client)(nil)

// Check returns an error that names each invalid setting and its value, or nil. The methods call it.
func (c *Client) Check() error {
	check := fields.Of("workqueue: Client")
	check.HTTP("URL", c.URL)
	check.Duration("Wait", c.Wait)
	if c.Wait > maxWait {
		check.Bad("Wait is %v: want at most %v", c.Wait, maxWait)
	}
	check.Duration("Timeout", c.Timeout)
	check.Int("MaxAnswerBytes", c.MaxAnswerBytes)
	check.Backoff("Backoff", c.Backoff, retry.Backoff{})
	return check.Err()
}

// Stats returns the counters.
func (c *Client) Stats() ClientStats {
	return ClientStats{Requests: c.requests.Load(), Failures: c.failures.Load()}
}

// Add is as for a [Queue].
func (c *Client) Add(ctx context.Context, job Job) (s Status, err error) {
	return s, c.call(ctx, "add", message{Job: &job}, &s)
}

// Get is as for a [Queue].
func (c *Client) Get(ctx context.Context, id string) (s Status, err error) {
	return s, c.call(ctx, "get", message{ID: id}, &s)
}

// List is as for a [Queue].
func (c *Client) List(ctx context.Context, state State) (all []Status, err error) {
	return all, c.call(ctx, "list", message{State: state}, &all)
}

// Cancel is as for a [Queue].
func (c *Client) Cancel(ctx context.Context, id string) (s Status, err error) {
	return s, c.call(ctx, "cancel", message{ID: id}, &s)
}

// Retry is as for a [Queue]. If the first answer was lost, the repetition can be answered with
// [ErrState].
func (c *Client) Retry(ctx context.Context, id string) (s Status, err error) {
	return s, c.call(ctx, "retry", message{ID: id}, &s)
}

// Lease is as for every Source.
func (c *Client) Lease(ctx context.Context, request string) (Task, error) {
	for {
		var task Task
		wait := min(cmp.Or(c.Wait, 20*time.Second), maxWait)
		err := c.call(ctx, "lease", message{Request: request, WaitMillis: wait.Milliseconds()}, &task)
		if err != nil || task.ID != "" {
			return task, err
		}
	}
}

// Extend is as for every Source.
func (c *Client) Extend(ctx context.Context, id string, token uint64, checkpoint []byte) error {
	if err := c.Check(); err != nil {
		return err
	}
	_, err := c.once(ctx, "extend", message{ID: id, Token: token, Checkpoint: checkpoint}, nil)
	return err
}

// Finish is as for every Source.
func (c *Client) Finish(ctx context.Context, id string, token uint64, end End) error {
	return c.call(ctx, "finish", message{ID: id, Token: token, End: &end}, nil)
}

// call repeats a request until it is answered.
func (c *Client) call(ctx context.Context, method string, m message, answer any) error {
	if err := c.Check(); err != nil {
		return err
	}
	jitter := c.Jitter.OrSeeded(c.URL)
	for failures := 1; ; failures++ {
		header, err := c.once(ctx, method, m, answer)
		var status *retry.StatusError
		switch {
		case err == nil, isQueues(err), errors.Is(err, eventlog.ErrTooLarge):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &status) && !retry.Temporary(status.Status):
			return err
		}
		delay := c.Backoff.Delay(failures, jitter)
		if after, ok := retry.After(header); ok {
			delay = max(delay, c.Backoff.Hint(after, jitter))
		}
		polling.Logger(c.Logger).Debug("request failed", "method", method, "error", err, "delay", delay)
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
		if err := retry.Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// isQueues reports whether an error is an answer of the queue to the question itself.
func isQueues(err error) bool {
	for _, known := range errorStatus {
		if errors.Is(err, known.err) {
			return known.status != http.StatusServiceUnavailable || known.err == ErrFull
		}
	}
	return false
}

func (c *Client) once(ctx context.Context, method string, m message, answer any) (http.Header, error) {
	requests := polling.Requester{
		HTTP:           cmp.Or(c.HTTP, http.DefaultClient),
		Header:         c.Header,
		Timeout:        cmp.Or(c.Timeout, 10*time.Second) + time.Duration(m.WaitMillis)*time.Millisecond,
		MaxAnswerBytes: cmp.Or(c.MaxAnswerBytes, 4<<20),
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	u, _ := url.Parse(c.URL) // Check has parsed it
	// A body that can be read once: when to send it again is not for net/http to say.
	req, err := http.NewRequest(http.MethodPost, u.JoinPath(method).String(), io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	c.requests.Add(1)
	resp, text, err := requests.Do(ctx, req)
	if err != nil {
		c.failures.Add(1)
		return nil, fmt.Errorf("workqueue: %s: %w", method, err)
	}
	if resp.StatusCode == http.StatusOK {
		if answer != nil {
			if err := json.Unmarshal(text, answer); err != nil {
				c.failures.Add(1)
				return nil, fmt.Errorf("workqueue: %s: an answer of %d bytes: %w", method, len(text), err)
			}
		}
		return resp.Header, nil
	}
	for _, known := range errorStatus {
		if known.status == resp.StatusCode && strings.TrimSpace(string(text)) == known.err.Error() {
			return resp.Header, known.err
		}
	}
	c.failures.Add(1)
	return resp.Header, fmt.Errorf("workqueue: %s: %w", method, retry.NewStatusError(resp.StatusCode, text))
}
