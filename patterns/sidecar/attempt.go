package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

var errTimeout = errors.New("there was no answer in time")

// enter records that a request begins.
func (up *Upstream) enter() {
	up.active.Add(1)
	up.set.Budget.Call()
	up.begun.Add(1)
}

func (up *Upstream) leave() { up.active.Add(-1) }

// idempotent reports whether a method can be repeated without a further effect (RFC 9110,
// section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete, "QUERY":
		return true
	}
	return false
}

// A failure is the reason why the proxy sends its own answer.
type failure struct {
	status     int
	kind       string // an error type of RFC 9209, section 2.3
	err        error
	unexecuted bool // no replica was sent the request
}

// tooLate returns the failure of a request whose Request-Timeout is 0: its client has less than a
// millisecond left.
func tooLate() *failure {
	return &failure{status: http.StatusGatewayTimeout, kind: "http_response_timeout", err: errors.New("the request's time is over"), unexecuted: true}
}

// noBudget adds that the request would have been retried with more budget.
func (f *failure) noBudget() *failure {
	f.err = fmt.Errorf("%w (not repeated: the budget of retries is spent)", f.err)
	return f
}

// failureOf returns the client's view of an attempt's error.
func failureOf(err error, unsent bool) *failure {
	f := &failure{status: http.StatusBadGateway, kind: "connection_terminated", err: err, unexecuted: unsent}
	var connect *connectError
	var wrong *malformed
	switch {
	case errors.Is(err, ErrOpen):
		f.status, f.kind = http.StatusServiceUnavailable, "destination_unavailable"
	case errors.As(err, &connect):
		f.status, f.kind = http.StatusServiceUnavailable, "connection_refused"
		if isTimeout(err) || errors.Is(err, errTimeout) {
			f.kind = "connection_timeout"
		}
	case errors.Is(err, errTimeout):
		f.status, f.kind = http.StatusGatewayTimeout, "http_response_timeout"
	case errors.As(err, &wrong):
		f.kind = "http_protocol_error"
	}
	return f
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// try makes an attempt: at once if there is a connection. Otherwise, if inline is set, it does so
// in a new goroutine, so that the client's goroutine can notice when the client disconnects.
func (c *client) try(seq int64, avoid *replica, inline bool, now time.Time) {
	t, err := c.up.take(avoid, now)
	if err != nil {
		c.unsent(seq, turn{}, err)
		return
	}
	for {
		u := t.replica.checkout()
		if u == nil {
			break
		}
		if c.attach(seq, t, u, now) {
			return
		}
		if !c.wants(seq) {
			t.end(Ignored)
			return
		}
	}
	if inline {
		go c.connect(seq, t)
		return
	}
	c.connect(seq, t)
}

// wants reports whether an attempt is still the current one.
func (c *client) wants(seq int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == waiting && c.seq == seq
}

// A dialing is an attempt without a connection yet. Its only deadline is the client's timer: with a
// deadline of its own, it would be chance which of the two is first.
type dialing struct {
	replica *replica
	cancel  context.CancelFunc
	late    bool // it was given up since it took too long
}

// connect makes an attempt on a new connection.
func (c *client) connect(seq int64, t turn) {
	ctx, cancel := context.WithCancel(c.p.ctx)
	defer cancel()
	d := &dialing{replica: t.replica, cancel: cancel}
	c.mu.Lock()
	if c.phase != waiting || c.seq != seq {
		c.mu.Unlock()
		t.end(Ignored)
		return
	}
	c.dial = d
	c.arm(c.due(time.Now()))
	c.mu.Unlock()
	generation := c.up.Credentials.number()
	nc, err := c.up.connect(ctx, t.replica, c.up.protocol1())
	c.mu.Lock()
	late, wanted := d.late, c.phase == waiting && c.seq == seq
	if c.dial == d {
		c.dial = nil
	}
	c.mu.Unlock()
	switch {
	case late:
		t.end(Failure)
	case !wanted:
		t.end(Ignored)
	case err != nil:
		c.unsent(seq, t, err)
		return
	}
	if late || !wanted {
		if err == nil {
			nc.Close()
		}
		return
	}
	u := newUpconn(t.replica, nc, generation, c.p.set.MaxHeaderBytes)
	if !c.attach(seq, t, u, time.Now()) {
		t.end(Ignored)
		nc.Close()
		return
	}
	u.run()
}

// attach gives an attempt a connection, and sends the available part of the
// request.
func (c *client) attach(seq int64, t turn, u *upconn, now time.Time) bool {
	c.mu.Lock()
	if c.phase != waiting || c.seq != seq || !u.take(c) {
		c.mu.Unlock()
		return false
	}
	c.u, c.turn, c.written, c.broken = u, t, 0, false
	c.attempts++
	c.arm(c.due(now))
	c.mu.Unlock()
	c.pump()
	return true
}

// unsent is called when an attempt did not get a connection.
func (c *client) unsent(seq int64, t turn, err error) {
	t.end(Failure)
	c.mu.Lock()
	if c.phase != waiting || c.seq != seq {
		c.mu.Unlock()
		return
	}
	now := time.Now()
	starting := now.Before(c.begun.Add(c.up.StartWait))
	if !starting && !errors.Is(err, ErrOpen) {
		c.attempts++
	}
	c.mu.Unlock()
	if starting {
		c.later(seq, c.up.set.Backoff.Max, nil)
		return
	}
	c.retryOr(seq, t.replica, failureOf(err, c.neverSent()), true)
}

func (c *client) neverSent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.executed
}

