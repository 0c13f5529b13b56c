package retry

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Budget bounds the attempts beyond the first, which are retries and hedges, to a share of the
// calls. It is a bucket of tokens that belongs to one destination: all that call it should share
// one, since what it protects is the destination. In an outage, when every call fails, the load
// grows by Percent and not by the number of attempts that a call may make; over three tiers with
// the default that is a factor of 1.1 each, 1.33 in all, where three retries in each tier would
// make 64.
//
// Within any window, whatever fails and however many callers there are,
//
//	attempts <= calls + calls x Percent/100 + Burst + window/Every
//
// Burst and Every are for each Budget: a crowd of processes that seldom call may still repeat most of their calls, and
// only the destination can refuse them.
//
// Calls earn tokens when they begin and not when they succeed, as in gRPC's A6
// (https://github.com/grpc/proposal/blob/master/A6-client-retries.md): there a destination that
// fails one call in ten never earns back what it lost. It counts calls over time and not calls in flight, as
// Envoy's and failsafe-go's budgets do, which let a caller that makes one call after the other
// retry them all.
//
// The zero value is full and has the defaults. It may be used concurrently; do not change or
// copy it after first use.
type Budget struct {
	// Percent is what each call earns, in hundredths of an attempt: 10. At most 100.
	Percent int
	// Burst is how many attempts it holds at most, and at the beginning: 3. At most 10,000.
	Burst int
	// Every is the time after which a destination with few calls has earned one attempt: 10 s.
	// Where calls earn more than that, time adds nothing. At most 24 h.
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
	// that there were no tokens for.
	Calls, Spent, Refused int64
}

// Limits of the fields, with which no sum overflows.
const (
	maxBurst = 10_000
	maxEvery = 24 * time.Hour
)

// Check returns what is wrong with the settings.
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

// Call notes that a call begins. Its first attempt is free. It panics if Check finds fault.
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

// Spend reports whether an attempt beyond the first may begin, and takes its token. It panics
// if Check finds fault.
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
