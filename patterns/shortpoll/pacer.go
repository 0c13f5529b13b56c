package shortpoll

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// pacer says when to poll next, for one call.
type pacer struct {
	interval, max, slowDown, margin time.Duration
	backoff                         retry.Backoff
	jitter                          retry.Jitter

	grid     time.Time // a fixed interval: polls are due at this and its multiples
	next     time.Time // when the next poll is due
	begun    time.Time // the last poll
	quiet    int       // polls in a row without news
	failures int       // in a row
	last     bool      // no poll after the last fits before the deadline
}

// newPacer plans the first poll for now.
func (c *Client) newPacer() *pacer {
	now := time.Now()
	p := &pacer{
		interval: c.interval(),
		max:      c.MaxInterval,
		slowDown: max(0, cmp.Or(c.SlowDown, 5*time.Second)),
		margin:   cmp.Or(c.Margin, time.Second),
		backoff:  c.Backoff.WithDefaults(retry.Backoff{}),
		jitter:   c.Jitter.OrSeeded(""),
		next:     now, begun: now,
	}
	p.grid = now.Add(-p.jitter(p.interval - 1))
	return p
}

// schedule plans the next poll where the schedule has it, but not sooner than the server
// asks for by its Retry-After.
func (p *pacer) schedule(notFor time.Duration) {
	now := time.Now()
	notBefore := now.Add(min(notFor, p.backoff.RetryAfterMax))
	if p.max > p.interval {
		p.quiet++
		ceiling := p.interval
		for range p.quiet {
			if ceiling >= p.max {
				break
			}
			ceiling *= 2
		}
		ceiling = min(ceiling, p.max)
		p.next = p.begun.Add(ceiling - p.jitter(ceiling-p.interval))
		if p.next.Before(notBefore) {
			p.next = notBefore.Add(p.jitter(p.interval))
		}
		return
	}
	if notBefore.Before(p.begun.Add(1)) {
		notBefore = p.begun.Add(1)
	}
	steps := (notBefore.Sub(p.grid) + p.interval - 1) / p.interval
	p.next = p.grid.Add(steps * p.interval)
}

// answered plans the poll after a good answer.
func (p *pacer) answered(v verdict, h http.Header) {
	p.failures = 0
	if v.news {
		p.quiet = 0
	}
	if v.more {
		p.next = time.Now()
		return
	}
	notFor, _ := retry.After(h)
	p.schedule(notFor)
}

// failed plans the poll after a failure, and returns the delay until then. resp may be
// nil.
func (p *pacer) failed(resp *http.Response) time.Duration {
	p.failures++
	delay := p.backoff.Delay(p.failures, p.jitter)
	if resp != nil {
		if after, ok := retry.After(resp.Header); ok {
			delay = p.backoff.Hint(after, p.jitter)
		}
		if resp.StatusCode == http.StatusTooManyRequests {
			p.interval += p.slowDown
			if p.max > 0 {
				p.max = max(p.max, p.interval)
			}
			delay = max(delay, p.interval)
			p.grid = time.Now().Add(delay)
		}
	}
	p.next = time.Now().Add(delay)
	return delay
}

// wait waits until the next poll is due. The last one before a deadline is moved to
// where it fits.
func (p *pacer) wait(ctx context.Context) error {
	if p.last {
		return fmt.Errorf("shortpoll: no other poll fits before the deadline: %w", context.DeadlineExceeded)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if latest := deadline.Add(-p.margin); p.next.After(latest) {
			p.next, p.last = latest, true
		}
	}
	if err := retry.Sleep(ctx, time.Until(p.next)); err != nil {
		return err
	}
	p.begun = time.Now()
	return nil
}
