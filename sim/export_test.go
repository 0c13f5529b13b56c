package sim

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// Bench runs f on a network in a bubble for a benchmark, which has no T. Measure time outside
// the bubble: the clock inside is virtual.
func Bench(f func(n *Network), opts ...Option) {
	synctest.Test(new(testing.T), func(*testing.T) {
		if policy, _, _ := policiesWanted(); exact.Enabled && !exact.Enrol(1, policy) {
			panic("sim: the bubble of a benchmark cannot be scheduled")
		}
		n := newNetwork(true, opts)
		defer func() {
			n.Close()
			n.awaitGoroutines()
		}()
		f(n)
	})
}

// SetPolicy sets the policy that chooses goroutines in exact mode, in place of the environment's, until the test ends.
func SetPolicy(t *testing.T, text string) {
	prepareExact(t)
	before := schedule.policy
	t.Cleanup(func() { schedule.policy = before })
	var err error
	if schedule.policy, err = exact.ParsePolicy(text); err != nil {
		t.Fatal(err)
	}
}

// Looks returns how often a watchdog that finds nothing looks at a test in a span of real time.
func Looks(span time.Duration) (looks int) {
	w := clockWatch{pause: looksFirst}
	span -= w.wait()
	for w.pause = 0; span >= 0; span -= w.wait() {
		looks++
		w.relax()
	}
	return looks
}

// IdleFaults names the faults that have met nothing so far.
func (n *Network) IdleFaults() string {
	return n.look(func(time.Duration) string { return n.idleFaultsLocked() })
}

// Remarks returns what a test that passes logs.
func (n *Network) Remarks() string { return n.remarks() }

// SetOutsidePatience sets how long a test may wait for the operating system's network before it fails.
func SetOutsidePatience(d time.Duration) { outsidePatience = d }

// WaitsForTheMachine reports whether a bubble with goroutines in the given states waits only for
// the operating system's network.
func WaitsForTheMachine(states ...string) bool {
	dump := "goroutine 1 [running]:\n"
	for i, state := range states {
		dump += fmt.Sprintf("\n\ngoroutine %d [%s, synctest bubble 7]:\nmain.f()\n\t/f.go:1 +0x1", i+2, state)
	}
	s := lookAt(dump, "7")
	return len(s.machine) > 0 && !s.busy
}

// Instead returns the advice that a report gives for a goroutine with this stack.
func Instead(stack string) string { return instead([]stacks.Goroutine{{Text: stack}}) }

// KnownLibraries are the rows of the tables of libraries: those with hooks, and those that cannot
// run in a bubble.
func KnownLibraries() (withHooks, withTroubles []string) {
	for _, h := range hooks {
		withHooks = append(withHooks, "| `"+h.pkg+"` | "+h.hook+" |")
	}
	for _, l := range troubles {
		withTroubles = append(withTroubles, "| `"+l.pkg+"` | "+l.why+" |")
	}
	return withHooks, withTroubles
}

// Exponential maps a random number to the exponential distribution with mean 1.
func Exponential(u uint64) float64 { return float64(exponential(u)) / (1 << 32) }

var RaceEnabled = raceEnabled

// GoTest returns the command by which the report of a process started by a test has tests run. It ignores the checks that this process is under.
func GoTest() string {
	policy, _ := exact.ParsePolicy(os.Getenv(exact.Variable))
	return strings.Join(goTest(policy), " ")
}

// GoTestHere returns the same for this process.
func GoTestHere() string {
	policy, _, _ := policiesWanted()
	return strings.Join(goTest(policy), " ")
}

// ErrNoNet is ENONET, or what stands for it where there is none.
const ErrNoNet = errNoNet

// SetSpinLimit makes the watchdog suspect a loop after fewer steps or calls, and count them more often.
func SetSpinLimit(steps uint64) {
	spinLimit, vainLimit, spinLooks, spinAtEnd, stepsEvery = steps, steps/100, 5, steps, 100*time.Millisecond
}

// SetForeignPatience sets how long a test may wait for something outside of it before it fails.
func SetForeignPatience(d time.Duration) { foreignPatience = d }

// SetAhead sets how long before go test's deadline a test is given up, however near the deadline is.
func SetAhead(d time.Duration) { monitoring.ahead, monitoring.part = d, 1 }

// Monitor makes monitors look every so often, write a notice about a test to out after some real time, and give it up after
// limit, unless that is 0. It returns a function that undoes this.
func Monitor(every, notice, limit time.Duration, out io.Writer) (undo func()) {
	before := monitoring
	monitoring.every, monitoring.notices, monitoring.limit, monitoring.out = every, []time.Duration{notice}, limit, out
	return func() { monitoring = before }
}

// Eager turns lookahead off: the engine does everything at its instant.
func (n *Network) Eager() { n.do(func() { n.lookahead.on = false }) }

// Park parks all connections that have nothing under way, and returns the number of parked ends.
func (n *Network) Park() int {
	return get(n, func() (parked int) {
		for _, h := range n.names.inOrder {
			for c := range h.table.conns.all() {
				if c.machine.awake != nil {
					n.idlers.park(c)
				}
				if c.machine.parked != nil {
					parked++
				}
			}
		}
		return parked
	})
}

