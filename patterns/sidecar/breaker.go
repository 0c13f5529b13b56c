package sidecar

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// ErrOpen is the error of a call that a [Breaker] refused. The call was not executed.
var ErrOpen = errors.New("sidecar: the breaker is open")

// Breaker stops calls to a destination that fails, so that callers learn of it at once and the
// destination can recover. While it is closed, calls pass and are counted. When too many of them
// fail, it opens, and no call passes for OpenFor. Then it is half-open, and Probes calls pass at a
// time. When that many have succeeded, one after the other, it closes. When one fails, or does not
// return within ProbeTimeout, it opens again.
//
// Each change of the state begins a generation. The result of a call from an earlier generation is
// ignored: a call that began before the breaker opened says nothing about the destination's present
// state.
//
// The zero value is closed and has the defaults. It may be used concurrently; do not change or copy
// it after first use.
type Breaker struct {
	// Percent is the share of failed calls within Window at which it opens. Zero: 50. At most 100.
	Percent int
	// MinRequests is the smallest number of calls within Window for it to open.
	// Zero: 20.
	MinRequests int
	// Window is how long a result counts, to within a tenth. Zero: 10 s.
	Window time.Duration
	// OpenFor is how long it stays open. Zero: 5 s. At that instant it becomes
	// half-open.
	OpenFor time.Duration
	// Probes is how many calls pass at once while it is half-open, and how many must succeed.
	// Zero: 1.
	Probes int
	// ProbeTimeout is when a probe counts as failed. Zero: 10 s. The call itself can continue.
	ProbeTimeout time.Duration

	mu         sync.Mutex
	state      BreakerState
	generation uint64
	opened     time.Time   // when it opened last
	probes     []time.Time // when those under way began, oldest first
	succeeded  int         // probes of this generation
	start      time.Time   // of the first slot, slots being tenths of Window
	slots      [10]slot
	stats      BreakerStats
}

// A slot counts the results of a tenth of a window.
type slot struct {
	number       int64 // since start
	calls, fails int
}

// BreakerState is the state of a Breaker.
type BreakerState int8

// The states.
const (
	BreakerClosed   BreakerState = iota // calls pass
	BreakerOpen                         // no call passes
	BreakerHalfOpen                     // some calls pass, as probes
)

// String returns "closed", "open" or "half-open".
func (s BreakerState) String() string {
	return [...]string{"closed", "open", "half-open"}[s]
}

// BreakerStats are the counters of a Breaker.
type BreakerStats struct {
	// Opened counts how often it opened, Refused the calls that it refused, Late the results of an
	// earlier generation, and Hung the probes that did not return in time.
	Opened, Refused, Late, Hung int64
}

// Result is the outcome of a call, for a [Breaker].
type Result int8

// The results.
const (
	Ignored Result = iota // says nothing about the destination: its caller cancelled it, or it was never sent
	Success               // the destination works, even if it reports a mistake of the caller
	Failure               // no answer, or one in which the destination reports its own failure
)

// Permit is the permission for one call. Call End exactly once.
type Permit struct {
	breaker    *Breaker
	generation uint64
	probe      time.Time // zero: it is none
}

// Check returns an error that names each invalid setting and its value, or nil.
func (b *Breaker) Check() error {
	check := fields.Of("sidecar: Breaker")
	checkPercent(check, "Percent", b.Percent)
	check.Int("MinRequests", b.MinRequests)
	check.Duration("Window", b.Window)
	if b.Window > 0 && b.Window < time.Millisecond {
		check.Bad("Window is %v: want 0 for the default, or at least 1ms", b.Window)
	}
	check.Duration("OpenFor", b.OpenFor)
	check.Int("Probes", b.Probes)
	check.Duration("ProbeTimeout", b.ProbeTimeout)
	return check.Err()
}

func checkPercent(check *fields.Check, name string, percent int) {
	if percent < 0 || percent > 100 {
		check.Bad("%s is %d: want 0 for the default, or up to 100", name, percent)
	}
}

