package reqresp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// A result is how an attempt ended: with an answer or an error.
type result struct {
	nth     int // of its call, from 1
	answer  *Response
	err     error
	outcome Outcome // of an error
	final   bool    // another attempt would end likewise
	never   bool    // the server wants no other
	asked   bool    // the server says when it wants another:
	after   time.Duration
	exactly bool // then, and not later
}

// A call is a request with its attempts.
type call struct {
	*Client
	cancel     func() // all attempts
	request    *Request
	repeatable bool
	jitter     retry.Jitter // of this call alone
	results    chan result

	started, flying, failures int
	unknown                   bool  // one of the attempts that failed
	since                     error // of the first of those, with its number; nil: it said nothing
	last                      result
	noHedges                  bool // the server has said when to come back
}

// run makes attempts until the call has ended.
func (k *call) run(ctx context.Context) (*Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the attempts that lost
	k.cancel = cancel
	k.Budget.Call()
	k.begin(ctx)
	hedge := time.NewTimer(k.HedgeDelay)
	defer hedge.Stop()
	for {
		var hedging <-chan time.Time
		if k.HedgeDelay > 0 && k.mayRepeat() && !k.noHedges {
			hedging = hedge.C
		}
		select {
		case r := <-k.results:
			k.flying--
			if r.answer != nil {
				r.answer.Attempts = k.started
				return r.answer, nil
			}
			k.failed(r)
			if err := k.again(ctx); err != nil {
				return nil, k.error(err)
			}
		case <-hedging:
			if k.Budget.Spend() {
				k.stats.hedges.Add(1)
				k.begin(ctx)
			} else {
				k.noHedges = true
			}
		}
		hedge.Reset(k.HedgeDelay)
	}
}

// begin starts an attempt.
func (k *call) begin(ctx context.Context) {
	k.started++
	k.flying++
	k.stats.attempts.Add(1)
	nth := k.started
	go func() {
		ctx, cancel := context.WithTimeout(ctx, k.AttemptTimeout)
		defer cancel()
		r := k.attempt(ctx, k.request)
		r.nth = nth
		k.results <- r
	}()
}

// mayRepeat reports whether another attempt is allowed, as far as is known.
func (k *call) mayRepeat() bool {
	return k.started < k.MaxAttempts && (k.repeatable || !k.unknown && k.flying == 0)
}

// failed records a failure.
func (k *call) failed(r result) {
	k.failures++
	k.last = r
	if r.outcome == Unknown && !k.unknown {
		k.unknown, k.since = true, fmt.Errorf("attempt %d: %w", r.nth, r.err)
	}
	k.noHedges = k.noHedges || r.asked
	k.Logger.Debug("reqresp: attempt failed", "attempt", k.started, "outcome", r.outcome.String(), "error", r.err)
}

// again starts another attempt after a failure, when it is time, or leaves the call to the
// attempts in progress. Its error ends the call.
func (k *call) again(ctx context.Context) error {
	r := k.last
	switch {
	case r.final:
		k.abandon()
		return r.err
	case over(ctx) != nil:
		k.abandon()
		if err := over(ctx); !errors.Is(r.err, err) {
			return fmt.Errorf("%w: %w", err, r.err)
		}
		return r.err
	case k.flying > 0 && (r.never || k.noHedges || !k.mayRepeat()):
		return nil
	case r.never || !k.mayRepeat():
		return r.err
	case !k.Budget.Spend():
		if k.flying > 0 {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrBudget, r.err)
	}
	if k.flying == 0 {
		if err := k.wait(ctx); err != nil {
			return err
		}
	}
	k.stats.retries.Add(1)
	k.begin(ctx)
	return nil
}