// KeepAwake sets how many idle ends of connections stay awake. The others are parked.
func (n *Network) KeepAwake(most int) { n.do(func() { n.idlers.most = most }) }

// Parked returns the number of parked ends of connections.
func (n *Network) Parked() int {
	return get(n, func() (parked int) {
		for _, h := range n.names.inOrder {
			for c := range h.table.conns.all() {
				if c.machine.parked != nil {
					parked++
				}
			}
		}
		return parked
	})
}

// Steps returns how often the engine was woken.
func (n *Network) Steps() uint64 { return n.harness.steps.Load() }

// Disturbed returns how many parts of the network a fault affects at present.
func (n *Network) Disturbed() int {
	return get(n, func() (count int) {
		add := func(is bool) {
			if is {
				count++
			}
		}
		for _, p := range n.wires.pipes {
			add(p.trouble != nil || len(p.held) > 0)
		}
		add(len(n.wires.partitions) > 0)
		for _, h := range n.names.inOrder {
			add(h.off != nil || h.downs != nil || h.dead || h.pause.faults != nil || len(h.limits) > 0 || h.fds.limit != nil)
			add(h.cpu.crowded != nil || h.cpu.throttled != nil || h.table.ports.fault != nil)
			add(h.clock != nil && (len(h.clock.steps) > 0 || h.clock.ppm != 0))
		}
		for _, r := range n.names.routers {
			add(r.icmpBlocked != nil)
		}
		return count
	})
}

// TraceRecord is the size of an event that the trace keeps, in bytes.
const TraceRecord = int(unsafe.Sizeof(record{}))

// ReceiveMemory returns the memory that a UDP socket counts for data that waits to be read, in bytes.
func ReceiveMemory(pc net.PacketConn) int {
	u := pc.(*UDPConn)
	return get(u.n, func() int { return u.buffer.used })
}

// ReceiveQueue returns the number of datagrams for which a socket has allocated memory.
func ReceiveQueue(c net.PacketConn) int {
	u := c.(*UDPConn)
	return get(u.n, func() int { return cap(u.buffer.queue) })
}

// SetSweepTells sets how often a sweep reports its progress.
func SetSweepTells(every time.Duration) { sweepTells = every }

// InitialSequence returns the initial sequence number of a connection from 10.0.0.1 to
// 10.0.0.2:7.
func (n *Network) InitialSequence(at time.Duration, port uint16) uint32 {
	return n.initialSequence(int64(at), netip.AddrPortFrom(addrOfHost(1), port), netip.AddrPortFrom(addrOfHost(2), 7))
}

// MachineFiles replaces the operating system's files that the network takes for those of Go's resolver.
// It returns a function that undoes this.
func MachineFiles(resolv, hosts string) (undo func()) {
	r, h := resolvConf, hostsFile
	resolvConf, hostsFile = resolv, hosts
	return func() { resolvConf, hostsFile = r, h }
}

// Frozen returns how often the watchdog has moved the clock.
func (n *Network) Frozen() int { return int(n.harness.frozen.Load()) }

// Paths returns the number of pairs of hosts for which the network keeps state.
func (n *Network) Paths() int { return get(n, func() int { return len(n.wires.paths) }) }

// Recount checks the counters of the hosts against their tables.
func (n *Network) Recount() error {
	return get(n, func() error {
		for _, h := range n.names.inOrder {
			counted, count, resent := connTable{}, 0, 0
			for c := range h.table.conns.all() {
				counted.use(c, 1)
				count++
				resent += int(c.tcp().Retransmits())
				if h.table.conns.get(c.ends) != c {
					return fmt.Errorf("host %s does not find the connection of %v", h.name, c.ends)
				}
			}
			for _, l := range h.table.conns.locals {
				if want := counted.of(l.addr); !maps.Equal(want, l.uses) {
					return fmt.Errorf("host %s counts %v for ports of %v; there are %v", h.name, l.uses, l.addr, want)
				}
			}
			if count != h.table.conns.count || resent != h.resent {
				return fmt.Errorf("host %s counts %d connections, %d sent again; there are %d, %d", h.name, h.table.conns.count, h.resent, count, resent)
			}
		}
		return nil
	})
}

var (
	OtherOrder = otherOrder
	Packed     = packed
)

// Recorded reports whether the network records more than its trace.
func (n *Network) Recorded() bool { return n.log.film != nil }

// OneByOne makes every segment a packet of its own, because a film looks at each.
func (n *Network) OneByOne() { n.do(func() { n.log.film = newFilm(n) }) }

// Runs returns how many packets in flight stand for several segments, and how many of those for segments that arrive one after the other.
func (n *Network) Runs() (runs, spaced int) {
	counts := get(n, func() (c [2]int) {
		for _, e := range n.queue.events {
			head, _ := e.what.(*packet)
			for ; head != nil; head = head.line.next {
				if head.line.spaced() {
					c[1]++
				}
				for pkt := head; pkt != nil; pkt = pkt.train.next {
					if pkt.proto == protoTCP && pkt.seg.Run() > 1 {
						c[0]++
					}
				}
			}
		}
		return c
	})
	return counts[0], counts[1]
}
