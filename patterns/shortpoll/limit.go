package shortpoll

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Limit protects a server from more requests than it can answer.
type Limit struct {
	// Rate is how many requests a second are answered. After a quiet second, as many
	// can come at once. Others are refused with 503 and a Retry-After. Zero: no
	// limit.
	Rate int
	// RetrySpread is the longest Retry-After of refusals. Zero: 10 s. Each is drawn from 1 s to
	// this, so that clients that were refused together do not come back together. At most 24.8
	// days.
	RetrySpread time.Duration
	// Jitter draws the Retry-After of refusals. Nil: seeded by the clock at
	// first use.
	Jitter retry.Jitter
}

func (l *Limit) check(c *fields.Check) {
	if l.Rate < 0 || l.Rate > 1e9 {
		c.Bad("Limit.Rate is %d: want 0 for no limit, up to 1e9", l.Rate)
	}
	c.Wait("Limit.RetrySpread", l.RetrySpread, 1)
}

// gate is a Limit at work: a token bucket that stores the instant at which it will be
// full.
type gate struct {
	interval time.Duration // per token; 0: no limit
	spread   time.Duration
	jitter   retry.Jitter

	mu   sync.Mutex
	full time.Time
}

func newGate(l Limit) *gate {
	g := &gate{spread: cmp.Or(l.RetrySpread, 10*time.Second), jitter: l.Jitter.OrSeeded("")}
	if l.Rate > 0 {
		g.interval = time.Second / time.Duration(l.Rate)
	}
	return g
}

// admit reports whether there is a token, and takes it.
func (g *gate) admit() bool {
	if g.interval == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.full.Before(now) {
		g.full = now
	}
	if g.full.Add(g.interval).Sub(now) > time.Second {
		return false
	}
	g.full = g.full.Add(g.interval)
	return true
}

// refuse sends a client away, each for a time of its own.
func (g *gate) refuse(w http.ResponseWriter, why string) {
	polling.Refuse(w, why, g.jitter, g.spread)
}
