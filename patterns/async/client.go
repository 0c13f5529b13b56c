package async

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// Client starts operations of a [Server] and returns futures of them. Polls must be set. Do not
// change or copy it after first use; its methods may be called concurrently.
type Client struct {
	// Polls makes the requests: Submit, and Wait if no callback arrives. With [Prefer] as its
	// Header, answers wait at the server.
	Polls *shortpoll.Client

	mu      sync.Mutex
	pending map[string][]started // by id
}

// started is what Start has started.
type started struct {
	future  *Future[[]byte]
	payload []byte
}

var (
	// ErrFailed: the operation has failed. The error's text says why.
	ErrFailed = errors.New("async: operation failed")
	// ErrCancelled: the operation was cancelled.
	ErrCancelled = errors.New("async: operation was cancelled")
)

// Check returns an error that names each invalid setting and its value, or nil.
func (c *Client) Check() error {
	if c.Polls == nil {
		check := fields.Of("async: Client")
		check.Bad("Polls is nil: want a *shortpoll.Client")
		return check.Err()
	}
	return c.Polls.Check()
}

// Start starts an operation and returns the future of its result without waiting. The caller
// chooses the id. Starting the same operation again, even after a crash, starts nothing and leads
// to the same result; with another payload the error is [shortpoll.ErrConflict]. The future fails
// with an error that wraps [ErrFailed] or [ErrCancelled], with the errors of [shortpoll.Client]'s
// Submit and Wait, or with ctx's cause. The latter says nothing about the operation, which
// continues until it is cancelled.
func (c *Client) Start(ctx context.Context, id string, payload []byte) *Future[[]byte] {
	f := NewFuture[[]byte](ctx)
	// It is known by its id before the server knows of it: a callback may come before the answer.
	c.mu.Lock()
	if c.pending == nil {
		c.pending = map[string][]started{}
	}
	c.pending[id] = append(c.pending[id], started{f, bytes.Clone(payload)})
	c.mu.Unlock()
	following, cancel := context.WithCancel(ctx)
	go func() {
		<-f.Done()
		cancel()
		c.forget(id, f)
	}()
	go func() { f.Resolve(c.follow(following, id, payload)) }()
	return f
}

func (c *Client) forget(id string, f *Future[[]byte]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[id] = slices.DeleteFunc(c.pending[id], func(s started) bool { return s.future == f })
	if len(c.pending[id]) == 0 {
		delete(c.pending, id)
	}
}

func (c *Client) follow(ctx context.Context, id string, payload []byte) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	job, err := c.Polls.Submit(ctx, id, payload)
	if err == nil && !job.State.Terminal() {
		job, err = c.Polls.Wait(ctx, job)
	}
	switch {
	case err != nil:
		return nil, err
	case job.State == shortpoll.Failed:
		return nil, fmt.Errorf("%w: %s", ErrFailed, job.Error)
	case job.State == shortpoll.Cancelled:
		return nil, ErrCancelled
	}
	return job.Result, nil
}

// Settle resolves the futures of an operation with the result from a callback, and reports whether
// there was one to resolve. It returns false if they have resolved already or this client did not
// start the operation. If a future was started under the same id with another payload, it is not
// resolved, because it has no operation.
func (c *Client) Settle(id string, result []byte, err error) bool {
	c.mu.Lock()
	all := slices.Clone(c.pending[id])
	c.mu.Unlock()
	did := false
	for _, s := range all {
		if bytes.Equal(s.payload, all[0].payload) && s.future.Resolve(result, err) {
			did = true
		}
	}
	return did
}

// Cancel cancels an operation. It returns nil when the server has received the request; the
// operation may have ended before. It retries until ctx ends, or the server refuses permanently.
func (c *Client) Cancel(ctx context.Context, id string) error {
	if err := c.Check(); err != nil {
		return err
	}
	jitter := c.Polls.Jitter.OrSeeded(id)
	for failures := 1; ; failures++ {
		err := c.cancel(ctx, id)
		var status *retry.StatusError
		if err == nil || errors.As(err, &status) && !retry.Temporary(status.Status) {
			return err
		}
		if serr := retry.Sleep(ctx, c.Polls.Backoff.Delay(failures, jitter)); serr != nil {
			return serr
		}
	}
}

// cancel makes one request.
func (c *Client) cancel(ctx context.Context, id string) error {
	requests := polling.Requester{
		HTTP:           cmp.Or(c.Polls.HTTP, http.DefaultClient),
		Header:         c.Polls.Header,
		Timeout:        cmp.Or(c.Polls.Timeout, 10*time.Second),
		MaxAnswerBytes: cmp.Or(c.Polls.MaxAnswerBytes, 16<<20),
	}
	u, _ := url.Parse(c.Polls.URL) // Check has parsed it
	req, err := http.NewRequest(http.MethodDelete, u.JoinPath(id).String(), polling.NoReplay{})
	if err != nil {
		return err
	}
	resp, body, err := requests.Do(ctx, req)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = retry.NewStatusError(resp.StatusCode, body)
	}
	return err
}
