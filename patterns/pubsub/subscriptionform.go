package pubsub

import (
	"fmt"
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// subscriptionForm is SubscribeOptions as they cross the wire and lie in a Store. It is a type
// of its own so that SubscribeOptions can change without changing either. A field that is
// added must mean, when it is absent, what was so before; any other change needs another
// protocolVersion and another optionsFormat.
type subscriptionForm struct {
	Filter           string          `json:"filter"`
	Name             string          `json:"name,omitempty"`
	From             eventlog.Cursor `json:"from,omitzero"` // not in a Store, which has the position
	FromNow          bool            `json:"from_now,omitempty"`
	Reset            string          `json:"reset,omitempty"` // of resetNames; empty: the first
	AtMostOnce       bool            `json:"at_most_once,omitempty"`
	AckWait          time.Duration   `json:"ack_wait_ns,omitempty"`
	MaxAttempts      int             `json:"max_attempts,omitempty"`
	DeadLetter       string          `json:"dead_letter,omitempty"`
	MaxInFlight      int             `json:"max_in_flight,omitempty"`
	MaxInFlightBytes int             `json:"max_in_flight_bytes,omitempty"`
	Slow             string          `json:"slow,omitempty"` // of slowNames; empty: the first
	MaxPending       int             `json:"max_pending,omitempty"`
	ExpireAfter      time.Duration   `json:"expire_after_ns,omitempty"`
}

var (
	resetNames = []string{ResetEarliest: "earliest", ResetLatest: "latest"}
	slowNames  = []string{Backpressure: "backpressure", DropOldest: "drop-oldest", DropNewest: "drop-newest", Disconnect: "disconnect"}
)

// form is the inverse of options. The options have been checked.
func (o *SubscribeOptions) form() *subscriptionForm {
	return &subscriptionForm{
		Filter: o.Filter, Name: o.Name,
		From: o.From, FromNow: o.FromNow,
		Reset: resetNames[o.Reset], AtMostOnce: o.AtMostOnce,
		AckWait: o.AckWait, MaxAttempts: o.MaxAttempts, DeadLetter: o.DeadLetter,
		MaxInFlight: o.MaxInFlight, MaxInFlightBytes: o.MaxInFlightBytes,
		Slow: slowNames[o.Slow], MaxPending: o.MaxPending, ExpireAfter: o.ExpireAfter,
	}
}

// options returns the options that a form has, defaults filled in, or an error that names
// the field.
func (f *subscriptionForm) options() (SubscribeOptions, error) {
	o := SubscribeOptions{
		Filter: f.Filter, Name: f.Name, From: f.From, FromNow: f.FromNow, AtMostOnce: f.AtMostOnce,
		AckWait: f.AckWait, MaxAttempts: f.MaxAttempts, DeadLetter: f.DeadLetter,
		MaxInFlight: f.MaxInFlight, MaxInFlightBytes: f.MaxInFlightBytes,
		MaxPending: f.MaxPending, ExpireAfter: f.ExpireAfter,
	}
	if f.Reset != "" {
		o.Reset = ResetPolicy(slices.Index(resetNames, f.Reset))
	}
	if f.Slow != "" {
		o.Slow = SlowPolicy(slices.Index(slowNames, f.Slow))
	}
	switch {
	case o.Reset < 0:
		return o, fmt.Errorf("pubsub: SubscribeOptions.Reset is %q: want one of %q", f.Reset, resetNames)
	case o.Slow < 0:
		return o, fmt.Errorf("pubsub: SubscribeOptions.Slow is %q: want one of %q", f.Slow, slowNames)
	}
	return o.withDefaults(), o.Check()
}
