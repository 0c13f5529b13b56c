// Package sim simulates a network for Go tests: hosts, links and routers, TCP, UDP and names, inside one go
// test process and in virtual time. An hour of outage costs a millisecond, and a failure replays from its
// seed.
//
//	func TestPing(t *testing.T) {
//		sim.Test(t, func(t *testing.T, n *sim.Network) {
//			server, phone := n.Host("server"), n.Host("phone")
//			link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
//			server.ServeHTTP(":80", handler)
//			n.After(time.Second, link.Down)
//			n.After(time.Minute, link.Up)
//			resp, err := phone.HTTPClient().Get("http://server/")
//			...
//		})
//	}
//
// [Test] gives a test a [Network]. [Network.Host] returns a host and makes it at first use. [Network.Link]
// links two hosts; each direction has its own impairments, such as delay or loss (package netem).
// [Network.LinkZones] does the same for all hosts of two zones. Hosts have IPv4 addresses, and with [IPv6]
// addresses of both families. Two hosts that neither a link nor a path over routers ([Network.Router]) joins
// reach each other without delay.
//
// The program under test does not need to know about the simulator. A [Host] gives it what it would otherwise
// take from package net or net/http: Dial, DialContext, Listen, ListenPacket, Resolver, HTTPClient,
// ServeHTTP. Addresses, deadlines and half-closed connections behave as they do on Linux, and errors carry
// Linux's error numbers. [Host.Run] starts a function as a process: it ends when the host crashes and starts
// again when the host restarts.
//
// [New] makes the same network on the wall clock, for demonstrations and benchmarks. [Loopback] makes the
// hosts of such a network use the operating system's loopback interface.
//
// # Time
//
// A test runs in a bubble of [testing/synctest]. The bubble's clock starts at midnight UTC on 1 January 2000.
// Virtual time stands still while any goroutine runs. As soon as all goroutines are durably blocked, it jumps
// to the next timer or packet. Only timers and the network take virtual time, so an assertion can compare
// [Network.Elapsed] with an exact value. Computation takes none, unless the program says how much
// ([Host.Work]).
//
// The network wakes one goroutine at a time. When it has several to wake at one instant, each wakes a
// nanosecond after the one before. A chain of packets over links without delay therefore ends some
// nanoseconds late; give links a delay.
//
// A goroutine that waits for a [sync.Mutex] is not durably blocked. If the lock's holder waits for the
// network, the bubble's clock stops. A watchdog on the wall clock notices and moves it, at about a
// millisecond of real time for each step. Three things stop the clock in a way that the watchdog cannot cure:
// a channel made outside the bubble, a loop that redials without ever sleeping, and I/O on the operating
// system's own network. Such a test fails with a list of the goroutines responsible. A test never hangs
// silently: [Limit] bounds its virtual time, and go test's -timeout its real time.
//
// # Determinism
//
// Everything the network decides is a function of the seed ([Seed], SQUALL_SEED), the configuration and what
// each connection sends: every loss, every delay, every sequence number and ephemeral port. The same seed
// gives the same trace at any GOMAXPROCS and under the race detector. Package sim seeds crypto/rand too, so
// TLS replays, except in parallel tests. [Network.Rand] gives the program random numbers that follow from the
// seed.
//
// What the program's goroutines do among themselves at one instant is up to the Go runtime: the case that a
// select takes, the order of a map, which of two goroutines writes first. If that reaches the network, two
// runs of one seed differ. SQUALL_CHECK=1 finds such tests by running each one twice, and [MayDiffer] exempts
// a test. docs/replay.md in the repository lists causes and remedies.
//
// # Faults
//
// A [Fault] is a value that a function such as [Down] or [Crash] makes. [Network.Inject] schedules when it
// begins and how long it lasts:
//
//	n.Inject(time.Second, time.Minute, sim.Down(link))
//
// Targeted faults affect some packets of a link, selected by [Packets], or cut its streams at a given byte:
//
//	sim.Drop(link, sim.Packets{From: server, Kind: sim.Data, Nth: 3})     the third segment of the answers is lost
//	sim.Delay(link, sim.Packets{Kind: sim.FIN}, 5*time.Second)            a slow close
//	sim.Reset(link, sim.Packets{Kind: sim.SYN, Connections: 2})           the first two attempts are refused
//	sim.Drop(link, sim.Packets{Connections: 2})                           the first two hang
//	sim.CloseAfter(link, 1000, sim.Packets{From: server})                 EOF after 1000 bytes of a connection's answers
//
// [Duplicate], [Corrupt], [StallAfter] and [ResetAfter] are of the same kind. Other faults concern:
//
//   - names: [FailNames], [SilenceNames], [DelayNames], [TruncateNames], [MisleadNames];
//   - clocks: [StepClock], [DriftClock];
//   - a host's limits: [Restrict];
//   - middleboxes: [ForgetConnections], [Rebind], [Reboot], [DrainBackend], [FailBackend].
//
// [Flap] makes any fault come and go. [Swizzle] begins several faults, and ends them, in random order.
// [CrossTraffic] loads the links with traffic that is not the program's. [Fault.Fired] returns what a fault
// affected, [Fault.MustFire] fails the test if that is nothing, and [Network.Schedule] lists what has yet to
// happen.
//
// Most faults are also methods. A method acts at once, or at a later instant with [Network.After]:
//
//   - a link: [Link.Down], [Link.DownFrom] and [Link.Unplug] cut it and [Link.Up] restores it; [Link.Reject]
//     and [Link.RejectWith] answer with ICMP; [Link.Hold] and [Link.Release] delay packets without losing
//     them; [Link.Set] and [Link.SetAsym] change the impairments of both directions;
//   - groups of hosts: [Network.Partition], [Network.PartitionOneWay] and [Network.Heal]; [PartitionBy] makes
//     partitions of other shapes ([Cuts]) and effects ([PartitionConfig]);
//   - a host: [Host.Crash] (its processes), [Host.PowerOff] (its operating system too), [Host.Restart],
//     [Host.Pause] and [Host.Resume]; [Host.AddAddr] and [Host.RemoveAddr] change its addresses;
//     [Host.SetLimits] limits its descriptors, ports and processors; [Host.Wipe] empties its disk
//     ([Host.Dir]); [Host.Access] sets its access link;
//   - a router: [Router.BlockICMP] makes a path MTU black hole; [Router.NAT], [Router.Firewall] and
//     [Router.Balancer] turn it into a middlebox, which forgets silent connections, or all of them at once
//     (Forget), or changes its address (Rebind);
//   - HTTP: [Network.FaultyHTTP] delays, refuses or aborts requests, or cuts their answers short;
//     [Host.Proxy] stands between client and server, with timeouts and buffers of its own;
//   - a clock: [Clock.Step] and [Clock.Drift], for programs that read [Host.Now];
//   - names: [Host.ServeNames] runs a name server whose records change ([NameServer.Set]) and whose answers
//     can fail, be late, truncated or missing; [Host.SetResolver] makes a host ask it.
//
// At one instant the program's timers come first, then changes made with After and Inject, then packets.
//
// The report of a failed test lists the faults and impairments that affected nothing, and why. With [Strict]
// they fail the test. The list includes faults begun by a method, such as [NAT.Forget], [Clock.Step] and
// [NameServer.Fail], and timeouts of a middlebox that were set but expired no connection. [Stats] has a row
// for each. Fields of netem.Config that only bound a link (Queue, Limit and MTU) are not faults. The report
// is also silent about a record that [NameServer.Set] changed and nobody asked for afterwards: check the
// answer in the test.
//
// # Failures
//
// A failed test reports the last packets as a chart, the seed, the command that repeats it, and whether a
// second run had the same trace. [Network.Trace] returns every packet, [Network.Stats] the counters of all
// links and hosts, [Host.Netstat] the sockets of one host.
//
//	SQUALL_SEED=7 go test ./...      run with seed 7
//	SQUALL_SEEDS=1000 go test ./...  run with seeds 1 to 1000, each as a subtest
//	SQUALL_CHECK=1 go test ./...     run twice and compare the traces
//	SQUALL_CHECK=schedules           in exact mode: the second time with goroutines in another order
//
// [Test] documents these variables in full. [Try] runs a function in a bubble and returns its failure, for
// searches. Misuse of this package panics with a message that begins with "sim: " and names the field, its
// value and what is allowed.
//
// # Limits
//
//   - There are no Unix sockets, no raw sockets and no SyscallConn; asking for one is an error.
//   - The TCP is a model of Linux's, measured against a real kernel, but not Linux itself. Its timers fire at
//     the exact instant; a kernel's fire up to an eighth late.
//   - Only [netem.Damage] alters payloads. Any other corrupted packet is rejected by the checksum of its
//     receiver, or of a middlebox before it.
//   - [Host.Pause] cuts a host's goroutines off from the network; it does not stop them.
//   - A name server ([Host.ServeNames]) has no DNSSEC and forwards nothing.
//   - A package that keeps channels or timers in package-level variables cannot be used in two bubbles.
package sim
