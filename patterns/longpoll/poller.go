package longpoll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// gatewayTimeout reports whether something on the path gave up on a request that
// was held too long for it. 524 is Cloudflare's.
func gatewayTimeout(status int) bool {
	return status == http.StatusGatewayTimeout || status == http.StatusRequestTimeout || status == 524
}

// poller is the state of one Run.
type poller struct {
	*Client
	polling.Reader
	requests polling.Requester
	log      *slog.Logger
	jitter   retry.Jitter
	backoff  retry.Backoff
	limit    bucket
	failures int // in a row
}

func newPoller(c *Client) *poller {
	p := &poller{
		Client:  c,
		log:     polling.Logger(c.Logger),
		Reader:  polling.Reader{Cursor: c.From, FromNow: c.FromNow, StaleAnswers: cmp.Or(c.StaleAnswers, 3)},
		jitter:  c.Jitter.OrSeeded(""),
		backoff: c.Backoff.WithDefaults(retry.Backoff{}),
		limit:   bucket{interval: cmp.Or(c.Interval, 100*time.Millisecond)},
		requests: polling.Requester{
			HTTP:           c.HTTP,
			Header:         c.Header,
			Timeout:        c.timeout(),
			MaxAnswerBytes: cmp.Or(c.MaxAnswerBytes, 16<<20),
		},
	}
	if c.HTTP == nil {
		p.requests.HTTP = http.DefaultClient
	}
	return p
}

// poll makes one request. It returns a batch, which may be empty, or why there is
// none and how long to wait.
func (p *poller) poll(ctx context.Context) (polling.Batch, time.Duration, error) {
	p.count(func(s *ClientStats) { s.Polls++ })
	start := time.Now()
	resp, page, err := p.exchange(ctx)
	if err == nil {
		var batch polling.Batch
		if batch, err = p.judge(page); err == nil {
			return batch, 0, nil
		}
	}

	if ctx.Err() != nil {
		return polling.Batch{}, 0, ctx.Err()
	}
	var status *retry.StatusError
	if errors.As(err, &status) && gatewayTimeout(status.Status) && time.Since(start) >= p.backoff.Base {
		p.failures = 0
		p.count(func(s *ClientStats) { s.Empty++ })
		return polling.Batch{Cursor: p.Reader.Cursor}, 0, nil
	}
	p.failures++
	p.count(func(s *ClientStats) {
		s.Failures++
		if errors.Is(err, polling.ErrTimeout) {
			s.TimedOut++
		}
	})
	if resp != nil {
		if after, ok := retry.After(resp.Header); ok {
			return polling.Batch{}, p.backoff.Hint(after, p.jitter), err
		}
	}
	return polling.Batch{}, p.backoff.Delay(p.failures, p.jitter), err
}

// exchange sends the request and reads the answer. The response is nil if there was
// none.
func (p *poller) exchange(ctx context.Context) (*http.Response, eventlog.Page, error) {
	req, err := http.NewRequest(http.MethodGet, p.url(), polling.NoReplay{})
	if err != nil {
		return nil, eventlog.Page{}, err
	}
	req.Header.Set("Accept", "application/json")
	resp, body, err := p.requests.Do(ctx, req)
	if err != nil {
		return nil, eventlog.Page{}, fmt.Errorf("longpoll: %w", err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusGone {
		return resp, eventlog.Page{}, fmt.Errorf("longpoll: %w", retry.NewStatusError(resp.StatusCode, body))
	}
	page, err := polling.ParsePage(body)
	if err != nil {
		return resp, eventlog.Page{}, fmt.Errorf("longpoll: status %d: %w", resp.StatusCode, err)
	}
	if (page.Reset != "") != (resp.StatusCode == http.StatusGone) {
		return resp, eventlog.Page{}, fmt.Errorf("longpoll: status %d with reset %q", resp.StatusCode, page.Reset)
	}
	return resp, page, nil
}

func (p *poller) url() string {
	u, _ := url.Parse(p.URL) // Check has parsed it
	q := u.Query()
	q.Set("wait", p.wait().String())
	polling.SetPosition(q, p.Reader.Cursor, p.Reader.FromNow, p.Topics)
	u.RawQuery = q.Encode()
	return u.String()
}

// judge compares an answer with where this client stands.
func (p *poller) judge(page eventlog.Page) (polling.Batch, error) {
	batch, duplicates, err := p.Judge(page)
	if batch.Reset == eventlog.ReasonFuture || err != nil {
		p.count(func(s *ClientStats) { s.Stale++ })
	}
	if err != nil {
		return polling.Batch{}, fmt.Errorf("longpoll: %w", err)
	}
	p.failures = 0
	if batch.Reset != "" {
		return batch, nil
	}
	p.count(func(s *ClientStats) {
		s.Duplicates += int64(duplicates)
		if len(batch.Events) > 0 {
			s.Answers++
		} else {
			s.Empty++
		}
	})
	return batch, nil
}
