package netem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config describes one direction of a link. The zero value is a perfect link: no delay, no loss, no limit but
// the default MTU. Probabilities are in [0,1].
type Config struct {
	// Delay is the one-way propagation delay: the time from the moment the last bit is sent to its arrival. 0
	// to 24 h.
	Delay time.Duration

	// Jitter is the half-width of a uniform distribution around Delay, drawn for each packet, or the scale of
	// Distribution if that is set. It is at most Delay; with [Exponential], [LogNormal] or a [Table] it is at
	// most 24 h. A Distribution that reaches below -Delay is cut off there: no packet arrives before its last
	// bit is sent.
	//
	// Packets sent close together overtake each other, as with tc-netem(8), unless KeepOrder is set.
	Jitter time.Duration

	// Distribution is the shape of the jitter; nil means [Uniform]. Refused without Jitter, except for
	// [SlowTail].
	Distribution Distribution

	// KeepOrder lets no packet arrive before an earlier one of this direction: it waits for the earlier one,
	// even when Delay is shortened while packets are in flight. With much jitter this makes delays longer on
	// average. Refused together with Reorder.
	KeepOrder bool

	// Loss decides which packets are lost at the entry of the link; nil means none. A lost packet takes no
	// room in the queue and no rate.
	Loss LossModel

	// ECN marks packets that Loss picks as "congestion experienced" instead of losing them, if their sender
	// understands that (ECT, RFC 3168): tc-netem's ecn. Refused without Loss.
	ECN bool

	// Duplicate is the probability that a packet is followed by a copy. The copy enters right after its
	// original, takes room in the queue and rate of its own, and has its own jitter and corruption. With no
	// room left in the queue there is no copy. Copies are exempt from Loss and Reorder.
	Duplicate float64

	// Copies sets how many copies there are, and how late they are. Refused without Duplicate.
	Copies Copies

	// Reorder is the probability that a packet skips Delay and Jitter, and so overtakes packets in flight. It
	// still waits for its turn in the queue. Refused without Delay.
	Reorder float64

	// ReorderGap allows reordering only after ReorderGap-1 packets without it: tc-netem's gap. 0 and 1 allow
	// it for each packet. Refused without Reorder.
	ReorderGap int

	// Corrupt is the probability that a packet arrives with a bit error, which the receiver's checksum finds,
	// unless Damage says otherwise.
	Corrupt float64

	// Damage is an error that no checksum finds, in the packets that Corrupt picks. Refused without Corrupt.
	Damage Damage

	// Correlation makes the draws of successive packets alike. Each of its fields is refused without the
	// field of that name here.
	Correlation Correlation

	// Rate is the speed at which packets are put on the link, in bits of IP packets per second; 0 means
	// unlimited.
	Rate BitRate

	// Framing adds to each packet what a link layer adds; the zero value adds nothing. Refused without Rate,
	// [TokenBucket] or [Profile].
	Framing Framing

	// Shaper puts packets on the link instead of a constant Rate: a [TokenBucket], a [Profile] of rates that
	// vary, or the [Opportunities] of a recorded trace. Refused with Rate.
	Shaper Shaper

	// Slots lets packets, once their last bit is sent, onto the link in bunches only. The zero value has no
	// slots.
	Slots Slots

	// Queue bounds the packets that wait for Rate, Shaper or Slots; nil means no bound. Refused without any
	// of these.
	Queue Queue

	// Limit is the most packets that the link holds at once, waiting or in flight; the next one is dropped. 0
	// means no limit. It is tc-netem's limit, which defaults to 1000 there: with packets of 1500 bytes and a
	// delay of 100 ms that allows no more than 120 Mbit/s. Counting begins when it is set.
	Limit int

	// MTU is the largest packet that passes, in bytes, IP header included. 0 means 1500; otherwise 68 (the
	// least that RFC 791 section 3.2 lets a link carry) to 65535 (the longest IP packet).
	//
	// In sim, the MTU of a packet's first link is that of its host's network interface, from which TCP
	// announces its MSS. A packet too big for a later link is dropped there. Its host is notified, and
	// remembers the MTU for the destination for 10 minutes (path MTU discovery, RFC 1191).
	// sim.Router.BlockICMP suppresses these messages.
	MTU int
}

const (
	maxDelay   = 24 * time.Hour
	defaultMTU = 1500
	minMTU     = 68
	maxMTU     = 65535
)

