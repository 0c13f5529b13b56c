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
)

// Bench runs f on a network in a bubble for a benchmark, which has no T to give. Time
// is measured from outside: the clock inside is virtual.
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

// SetPolicy has goroutines chosen by another policy than that of the environment, in exact mode, until the test ends.
func SetPolicy(t *testing.T, text string) {
	prepareExact(t)
	before := schedule.policy
	t.Cleanup(func() { schedule.policy = before })
	var err error
	if schedule.policy, err = exact.ParsePolicy(text); err != nil {
		t.Fatal(err)
	}
}

// Looks is how often a watchdog looks in a span of real time at a test in which it finds nothing.
func Looks(span time.Duration) (looks int) {
	w := clockWatch{pause: looksFirst}
	span -= w.wait()
	for w.pause = 0; span >= 0; span -= w.wait() {
		looks++
		w.relax()
	}
	return looks
}

// IdleFaults names the faults that met nothing so far.
func (n *Network) IdleFaults() string {
	return n.look(func(time.Duration) string { return n.idleFaultsLocked() })
}

// Remarks is what a test that passes logs.
func (n *Network) Remarks() string { return n.remarks() }

// SetOutsidePatience has a test fail sooner that waits for the operating system's network.
func SetOutsidePatience(d time.Duration) { outsidePatience = d }

// WaitsForTheMachine says whether a bubble whose goroutines are in some states waits for nothing but
// the operating system's network.
func WaitsForTheMachine(states ...string) bool {
	dump := "goroutine 1 [running]:\n"
	for i, state := range states {
		dump += fmt.Sprintf("\n\ngoroutine %d [%s, synctest bubble 7]:\nmain.f()\n\t/f.go:1 +0x1", i+2, state)
	}
	s := lookAt(dump, "7")
	return len(s.machine) > 0 && !s.busy
}

// Instead says what to write instead of what a goroutine does, by its stack.
func Instead(stack string) string { return instead([]goroutine{{text: stack}}) }

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

// GoTest is how a report has tests run, of a process that a test starts: without what the process is to be checked for.
func GoTest() string {
	policy, _ := exact.ParsePolicy(os.Getenv(exact.Variable))
	return strings.Join(goTest(policy), " ")
}

// GoTestHere is the same of this process.
func GoTestHere() string {
	policy, _, _ := policiesWanted()
	return strings.Join(goTest(policy), " ")
}

// ErrNoNet is ENONET, or what stands for it where there is none.
const ErrNoNet = errNoNet

// SetSpinLimit has the watchdog suspect a loop after fewer steps or calls, which it counts more often.
func SetSpinLimit(steps uint64) {
	spinLimit, spinLooks, spinAtEnd, stepsEvery = steps, 5, steps, 100*time.Millisecond
}

// SetForeignPatience has a test fail sooner that waits for what is outside of it.
func SetForeignPatience(d time.Duration) { foreignPatience = d }

// SetAhead has a test given up so long before go test's deadline, however near that is.
func SetAhead(d time.Duration) { monitoring.ahead, monitoring.part = d, 1 }

// Monitor has monitors look often, tell of a test after some real time to out, and give it up after
// limit, if it is not 0. It returns a function that undoes that.
func Monitor(every, notice, limit time.Duration, out io.Writer) (undo func()) {
	before := monitoring
	monitoring.every, monitoring.notices, monitoring.limit, monitoring.out = every, []time.Duration{notice}, limit, out
	return func() { monitoring = before }
}

// Eager turns lookahead off: the engine does everything at its instant.
func (n *Network) Eager() { n.do(func() { n.lookahead.on = false }) }

// Park parks all connections that have nothing under way, and says how many ends are parked.
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

// KeepAwake has all but so many ends of connections parked that have nothing to do.
func (n *Network) KeepAwake(most int) { n.do(func() { n.idlers.most = most }) }

// Parked is how many ends of connections are parked.
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

// Steps is how often the engine was woken.
func (n *Network) Steps() uint64 { return n.harness.steps.Load() }

// Disturbed is how many parts of the network a fault does something to at present.
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

// ReceiveMemory is the memory that a socket of UDP counts for what waits to be read.
func ReceiveMemory(pc net.PacketConn) int {
	u := pc.(*UDPConn)
	return get(u.n, func() int { return u.buffer.used })
}

// ReceiveQueue is how many datagrams a socket has memory for.
func ReceiveQueue(c net.PacketConn) int {
	u := c.(*UDPConn)
	return get(u.n, func() int { return cap(u.buffer.queue) })
}

// SetSweepTells has a sweep say more often how far it is.
func SetSweepTells(every time.Duration) { sweepTells = every }

// InitialSequence is the sequence number that a connection from 10.0.0.1 to 10.0.0.2:7
// begins with.
func (n *Network) InitialSequence(at time.Duration, port uint16) uint32 {
	return n.initialSequence(int64(at), netip.AddrPortFrom(addrOfHost(1), port), netip.AddrPortFrom(addrOfHost(2), 7))
}

// MachineFiles has Go's resolver, as far as the network knows, read other files than the operating system's.
// It returns a function that undoes that.
func MachineFiles(resolv, hosts string) (undo func()) {
	r, h := resolvConf, hostsFile
	resolvConf, hostsFile = resolv, hosts
	return func() { resolvConf, hostsFile = r, h }
}

// Frozen is how often the watchdog has moved the clock.
func (n *Network) Frozen() int { return int(n.harness.frozen.Load()) }

// Paths is how many pairs of hosts the network keeps something about.
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

// Recorded says whether what the network does is recorded beyond its trace.
func (n *Network) Recorded() bool { return n.log.film != nil }

// OneByOne has all segments be packets of their own: a film looks at each.
func (n *Network) OneByOne() { n.do(func() { n.log.film = newFilm(n) }) }

// Runs is how many packets in flight stand for several segments, and how many of them for some that arrive one after the other.
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