// over returns the error of a context that has ended or whose deadline has passed: a dialer's own
// timer can fire slightly earlier.
func over(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ctx.Err() == nil && ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// abandon ends the attempts in progress, and waits for their outcomes.
func (k *call) abandon() {
	k.cancel()
	for ; k.flying > 0; k.flying-- {
		if r := <-k.results; r.answer != nil || r.outcome == Unknown {
			k.unknown = true
		}
	}
}

// wait waits until it is time for another attempt. It returns at once if the call's time ends
// before that.
func (k *call) wait(ctx context.Context) error {
	r := k.last
	delay := k.Backoff.Delay(k.failures, k.jitter)
	switch {
	case r.exactly:
		delay = r.after
	case r.asked:
		delay = max(delay, k.Backoff.Hint(r.after, k.jitter))
	}
	if deadline, ok := ctx.Deadline(); ok && delay >= time.Until(deadline) {
		return fmt.Errorf("%w (the next attempt would be in %v, after the call's time)", r.err, delay)
	}
	if k.OnRetry != nil {
		k.OnRetry(r.err, delay)
	}
	if err := retry.Sleep(ctx, delay); err != nil {
		return fmt.Errorf("%w, waiting after: %w", err, r.err)
	}
	return nil
}

// error returns the error of a call that ends with err.
func (k *call) error(err error) error {
	outcome := NotExecuted
	if k.unknown {
		outcome = Unknown
	}
	e := &Error{Outcome: outcome, Attempts: k.started, Err: err}
	if k.last.outcome != Unknown {
		e.since = k.since // else Err says enough
	}
	return e
}

// judge returns what a response over either carrier means for a call: an answer, or why there
// is none.
func judge(answer *Response, keyed bool) result {
	said := answer.Header.Get(HeaderOutcome)
	_, asked := retry.After(answer.Header)
	// A gateway without this package may pass the statuses on that the draft on idempotency keys
	// has, and not our header: 409 is of the key if it says when to come back.
	running := keyed && answer.Status == http.StatusConflict && (asked || said == saysUnknown)
	temporary := retry.Temporary(answer.Status)
	if said == "" && !temporary && !running {
		return result{answer: answer}
	}
	r := result{err: retry.NewStatusError(answer.Status, answer.Body), final: !temporary && !running}
	if said == saysNotExecuted || said == "" && answer.Status < 500 && !running {
		r.outcome = NotExecuted
	}
	r.after, r.asked = retry.After(answer.Header)
	if pushback := answer.Header.Values(HeaderPushback); len(pushback) > 0 {
		ms, err := strconv.ParseInt(pushback[0], 10, 64)
		if len(pushback) > 1 || err != nil || ms < 0 || ms > (1<<62)/int64(time.Millisecond) {
			r.never = true
		} else {
			r.after, r.asked, r.exactly = time.Duration(ms)*time.Millisecond, true, true
		}
	}
	return r
}

// attempt makes one attempt.
func (c *Client) attempt(ctx context.Context, r *Request) result {
	if err := ctx.Err(); err != nil {
		return result{err: err, outcome: NotExecuted, final: true}
	}
	header, err := c.headers(ctx, r)
	if err != nil {
		var status *retry.StatusError
		final := errors.As(err, &status) && !retry.Temporary(status.Status)
		return result{err: fmt.Errorf("Client.Header: %w", err), outcome: NotExecuted, final: final}
	}
	if c.left(ctx) < time.Millisecond {
		return result{err: context.DeadlineExceeded, outcome: NotExecuted, final: true}
	}
	if c.Dial != nil {
		return c.line.attempt(ctx, r, header)
	}
	return c.attemptHTTP(ctx, r, header)
}

// left returns how much time an attempt that is sent now leaves to the server. ctx has a deadline.
func (c *Client) left(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline) - c.Margin
}

// headers returns the headers of an attempt.
func (c *Client) headers(ctx context.Context, r *Request) (http.Header, error) {
	all := http.Header{}
	if c.Header != nil {
		h, err := c.Header(ctx)
		if err != nil {
			return nil, err
		}
		add(all, h)
	}
	add(all, r.Header)
	if r.Key != "" {
		all.Set(HeaderKey, quoteKey(r.Key))
	}
	return all, nil
}

// add sets the values of more in all, and replaces existing ones. Names that differ only in case
// are one name, which gets all their values in order.
func add(all, more http.Header) {
	added := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		canonical := http.CanonicalHeaderKey(name)
		values := more[name]
		if added[canonical] {
			values = append(slices.Clone(all[canonical]), values...)
		}
		all[canonical], added[canonical] = values, true
	}
}