func (c *Config) mtu() int {
	if c.MTU == 0 {
		return defaultMTU
	}
	return c.MTU
}

// ConfigError is the error for a field of a [Config] that is refused.
type ConfigError struct {
	Field   string // the field's name, such as "Loss"
	Value   string // its value, as Go writes it
	Allowed string // what is allowed instead
}

// Error returns a sentence such as
// "netem: Loss: Bernoulli(1.5): probability must be in [0,1]".
func (e *ConfigError) Error() string {
	return "netem: " + e.Field + ": " + e.Value + ": " + e.Allowed
}

// Validate returns a *[ConfigError] for the first field, in order of declaration, that is invalid by itself
// or together with the others.
func (c Config) Validate() error {
	if err := cmp.Or(c.checkDelay(), c.checkLoss(), c.checkCopies(), c.checkCorruption(),
		c.checkCorrelation(), c.checkRate(), c.checkQueue(), c.checkSizes()); err != nil {
		return err
	}
	return nil
}

func (c *Config) checkDelay() *ConfigError {
	d := c.Distribution
	if s, ok := d.(SlowTail); ok {
		if why := s.invalid(); why != "" {
			return refuse("Distribution", d, why)
		}
		d = s.Of
	}
	longer := false // the distribution only lengthens the delay, or decides itself how much it shortens it
	if s, ok := d.(Shape); ok {
		longer = s >= Exponential
	} else if _, ok := d.(Table); ok {
		longer = true
	}
	switch {
	case c.Delay < 0 || c.Delay > maxDelay:
		return refuse("Delay", c.Delay, "must be in [0s,24h]")
	case c.Jitter < 0:
		return refuse("Jitter", c.Jitter, "must not be negative")
	case c.Jitter > c.Delay && !longer:
		return refuse("Jitter", c.Jitter, fmt.Sprintf("must not be larger than Delay, %v", c.Delay))
	case c.Jitter > maxDelay:
		return refuse("Jitter", c.Jitter, "must be in [0s,24h]")
	case d != nil && c.Jitter == 0:
		return refuse("Distribution", d, "needs a Jitter to scale")
	}
	switch d := d.(type) {
	case Shape:
		if d > LogNormal {
			return refuse("Distribution", d, "must be "+strings.Join(shapeNames[:len(shapeNames)-1], ", ")+" or "+shapeNames[len(shapeNames)-1])
		}
	case Table:
		if why := d.invalid(); why != "" {
			return refuse("Distribution", d, why)
		}
	}
	return nil
}

func (c *Config) checkLoss() *ConfigError {
	if c.Loss == nil {
		if c.ECN {
			return refuse("ECN", c.ECN, "needs a Loss to mark for")
		}
		return nil
	}
	if why := invalidLoss(c.Loss); why != "" {
		var value any = c.Loss
		if why == notAPointer {
			value = fmt.Sprintf("%T", c.Loss)
		}
		return refuse("Loss", value, why)
	}
	return nil
}

func (c *Config) checkCopies() *ConfigError {
	switch {
	case !isProbability(c.Duplicate):
		return refuse("Duplicate", c.Duplicate, probabilityRange)
	case c.Copies.Number < 0 || c.Copies.Number > maxCopies:
		return refuse("Copies", c.Copies, fmt.Sprintf("Number must be 0 (for 1) or in [1,%d]", maxCopies))
	case c.Copies.Delay < 0 || c.Copies.Delay > maxDelay:
		return refuse("Copies", c.Copies, "Delay must be in [0s,24h]")
	case c.Copies != Copies{} && c.Duplicate == 0:
		return refuse("Copies", c.Copies, "needs a Duplicate that makes copies")
	case !isProbability(c.Reorder):
		return refuse("Reorder", c.Reorder, probabilityRange)
	case c.Reorder > 0 && c.Delay == 0:
		return refuse("Reorder", c.Reorder, "needs a Delay to skip")
	case c.Reorder > 0 && c.KeepOrder:
		return refuse("Reorder", c.Reorder, "contradicts KeepOrder")
	case c.ReorderGap < 0:
		return refuse("ReorderGap", c.ReorderGap, "must not be negative")
	case c.ReorderGap > 0 && c.Reorder == 0:
		return refuse("ReorderGap", c.ReorderGap, "needs a Reorder")
	}
	return nil
}

