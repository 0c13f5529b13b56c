package pubsub

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// BrokerOptions configure a Broker. The zero value has the defaults below.
type BrokerOptions struct {
	// SessionTimeout is how long a client may be silent, or without a connection, before
	// its subscriptions are taken from it. Clients send a ping each third of it, and take
	// the broker for dead when they hear nothing for as long. Zero: 30 s. At least 1 s.
	SessionTimeout time.Duration
	// DedupeWindow is for how long the ID of a message is remembered. A message that is
	// published again later is stored again. Zero: 2 min; negative: not at all.
	DedupeWindow time.Duration
	// DedupeMax bounds how many IDs are remembered; the oldest make room. Zero: 100,000.
	DedupeMax int
	// MaxMessageBytes bounds a message's data with its headers. Zero: 64 KiB.
	MaxMessageBytes int
	// MaxClients bounds the connected clients; more are refused. Zero: no bound.
	MaxClients int
}

func (o BrokerOptions) withDefaults() (BrokerOptions, error) {
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 30*time.Second)
	o.DedupeWindow = cmp.Or(o.DedupeWindow, 2*time.Minute)
	o.DedupeMax = cmp.Or(o.DedupeMax, 100_000)
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, 64<<10)
	switch {
	case o.SessionTimeout < time.Second:
		return o, fmt.Errorf("pubsub: BrokerOptions.SessionTimeout: %v, want at least 1s", o.SessionTimeout)
	case o.DedupeMax < 0:
		return o, fmt.Errorf("pubsub: BrokerOptions.DedupeMax: %d, want 0 (the default) or more", o.DedupeMax)
	case o.MaxMessageBytes < 0 || o.MaxMessageBytes > 64<<20:
		return o, fmt.Errorf("pubsub: BrokerOptions.MaxMessageBytes: %d, want 0 (the default) to 64 MiB", o.MaxMessageBytes)
	case o.MaxClients < 0:
		return o, fmt.Errorf("pubsub: BrokerOptions.MaxClients: %d, want 0 (no bound) or more", o.MaxClients)
	}
	return o, nil
}

// SubscribeOptions say what a subscriber gets, and how.
type SubscribeOptions struct {
	// Filter selects topics: see [Match].
	Filter string
	// Name makes the subscription durable and shared. The broker keeps its position, on
	// disk if it has a [Store], while nobody is subscribed; all clients that subscribe
	// under the name are a group, of which each message goes to one. One token, at most
	// 255 bytes. Empty: the subscription is this client's alone, and ends with its session.
	Name string
	// Start is where a subscription begins that does not exist yet. Zero: with what is
	// published from now on. See [Beginning] and [At].
	Start Start
	// Reset is where it goes on when the log no longer has what comes next. Either way
	// [Subscription.Next] returns a [Gap].
	Reset Reset

	// AtMostOnce delivers each message once or, when a connection or a process dies at
	// the wrong moment, not at all; there is nothing to acknowledge. Otherwise a message
	// is delivered until it has been acknowledged.
	AtMostOnce bool
	// AckWait is how long the subscriber has for acknowledging a message, from when the
	// broker hands it to the connection; then it is delivered again. It should be longer
	// than the link takes for MaxInFlightBytes, and the subscriber for MaxInFlight
	// messages. Zero: 30 s.
	AckWait time.Duration
	// MaxAttempts is after how many deliveries without an acknowledgement a message is
	// given up and becomes a dead letter. Zero: never.
	MaxAttempts int
	// DeadLetter is the topic of dead letters. Zero: dead-letters.<Name>.
	DeadLetter string

	// MaxInFlight and MaxInFlightBytes bound what is delivered to one subscriber and not
	// yet acknowledged, or not yet taken by Next under AtMostOnce. One message always
	// fits. Zero: 256 and 128 KiB.
	MaxInFlight      int
	MaxInFlightBytes int
	// Slow is what happens when MaxPending messages wait for subscribers that have as
	// much in flight as they may. It concerns subscribers that had caught up; what waits
	// for one that comes back stays in the log.
	Slow SlowPolicy
	// MaxPending bounds what waits, in messages; of each the broker keeps some 100
	// bytes, the rest is in the log. Zero: 1,024.
	MaxPending int
}

// SlowPolicy is what happens to a subscription whose subscribers do not keep up.
// Publishers never wait.
type SlowPolicy int

const (
	// Backpressure leaves the messages in the log, until its retention drops them.
	Backpressure SlowPolicy = iota
	// DropOldest makes room by dropping the message that has waited longest.
	DropOldest
	// DropNewest drops what does not fit.
	DropNewest
	// Disconnect closes the connections of the subscribers that are slow. They come
	// back and go on where they were.
	Disconnect
)

// Start is where a subscription begins. The zero value is with what comes next.
type Start struct {
	beginning bool
	at        eventlog.Cursor
}

