package sim

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// A Network is a set of hosts, the links between them, and the clock by which packets travel. [Test] makes
// one inside a bubble of virtual time, [New] one on the wall clock. Its methods, and those of its hosts,
// links and other parts, are safe for concurrent use.
type Network struct {
	mu     sync.Mutex // guards everything below and every object of the network
	engine engine     // under the race detector
	conf   options
	seed   uint64

	clock     clock
	quiet     quiescence
	queue     eventQueue
	calls     callQueue
	lookahead lookahead

	names   registry
	wires   topology
	watch   watch
	log     journal
	pool    pool
	idlers  idlers
	harness harness

	closed bool
	over   ending
}

// An ending says how a network was closed.
type ending struct {
	at  time.Duration
	by  moment
	why string // empty for a plain Close
}

// A clock is what the network knows about time. Instants are nanoseconds since its start.
type clock struct {
	start     time.Time
	startNano int64       // the same, since 1970
	virtual   bool        // in a bubble
	at        int64       // instant up to which the engine has worked
	released  int64       // instant of the last wake-up of the program
	active    int64       // instant at which the program last did something
	alarm     int64       // instant at which the engine is woken; never if it is not
	limit     *time.Timer // of virtual time; nil on the wall clock

	expired chan struct{} // closed at the next step, for the limit; usually nil
}

// New makes a network that runs on the wall clock, outside a bubble: for suites that call t.Run,
// demonstrations and benchmarks. Its delays take real time, and its runs do not replay. Close it when done.
func New(opts ...Option) *Network {
	return newNetwork(false, opts)
}

// defaultTCP is the configuration of hosts that have no other. Nothing changes it.
var defaultTCP, _ = TCPConfig{}.complete()

func newNetwork(bubble bool, opts []Option) *Network {
	n := &Network{
		clock:     clock{start: time.Now(), virtual: bubble, released: -1, alarm: never},
		calls:     callQueue{pending: nothingPending},
		lookahead: lookahead{on: bubble},
		idlers:    idlers{most: mostIdlers},
		names: registry{
			hosts:   map[string]*Host{},
			routers: map[string]*Router{},
			byAddr:  map[netip.Addr]*node{},
			machine: map[netip.AddrPort]netip.AddrPort{},
			streams: map[string]stream{},
		},
		wires: topology{
			paths:    map[way]*path{},
			searches: map[*node]*search{},
			defaults: map[nodes]*pipe{},
			linked:   map[nodes]*pipe{},
			version:  1,
		},
	}
	n.clock.startNano = n.clock.start.UnixNano()
	n.conf.seed = 1
	n.conf.limit = defaultLimit
	n.conf.tcp = defaultTCP
	for _, o := range opts {
		o(&n.conf)
	}
	if bubble && n.conf.loopback {
		panic("sim: Test: a bubble has no real sockets; make a network on the loopback interface with New")
	}
	if n.conf.ipv6 && n.conf.loopback {
		panic("sim: IPv6: it does not exist on the operating system's loopback interface (see sim.Loopback)")
	}
	n.seed = n.conf.seed
	n.log.trace = newTrace(n)
	n.harness.self = new(atomic.Pointer[Network])
	n.harness.self.Store(n)
	self := n.harness.self
	expire := func() {
		if n := self.Load(); n != nil {
			n.expire()
		}
	}
	n.startEngine()
	turn(n, func() struct{} { // its timers may want the lock next
		if bubble {
			n.clock.limit = time.AfterFunc(n.conf.limit, expire)
		}
		n.quiet = newQuiescence(bubble, n.conf.manyTimers, &n.mu, stepper{n.step, n.ring, n.takeTurn})
		return struct{}{}
	})
	if n.conf.sees != nil || len(n.conf.breaks) > 0 {
		n.do(n.explored)
	}
	return n
}

// Close ends the network. Every blocked call on it, and every later one, returns [net.ErrClosed]. Packets in
// flight are gone. [Test] closes its own network.
func (n *Network) Close() {
	n.do(func() { n.shutdown("") })
	n.removeDisks()
	for i := 0; n.conf.loopback; i++ {
		h := get(n, func() *Host {
			if i == len(n.names.inOrder) {
				return nil
			}
			return n.names.inOrder[i]
		})
		if h == nil {
			return
		}
		h.closeAbandoned()
	}
}