// later makes the next attempt after a delay.
func (c *client) later(seq int64, delay time.Duration, avoid *replica) {
	c.mu.Lock()
	c.seq++
	next := c.seq
	c.arm(c.due(time.Now().Add(max(delay, 0)))) // the pause is no part of an attempt
	c.mu.Unlock()
	if delay <= 0 {
		go c.try(next, avoid, false, time.Now())
		return
	}
	time.AfterFunc(delay, func() {
		if c.wants(next) {
			c.try(next, avoid, false, time.Now())
		}
	})
}

// retryOr makes another attempt, or answers with the failure.
func (c *client) retryOr(seq int64, avoid *replica, f *failure, unsent bool) {
	c.mu.Lock()
	c.u, c.turn = nil, turn{}
	mine := c.phase == waiting && c.seq == seq
	gone, attempts, lost := c.gone, c.attempts, c.lost
	delay := time.Duration(0)
	if !unsent || attempts > 1 {
		delay = c.up.set.Backoff.Delay(max(attempts, 1), c.up.set.Jitter)
	}
	end := c.limit
	if end.IsZero() || !c.told.IsZero() && c.told.Before(end) {
		end = c.told
	}
	late := !end.IsZero() && !time.Now().Add(delay).Before(end)
	c.mu.Unlock()
	switch {
	case !mine:
	case gone:
		c.answered(nil, io.ErrUnexpectedEOF)
	case c.p.ctx.Err() != nil || errors.Is(f.err, ErrOpen) || attempts >= c.up.set.MaxAttempts || late:
		c.answer(f)
	case lost || !unsent && !c.repeatable:
		c.up.count(func(s *UpstreamStats) { s.NoReplay++ })
		c.answer(f)
	case !unsent && !c.up.set.Budget.Spend():
		c.up.count(func(s *UpstreamStats) { s.NoBudget++ })
		c.answer(f.noBudget())
	default:
		c.up.count(func(s *UpstreamStats) { s.Retries++ })
		c.later(seq, delay, avoid)
	}
}

// failed is called when the attempt on a connection gets no answer.
func (c *client) failed(u *upconn, err error) {
	c.mu.Lock()
	if c.phase != waiting || c.u != u {
		c.mu.Unlock()
		return
	}
	seq, t, gone := c.seq, c.turn, c.gone
	unsent := u != nil && c.written == 0 && !c.writing
	if !unsent && u != nil {
		c.executed = true
	}
	c.u, c.turn = nil, turn{}
	c.mu.Unlock()
	if u != nil {
		u.close()
	}
	var away *clientError
	result := Failure
	if gone || errors.As(err, &away) {
		result = Ignored
	}
	t.end(result)
	if errors.As(err, &away) {
		c.answered(nil, err)
		return
	}
	if u == nil { // the time was over before there was a connection
		c.mu.Lock()
		d := c.dial
		c.dial = nil
		c.attempts++
		if d != nil {
			d.late = true
			d.cancel()
			t.replica, err = d.replica, &connectError{err}
		}
		c.mu.Unlock()
		c.retryOr(seq, t.replica, failureOf(err, c.neverSent()), true)
		return
	}
	c.retryOr(seq, t.replica, failureOf(err, c.neverSent()), unsent)
}

// again makes another attempt after an answer in which a replica says that it cannot serve the
// request now, if that is safe and budget and time are left. It reports whether it does, and
// whether the connection can be reused.
func (c *client) again(u *upconn, m *message) (again, reusable bool) {
	if m.status != http.StatusServiceUnavailable || !c.repeatable && !m.unexecuted {
		return false, false
	}
	c.mu.Lock()
	if c.phase != waiting || c.u != u || c.lost || c.gone || !c.bodyEnded || c.attempts >= c.up.set.MaxAttempts || c.p.ctx.Err() != nil {
		c.mu.Unlock()
		return false, false
	}
	delay := c.up.set.Backoff.Delay(c.attempts, c.up.set.Jitter)
	if len(m.after) > 0 {
		if after, ok := retry.After(http.Header{"Retry-After": {string(m.after)}}); ok {
			delay = max(delay, after)
		}
	}
	end := c.limit
	if !c.told.IsZero() && c.told.Before(end) {
		end = c.told
	}
	if !time.Now().Add(delay).Before(end) || !c.up.set.Budget.Spend() {
		c.mu.Unlock()
		return false, false
	}
	c.executed = c.executed || !m.unexecuted
	seq, t := c.seq, c.turn
	reusable = !m.close && m.length >= 0 && m.length <= int64(len(u.in.buffered())) && c.written == len(c.out) && !c.writing
	c.u, c.turn = nil, turn{}
	c.mu.Unlock()
	t.end(Failure)
	c.up.count(func(s *UpstreamStats) { s.Retries++ })
	if reusable {
		u.in.r += int(m.length)
		reusable = u.replica.giveBack(u, time.Now())
	}
	c.later(seq, delay, t.replica)
	return true, reusable
}

