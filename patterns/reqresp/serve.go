package reqresp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/retry"
)

// An exchange is a request on its way through a Server, from either carrier.
type exchange struct {
	*Server
	in   *http.Request          // method, target and header; on a connection of Serve it was made of these
	read func() ([]byte, error) // reads the body; the error is a *retry.StatusError, or of the client
	Request
}

// answer returns the answer to a request.
func (x *exchange) answer(ctx context.Context) *Response {
	if err := x.authenticate(); err != nil {
		c := captured{Response{Header: http.Header{HeaderOutcome: {saysNotExecuted}}}}
		access.Refuse(&c, err)
		return &c.Response
	}
	left, limited, err := parseTimeout(x.in.Header)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	if !limited {
		left = x.MaxTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, min(left, x.MaxTimeout))
	defer cancel()
	if left <= 0 {
		return x.tooLate()
	}
	select {
	case x.slot <- struct{}{}:
		defer func() { <-x.slot }()
	default:
		return x.refuseForNow("too many requests are being executed")
	}
	if refusal := x.take(); refusal != nil {
		return refusal
	}
	if x.Key == "" {
		if x.RequireKey && !idempotent(x.Method) {
			return refuse(http.StatusBadRequest, fmt.Sprintf("%s needs an %s", x.Method, HeaderKey))
		}
		return x.execute(ctx, "")
	}
	return x.keyed(ctx)
}

func (x *exchange) authenticate() error {
	if x.Authenticate == nil {
		x.Identity = access.Everything("")
		return nil
	}
	return guard.Call(x.Logger, "reqresp: Server.Authenticate", func() (err error) {
		x.Identity, err = x.Authenticate(x.in)
		return err
	})
}

// take accepts the request, or returns the answer that refuses it.
func (x *exchange) take() *Response {
	body, err := x.read()
	var status *retry.StatusError
	switch {
	case errors.As(err, &status):
		return refuse(status.Status, status.Text)
	case err != nil:
		return refuse(http.StatusBadRequest, "body did not come whole")
	}
	key, err := parseKey(x.in.Header)
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	x.Method, x.Path, x.Header, x.Body, x.Key = x.in.Method, x.in.URL.RequestURI(), x.in.Header, body, key
	return nil
}

// keyed answers a request with a key: with the stored answer, or by executing the request.
func (x *exchange) keyed(ctx context.Context) *Response {
	// Keys are a client's own. No name of a client can end another's, since a key has no NUL.
	key := x.Identity.Client + "\x00" + x.Key
	x.mu.Lock()
	_, running := x.running[key]
	if !running {
		x.running[key] = struct{}{}
	}
	x.mu.Unlock()
	if running {
		x.stats.running.Add(1)
		answer := refuse(http.StatusConflict, "a request with this key is being executed")
		answer.Header.Set(HeaderOutcome, saysUnknown)
		answer.Header.Set("Retry-After", "1")
		return answer
	}
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.running, key)
	}()
	record, err := x.Store.Find(ctx, key, x.Now())
	switch {
	case err != nil:
		return x.storeFailed(err)
	case record != nil:
		return x.replay(record)
	}
	return x.execute(ctx, key)
}

// replay returns the stored answer, if it belongs to the same request.
func (x *exchange) replay(record *Record) *Response {
	if record.Fingerprint != x.fingerprint() {
		x.stats.misused.Add(1)
		return refuse(http.StatusUnprocessableEntity, "the key is another request's: method, path or body differ")
	}
	x.stats.replayed.Add(1)
	return &record.Answer
}

// execute does the work and commits the effect. key is "" or the store's key.
func (x *exchange) execute(ctx context.Context, key string) *Response {
	if ctx.Err() != nil {
		return x.tooLate()
	}
	x.stats.executing.Add(1)
	x.stats.executed.Add(1)
	defer x.stats.executing.Add(-1)
	var effect Effect
	err := guard.Call(x.Logger, "reqresp: Server.Handle", func() (err error) {
		effect, err = x.Handle(ctx, &x.Request)
		return err
	}, "method", x.Method, "client", x.Identity.Client)
	if err != nil {
		return x.failed(ctx, err)
	}
	now, print := x.Now(), x.fingerprint()
	record, err := x.Store.Commit(ctx, key, Record{Fingerprint: print, Until: now.Add(x.Retain)}, now, x.guarded(effect))
	var no refused
	switch {
	case errors.As(err, &no):
		return withOutcome(no.answer)
	case errors.Is(err, ErrFull):
		return x.refuseForNow(err.Error())
	case err != nil && (ctx.Err() != nil || errors.As(err, new(*retry.StatusError))):
		return x.failed(ctx, err)
	case err != nil:
		return x.storeFailed(err)
	case record.Fingerprint != print: // another process was quicker
		return x.replay(record)
	}
	return &record.Answer
}

// guarded returns an effect that does not panic, because a store may not survive a panic, and
// whose answer is not too long.
func (x *exchange) guarded(effect Effect) Effect {
	return func(tx Tx) (answer *Response, err error) {
		if effect == nil {
			return nil, nil
		}
		err = guard.Call(x.Logger, "reqresp: an Effect", func() (err error) {
			answer, err = effect(tx)
			return err
		}, "method", x.Method, "client", x.Identity.Client)
		if err == nil && answer != nil && len(answer.Body) > x.MaxAnswerBytes {
			err = fmt.Errorf("%w: answer of %d bytes, and MaxAnswerBytes is %d", eventlog.ErrTooLarge, len(answer.Body), x.MaxAnswerBytes)
			x.Logger.Error("reqresp: an Effect", "method", x.Method, "client", x.Identity.Client, "error", err)
			err = errors.Join(err, retry.NewStatusError(http.StatusInternalServerError, []byte("answer is too long")))
		}
		return answer, err
	}
}

