package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A Network is a set of hosts, the links between them, and the clock by which
// packets travel. Make one with [Test], inside a bubble of virtual time, or with
// [New], on the wall clock. Its methods, and those of all that belongs to it, may
// be called by several goroutines at once.
type Network struct {
	mu     sync.Mutex // guards everything below and every object of the network
	engine engine
	by     moment // when it was closed
	drv    driver
	seed   uint64
	conf   options

	start     time.Time
	startNano int64 // the same, since 1970
	bubble    bool
	lazy      bool // leaves for later what nobody can notice yet
	closed    bool
	why       string        // what ended the network, when it was not Close
	ended     time.Duration // when it ended
	clock     int64         // of the engine: the instant it has come to

	events    heap
	ord       uint64  // counter of packets and changes, for the order of ties
	lastTrain *packet // of the last event of packets; nil once it has come
	lastAt    int64   // its instant
	lastOrd   uint64
	released  int64  // instant of the last wake-up
	active    int64  // instant at which the program last did something
	idleTill  int64  // instant until which there is nothing but keep-alive; see goIdle
	wakes     []wake // in order; those before firstWake have been taken
	firstWake int
	pending   pendingOps
	late      bool // the alarm rings after the first event
	decisive  any  // the event that the alarm is for, if any; it may be past

	hosts    map[string]*Host   // by name, in small letters
	routers  map[string]*Router // the same
	byAddr   map[uint32]*Host
	ports    map[endpoint]netip.AddrPort // with Loopback: where listeners are
	inOrder  []*Host
	pipes    []*pipe // in the order in which they were made
	paths    map[pair]*path
	defaults map[pair]*pipe // between hosts that no link joins
	linked   map[nodes]*pipe
	topology uint64 // counts the changes that move packets to other ways
	streams  map[string]stream
	nextConn uint64

	partitions []partition
	cutting    uint64 // counts their changes

	trace    *Trace
	faults   []*fault
	failures []string                  // of processes
	taken    map[string]bool           // with a Resolver: what the machine's hosts file has
	strays   []string                  // what the program asked the machine's own network for
	unripe   []time.Duration           // when an After would have come that the end of the network forestalled
	reported atomic.Bool               // the end of the test was reported
	steps    atomic.Uint64             // of the engine, for the watchdog
	frozen   atomic.Int64              // how often the watchdog moved the clock
	self     *atomic.Pointer[Network]  // for timers of the bubble, which may stay behind with it; nil at the end
	run      atomic.Pointer[bubbleRun] // that the network is made for; nil on the wall clock
	bubbleID string                    // number of the bubble
	crypto   *cryptoStream             // nil if the process draws from the seed
	witness  *witness                  // nil in ordinary runs
	dead     atomic.Bool               // the bubble was abandoned
	told     atomic.Bool               // the report was printed before the end
	pulse    pulse

	freePackets  []*packet
	freeSegments segmentPool
	blocks       blockPool
	waiters      []*waiter // lent to those who wait
}

type pair struct{ from, to *Host }

// An Option changes how a network is made.
type Option func(*options)

type options struct {
	seed        uint64
	seedSet     bool
	defaultLink netem.Config
	loopback    bool // see Loopback
	tcp         *tcp.Config
	manyTimers  bool
	arp         bool          // on all links
	limit       time.Duration // of virtual time
	strict      bool
	mayDiffer   bool
}

// Seed sets the seed of every random draw of the network. The default is 1, so
// that a test does the same each time it is run; the environment variables
// SQUALL_SEED and SQUALL_SEEDS win over it (see [Test]).
func Seed(seed uint64) Option {
	return func(o *options) { o.seed, o.seedSet = seed, true }
}

// DefaultLink sets what happens to packets between two hosts that no [Link]
// joins, in both directions. The zero value, which is the default, is a perfect
// path: no delay, no loss. It panics if cfg is not valid.
func DefaultLink(cfg netem.Config) Option {
	if err := cfg.Validate(); err != nil {
		panic("sim: DefaultLink: " + err.Error())
	}
	return func(o *options) { o.defaultLink = cfg }
}

// Strict has a test fail for what it would otherwise only report: a fault or an impairment of a
// link that met nothing, an [Network.After] whose time did not come, and what the program asked
// the machine's own network for. So a scenario cannot lose its fault in silence when a name, a
// time or a topology changes. A Loss of 0.01 may well meet nothing in ten packets: use
// probabilities that will, or a list of packets to drop.
func Strict() Option {
	return func(o *options) { o.strict = true }
}

// MayDiffer says that two runs of a test with one seed may differ, and why: goroutines of the
// program race each other at one instant, and the test is about that. SQUALL_CHECK=1 does not
// compare it then (see [Test]); one that fails is run a second time all the same. It panics
// without a reason.
func MayDiffer(why string) Option {
	if why == "" {
		panic("sim: MayDiffer: it needs a reason: why may two runs of the test differ?")
	}
	return func(o *options) { o.mayDiffer = true }
}

// ManyTimers suits tests whose program has thousands of timers at a time: goroutines that
// sleep, timeouts. What an event of the network costs then does not depend on how many
// there are; by default Go's runtime looks at all of them each time.
//
// The network then calls [synctest.Wait], which two goroutines of a bubble must not do at
// once: so nothing in the test may call it, or it panics. The trace is the same with and
// without. It has no effect on the wall clock.
func ManyTimers() Option {
	return func(o *options) { o.manyTimers = true }
}

// WithTCP sets the TCP settings of every host; [Host.SetTCP] overrides them for
// one. It panics if cfg is not valid.
func WithTCP(cfg TCPConfig) Option {
	c, err := cfg.complete()
	if err != nil {
		panic("sim: WithTCP: " + err.Error())
	}
	return func(o *options) { o.tcp = c }
}

