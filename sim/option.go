package sim

import (
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// An Option changes how a network is made. [Test], [New] and the functions like them take any number of
// options.
type Option func(*options)

type options struct {
	seed        uint64
	seedSet     bool
	defaultLink netem.Config
	loopback    bool // see Loopback
	tcp         *tcp.Config
	manyTimers  bool
	arp         bool          // on all links
	ipv6        bool          // on all hosts
	limit       time.Duration // of virtual time
	strict      bool
	mayDiffer   bool
	faults      subset // those that happen

	sees   *observer     // of Explore,
	breaks []brokenPlace // what it breaks
}

// Seed sets the seed of every random draw of the network. The default is 1, so that a test does the same each
// time it runs. The environment variables SQUALL_SEED and SQUALL_SEEDS override it (see [Test]).
func Seed(seed uint64) Option {
	return func(o *options) { o.seed, o.seedSet = seed, true }
}

// DefaultLink sets what happens to packets, in both directions, between two hosts that no [Link] joins. The
// default is the zero value: no delay, no loss. [Network.Elapsed] still advances over such a path, by a
// nanosecond for each arrival that wakes a goroutine: see Time in the package's documentation. DefaultLink
// panics if cfg is not valid.
func DefaultLink(cfg netem.Config) Option {
	if err := cfg.Validate(); err != nil {
		panic("sim: DefaultLink: " + err.Error())
	}
	return func(o *options) { o.defaultLink = cfg }
}

// Strict makes a test fail for what it would otherwise only report: a fault or an impairment that never
// fired, a [Network.After] still pending, multicast that a router kept from a host of its group, and requests
// to the operating system's own network. A scenario then cannot silently lose its fault when a name, a time
// or a topology changes.
//
// A Loss of netem.Bernoulli(0.01) may well hit none of ten packets. With Strict use probabilities that are
// sure to fire, or a list of packets to drop.
func Strict() Option {
	return func(o *options) { o.strict = true }
}

// MayDiffer declares that two runs of a test with one seed may differ, and why: for example, because the test
// is about goroutines of the program that race at one instant. SQUALL_CHECK then does not compare the test
// (see [Test]); a failed test is still run a second time. MayDiffer panics without a reason.
func MayDiffer(why string) Option {
	if why == "" {
		panic("sim: MayDiffer: it needs a reason: why may two runs of the test differ?")
	}
	return func(o *options) { o.mayDiffer = true }
}

// ManyTimers is for tests whose program has thousands of timers at a time: sleeping goroutines, timeouts. By
// default Go's runtime scans all of them at every network event. With ManyTimers the cost of an event does
// not depend on their number.
//
// The network then calls [synctest.Wait], which two goroutines of a bubble must not call at once, so
// ManyTimers panics if anything in the test calls it. The trace is the same with and without this option. It
// has no effect on the wall clock, nor in exact mode (see [Exact]), where the network needs no timers of the
// bubble.
func ManyTimers() Option {
	return func(o *options) { o.manyTimers = true }
}

// WithTCP sets the TCP settings of every host; [Host.SetTCP] overrides them for one host. It panics if cfg is
// not valid.
func WithTCP(cfg TCPConfig) Option {
	c, err := cfg.complete()
	if err != nil {
		panic("sim: WithTCP: " + err.Error())
	}
	return func(o *options) { o.tcp = c }
}
