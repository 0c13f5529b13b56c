package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/redact"
	"github.com/squall-sim/squall/patterns/retry"
)

// run is the state of one Run.
type run struct {
	*Client
	handle   func(context.Context, Event) error
	http     *http.Client
	logger   *slog.Logger
	jitter   retry.Jitter
	backoff  retry.Backoff
	told     time.Duration // the reconnection time that a stream has sent; negative: none
	id       string        // of what was handled last
	failures int           // in a row
	dead     bool          // the last connection fell silent
	answer   http.Header   // of the answer that opened the stream
}

// finalError ends Run with the error in it.
type finalError struct{ error }

// decoder reads a stream in one of the encodings. See Decoder.
type decoder interface {
	Feed(p []byte, yield func(Event) error) error
	Retry() (time.Duration, bool)
	lastID() string
}

func newRun(c *Client, handle func(context.Context, Event) error) *run {
	r := &run{
		Client: c, handle: handle, http: c.HTTP, logger: c.Logger, jitter: c.Jitter.OrSeeded(""),
		backoff: c.Backoff.WithDefaults(defaultBackoff), told: -1, id: c.LastEventID,
	}
	fields.Default(&r.http, http.DefaultClient)
	fields.Default(&r.logger, slog.New(slog.DiscardHandler))
	r.logger = r.logger.With("url", redact.URL(c.URL))
	return r
}

func (r *run) decoder() decoder {
	if r.Encoding == SSE {
		return &Decoder{LastID: r.id, MaxMessageBytes: r.MaxMessageBytes}
	}
	return &jsonDecoder{id: r.id, max: r.MaxMessageBytes}
}

// connect makes one connection and receives from it. It returns whether that worked,
// and why it ended.
func (r *run) connect(ctx context.Context) (worked bool, err error) {
	if r.dead {
		// HTTP/2 would open the stream on the connection that the last one died on.
		r.http.CloseIdleConnections()
		r.dead = false
	}
	r.count(func(s *ClientStats) { s.Requests++ })
	connCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := watchdog{patience: r.patience(), bite: func() { cancel(ErrSilent) }}
	defer w.rest()

	w.watch()
	body, err := r.open(connCtx)
	w.rest()
	if err == nil {
		r.count(func(s *ClientStats) { s.Opened++ })
		r.logger.DebugContext(ctx, "stream opened", "id", r.id)
		defer body.Close()
		opened := time.Now()
		var events int64
		events, err = r.receive(ctx, body, &w)
		if after, ok := retry.After(r.answer); ok && events == 0 && err == ErrEnded {
			err = &retryAfterError{err, after} // a refusal, see Server.RefuseWithStatus
		}
		worked = events > 0 || time.Since(opened) >= r.backoff.Min
	}
	if ctx.Err() == nil && errors.Is(context.Cause(connCtx), ErrSilent) {
		r.dead = true
		err = fmt.Errorf("%w: %v", ErrSilent, w.patience)
	}
	return worked, err
}

// receive hands over the events of a stream until it ends.
func (r *run) receive(ctx context.Context, body io.Reader, w *watchdog) (events int64, err error) {
	dec := r.decoder()
	yield := func(e Event) error {
		if err := r.take(ctx, e); err != nil {
			return &finalError{err}
		}
		events++
		return nil
	}
	buf := make([]byte, 4<<10)
	for {
		w.watch()
		n, readErr := body.Read(buf)
		w.rest()
		feedErr := dec.Feed(buf[:n], yield)
		if d, ok := dec.Retry(); ok {
			r.told = d
		}
		switch {
		case errors.Is(feedErr, eventlog.ErrTooLarge):
			return events, &finalError{feedErr}
		case feedErr != nil:
			return events, feedErr
		}
		if id := dec.lastID(); id != r.id {
			r.id = id
			if r.OnPosition != nil {
				r.OnPosition(id)
			}
		}
		switch {
		case readErr == io.EOF:
			return events, ErrEnded
		case readErr != nil:
			return events, fmt.Errorf("stream: read: %w", readErr)
		}
	}
}

// take has one event handled, and moves the position past it.
func (r *run) take(ctx context.Context, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Type == typeReset {
		reset, err := parseReset(e)
		if err != nil {
			return err
		}
		r.logger.WarnContext(ctx, "events may be missing", "reason", reset.Reason)
		if r.OnReset == nil {
			return fmt.Errorf("%w: %s", ErrReset, reset.Reason)
		}
		if err := r.OnReset(ctx, reset); err != nil {
			return err
		}
		r.count(func(s *ClientStats) { s.Resets++ })
	} else {
		if err := r.handle(ctx, e); err != nil {
			return err
		}
		r.count(func(s *ClientStats) { s.Events++ })
	}
	r.id = e.ID
	return nil
}

// next returns the delay after a connection.
func (r *run) next(worked bool, err error) time.Duration {
	if errors.Is(err, ErrEnded) {
		r.count(func(s *ClientStats) { s.Ended++ })
	} else {
		r.count(func(s *ClientStats) {
			s.Failures++
			if errors.Is(err, ErrSilent) {
				s.Silent++
			}
		})
	}
	if worked {
		r.failures = 0
	}
	r.failures++
	var wait *retryAfterError
	if errors.As(err, &wait) {
		return r.backoff.Hint(wait.after, r.jitter)
	}
	if r.told < 0 {
		return r.backoff.Delay(r.failures, r.jitter)
	}
	// "Wait a delay equal to the reconnection time", and some more if the last attempt failed
	// (WHATWG HTML, section 9.2.3).
	least := max(r.told, r.backoff.Min)
	doubled := retry.Backoff{Min: least, Base: least, Max: max(least, r.backoff.Max)}
	return r.backoff.Hint(doubled.Delay(r.failures, retry.NoJitter), r.jitter)
}

