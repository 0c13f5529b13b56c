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
func (p *poller) poll(ctx context.Context) (Batch, time.Duration, error) {
	p.count(func(s *ClientStats) { s.Polls++ })
	start := time.Now()
	resp, a, err := p.exchange(ctx)
	if err == nil {
		var batch Batch
		if batch, err = p.judge(a); err == nil {
			return batch, 0, nil
		}
	}

	if ctx.Err() != nil {
		return Batch{}, 0, ctx.Err()
	}
	var status *retry.StatusError
	if errors.As(err, &status) && gatewayTimeout(status.Status) && time.Since(start) >= p.backoff.Base {
		p.failures = 0
		p.count(func(s *ClientStats) { s.Empty++ })
		return Batch{Cursor: p.Reader.Cursor}, 0, nil
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
			return Batch{}, p.backoff.Hint(after, p.jitter), err
		}
	}
	return Batch{}, p.backoff.Delay(p.failures, p.jitter), err
}

// exchange sends the request and reads the answer. The response is nil if there was
// none.
func (p *poller) exchange(ctx context.Context) (*http.Response, polling.Answer, error) {
	req, err := http.NewRequest(http.MethodGet, p.url(), polling.NoReplay{})
	if err != nil {
		return nil, polling.Answer{}, err
	}
	req.Header.Set("Accept", "application/json")
	resp, body, err := p.requests.Do(ctx, req)
	if err != nil {
		return nil, polling.Answer{}, fmt.Errorf("longpoll: %w", err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusGone {
		return resp, polling.Answer{}, fmt.Errorf("longpoll: %w", retry.NewStatusError(resp.StatusCode, body))
	}
	a, err := polling.ParseAnswer(body)
	if err != nil {
		return resp, polling.Answer{}, fmt.Errorf("longpoll: status %d: %w", resp.StatusCode, err)
	}
	if (a.Reset != "") != (resp.StatusCode == http.StatusGone) {
		return resp, polling.Answer{}, fmt.Errorf("longpoll: status %d with reset %q", resp.StatusCode, a.Reset)
	}
	return resp, a, nil
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
func (p *poller) judge(a polling.Answer) (Batch, error) {
	batch, duplicates, err := p.Judge(a)
	if batch.Reset == ResetFuture || err != nil {
		p.count(func(s *ClientStats) { s.Stale++ })
	}
	if err != nil {
		return Batch{}, fmt.Errorf("longpoll: %w", err)
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
