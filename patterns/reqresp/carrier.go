package reqresp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/internal/redact"
)

// attemptHTTP makes an attempt over HTTP.
func (c *Client) attemptHTTP(ctx context.Context, r *Request, header http.Header) result {
	if last := c.fresh.Load(); c.MaxConnAge > 0 && time.Since(*last) >= c.MaxConnAge {
		if now := time.Now(); c.fresh.CompareAndSwap(last, &now) {
			c.http.CloseIdleConnections()
		}
	}
	if c.dead.Swap(false) {
		// HTTP/2 would send this request over the connection that an earlier one died on. Now, not when
		// it died: net/http forgets a cancelled request a little later, and until then takes the
		// connection for busy.
		c.http.CloseIdleConnections()
	}
	var seen sights
	req, err := http.NewRequestWithContext(seen.trace(ctx), r.Method, c.base+r.Path, nil)
	if err != nil {
		return result{err: err, outcome: NotExecuted, final: true}
	}
	req.Header = header
	c.setBody(req, r)
	resp, err := c.http.Do(req)
	if err != nil {
		return c.lost(ctx, seen.outcome(ctx), err)
	}
	defer resp.Body.Close()
	c.h2.Store(resp.ProtoMajor == 2)
	body, err := c.readAnswer(resp)
	if err != nil {
		return c.lost(ctx, Unknown, err)
	}
	return judge(&Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, r.Key != "")
}

// A timed RoundTripper tells the server how much time is left once there is a connection for the
// request. Opening a connection can take long, and a server that was told the time from before it
// would give the servers that it asks more time than there is.
type timed struct {
	client *Client
	next   http.RoundTripper
}

func (t timed) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	own := *req
	own.Header = req.Header.Clone()
	tell := func() { own.Header[HeaderTimeout] = []string{formatTimeout(t.client.left(ctx))} }
	tell() // for a RoundTripper that has no connections to tell of
	return t.next.RoundTrip(own.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// net/http writes the request after it has called this, in the same goroutine or one that it tells to.
		GotConn: func(httptrace.GotConnInfo) { tell() },
	})))
}

// CloseIdleConnections is what http.Client calls.
func (t timed) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// setBody keeps net/http from retrying a request by itself. When net/http finds that a reused
// connection is dead, it retries once for each such connection, and the server may have begun every
// time. It does not retry a body that it cannot rewind.
func (c *Client) setBody(req *http.Request, r *Request) {
	switch {
	case len(r.Body) > 0:
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	case safe(r.Method) || r.Key != "":
		req.Body = polling.NoReplay{}
	}
}

// lost returns the result of an attempt without an answer.
func (c *Client) lost(ctx context.Context, outcome Outcome, err error) result {
	if ctx.Err() != nil && c.h2.Load() {
		c.dead.Store(true)
	}
	// A server that is not who it should be will not be later.
	final := errors.As(err, new(*tls.CertificateVerificationError)) || errors.Is(err, eventlog.ErrTooLarge)
	return result{err: redact.Error(err), outcome: outcome, final: final}
}

// readAnswer reads the body of an answer, which must be complete.
func (c *Client) readAnswer(resp *http.Response) ([]byte, error) {
	if endless(resp) {
		return nil, errors.New("answer says neither its length nor where it ends: it may have been cut short")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.MaxAnswerBytes)+1))
	if len(body) > c.MaxAnswerBytes {
		return nil, tooLarge("answer", c.MaxAnswerBytes)
	}
	return body, err
}

// endless reports whether an answer ends when its connection does, so that nobody can tell whether
// it is complete (RFC 9112, section 8). A gzip that net/http has unpacked marks its own end.
func endless(resp *http.Response) bool {
	if resp.ProtoMajor != 1 || resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.Uncompressed {
		return false
	}
	return resp.Request.Method != http.MethodHead && resp.StatusCode >= 200 && resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusNotModified
}

func tooLarge(what string, most int) error {
	return fmt.Errorf("%w: the %s has more than %d bytes", eventlog.ErrTooLarge, what, most)
}

// sights are what net/http's trace reports about a request in progress.
type sights struct {
	asked, got, reused, wrote atomic.Bool
}

func (s *sights) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.asked.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			s.got.Store(true)
			s.reused.Store(info.Reused)
		},
		WroteHeaders: func() { s.wrote.Store(true) },
	})
}

// outcome returns whether a request without an answer can have been executed. It was not if there
// was no connection for it, or if a reused connection turned out to be closed before the headers
// were written. A RoundTripper that reports nothing leaves it unknown. So does a context that has
// ended, because the request may be written at that instant.
func (s *sights) outcome(ctx context.Context) Outcome {
	switch {
	case !s.asked.Load():
		return Unknown
	case !s.got.Load():
		return NotExecuted
	case s.reused.Load() && !s.wrote.Load() && ctx.Err() == nil:
		return NotExecuted
	}
	return Unknown
}