// open sends the request and returns the body of the stream.
func (r *run) open(ctx context.Context) (io.ReadCloser, error) {
	header, err := r.header(ctx)
	if err != nil {
		return nil, err
	}
	if !fitsHeader(r.id) {
		return nil, &finalError{fmt.Errorf("stream: last event ID is %q: no header can carry it", r.id)}
	}
	if r.id != "" {
		header.Set("Last-Event-ID", r.id)
	}
	header.Set("Cache-Control", "no-cache") // as an EventSource does: caches on the way ask the server
	if r.Encoding == WebSocket {
		return r.openWebSocket(ctx, header)
	}
	header.Set("Accept", r.Encoding.mediaType())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(), nil)
	if err != nil {
		return nil, &finalError{fmt.Errorf("stream: %w", err)}
	}
	req.Header = header
	resp, err := r.http.Do(req)
	if err != nil {
		err = redact.Error(err)
		if resp != nil { // a redirect that must not be followed, or one too many
			return nil, &finalError{fmt.Errorf("stream: %w", err)}
		}
		return nil, fmt.Errorf("stream: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		got := resp.Header.Get("Content-Type")
		if t, _, _ := mime.ParseMediaType(got); t == r.Encoding.mediaType() {
			r.answer = resp.Header
			return resp.Body, nil
		}
		resp.Body.Close()
		return nil, &finalError{fmt.Errorf("%w: %q, want %s", ErrContentType, got, r.Encoding.mediaType())}
	}
	defer resp.Body.Close()
	return nil, r.refused(resp)
}

func (r *run) header(ctx context.Context) (http.Header, error) {
	if r.Header == nil {
		return http.Header{}, nil
	}
	h, err := r.Header(ctx)
	if err != nil {
		err = fmt.Errorf("stream: Client.Header: %w", err)
		var status *retry.StatusError
		if errors.As(err, &status) && !r.temporary(status.Status) {
			return nil, &finalError{err}
		}
		return nil, err
	}
	if h = h.Clone(); h == nil {
		h = http.Header{}
	}
	return h, nil
}

// fitsHeader reports whether an ID can be sent back (RFC 9110, section 5.5). The
// format of a stream allows more.
func fitsHeader(id string) bool {
	return !strings.ContainsFunc(id, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

func (r *run) openWebSocket(ctx context.Context, header http.Header) (io.ReadCloser, error) {
	conn, resp, err := websocket.Dial(ctx, r.url(), &websocket.DialOptions{HTTPClient: r.http, HTTPHeader: header})
	switch {
	case err == nil:
		conn.SetReadLimit(-1) // the decoder has one
		return &messages{ctx: ctx, conn: conn}, nil
	case resp == nil || resp.StatusCode == http.StatusSwitchingProtocols:
		return nil, fmt.Errorf("stream: %w", redact.Error(err))
	case resp.StatusCode == http.StatusOK:
		return nil, &finalError{fmt.Errorf("%w: 200 instead of a WebSocket", ErrContentType)}
	}
	return nil, r.refused(resp)
}

func (r *run) url() string {
	u, _ := url.Parse(r.URL) // Check has parsed it
	q := u.Query()
	for _, topic := range r.Topics {
		q.Add("topic", topic)
	}
	if r.FromNow && r.id == "" {
		q.Set("from", "now")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// temporary is Client.Temporary or its default.
func (r *run) temporary(status int) bool {
	if r.Temporary != nil {
		return r.Temporary(status)
	}
	return retry.Temporary(status)
}

// refused returns what an answer that is no stream means.
func (r *run) refused(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	err := fmt.Errorf("stream: %w", retry.NewStatusError(resp.StatusCode, text))
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return &finalError{}
	case !r.temporary(resp.StatusCode):
		return &finalError{err}
	}
	if after, ok := retry.After(resp.Header); ok {
		return &retryAfterError{err, after}
	}
	return err
}

// retryAfterError carries the Retry-After of a refusal.
type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error { return e.error }

// watchdog bites when it has watched for too long.
type watchdog struct {
	patience time.Duration // zero: forever
	bite     func()
	timer    *time.Timer
}

func (w *watchdog) watch() {
	switch {
	case w.patience == 0:
	case w.timer == nil:
		w.timer = time.AfterFunc(w.patience, w.bite)
	default:
		w.timer.Reset(w.patience)
	}
}

func (w *watchdog) rest() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// messages is a WebSocket as a stream of its messages' bytes.
type messages struct {
	ctx  context.Context
	conn *websocket.Conn
	r    io.Reader // of the message that is being read
}

func (m *messages) Read(p []byte) (int, error) {
	for {
		if m.r == nil {
			_, r, err := m.conn.Reader(m.ctx)
			switch websocket.CloseStatus(err) {
			case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusServiceRestart:
				return 0, io.EOF
			}
			if err != nil {
				return 0, err
			}
			m.r = r
		}
		n, err := m.r.Read(p)
		if err == io.EOF {
			m.r, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (m *messages) Close() error { return m.conn.CloseNow() }
