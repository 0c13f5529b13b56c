package retry

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Budget limits the attempts beyond the first, which are retries and hedges, to a share of the
// calls. It is a token bucket for one destination. All callers of the destination should share one
// Budget, because it protects the destination. In an outage, when every call fails, the load grows
// by Percent and not by the number of attempts that a call may make. Over three tiers with the
// default, that is a factor of 1.1 each, 1.33 in all; three retries in each tier would make 64.
//
// Within any window, whatever fails and however many callers there are,
//
//	attempts <= calls + calls x Percent/100 + Burst + window/Every
//
// Burst and Every apply to each Budget separately: a crowd of processes that rarely call can still
// retry most of their calls, and only the destination can refuse them.
//
// Calls earn tokens when they begin, not when they succeed as in gRPC's A6
// (https://github.com/grpc/proposal/blob/master/A6-client-retries.md). There a destination that
// fails one call in ten never earns back what it spent. The Budget counts calls over time, not
// calls in flight as the budgets of Envoy and failsafe-go do. Those let a caller that makes one
// call after another retry every call.
//
// The zero value is full and has the defaults. It may be used concurrently; do not change or copy
// it after first use.
type Budget struct {
	// Percent is what each call earns, in hundredths of an attempt. Zero: 10. At
	// most 100.
	Percent int
	// Burst is the largest number of attempts that the Budget holds, and the number that it
	// starts with. Zero: 3. At most 10,000.
	Burst int
	// Every is the time in which a destination with few calls earns one attempt. Zero: 10 s.
	// If calls earn more than that, time adds nothing. At most 24 h.
	Every time.Duration

	mu    sync.Mutex
	start time.Time     // zero: not used yet
	left  time.Duration // one attempt costs Every
	paid  time.Duration // since start: until when time has nothing to add
	stats BudgetStats
}

// BudgetStats are the counters of a Budget.
type BudgetStats struct {
	// Calls counts calls that began, Spent the attempts beyond their first, and Refused those
	// for which there was no token.
	Calls, Spent, Refused int64
}

// Limits of the fields, with which no sum overflows.
const (
	maxBurst = 10_000
	maxEvery = 24 * time.Hour
)

// Check returns an error that names each invalid setting and its value, or nil.
func (b *Budget) Check() error {
	var errs []error
	bad := func(field string, value, most any) {
		errs = append(errs, fmt.Errorf("retry: Budget.%s is %v: want 0 for the default, or up to %v", field, value, most))
	}
	if b.Percent < 0 || b.Percent > 100 {
		bad("Percent", b.Percent, 100)
	}
	if b.Burst < 0 || b.Burst > maxBurst {
		bad("Burst", b.Burst, maxBurst)
	}
	if b.Every < 0 || b.Every > maxEvery {
		bad("Every", b.Every, maxEvery)
	}
	return errors.Join(errs...)
}

// Call records that a call begins. Its first attempt is free. It panics if Check returns an
// error.
func (b *Budget) Call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.earn()
	share := b.every() * time.Duration(cmp.Or(b.Percent, 10)) / 100
	b.put(share)
	// What the call has earned, time need not: up to one attempt ahead, so that calls that
	// come in a crowd do not leave the time after it without.
	b.paid = min(b.paid+share, now+b.every())
	b.stats.Calls++
}

// Spend reports whether an attempt beyond the first may begin, and if so takes its token. It
// panics if Check returns an error.
func (b *Budget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earn()
	if b.left < b.every() {
		b.stats.Refused++
		return false
	}
	b.left -= b.every()
	b.stats.Spent++
	return true
}

// Stats returns the counters.
func (b *Budget) Stats() BudgetStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

// earn adds what time has earned, and returns the time since the first use. It is monotonic:
// a wall clock that is set changes no budget.
func (b *Budget) earn() (now time.Duration) {
	if b.start.IsZero() {
		if err := b.Check(); err != nil {
			panic(err.Error())
		}
		b.start = time.Now()
		b.left = b.full()
	}
	now = time.Since(b.start)
	if now > b.paid {
		b.put(now - b.paid)
		b.paid = now
	}
	return now
}

func (b *Budget) put(earned time.Duration) { b.left += min(earned, b.full()-b.left) }

func (b *Budget) every() time.Duration { return cmp.Or(b.Every, 10*time.Second) }
func (b *Budget) full() time.Duration  { return b.every() * time.Duration(cmp.Or(b.Burst, 3)) }
