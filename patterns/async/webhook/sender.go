package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/internal/redact"
	"github.com/squall-sim/squall/patterns/retry"
)

// Schedule is the specification's example: the delays before each attempt, of which the last comes
// three days after the first.
func Schedule() []time.Duration {
	return []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
}

var (
	// ErrGone: the endpoint has answered 410, and is disabled.
	ErrGone = errors.New("webhook: endpoint is gone")
	// ErrExhausted: the schedule is at its end. The error wraps that of the last attempt.
	ErrExhausted = errors.New("webhook: all attempts have failed")
)

// Endpoint is where messages go. It keeps what its answers say of all messages, so that all
// deliveries should share one. Do not copy it after first use.
type Endpoint struct {
	// URL is where messages are posted.
	URL string
	// Keys returns the keys to sign with: during an exchange the new and the old. It is asked for each
	// attempt.
	Keys func() []Key

	mu       sync.Mutex
	disabled bool
	free     time.Time // not before
}

// Disabled reports whether the endpoint has answered 410. Enable undoes that.
func (e *Endpoint) Disabled() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.disabled
}

// Enable has messages sent to the endpoint again.
func (e *Endpoint) Enable() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.disabled = false
}

func (e *Endpoint) disable() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.disabled = true
}

// throttle has no attempt begin before that time has passed.
func (e *Endpoint) throttle(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := time.Now().Add(d); at.After(e.free) {
		e.free = at
	}
}

// wait is how long the endpoint is throttled for.
func (e *Endpoint) wait() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(0, time.Until(e.free))
}

// Sender delivers messages. The zero value has the defaults. Do not change or copy it after first use.
type Sender struct {
	// HTTP makes the requests; its redirects are not followed. Nil: http.DefaultClient.
	HTTP *http.Client
	// Schedule has the delay before each attempt after the one before it. Nil: that of [Schedule].
	Schedule []time.Duration
	// Timeout is how long an attempt may take, the answer included: 20 s.
	Timeout time.Duration
	// Throttle is for how long an endpoint gets nothing after it has answered 429, 502 or 504: 5 s. A
	// Retry-After with any answer that failed says more, up to RetryAfterMax.
	Throttle time.Duration
	// RetryAfterMax is the longest Retry-After that is honoured: 24 h.
	RetryAfterMax time.Duration
	// Jitter draws what is added to each delay, up to a tenth of it, so that messages that failed
	// together are not repeated together. Nil: seeded by the clock.
	Jitter retry.Jitter
	// Now is the clock of the timestamps. Nil: time.Now.
	Now func() time.Time
	// OnRetry, if not nil, is called after each failed attempt of Deliver but the last, with its error
	// and the delay before the next.
	OnRetry func(err error, delay time.Duration)
	// Logger gets failed attempts and disabled endpoints as warnings. Nil: nothing is logged.
	Logger *slog.Logger

	attempts, delivered, gone, exhausted atomic.Int64
}

// SenderStats are the counters of a Sender.
type SenderStats struct {
	// Attempts counts requests, Delivered those answered with 2xx, Gone those with 410, Exhausted
	// deliveries whose schedule came to its end.
	Attempts, Delivered, Gone, Exhausted int64
}

// Check returns what is wrong with the settings.
func (s *Sender) Check() error {
	check := fields.Of("webhook: Sender")
	for i, d := range s.Schedule {
		check.Duration(fmt.Sprintf("Schedule[%d]", i), d)
	}
	if s.Schedule != nil && len(s.Schedule) == 0 {
		check.Bad("Schedule has no attempts: want nil for the default, or one at least")
	}
	check.Duration("Timeout", s.Timeout)
	check.Duration("Throttle", s.Throttle)
	check.Duration("RetryAfterMax", s.RetryAfterMax)
	return check.Err()
}

// Stats returns the counters.
func (s *Sender) Stats() SenderStats {
	return SenderStats{Attempts: s.attempts.Load(), Delivered: s.delivered.Load(), Gone: s.gone.Load(), Exhausted: s.exhausted.Load()}
}

func (s *Sender) schedule() []time.Duration {
	if s.Schedule == nil {
		return Schedule()
	}
	return s.Schedule
}