// failed returns the response for a request whose Handle or Effect returned an
// error.
func (x *exchange) failed(ctx context.Context, err error) *Response {
	if ctx.Err() != nil {
		x.stats.gone.Add(1)
		answer := refuse(http.StatusGatewayTimeout, "the request's time is over")
		answer.Header.Set(HeaderOutcome, saysUnknown)
		return answer
	}
	status := &retry.StatusError{Status: http.StatusInternalServerError}
	errors.As(err, &status)
	if status.Status < 400 || status.Status > 599 {
		status = &retry.StatusError{Status: http.StatusInternalServerError}
	}
	answer := withOutcome(&Response{Status: status.Status, Body: []byte(status.Text), Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}})
	var call *Error
	if errors.As(err, &call) && answer.Header.Get(HeaderOutcome) != "" {
		answer.Header.Set(HeaderOutcome, saysUnknown)
		if call.Outcome == NotExecuted {
			answer.Header.Set(HeaderOutcome, saysNotExecuted)
		}
	}
	return answer
}

// withOutcome adds, to a response that is not an answer, whether the request
// was executed.
func withOutcome(answer *Response) *Response {
	if !retry.Temporary(answer.Status) {
		return answer
	}
	answer.Header = answer.Header.Clone()
	if answer.Header == nil {
		answer.Header = http.Header{}
	}
	outcome := saysUnknown
	if answer.Status < 500 || answer.Status == http.StatusServiceUnavailable {
		outcome = saysNotExecuted
	}
	answer.Header.Set(HeaderOutcome, outcome)
	return answer
}

// refuse returns the response for a request that was not executed.
func refuse(status int, text string) *Response {
	return &Response{Status: status, Body: []byte(text + "\n"), Header: http.Header{
		"Content-Type": {"text/plain; charset=utf-8"},
		HeaderOutcome:  {saysNotExecuted},
	}}
}

// refuseForNow returns a refusal that asks the client to retry later.
func (s *Server) refuseForNow(text string) *Response {
	s.stats.refused.Add(1)
	answer := refuse(http.StatusServiceUnavailable, text)
	after := time.Second + s.Jitter(s.RetrySpread-time.Second)
	answer.Header.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	return answer
}

func (s *Server) tooLate() *Response {
	s.stats.late.Add(1)
	return refuse(http.StatusGatewayTimeout, "the request's time is over")
}

func (s *Server) storeFailed(err error) *Response {
	s.Logger.Error("reqresp: Server.Store", "error", err)
	answer := refuse(http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
	answer.Header.Set(HeaderOutcome, saysUnknown)
	return answer
}

// captured is a Response with the methods of a http.ResponseWriter.
type captured struct{ Response }

func (c *captured) Header() http.Header { return c.Response.Header }
func (c *captured) WriteHeader(code int) {
	if c.Status == 0 {
		c.Status = code
	}
}
func (c *captured) Write(b []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	c.Body = append(c.Body, b...)
	return len(b), nil
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	conn := http.NewResponseController(w)
	answer := s.refuseIfOver()
	if answer == nil {
		defer s.life.Leave()
		x := exchange{Server: s, in: r, read: func() ([]byte, error) { return s.readHTTP(conn, r) }}
		answer = x.answer(r.Context())
	}
	h := w.Header()
	for name, values := range answer.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if s.life.Err() != nil && r.ProtoMajor == 1 {
		h.Set("Connection", "close")
	}
	if answer.Status != http.StatusNoContent && answer.Status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	}
	conn.SetWriteDeadline(time.Now().Add(s.AnswerTimeout))
	w.WriteHeader(max(answer.Status, 200))
	if r.Method != http.MethodHead {
		w.Write(answer.Body)
	}
	// Flushed while the deadline is, which otherwise would be of the next answer too.
	conn.Flush()
	conn.SetWriteDeadline(time.Time{})
}

// refuseIfOver returns a response after Drain or Close. If it returns nil, the caller must call
// life.Leave.
func (s *Server) refuseIfOver() *Response {
	if s.life.Enter() {
		return nil
	}
	return s.refuseForNow("server is being shut down")
}

// readHTTP reads the body of a request to its end, because only then net/http notices that a
// client disconnects.
func (s *Server) readHTTP(conn *http.ResponseController, r *http.Request) ([]byte, error) {
	conn.SetReadDeadline(time.Now().Add(s.ReadTimeout))
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(s.MaxRequestBytes)+1))
	switch {
	case len(body) > s.MaxRequestBytes:
		return nil, s.tooLong()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, retry.NewStatusError(http.StatusRequestTimeout, fmt.Appendf(nil, "the request took longer than %v to arrive", s.ReadTimeout))
	case err != nil:
		return nil, err
	}
	conn.SetReadDeadline(time.Time{})
	return body, nil
}

func (s *Server) tooLong() error {
	return retry.NewStatusError(http.StatusRequestEntityTooLarge, fmt.Appendf(nil, "body is longer than MaxRequestBytes, %d bytes", s.MaxRequestBytes))
}
