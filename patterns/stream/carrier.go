package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/internal/wsframe"
)

// piece is how much data one write deadline covers. An event of any size reaches
// a client that accepts each piece in time.
const piece = 16 << 10

// open answers the request with a stream, or with an error.
func (s *session) open(w http.ResponseWriter) (carrier, error) {
	if s.encoding == WebSocket {
		return openWebSocket(w, s.request, s.OriginPatterns, s.settings.WriteTimeout)
	}
	c := &httpCarrier{w: w, rc: http.NewResponseController(w), request: s.request, timeout: s.settings.WriteTimeout}
	// The server's WriteTimeout runs from the request on. (Its ReadTimeout net/http lifts
	// itself when the request is read.)
	if err := c.rc.SetWriteDeadline(time.Time{}); err != nil {
		http.Error(w, fmt.Sprintf("stream: no write deadlines: %v", err), http.StatusInternalServerError)
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
	aborted atomic.Bool
}

func (c *httpCarrier) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece)
		if err := c.writePiece(p[:n], n == len(p)); err != nil {
			return err
		}
		p = p[n:]
	}
	if c.request.ProtoMajor < 2 {
		return nil
	}
	// A deadline that passes ends the stream, idle or not.
	return c.rc.SetWriteDeadline(time.Time{})
}

func (c *httpCarrier) writePiece(p []byte, last bool) error {
	deadline := time.Now().Add(c.timeout)
	if err := c.rc.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if c.aborted.Load() {
		c.abort() // the deadline has just been lifted
		return ErrClosed
	}
	_, err := c.w.Write(p)
	if err == nil && last {
		err = c.rc.Flush()
	}
	// Not by the error: what a deadline does to a stream of HTTP/2 is a reset.
	switch {
	case err != nil && c.aborted.Load():
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case err != nil && !time.Now().Before(deadline):
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

func (c *httpCarrier) context() context.Context { return c.request.Context() }

// end leaves a write deadline for what net/http writes when the handler has returned.
func (c *httpCarrier) end() {
	if !c.aborted.Load() {
		_ = c.rc.SetWriteDeadline(time.Now().Add(c.timeout))
	}
}

func (c *httpCarrier) abort() {
	c.aborted.Store(true)
	_ = c.rc.SetWriteDeadline(time.Unix(1, 0))
}

// wsCarrier is a WebSocket from which nothing but its end is expected.
type wsCarrier struct {
	conn    *wsframe.Conn
	ctx     context.Context
	timeout time.Duration
	failed  bool
	aborted atomic.Bool
}

func openWebSocket(w http.ResponseWriter, r *http.Request, origins []string, timeout time.Duration) (carrier, error) {
	conn, err := wsframe.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: origins})
	if err != nil {
		return nil, err
	}
	return &wsCarrier{conn: conn, ctx: conn.CloseRead(context.WithoutCancel(r.Context())), timeout: timeout}, nil
}

// write writes one message. The deadline is for each piece of it.
func (c *wsCarrier) write(p []byte) error {
	err := c.conn.SendMessage(websocket.MessageText, p, piece, c.timeout)
	c.failed = err != nil
	switch {
	case err != nil && c.aborted.Load():
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

func (c *wsCarrier) context() context.Context { return c.ctx }

func (c *wsCarrier) end() {
	if !c.failed && !c.aborted.Load() && c.ctx.Err() == nil {
		_ = c.conn.Close(websocket.StatusServiceRestart, "resume elsewhere")
	}
	_ = c.conn.CloseNow()
}

func (c *wsCarrier) abort() {
	c.aborted.Store(true)
	go c.conn.CloseNow() // it waits until the reader has ended
}
