package pubsub

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// BrokerOptions configure a Broker. The zero value has the defaults below.
type BrokerOptions struct {
	// SessionTimeout is how long a client may be silent, or without a connection, before
	// its subscriptions are taken from it. Clients send a ping every third of it, and take
	// the broker for dead when they hear nothing for as long. Zero: 30 s. 1 s to 24 h.
	SessionTimeout time.Duration
	// HandshakeTimeout bounds the time from when a connection is accepted until its client
	// has said who it is, and, if it takes over from another process, has answered a ping.
	// However it trickles in, the connection is then closed. Zero: 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds the connections that are in their handshake. When there are
	// more the oldest of them is closed. Each takes some 12 KB. Zero: 4,096.
	MaxHandshakes int
	// DedupeWindow is for how long the ID of a message is remembered. A message that is
	// published again later is stored again. Zero: 2 min; negative: not at all.
	DedupeWindow time.Duration
	// DedupeMax bounds how many IDs are remembered; the oldest make room. Zero: 100,000.
	DedupeMax int
	// MaxMessageBytes bounds a message's data with its headers. Zero: 64 KiB.
	MaxMessageBytes int
	// MaxClients bounds the clients that are connected or may come back; more are refused.
	// Zero: no bound.
	MaxClients int
	// MaxSubscriptions bounds the subscriptions of one client; more are refused.
	// Zero: 1,024.
	MaxSubscriptions int
}

// maxMessageBytes is what BrokerOptions.MaxMessageBytes can be at most.
const maxMessageBytes = 64 << 20

func (o BrokerOptions) withDefaults() (BrokerOptions, error) {
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 30*time.Second)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 10*time.Second)
	o.MaxHandshakes = cmp.Or(o.MaxHandshakes, 4096)
	o.DedupeWindow = cmp.Or(o.DedupeWindow, 2*time.Minute)
	o.DedupeMax = cmp.Or(o.DedupeMax, 100_000)
	o.MaxMessageBytes = cmp.Or(o.MaxMessageBytes, 64<<10)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 1024)
	fail := func(field string, value any, want string) (BrokerOptions, error) {
		return o, fmt.Errorf("pubsub: BrokerOptions.%s: %v, want %s", field, value, want)
	}
	switch {
	case o.SessionTimeout < time.Second || o.SessionTimeout > maxSessionTimeout:
		return fail("SessionTimeout", o.SessionTimeout, "1s to 24h")
	case o.HandshakeTimeout < 0:
		return fail("HandshakeTimeout", o.HandshakeTimeout, "0 (the default) or more")
	case o.MaxHandshakes < 0:
		return fail("MaxHandshakes", o.MaxHandshakes, "0 (the default) or more")
	case o.DedupeMax < 0:
		return fail("DedupeMax", o.DedupeMax, "0 (the default) or more")
	case o.MaxMessageBytes < 0 || o.MaxMessageBytes > maxMessageBytes:
		return fail("MaxMessageBytes", o.MaxMessageBytes, "0 (the default) to 64 MiB")
	case o.MaxClients < 0:
		return fail("MaxClients", o.MaxClients, "0 (no bound) or more")
	case o.MaxSubscriptions < 0:
		return fail("MaxSubscriptions", o.MaxSubscriptions, "0 (the default) or more")
	}
	return o, nil
}

// maxSessionTimeout is what BrokerOptions.SessionTimeout can be at most.
const maxSessionTimeout = 24 * time.Hour

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
	// messages. Zero: 30 s. At most a year.
	AckWait time.Duration
	// MaxAttempts is after how many deliveries without an acknowledgement a message is
	// given up and becomes a dead letter. Zero: never. At most a million.
	MaxAttempts int
	// DeadLetter is the topic of dead letters. Zero: dead-letters.<Name>. A letter may be
	// larger than MaxMessageBytes by its own headers. One that the log refuses loses the
	// message's headers; if that does not help it is dropped and counted in
	// [GroupStats].LettersLost.
	DeadLetter string

	// MaxInFlight and MaxInFlightBytes bound what is delivered to one subscriber and not
	// yet acknowledged, or not yet taken by Next under AtMostOnce. One message always
	// fits. Zero: 256 and 128 KiB. At most 10,000 and 1 GiB.
	MaxInFlight      int
	MaxInFlightBytes int
	// Slow is what happens when MaxPending messages wait for subscribers that have as
	// much in flight as they may. It concerns subscribers that had caught up; what waits
	// for one that comes back stays in the log.
	Slow SlowPolicy
	// MaxPending bounds what waits, in messages; of each the broker keeps some 100
	// bytes, the rest is in the log. Zero: 1,024. At most a million.
	MaxPending int
	// ExpireAfter is for how long the broker keeps a durable subscription to which nobody
	// is subscribed. Then it is deleted, as by [Broker.Delete]: who subscribes later begins
	// anew. Zero: 30 days; negative: for ever. At most ten years.
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
	o.ExpireAfter = cmp.Or(o.ExpireAfter, 30*24*time.Hour)
	// A broker does what any client asks it for, so that each number has a bound.
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"MaxAttempts", o.MaxAttempts, 1_000_000}, {"MaxInFlight", o.MaxInFlight, maxInFlight},
		{"MaxInFlightBytes", o.MaxInFlightBytes, 1 << 30}, {"MaxPending", o.MaxPending, 1_000_000},
	} {
		if f.value < 0 || f.value > f.most {
			return fail(f.name, "%d, want 0 (the default) to %d", f.value, f.most)
		}
	}
	if o.AckWait < 0 || o.AckWait > maxWait {
		return fail("AckWait", "%v, want 0 (the default) to %v", o.AckWait, maxWait)
	}
	if o.ExpireAfter > maxExpireAfter {
		return fail("ExpireAfter", "%v, want 0 (the default) to %v, or less for no end", o.ExpireAfter, maxExpireAfter)
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

const (
	maxInFlight    = 10_000               // what SubscribeOptions.MaxInFlight can be at most
	maxWait        = 365 * 24 * time.Hour // likewise AckWait, and the pauses of Nack and Extend
	maxExpireAfter = 10 * maxWait         // likewise ExpireAfter
)

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
		{"ExpireAfter", o.ExpireAfter, other.ExpireAfter},
	} {
		if f.a != f.b {
			return fmt.Sprintf("SubscribeOptions.%s: %v, but the subscription %q has %v", f.name, f.a, o.Name, f.b)
		}
	}
	return ""
}
