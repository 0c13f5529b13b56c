package longpoll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// ErrAnswerTooLong is returned by Run for an answer beyond Client.MaxAnswer. It
// would be as long the next time.
var ErrAnswerTooLong = errors.New("longpoll: answer is longer than MaxAnswer")

// StatusError is an answer with a status that is neither 200 nor 410.
type StatusError struct {
	Status int    // HTTP status code
	Text   string // the beginning of the body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("longpoll: server answered %d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// temporary reports whether the same poll may succeed later. Every 5xx and those
// of 4xx that say so.
func (e *StatusError) temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusMisdirectedRequest:
		return true
	}
	return e.Status >= 500
}

// gatewayTimeout reports whether something on the path gave up on a request that
// was held too long for it. 524 is Cloudflare's.
func (e *StatusError) gatewayTimeout() bool {
	return e.Status == http.StatusGatewayTimeout || e.Status == http.StatusRequestTimeout || e.Status == 524
}

// poller is the state of one Run.
type poller struct {
	*Client
	http     *http.Client
	jitter   Jitter
	backoff  Backoff
	limit    bucket
	cursor   eventlog.Cursor // zero: none yet
	fromNow  bool            // of use only until there was a cursor
	failures int             // in a row
	stale    int             // in a row
	dead     bool            // the last poll timed out
}

func newPoller(c *Client) *poller {
	p := &poller{
		Client:  c,
		http:    c.HTTP,
		jitter:  c.Jitter.orSeededByClock(),
		backoff: c.Backoff.withDefaults(),
		limit:   bucket{interval: orDefault(c.Interval, 100*time.Millisecond)},
		cursor:  c.Cursor,
		fromNow: c.FromNow,
	}
	if p.http == nil {
		p.http = http.DefaultClient
	}
	return p
}

// poll makes one request. It returns a batch, which may be empty, or why there is
// none and how long to wait.
func (p *poller) poll(ctx context.Context) (Batch, time.Duration, error) {
	p.count(func(s *ClientStats) { s.Polls++ })
	start := time.Now()
	resp, body, err := p.exchange(ctx)
	if err == nil {
		var a answer
		if a, err = p.read(resp, body); err == nil {
			var batch Batch
			if batch, err = p.judge(a); err == nil {
				return batch, 0, nil
			}
		}
	}

	if ctx.Err() != nil {
		return Batch{}, 0, ctx.Err()
	}
	var status *StatusError
	if errors.As(err, &status) && status.gatewayTimeout() && time.Since(start) >= p.backoff.Base {
		p.failures = 0
		p.count(func(s *ClientStats) { s.Empty++ })
		return Batch{Cursor: p.cursor}, 0, nil
	}
	p.failures++
	p.count(func(s *ClientStats) { s.Failures++ })
	if resp != nil {
		if after, ok := retryAfter(resp); ok {
			return Batch{}, p.backoff.after(after, p.jitter), err
		}
	}
	return Batch{}, p.backoff.delay(p.failures, p.jitter), err
}

// accept moves the cursor past a batch that was handled.
func (p *poller) accept(b Batch) {
	p.cursor, p.fromNow = b.Cursor, false
	p.count(func(s *ClientStats) {
		s.Events += int64(len(b.Events))
		if b.Reset != "" {
			s.Resets++
		}
	})
}