// shutdown ends the network. why is empty for a plain Close.
func (n *Network) shutdown(why string) {
	if n.closed {
		return
	}
	n.closed, n.over.why = true, why
	n.over.by = n.moment()
	n.over.at = time.Duration(n.now())
	n.quiet.stop()
	if n.clock.limit != nil && n.harness.run.Load() != nil {
		reset(n.clock.limit, overtime)
	}
	n.log.unripe = n.queue.changes()
	for _, h := range n.names.inOrder {
		for _, p := range h.processes {
			p.call(p.stop)
		}
		h.shutSockets()
		h.cpu.end()
		h.abandon()
		for c := range h.table.conns.all() {
			c.end()
		}
		for _, d := range h.dials.open {
			d.over, d.err = true, net.ErrClosed
			close(d.done)
		}
		h.dials.open = nil
		// Attempts that are decided, though their callers do not know it yet.
		for _, w := range h.pause.wakes {
			w.releaseNow()
		}
		h.pause.wakes = nil
		h.pause.resumed.release()
	}
	for _, w := range n.calls.wakes[n.calls.firstWake:] {
		w.releaseNow()
	}
	n.queue.events, n.queue.latest, n.calls.wakes, n.calls.pending = nil, event{}, nil, nothingPending
}

// Elapsed returns the time since the network was made.
func (n *Network) Elapsed() time.Duration {
	return time.Duration(n.now())
}

// now returns the present instant.
func (n *Network) now() int64 { return n.clock.now() }

func (c *clock) now() int64 {
	if c.virtual {
		if ns := exact.Time(); ns != 0 {
			return ns - c.startNano
		}
		return networkTime().UnixNano() - c.startNano // there is no monotonic clock there, which makes this cheaper than time.Since
	}
	return int64(time.Since(c.start))
}

// Seed returns the seed of the network's random draws.
func (n *Network) Seed() uint64 { return n.seed }

// Rand returns the random stream of that name, for draws of the test itself and of the programs that it runs.
// The stream depends on the network's seed and the name alone, and every call returns the same object. As
// with any [rand.Rand], only one goroutine at a time may use a stream.
func (n *Network) Rand(name string) *rand.Rand {
	draws := netem.NewStream(n.seed, "rand", name)
	fresh := rand.New(&draws)
	return get(n, func() *rand.Rand {
		s, ok := n.names.streams[name]
		if !ok {
			s = stream{n.moment(), fresh}
			n.names.streams[name] = s
		}
		n.reveal(s.by)
		return s.draws
	})
}

// After calls f at d from now, on the network's own schedule: after the program's own timers of that instant
// and before its packets. Schedule faults with After: a fault that time.AfterFunc starts may come before or
// after a packet of the same instant. f runs on a goroutine of its own and may block. A failed test reports
// every After that was still pending at its end. After panics if d is negative or f is nil.
func (n *Network) After(d time.Duration, f func()) {
	if d < 0 {
		panic(fmt.Sprintf("sim: After(%v): the delay must not be negative", d))
	}
	if f == nil {
		panic("sim: After: the function must not be nil")
	}
	n.change(d, change{f: f}, func() string { return fmt.Sprintf("the function of After(%v)", d) })
}

// change is After for a change of the network, which who describes.
func (n *Network) change(d time.Duration, c change, who func() string) {
	f := c.f
	c.f = func() { n.guard(who, func() bool { return false }, f) }
	n.do(func() {
		if n.closed {
			return
		}
		at := after(n.now(), int64(d))
		c.by = n.moment()
		n.queue.addChange(at, c)
		n.wakeAt(at)
	})
}

// Host returns the host of that name. The first call makes it, with the next free address: 10.0.0.1, 10.0.0.2
// and so on (see [IPv6], [Host.AddAddr]). Letter case does not matter (RFC 4343). Host panics if the name is
// empty, holds a character that a host name cannot (RFC 952, RFC 1123), is an IP address, or belongs to a
// router.
func (n *Network) Host(name string) *Host {
	if err := validName("Host", name); err != nil {
		panic("sim: " + err.Error())
	}
	return get(n, func() *Host {
		if h := n.names.find(name); h != nil {
			n.reveal(h.made)
			return h
		}
		if n.names.routers[strings.ToLower(name)] != nil {
			panic(fmt.Sprintf("sim: Host(%q): a router has that name", name))
		}
		number := len(n.names.inOrder) + 1
		for n.names.byAddr[addrOfHost(number)] != nil || n.conf.ipv6 && n.names.byAddr[addr6OfHost(number)] != nil {
			number++ // a host was given that address
		}
		h := newHost(n, name, number)
		n.names.hosts[strings.ToLower(name)] = h
		for _, a := range h.addresses.list {
			n.names.byAddr[a] = &h.node
		}
		n.names.inOrder = append(n.names.inOrder, h)
		h.tellTaken()
		return h
	})
}

// Trace returns the record of every packet and event so far.
func (n *Network) Trace() *Trace { return n.log.trace }
