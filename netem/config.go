package netem

import (
	"fmt"
	"time"
)

// Config describes one direction of a link. The zero value is a perfect link:
// no delay, no loss, no limit but the default MTU. Probabilities are in [0,1].
type Config struct {
	// Delay is the one-way propagation delay: the time from the moment the last
	// bit is sent to its arrival. 0 to 24 h.
	Delay time.Duration

	// Jitter is the half-width of a uniform distribution around Delay, drawn
	// for each packet, or the scale of Distribution if that is set. At most
	// Delay. A Distribution that reaches below -Delay is cut off there: no
	// packet arrives before its last bit is sent.
	//
	// Packets that follow each other closely change places, as they do with
	// tc-netem(8), unless KeepOrder is set.
	Jitter time.Duration

	// Distribution is the shape of the jitter; nil means [Uniform]. Refused
	// without Jitter.
	Distribution Distribution

	// KeepOrder lets no packet arrive before an earlier one of this direction:
	// it waits for it, also when Delay is shortened while packets are under way.
	// With much jitter the delays then lean to the longer ones. Refused
	// together with Reorder.
	KeepOrder bool

	// Loss decides which packets are lost at the entry of the link; nil means
	// none. A lost packet takes no room in the queue and no rate.
	Loss LossModel

	// Duplicate is the probability that a packet is followed by a copy. The
	// copy enters right behind its original, takes room in the queue and rate
	// of its own, and has its own jitter and corruption. With no room left in
	// the queue there is no copy. The loss model and Reorder do not see it.
	Duplicate float64

	// Reorder is the probability that a packet skips Delay and Jitter, and so
	// overtakes those under way. It still waits in the queue for its turn.
	// Refused without Delay.
	Reorder float64

	// Corrupt is the probability that a packet arrives with a bit error, which
	// the receiver's checksum is to find.
	Corrupt float64

	// Rate is the speed at which packets are put on the link, in bits of IP
	// packets per second; 0 means unlimited.
	Rate BitRate

	// Queue bounds what waits for Rate; nil means without bound. Refused
	// without Rate.
	Queue Queue

	// MTU is the largest packet that passes, in bytes, IP header included. 0
	// means 1500; otherwise 68 (the least that RFC 791 section 3.2 lets a link
	// carry) to 65535 (the longest IP packet).
	//
	// In sim, the MTU of the link at which a packet leaves its host is that of the host's
	// network interface, from which TCP announces its MSS. What is too big for a later link is
	// dropped there, and its host notified, which remembers it for the destination for 10
	// minutes (path MTU discovery, RFC 1191); sim.Router has a method that lets no such message
	// pass.
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

// ConfigError says which field of a [Config] is refused.
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

// Validate returns a [*ConfigError] for the first field, in the order of their
// declaration, that has no meaning by itself or beside the others.
func (c Config) Validate() error {
	switch {
	case c.Delay < 0 || c.Delay > maxDelay:
		return refuse("Delay", c.Delay, "must be in [0s,24h]")
	case c.Jitter < 0:
		return refuse("Jitter", c.Jitter, "must not be negative")
	case c.Jitter > c.Delay:
		return refuse("Jitter", c.Jitter, fmt.Sprintf("must not be larger than Delay, %v", c.Delay))
	case c.Distribution != nil && c.Jitter == 0:
		return refuse("Distribution", c.Distribution, "needs a Jitter to scale")
	}
	if s, ok := c.Distribution.(Shape); ok && s > ParetoNormal {
		return refuse("Distribution", fmt.Sprintf("Shape(%d)", uint8(s)), "must be Uniform, Normal, Pareto or ParetoNormal")
	}
	if err := c.validateLoss(); err != nil {
		return err
	}
	switch {
	case !isProbability(c.Duplicate):
		return refuse("Duplicate", c.Duplicate, probabilityRange)
	case !isProbability(c.Reorder):
		return refuse("Reorder", c.Reorder, probabilityRange)
	case c.Reorder > 0 && c.Delay == 0:
		return refuse("Reorder", c.Reorder, "needs a Delay to skip")
	case c.Reorder > 0 && c.KeepOrder:
		return refuse("Reorder", c.Reorder, "contradicts KeepOrder")
	case !isProbability(c.Corrupt):
		return refuse("Corrupt", c.Corrupt, probabilityRange)
	case c.Rate < 0:
		return refuse("Rate", c.Rate, "must not be negative; 0 is unlimited")
	}
	if err := c.validateQueue(); err != nil {
		return err
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return refuse("MTU", c.MTU, fmt.Sprintf("must be 0 (for %d) or in [%d,%d]", defaultMTU, minMTU, maxMTU))
	}
	return nil
}

func (c *Config) validateLoss() error {
	switch c.Loss.(type) {
	case nil:
		return nil
	case Bernoulli, correlated, GilbertElliott, EveryNth, DropList:
	default: // a pointer to one of them: its value could change behind our back
		return refuse("Loss", fmt.Sprintf("%T", c.Loss), "must be a value, not a pointer")
	}
	if why := c.Loss.invalid(); why != "" {
		return refuse("Loss", c.Loss, why)
	}
	return nil
}

func (c *Config) validateQueue() error {
	if c.Queue == nil {
		return nil
	}
	q, ok := c.Queue.(DropTail)
	switch {
	case !ok:
		return refuse("Queue", fmt.Sprintf("%T", c.Queue), "must be a value, not a pointer")
	case q.Packets < 0 || q.Bytes < 0:
		return refuse("Queue", q, "limits must not be negative")
	case (q.Packets > 0) == (q.Bytes > 0):
		return refuse("Queue", q, "exactly one of Packets and Bytes must be set")
	case c.Rate == 0:
		return refuse("Queue", q, "needs a Rate to wait for")
	case q.Bytes > 0 && q.Bytes < c.mtu():
		return refuse("Queue", q, fmt.Sprintf("Bytes must be at least the MTU, %d", c.mtu()))
	}
	return nil
}

func refuse(field string, value any, allowed string) *ConfigError {
	return &ConfigError{Field: field, Value: fmt.Sprint(value), Allowed: allowed}
}
