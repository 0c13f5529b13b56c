package pubsub

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// SubscribeOptions describe what a subscriber gets, and how.
type SubscribeOptions struct {
	// Filter selects topics: see [access.Match].
	Filter string
	// Name makes the subscription durable and shared. The broker keeps its position while no
	// client is subscribed, on disk if it has a [Store]. All clients that subscribe under the
	// name form a group, and each message goes to one of them. One token, at most 255 bytes.
	// Empty: the subscription belongs to this client alone, and ends with its session.
	Name string
	// From is where a new subscription begins: after this position. If the log cannot
	// continue from there, the first result is a [Gap]. Zero: the oldest message in the
	// log. An existing subscription ignores it.
	From eventlog.Cursor
	// FromNow begins with what is published from now on, if From is zero.
	FromNow bool
	// Reset is where the subscription resumes when the log no longer has the next
	// message. In either case [Subscription.Next] returns a [Gap].
	Reset ResetPolicy

	// AtMostOnce delivers each message once or, if a connection or a process dies at the
	// wrong moment, not at all. There is nothing to acknowledge. Otherwise a message is
	// delivered until it has been acknowledged.
	AtMostOnce bool
	// AckWait is how long the subscriber may take to acknowledge a message, from when the broker
	// hands it to the connection. Then it is delivered again. It should be longer than the link
	// takes for MaxInFlightBytes plus the time the subscriber takes for MaxInFlight messages. A
	// member of a group that settles nothing for twice as long, neither a message nor with
	// [Delivery.Extend], loses its partitions to others. Zero: 30 s. At most a year.
	AckWait time.Duration
	// MaxAttempts is the number of deliveries without an acknowledgement after which a message is
	// given up and becomes a dead letter. Only deliveries that arrived count: the broker asks the
	// subscriber after AckWait, or when it is back after an outage. If a subscriber's session ends
	// silently, one delivery counts, because the subscriber may have died of the message. The first
	// hundred lost deliveries do not count, but a message that no connection survives is given up
	// too. Zero: never. At most a million.
	MaxAttempts int
	// DeadLetter is the topic of dead letters. Zero: dead-letters.<Name>. A letter can
	// exceed MaxMessageBytes by its own headers. If the log refuses one, it loses the
	// message's headers; if that does not help, it is dropped and counted in
	// [GroupStats].LettersLost.
	DeadLetter string

	// MaxInFlight and MaxInFlightBytes bound what is delivered to one subscriber and not
	// yet acknowledged (under AtMostOnce: not yet returned by Next). One message always
	// fits. Zero: 256 and 128 KiB. At most 10,000 and 1 GiB. A client disconnects from a
	// broker that sends more than twice as much.
	MaxInFlight      int
	MaxInFlightBytes int
	// Slow is what happens when MaxPending messages wait for subscribers that have
	// reached their limit in flight. It applies to subscribers that had caught up;
	// messages for a subscriber that reconnects wait in the log.
	Slow SlowPolicy
	// MaxPending bounds the number of waiting messages. The broker keeps about 100
	// bytes for each; the rest is in the log. Zero: 1,024. At most a million.
	MaxPending int
	// ExpireAfter is how long the broker keeps a durable subscription to which no client is
	// subscribed. Then it is deleted, as by [Broker.Delete], and a later subscriber starts
	// anew. Zero: 30 days; negative: forever. At most ten years.
	ExpireAfter time.Duration
}

// SlowPolicy is what happens to a subscription whose subscribers do not keep up.
// Publishers never wait.
type SlowPolicy int

const (
	// Backpressure leaves the messages in the log, until its retention drops them.
	Backpressure SlowPolicy = iota
	// DropOldest makes room by dropping the message that has waited longest.
	DropOldest
	// DropNewest drops messages that do not fit.
	DropNewest
	// Disconnect closes the connections of slow subscribers. They reconnect and
	// continue where they were.
	Disconnect
)

// ResetPolicy is where a subscription that cannot continue resumes.
type ResetPolicy int

const (
	ResetEarliest ResetPolicy = iota // with the oldest message that the log keeps
	ResetLatest                      // with what is published from then on
)