// exchange sends the request and reads the whole answer.
func (p *poller) exchange(ctx context.Context) (*http.Response, []byte, error) {
	if p.dead {
		// HTTP/2 would send this poll over the connection that the last one died on.
		// Now, not when it died: net/http forgets a cancelled request a little later,
		// and until then takes the connection for busy.
		p.http.CloseIdleConnections()
		p.dead = false
	}
	pollCtx, cancel := context.WithTimeout(ctx, p.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(pollCtx, http.MethodGet, p.url(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Body = noReplay{}
	req.Header.Set("Accept", "application/json")
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, nil, p.timedOut(ctx, pollCtx, err)
	}
	defer resp.Body.Close()
	limit := orDefault(p.MaxAnswer, 16<<20)
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if len(body) > limit {
		return nil, nil, fmt.Errorf("%w, %d bytes", ErrAnswerTooLong, limit)
	}
	if err != nil {
		return nil, nil, p.timedOut(ctx, pollCtx, err)
	}
	return resp, body, nil
}

// timedOut notes that an error is the poll's own timeout.
func (p *poller) timedOut(ctx, pollCtx context.Context, err error) error {
	if pollCtx.Err() == nil || ctx.Err() != nil {
		return err
	}
	p.dead = true
	p.count(func(s *ClientStats) { s.TimedOut++ })
	return fmt.Errorf("longpoll: no answer within %v: %w", p.timeout(), err)
}

func (p *poller) url() string {
	u, _ := url.Parse(p.URL) // Check has parsed it
	q := u.Query()
	q.Set("wait", p.wait().String())
	q["topic"] = p.Topics
	switch {
	case !p.cursor.IsZero():
		q.Set("cursor", p.cursor.String())
	case p.fromNow:
		q.Set("from", "now")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// read turns a response into an answer.
func (p *poller) read(resp *http.Response, body []byte) (answer, error) {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusGone {
		text := strings.TrimSpace(string(body[:min(len(body), 200)]))
		return answer{}, &StatusError{Status: resp.StatusCode, Text: text}
	}
	a, err := parseAnswer(body)
	if err != nil {
		return answer{}, fmt.Errorf("longpoll: status %d: %w", resp.StatusCode, err)
	}
	if (a.Reset != "") != (resp.StatusCode == http.StatusGone) {
		return answer{}, fmt.Errorf("longpoll: status %d with reset %q", resp.StatusCode, a.Reset)
	}
	return a, nil
}

// judge compares an answer with where this client stands. Whatever the server
// believes, the cursor never goes back, and never into another epoch, without
// the handler being told.
func (p *poller) judge(a answer) (Batch, error) {
	reset, next := a.Reset, a.Cursor
	if reset == "" && !p.cursor.IsZero() {
		switch {
		case a.Cursor.Epoch != p.cursor.Epoch:
			reset, next = ResetEpoch, eventlog.Cursor{}
		case a.Cursor.Offset < p.cursor.Offset:
			reset, next = ResetFuture, eventlog.Cursor{}
		}
	}
	if reset == ResetFuture {
		p.stale++
		p.count(func(s *ClientStats) { s.Stale++ })
		if p.stale <= orDefault(p.StaleAnswers, 3) {
			return Batch{}, fmt.Errorf("longpoll: server is behind: its cursor is %s, and the client's %s", a.Cursor, p.cursor)
		}
	}
	p.failures, p.stale = 0, 0
	if reset != "" {
		return Batch{Reset: reset, Cursor: next}, nil
	}
	fresh := a.Events
	for len(fresh) > 0 && fresh[0].Offset <= p.cursor.Offset {
		fresh = fresh[1:]
	}
	p.count(func(s *ClientStats) {
		s.Duplicates += int64(len(a.Events) - len(fresh))
		if len(fresh) > 0 {
			s.Answers++
		} else {
			s.Empty++
		}
	})
	return Batch{Events: fresh, Cursor: a.Cursor}, nil
}

// retryAfter reads the header in either of its forms (RFC 9110, section 10.2.3).
func retryAfter(resp *http.Response) (time.Duration, bool) {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at), true
	}
	return 0, false
}

// noReplay is an empty body that cannot be read twice. Without it net/http repeats a
// poll by itself, and at once, when a connection that it has used before ends without an
// answer: when a server restarts, all its clients would be back within a round trip.
type noReplay struct{}

func (noReplay) Read([]byte) (int, error) { return 0, io.EOF }
func (noReplay) Close() error             { return nil }
