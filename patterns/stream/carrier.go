package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// piece is what one write deadline is for. An event of any size gets through to a
// client that takes a piece in time.
const piece = 16 << 10

// open answers the request with a stream, or with an error.
func (s *session) open(w http.ResponseWriter) (carrier, error) {
	if s.encoding == WebSocket {
		return openWebSocket(w, s.request, s.settings.WriteTimeout)
	}
	c := &httpCarrier{w: w, rc: http.NewResponseController(w), request: s.request, timeout: s.settings.WriteTimeout}
	// The server's timeouts run from the request on; the one for reading would end the
	// request's context, see net/http's background read.
	if err := errors.Join(c.rc.SetReadDeadline(time.Time{}), c.rc.SetWriteDeadline(time.Time{})); err != nil {
		http.Error(w, fmt.Sprintf("stream: no deadlines: %v", err), http.StatusInternalServerError)
		return nil, err
	}
	w.Header().Set("Content-Type", s.encoding.mediaType())
	w.Header().Set("X-Accel-Buffering", "no") // nginx, and others that took it over
	w.WriteHeader(http.StatusOK)
	return c, nil
}

// httpCarrier is a response that does not end.
type httpCarrier struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	request *http.Request
	timeout time.Duration
}

func (c *httpCarrier) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece)
		if err := c.step(func() error { _, err := c.w.Write(p[:n]); return err }); err != nil {
			return err
		}
		p = p[n:]
	}
	if err := c.step(c.rc.Flush); err != nil {
		return err
	}
	// Over HTTP/2 a deadline that passes ends the stream, idle or not.
	return c.rc.SetWriteDeadline(time.Time{})
}

func (c *httpCarrier) step(f func() error) error {
	deadline := time.Now().Add(c.timeout)
	if err := c.rc.SetWriteDeadline(deadline); err != nil {
		return err
	}
	err := f()
	// Not by the error: what a deadline does to a stream of HTTP/2 is a reset.
	if err != nil && !time.Now().Before(deadline) {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

func (c *httpCarrier) context() context.Context { return c.request.Context() }

func (c *httpCarrier) end() {} // with the handler

// wsCarrier is a WebSocket of which nothing is expected but its end.
type wsCarrier struct {
	conn    *websocket.Conn
	ctx     context.Context
	timeout time.Duration
	failed  bool
}

func openWebSocket(w http.ResponseWriter, r *http.Request, timeout time.Duration) (carrier, error) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return nil, err
	}
	return &wsCarrier{conn: conn, ctx: conn.CloseRead(context.WithoutCancel(r.Context())), timeout: timeout}, nil
}

func (c *wsCarrier) write(p []byte) error {
	// The library's context is for the whole message, the deadline for a piece.
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	late := time.AfterFunc(c.timeout, func() { cancel(errSlow) })
	defer late.Stop()
	fail := func(err error) error {
		c.failed = true
		if context.Cause(ctx) == errSlow {
			return fmt.Errorf("%w: %w", errSlow, err)
		}
		return err
	}
	w, err := c.conn.Writer(ctx, websocket.MessageText)
	if err != nil {
		return fail(err)
	}
	for len(p) > 0 {
		n := min(len(p), piece)
		if _, err := w.Write(p[:n]); err != nil {
			return fail(err)
		}
		late.Reset(c.timeout)
		p = p[n:]
	}
	if err := w.Close(); err != nil {
		return fail(err)
	}
	return nil
}

func (c *wsCarrier) context() context.Context { return c.ctx }

func (c *wsCarrier) end() {
	if !c.failed && c.ctx.Err() == nil {
		_ = c.conn.Close(websocket.StatusServiceRestart, "resume elsewhere")
	}
	_ = c.conn.CloseNow()
}