// New makes a network that runs on the wall clock, outside a bubble: for suites
// that call t.Run, demonstrations and benchmarks. Its delays are real ones, and
// it makes no promise of replay. Close it when done.
func New(opts ...Option) *Network {
	return newNetwork(false, opts)
}

func newNetwork(bubble bool, opts []Option) *Network {
	n := &Network{
		start:    time.Now(),
		bubble:   bubble,
		lazy:     bubble,
		released: -1,
		hosts:    map[string]*Host{},
		byAddr:   map[uint32]*Host{},
		ports:    map[endpoint]netip.AddrPort{},
		routers:  map[string]*Router{},
		paths:    map[pair]*path{},
		defaults: map[pair]*pipe{},
		linked:   map[nodes]*pipe{},
		topology: 1,
		streams:  map[string]stream{},
		pending:  pendingOps{until: never, sure: never},
	}
	n.startNano = n.start.UnixNano()
	n.conf.seed = 1
	n.conf.limit = defaultLimit
	n.conf.tcp, _ = TCPConfig{}.complete()
	for _, o := range opts {
		o(&n.conf)
	}
	if bubble && n.conf.loopback {
		panic("sim: Test: a bubble has no real sockets; make a network on the loopback interface with New")
	}
	n.seed = n.conf.seed
	n.trace = newTrace(n)
	n.self = new(atomic.Pointer[Network])
	n.self.Store(n)
	self := n.self
	expire := func() {
		if n := self.Load(); n != nil {
			n.expire()
		}
	}
	n.startEngine()
	turn(n, func() struct{} { // its timers may be the next to want the lock
		n.drv = newDriver(bubble, bubble && n.conf.manyTimers, n.conf.limit, n.step, n.ring, expire)
		return struct{}{}
	})
	return n
}

// Close ends the network: every blocked call on it returns [net.ErrClosed], and
// so does every later one. Packets on their way are gone. [Test] closes its own
// network.
func (n *Network) Close() {
	n.do(func() { n.shutdown("") })
	for i := 0; n.conf.loopback; i++ {
		h := get(n, func() *Host {
			if i == len(n.inOrder) {
				return nil
			}
			return n.inOrder[i]
		})
		if h == nil {
			return
		}
		h.closeAbandoned()
	}
}

// Elapsed returns the time since the network was made.
func (n *Network) Elapsed() time.Duration {
	return time.Duration(n.now())
}

// now is the time since the start in nanoseconds.
func (n *Network) now() int64 {
	if n.bubble { // no monotonic clock there: less to do than time.Since has
		return time.Now().UnixNano() - n.startNano
	}
	return int64(time.Since(n.start))
}

// Seed returns the seed of the network's random draws.
func (n *Network) Seed() uint64 { return n.seed }

// Rand returns the random stream of that name, for the draws of a test itself and
// of the programs that it runs: a function of the network's seed and the name
// alone, and the same object at every call. One goroutine at a time may use a
// stream, as with any [rand.Rand].
func (n *Network) Rand(name string) *rand.Rand {
	fresh := rand.New(rand.NewPCG(n.seed, hashString(name)))
	return get(n, func() *rand.Rand {
		s, ok := n.streams[name]
		if !ok {
			s = stream{n.moment(), fresh}
			n.streams[name] = s
		}
		n.reveal(s.by)
		return s.draws
	})
}

// A stream is a random stream that has a name.
type stream struct {
	by    moment // when it was made
	draws *rand.Rand
}

// After calls f at d from now, on the network's own schedule: after the
// program's own timers of that instant and before its packets. It is the way to
// let a fault happen at a time; a fault that time.AfterFunc starts may fall before
// or after a packet of the same instant. f runs on a goroutine of its own and may
// block. It panics if d is negative or f is nil.
//
// A test that fails reports each After whose time had not come at its end.
func (n *Network) After(d time.Duration, f func()) {
	if d < 0 {
		panic(fmt.Sprintf("sim: After(%v): the delay must not be negative", d))
	}
	if f == nil {
		panic("sim: After: the function must not be nil")
	}
	who := func() string { return fmt.Sprintf("the function of After(%v)", d) }
	guarded := func() { n.guard(who, func() bool { return false }, f) }
	n.do(func() {
		if n.closed {
			return
		}
		n.ord++
		at := after(n.now(), int64(d))
		n.events.push(event{when: at, ord: classChange | n.ord, what: change{n.moment(), guarded}})
		n.arm(at)
	})
}

// Host returns the host of that name, which is made at first use with the next
// free address: 10.0.0.1, 10.0.0.2 and so on. The case of letters does not matter
// (RFC 4343). It panics if the name is empty or holds a
// character that a host name cannot (RFC 952, RFC 1123), is an IP address, or that of a
// router.
func (n *Network) Host(name string) *Host {
	if err := validName("Host", name); err != nil {
		panic("sim: " + err.Error())
	}
	return get(n, func() *Host {
		if h := n.find(name); h != nil {
			n.reveal(h.made)
			return h
		}
		if n.routers[strings.ToLower(name)] != nil {
			panic(fmt.Sprintf("sim: Host(%q): a router has that name", name))
		}
		h := newHost(n, name, len(n.inOrder)+1)
		n.hosts[strings.ToLower(name)] = h
		n.byAddr[h.addr] = h
		n.inOrder = append(n.inOrder, h)
		h.tellTaken()
		return h
	})
}

// Trace returns the record of every packet and event so far.
func (n *Network) Trace() *Trace { return n.trace }