// Beginning is before the oldest message that the log keeps.
var Beginning = Start{beginning: true}

// At is after a position. If the log can not continue from it there is a [Gap] first.
// The zero Cursor is no position: the subscription begins with what comes next.
func At(c eventlog.Cursor) Start { return Start{at: c} }

// MarshalJSON writes "beginning", a position, or "".
func (s Start) MarshalJSON() ([]byte, error) {
	switch {
	case s.beginning:
		return json.Marshal("beginning")
	case s.at.IsZero():
		return json.Marshal("")
	}
	return json.Marshal(s.at)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Start) UnmarshalJSON(b []byte) error {
	*s = Start{}
	switch string(b) {
	case `""`:
		return nil
	case `"beginning"`:
		s.beginning = true
		return nil
	}
	return json.Unmarshal(b, &s.at)
}

// Reset is where a subscription goes on that can not continue.
type Reset int

const (
	Earliest Reset = iota // with the oldest message that the log keeps
	Latest                // with what is published from then on
)

// withDefaults returns the options with the zero values replaced, or an error that names
// the field.
func (o SubscribeOptions) withDefaults() (SubscribeOptions, error) {
	fail := func(field, format string, args ...any) (SubscribeOptions, error) {
		return o, fmt.Errorf("pubsub: SubscribeOptions.%s: "+format, append([]any{field}, args...)...)
	}
	if err := checkFilter(o.Filter); err != nil {
		return fail("Filter", "%w", err)
	}
	if o.Name != "" {
		if err := checkName(o.Name); err != nil {
			return fail("Name", "%w", err)
		}
	}
	if o.MaxAttempts > 0 && o.DeadLetter == "" {
		o.DeadLetter = "dead-letters." + cmp.Or(o.Name, "unnamed")
	}
	if o.DeadLetter != "" {
		if err := checkTopic(o.DeadLetter); err != nil {
			return fail("DeadLetter", "%w", err)
		}
	}
	o.AckWait = cmp.Or(o.AckWait, 30*time.Second)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 256)
	o.MaxInFlightBytes = cmp.Or(o.MaxInFlightBytes, 128<<10)
	o.MaxPending = cmp.Or(o.MaxPending, 1024)
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"AckWait", int64(o.AckWait)}, {"MaxAttempts", int64(o.MaxAttempts)}, {"MaxInFlight", int64(o.MaxInFlight)},
		{"MaxInFlightBytes", int64(o.MaxInFlightBytes)}, {"MaxPending", int64(o.MaxPending)},
	} {
		if f.value < 0 {
			return fail(f.name, "%d, want 0 (the default) or more", f.value)
		}
	}
	switch {
	case o.AtMostOnce && o.MaxAttempts > 0:
		return fail("MaxAttempts", "%d, but AtMostOnce has no second attempt", o.MaxAttempts)
	case o.Slow < Backpressure || o.Slow > Disconnect:
		return fail("Slow", "%d, want Backpressure to Disconnect", o.Slow)
	case o.Reset < Earliest || o.Reset > Latest:
		return fail("Reset", "%d, want Earliest or Latest", o.Reset)
	}
	return o, nil
}

func checkName(name string) error {
	if err := checkTopic(name); err != nil {
		return err
	}
	if strings.Contains(name, ".") {
		return fmt.Errorf("%q has a dot, want one token", name)
	}
	return nil
}

func (o *SubscribeOptions) limits() limits {
	return limits{
		atMostOnce:  o.AtMostOnce,
		ackWait:     o.AckWait,
		maxAttempts: o.MaxAttempts,
		window:      o.MaxInFlight,
		windowBytes: o.MaxInFlightBytes,
		maxPending:  o.MaxPending,
		slow:        o.Slow,
	}
}

// differs returns the first option that members of one group must agree on and do not.
// Where to start is not one of them: the first member decides.
func (o SubscribeOptions) differs(other SubscribeOptions) string {
	for _, f := range []struct {
		name string
		a, b any
	}{
		{"Filter", o.Filter, other.Filter}, {"AtMostOnce", o.AtMostOnce, other.AtMostOnce},
		{"AckWait", o.AckWait, other.AckWait}, {"MaxAttempts", o.MaxAttempts, other.MaxAttempts},
		{"DeadLetter", o.DeadLetter, other.DeadLetter}, {"MaxInFlight", o.MaxInFlight, other.MaxInFlight},
		{"MaxInFlightBytes", o.MaxInFlightBytes, other.MaxInFlightBytes}, {"Slow", o.Slow, other.Slow},
		{"MaxPending", o.MaxPending, other.MaxPending}, {"Reset", o.Reset, other.Reset},
	} {
		if f.a != f.b {
			return fmt.Sprintf("SubscribeOptions.%s: %v, but the subscription %q has %v", f.name, f.a, o.Name, f.b)
		}
	}
	return ""
}