func (b *Breaker) window() time.Duration { return cmp.Or(b.Window, 10*time.Second) }
func (b *Breaker) most() int             { return cmp.Or(b.Probes, 1) }

// Begin asks to let a call through. If it may not pass, Begin returns [ErrOpen]. It panics if Check
// returns an error.
func (b *Breaker) Begin() (Permit, error) { return b.begin(time.Now()) }

func (b *Breaker) begin(now time.Time) (Permit, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	p := Permit{breaker: b, generation: b.generation}
	switch b.state {
	case BreakerOpen:
		b.stats.Refused++
		return Permit{}, ErrOpen
	case BreakerHalfOpen:
		if len(b.probes) >= b.most() {
			b.stats.Refused++
			return Permit{}, ErrOpen
		}
		p.probe = now
		b.probes = append(b.probes, now)
	}
	return p, nil
}

// End records the result of the call. For a zero Permit it does nothing.
func (p Permit) End(r Result) { p.end(r, time.Now()) }

// end also reports whether the breaker has opened because of the result.
func (p Permit) end(r Result, now time.Time) (opens bool) {
	b := p.breaker
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.stats.Opened
	b.turn(now)
	b.ended(p, r, now)
	return b.stats.Opened > before
}

func (b *Breaker) ended(p Permit, r Result, now time.Time) {
	if p.generation != b.generation {
		b.stats.Late++
		return
	}
	if p.probe.IsZero() {
		b.count(now, r)
		return
	}
	b.leave(p.probe)
	switch r {
	case Failure:
		b.open(now)
	case Success:
		if b.succeeded++; b.succeeded >= b.most() {
			b.become(BreakerClosed)
			b.slots = [10]slot{}
		}
	}
}

// State returns the current state.
func (b *Breaker) State() BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(time.Now())
	return b.state
}

// Stats returns the counters.
func (b *Breaker) Stats() BreakerStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(time.Now())
	return b.stats
}

// turn applies the passing of time. A breaker needs no timer, because only callers see its
// state.
func (b *Breaker) turn(now time.Time) {
	if b.start.IsZero() {
		if err := b.Check(); err != nil {
			panic(err.Error())
		}
		b.start = now
	}
	openFor, timeout := cmp.Or(b.OpenFor, 5*time.Second), cmp.Or(b.ProbeTimeout, 10*time.Second)
	for {
		switch {
		case b.state == BreakerOpen && now.Sub(b.opened) >= openFor:
			b.become(BreakerHalfOpen)
			return
		case b.state == BreakerHalfOpen && len(b.probes) > 0 && now.Sub(b.probes[0]) >= timeout:
			b.stats.Hung++
			b.open(b.probes[0].Add(timeout))
		default:
			return
		}
	}
}

func (b *Breaker) become(s BreakerState) {
	b.state = s
	b.generation++
	b.probes, b.succeeded = b.probes[:0], 0
}

func (b *Breaker) open(at time.Time) {
	b.become(BreakerOpen)
	b.opened = at
	b.stats.Opened++
}

func (b *Breaker) leave(probe time.Time) {
	for i, at := range b.probes {
		if at.Equal(probe) {
			b.probes = append(b.probes[:i], b.probes[i+1:]...)
			return
		}
	}
}

// count adds a result, and opens the breaker if there are too many failures.
func (b *Breaker) count(now time.Time, r Result) {
	if r == Ignored {
		return
	}
	number := int64(now.Sub(b.start) / (b.window() / 10))
	s := &b.slots[number%10]
	if s.number != number {
		*s = slot{number: number}
	}
	s.calls++
	if r != Failure {
		return // no success opens it
	}
	s.fails++
	calls, fails := 0, 0
	for _, s := range b.slots {
		if number-s.number < 10 {
			calls += s.calls
			fails += s.fails
		}
	}
	if calls >= cmp.Or(b.MinRequests, 20) && fails*100 >= calls*cmp.Or(b.Percent, 50) {
		b.open(now)
	}
}