// commit makes an answer the one for the client. It reports whether it is, and whether the client's
// connection ends with it.
func (c *client) commit(u *upconn, m *message) (mine, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != waiting || c.u != u {
		return false, false
	}
	if m.status == http.StatusSwitchingProtocols {
		c.become(tunneling, time.Now())
		return true, false
	}
	c.become(answering, time.Now())
	if c.expects && !c.bodyEnded || m.length < 0 && c.minor == 0 {
		c.closing = true
	}
	return true, c.closing
}

// answer sends the proxy's own answer to the client.
func (c *client) answer(f *failure) {
	c.mu.Lock()
	if c.phase != waiting {
		c.mu.Unlock()
		return
	}
	c.become(answering, time.Now())
	c.closing = c.closing || !c.bodyEnded
	closing := c.closing
	c.mu.Unlock()
	c.p.stats.failed.Add(1)
	_, err := c.nc.Write(ownAnswer(f, c.isHead, closing))
	if err != nil {
		err = &clientError{err}
	}
	c.answered(nil, err)
}

// ownAnswer returns the proxy's own answer: Proxy-Status (RFC 9209) gives the cause, and
// Call-Outcome whether a replica may have executed the request.
func ownAnswer(f *failure, isHead, closing bool) []byte {
	text := fmt.Sprintf("sidecar: %v\n", f.err)
	out := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n", f.status, http.StatusText(f.status), len(text))
	for name, value := range f.headers {
		out = fmt.Appendf(out, "%s: %s\r\n", name, value)
	}
	if closing {
		out = append(out, "Connection: close\r\n"...)
	}
	out = append(out, "\r\n"...)
	if isHead {
		return out
	}
	return append(out, text...)
}

// headers yields the fields that say why the proxy answers.
func (f *failure) headers(yield func(name, value string) bool) {
	outcome := "unknown"
	if f.unexecuted {
		outcome = "not-executed"
	}
	_ = yield("Proxy-Status", "sidecar; error="+f.kind) && yield("Call-Outcome", outcome) &&
		(!errors.Is(f.err, ErrOpen) || yield("Retry-After", strconv.Itoa(1)))
}

// answered is called when the answer was passed on, or could not be. u is nil if it was the proxy's
// own. It reports whether the replica's connection is kept.
func (c *client) answered(u *upconn, err error) (kept bool) {
	_, gone := errors.AsType[*clientError](err)
	result := Success
	switch {
	case gone:
		result = Ignored
	case err != nil || u != nil && u.m.status >= 500 && u.m.status != http.StatusNotImplemented:
		result = Failure
	}
	c.mu.Lock()
	if u != nil && err == nil && !c.sentAll() && !c.gone {
		if c.expects && !c.bodyEnded {
			c.closing = true // it was told not to send the rest, and does not
		} else {
			c.linger()
		}
	}
	whole := c.sentAll() && !c.broken && !c.gone
	c.closing = c.closing || err != nil || !c.bodyEnded || c.gone
	closing, t, bare := c.closing, c.turn, c.minor == 0
	c.u, c.turn = nil, turn{}
	c.mu.Unlock()
	now := time.Now()
	t.endAt(result, now)
	c.up.leave()
	if u != nil && err == nil && whole && !u.m.close {
		kept = u.replica.giveBack(u, now)
	}
	if err != nil && !gone && bare {
		reset(c.nc) // the end of the connection would say that the answer is whole
	}
	if err != nil {
		c.nc.Close()
	} else if closing {
		halfClose(c.nc)
	}
	c.mu.Lock()
	if closing {
		c.become(lingering, now)
		c.phase = idle
	} else {
		c.become(idle, now)
	}
	c.mu.Unlock()
	return kept
}

func (c *client) sentAll() bool {
	return c.bodyEnded && !c.writing && (c.broken || c.written == len(c.out))
}

// linger briefly waits for the rest of a request that was answered early. mu is held.
func (c *client) linger() {
	c.become(lingering, time.Now())
	end := c.deadline
	for !c.sentAll() && !c.gone && time.Now().Before(end) && !c.closing {
		c.wake.Wait()
	}
}

// reset makes the other end see an error instead of the end of the stream.
func reset(nc any) {
	if l, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
}

// refuse answers a request that is not passed on.
func (c *client) refuse(err error) {
	var wrong *malformed
	if !errors.As(err, &wrong) {
		return // the connection ended
	}
	f := &failure{status: wrong.status, kind: "http_request_error", err: err, unexecuted: true}
	if wrong.status == http.StatusNotFound {
		f.kind = "destination_not_found"
	}
	c.p.stats.refused.Add(1)
	c.nc.Write(ownAnswer(f, string(c.m.method) == http.MethodHead, true))
	halfClose(c.nc)
	c.mu.Lock()
	c.become(lingering, time.Now())
	c.mu.Unlock()
	c.discard()
}