func (c *Config) checkCorruption() *ConfigError {
	switch {
	case !isProbability(c.Corrupt):
		return refuse("Corrupt", c.Corrupt, probabilityRange)
	case c.Damage == Damage{}:
		return nil
	case c.Corrupt == 0:
		return refuse("Damage", c.Damage, "needs a Corrupt")
	}
	if why := c.Damage.invalid(); why != "" {
		return refuse("Damage", c.Damage, why)
	}
	return nil
}

func (c *Config) checkCorrelation() *ConfigError {
	if c.Correlation == (Correlation{}) {
		return nil
	}
	if field, value, allowed := c.Correlation.invalid(); allowed != "" {
		return refuse("Correlation."+field, value, allowed)
	}
	switch rho := c.Correlation; {
	case rho.Jitter > 0 && c.Jitter == 0:
		return refuse("Correlation.Jitter", rho.Jitter, "needs a Jitter")
	case rho.Duplicate > 0 && c.Duplicate == 0:
		return refuse("Correlation.Duplicate", rho.Duplicate, "needs a Duplicate")
	case rho.Reorder > 0 && c.Reorder == 0:
		return refuse("Correlation.Reorder", rho.Reorder, "needs a Reorder")
	case rho.Corrupt > 0 && c.Corrupt == 0:
		return refuse("Correlation.Corrupt", rho.Corrupt, "needs a Corrupt")
	}
	return nil
}

func (c *Config) checkRate() *ConfigError {
	if c.Rate < 0 {
		return refuse("Rate", c.Rate, "must not be negative; 0 is unlimited")
	}
	if why := c.Framing.invalid(c.mtu()); why != "" {
		return refuse("Framing", c.Framing, why)
	}
	_, opportunities := c.Shaper.(Opportunities)
	if c.Framing != (Framing{}) && (c.Rate == 0 && c.Shaper == nil || opportunities) {
		return refuse("Framing", c.Framing, "needs a Rate, a TokenBucket or a Profile")
	}
	if c.Shaper != nil {
		switch c.Shaper.(type) {
		case TokenBucket, Profile, Opportunities:
		default:
			return refuse("Shaper", fmt.Sprintf("%T", c.Shaper), notAPointer)
		}
		if why := c.Shaper.invalid(c.Framing.wire(c.mtu())); why != "" {
			return refuse("Shaper", c.Shaper, why)
		}
		if c.Rate > 0 {
			return refuse("Shaper", c.Shaper, "contradicts Rate")
		}
	}
	if why := c.Slots.invalid(); why != "" {
		return refuse("Slots", c.Slots, why)
	}
	return nil
}

func (c *Config) checkQueue() *ConfigError {
	switch c.Queue.(type) {
	case nil:
		return nil
	case DropTail, DropHead, DropRandom, RED, PIE, CoDel, FQCoDel:
	default:
		return refuse("Queue", fmt.Sprintf("%T", c.Queue), notAPointer)
	}
	with := *c // so that a configuration without a queue, the usual case, stays off the heap
	why := c.Queue.invalid(&with)
	if c.Rate == 0 && c.Shaper == nil && c.Slots.none() && why == "" {
		why = "needs a Rate, a Shaper or Slots to wait for"
	}
	if why != "" {
		return refuse("Queue", c.Queue, why)
	}
	return nil
}

func (c *Config) checkSizes() *ConfigError {
	switch {
	case c.Limit < 0:
		return refuse("Limit", c.Limit, "must not be negative; 0 is no limit")
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return refuse("MTU", c.MTU, fmt.Sprintf("must be 0 (for %d) or in [%d,%d]", defaultMTU, minMTU, maxMTU))
	}
	return nil
}

// own returns a configuration that shares no memory with the caller's.
func (c Config) own() Config {
	c.Loss = ownLoss(c.Loss)
	switch s := c.Shaper.(type) {
	case Profile:
		c.Shaper = slices.Clone(s)
	case Opportunities:
		c.Shaper = slices.Clone(s)
	}
	switch d := c.Distribution.(type) {
	case Table:
		c.Distribution = slices.Clone(d)
	case SlowTail:
		if t, ok := d.Of.(Table); ok {
			d.Of = slices.Clone(t)
			c.Distribution = d
		}
	}
	return c
}

const notAPointer = "must be a value, not a pointer"

func refuse(field string, value any, allowed string) *ConfigError {
	return &ConfigError{Field: field, Value: fmt.Sprint(value), Allowed: allowed}
}