// Check returns an error that names each invalid option and its value, or nil.
// Subscribe calls it.
func (o SubscribeOptions) Check() error {
	check := fields.Of("pubsub: SubscribeOptions")
	if err := checkFilter(o.Filter); err != nil {
		check.Bad("Filter is %q: %w", o.Filter, err)
	}
	if o.Name != "" {
		err := checkTopic(o.Name)
		if err == nil && strings.Contains(o.Name, ".") {
			err = fmt.Errorf("it has a dot, want one token")
		}
		if err != nil {
			check.Bad("Name is %q: %w", o.Name, err)
		}
	}
	if o.DeadLetter = o.withDefaults().DeadLetter; o.DeadLetter != "" {
		if err := checkTopic(o.DeadLetter); err != nil {
			check.Bad("DeadLetter is %q: %w", o.DeadLetter, err)
		}
	}
	if !o.From.IsZero() && o.FromNow {
		check.Bad("FromNow is true: want it without From, which is %s", o.From)
	}
	// A broker does what any client asks it for, so that every number has a bound.
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"MaxAttempts", o.MaxAttempts, maxAttempts}, {"MaxInFlight", o.MaxInFlight, maxInFlight},
		{"MaxInFlightBytes", o.MaxInFlightBytes, maxInFlightBytes}, {"MaxPending", o.MaxPending, maxPending},
	} {
		if f.value < 0 || f.value > f.most {
			check.Bad("%s is %d: want 0 for the default, up to %d", f.name, f.value, f.most)
		}
	}
	if o.AckWait < 0 || o.AckWait > maxWait {
		check.Bad("AckWait is %v: want 0 for the default, up to %v", o.AckWait, maxWait)
	}
	if o.ExpireAfter > maxExpireAfter {
		check.Bad("ExpireAfter is %v: want 0 for the default, up to %v, or less for no end", o.ExpireAfter, maxExpireAfter)
	}
	if o.AtMostOnce && o.MaxAttempts > 0 {
		check.Bad("MaxAttempts is %d: want 0, since AtMostOnce has no second attempt", o.MaxAttempts)
	}
	if o.Slow < Backpressure || o.Slow > Disconnect {
		check.Bad("Slow is %d: want Backpressure to Disconnect", o.Slow)
	}
	if o.Reset < ResetEarliest || o.Reset > ResetLatest {
		check.Bad("Reset is %d: want ResetEarliest or ResetLatest", o.Reset)
	}
	return check.Err()
}

// withDefaults returns the options with the zero values replaced.
func (o SubscribeOptions) withDefaults() SubscribeOptions {
	if o.MaxAttempts > 0 {
		fields.Default(&o.DeadLetter, o.ownDeadLetter())
	}
	fields.Default(&o.AckWait, 30*time.Second)
	fields.Default(&o.MaxInFlight, 256)
	fields.Default(&o.MaxInFlightBytes, 128<<10)
	fields.Default(&o.MaxPending, 1024)
	fields.Default(&o.ExpireAfter, 30*24*time.Hour)
	return o
}

// ownDeadLetter is the topic of dead letters that a subscription has by default.
func (o *SubscribeOptions) ownDeadLetter() string {
	return "dead-letters." + cmp.Or(o.Name, "unnamed")
}

const (
	maxInFlight      = 10_000               // what SubscribeOptions.MaxInFlight can be at most
	maxInFlightBytes = 1 << 30              // likewise MaxInFlightBytes
	maxPending       = 1_000_000            // likewise MaxPending
	maxAttempts      = 1_000_000            // likewise MaxAttempts
	maxWait          = 365 * 24 * time.Hour // likewise AckWait, and the pauses of Nack and Extend
	maxExpireAfter   = 10 * maxWait         // likewise ExpireAfter
)

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
		{"ExpireAfter", o.ExpireAfter, other.ExpireAfter},
	} {
		if f.a != f.b {
			return fmt.Sprintf("SubscribeOptions.%s is %v: want %v, as the subscription %q has", f.name, f.a, f.b, o.Name)
		}
	}
	return ""
}
