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

// Schedule returns the specification's example: the delays before each attempt. The last attempt
// comes three days after the first.
func Schedule() []time.Duration {
	return []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
}

var (
	// ErrGone: the endpoint has answered 410, and is disabled.
	ErrGone = errors.New("webhook: endpoint is gone")
	// ErrExhausted: the schedule has ended. It wraps the error of the last attempt.
	ErrExhausted = errors.New("webhook: all attempts have failed")
)

// Endpoint is where messages are sent. It remembers what its answers say about all
// messages, so all deliveries should share one Endpoint. Do not copy it after first use.
type Endpoint struct {
	// URL is the address to which messages are posted.
	URL string
	// Keys returns the keys to sign with; during a rotation, the new and the old one. It is called
	// for each attempt.
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

// Enable lets messages be sent to the endpoint again, after a 410.
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
	// HTTP makes the requests; redirects are not followed. Nil: http.DefaultClient.
	HTTP *http.Client
	// Schedule is the delay before each attempt, from the previous one. Nil: the delays of
	// [Schedule].
	Schedule []time.Duration
	// Timeout bounds an attempt, including its answer. Zero: 20 s.
	Timeout time.Duration
	// Throttle is how long an endpoint gets nothing after it has answered 429, 502 or 504. Zero: 5
	// s. A Retry-After with any failed answer can extend it, up to RetryAfterMax.
	Throttle time.Duration
	// RetryAfterMax is the longest Retry-After that is honoured. Zero: 24 h.
	RetryAfterMax time.Duration
	// Jitter draws an addition to each delay, of up to a tenth, so that messages that failed
	// together are not retried together. Nil: seeded by the clock.
	Jitter retry.Jitter
	// Now is the clock for the timestamps. Nil: time.Now.
	Now func() time.Time
	// OnRetry is called after each failed attempt of Deliver except the last, with its error and
	// the delay before the next. Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets failed attempts and disabled endpoints as warnings. Nil: nothing is logged.
	Logger *slog.Logger

	attempts, delivered, gone, exhausted atomic.Int64
}

// SenderStats are the counters of a Sender.
type SenderStats struct {
	// Attempts counts requests, Delivered those answered with 2xx, Gone those answered with 410,
	// and Exhausted deliveries whose schedule has ended.
	Attempts, Delivered, Gone, Exhausted int64
}

// Check returns an error that names each invalid setting and its value, or nil.
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

// Deliver sends a message until it is delivered, and then returns nil. It returns [ErrGone] when
// the endpoint is disabled, an error that wraps [ErrExhausted] at the end of the schedule, ctx's
// error, or an error that says why the message or the settings are invalid.
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

// Attempt sends a message for the n-th time, where 1 is the first. It is for deliveries whose state
// is kept elsewhere. After an error, the next attempt is due after the returned delay; if that is
// negative, there is none, as in Deliver. A throttled endpoint is not called, which is also an
// error.
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