// Deliver sends a message until it is delivered. It returns nil then, [ErrGone] when the endpoint is
// disabled, an error that wraps [ErrExhausted] at the end of the schedule, ctx's, or what is wrong with
// the message or the settings.
func (s *Sender) Deliver(ctx context.Context, e *Endpoint, m Message) error {
	if err := s.Check(); err != nil {
		return err
	}
	jitter := s.Jitter.OrSeeded(m.ID)
	delay := s.schedule()[0]
	for n := 1; ; n++ {
		if err := retry.Sleep(ctx, delay); err != nil {
			return err
		}
		for wait := e.wait(); wait > 0; wait = e.wait() {
			if err := retry.Sleep(ctx, wait); err != nil {
				return err
			}
		}
		after, err := s.attempt(ctx, e, m, n, jitter)
		if err == nil || after < 0 || ctx.Err() != nil {
			return err
		}
		delay = after
		if s.OnRetry != nil {
			s.OnRetry(err, delay)
		}
	}
}

// Attempt sends a message for the n-th time, 1 for the first, for deliveries whose state is kept
// elsewhere. After an error the next attempt is due after that time; if it is negative there is none,
// as in Deliver. A throttled endpoint is not called: that is an error too.
func (s *Sender) Attempt(ctx context.Context, e *Endpoint, m Message, n int) (after time.Duration, err error) {
	if err := s.Check(); err != nil {
		return -1, err
	}
	if n < 1 {
		return -1, fmt.Errorf("webhook: attempt %d: want 1 or more", n)
	}
	if wait := e.wait(); wait > 0 {
		return wait, fmt.Errorf("webhook: endpoint is throttled for %v", wait)
	}
	return s.attempt(ctx, e, m, n, s.Jitter.OrSeeded(m.ID))
}

func (s *Sender) attempt(ctx context.Context, e *Endpoint, m Message, n int, jitter retry.Jitter) (after time.Duration, err error) {
	log := polling.Logger(s.Logger)
	if e.Disabled() {
		return -1, ErrGone
	}
	m.Time = time.Now()
	if s.Now != nil {
		m.Time = s.Now()
	}
	if e.Keys == nil {
		return -1, errors.New("webhook: Endpoint.Keys is nil: want a function, such as Static(key)")
	}
	header, err := Sign(m, e.Keys())
	if err != nil {
		return -1, err
	}
	check := fields.Of("webhook: Endpoint")
	if check.HTTP("URL", e.URL); check.Err() != nil {
		return -1, check.Err()
	}
	header.Set("Content-Type", cmp.Or(m.ContentType, "application/json"))
	status, hint, err := s.post(ctx, e, header, m.Body)
	switch {
	case err == nil && status >= 200 && status <= 299:
		s.delivered.Add(1)
		return 0, nil
	case err == nil && status == http.StatusGone:
		s.gone.Add(1)
		e.disable()
		log.Warn("endpoint is gone", "url", redact.URL(e.URL))
		return -1, ErrGone
	case err == nil:
		err = retry.NewStatusError(status, nil)
	case ctx.Err() != nil:
		return -1, ctx.Err()
	}
	e.throttle(hint)
	return s.next(e, m, n, err, jitter, log)
}

// next says when the attempt after the n-th is due.
func (s *Sender) next(e *Endpoint, m Message, n int, err error, jitter retry.Jitter, log *slog.Logger) (time.Duration, error) {
	all := s.schedule()
	if n >= len(all) {
		s.exhausted.Add(1)
		log.Warn("message was not delivered", "message", m.ID, "url", redact.URL(e.URL), "error", err)
		return -1, fmt.Errorf("%w: %w", ErrExhausted, err)
	}
	delay := all[n] + jitter(all[n]/10)
	log.Warn("attempt failed", "message", m.ID, "url", redact.URL(e.URL), "attempt", n, "error", err, "delay", delay)
	return max(delay, e.wait()), err
}

// post makes one request. hint is for how long the endpoint wants nothing.
func (s *Sender) post(ctx context.Context, e *Endpoint, header http.Header, body []byte) (status int, hint time.Duration, err error) {
	s.attempts.Add(1)
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.Timeout, 20*time.Second))
	defer cancel()
	// A body that can be read once: the schedule says when to send it again, not net/http.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return 0, 0, redact.Error(err)
	}
	req.ContentLength = int64(len(body))
	req.Header = header
	client := *cmp.Or(s.HTTP, http.DefaultClient)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, redact.Error(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again; the status is what counts
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		hint = cmp.Or(s.Throttle, 5*time.Second)
	}
	if after, ok := retry.After(resp.Header); ok && resp.StatusCode >= 300 {
		hint = max(hint, min(after, cmp.Or(s.RetryAfterMax, 24*time.Hour)))
	}
	return resp.StatusCode, hint, nil
}
