// Package sim is a simulated network for Go tests: hosts, links and routers, TCP, UDP and names
// inside one go test process, in virtual time. An hour of outage costs a millisecond, and a
// failure replays from its seed.
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
// [Test] gives a test a [Network]. The network makes hosts at first use ([Network.Host]) and links
// between them ([Network.Link]), each direction with an impairment such as delay or loss (package
// netem), or between the hosts of two zones ([Network.Zone]). They have IPv4 addresses, and with [IPv6] addresses of both
// families. Two hosts without a link between them, or a path over routers ([Network.Router]), reach each other without delay.
//
// The program under test needs no knowledge of the simulator. It receives from a [Host] what it
// would otherwise take from package net or net/http: Dial, DialContext, Listen, ListenPacket,
// Resolver, HTTPClient, ServeHTTP. Addresses, deadlines and half-closed connections behave as
// they do on Linux, and errors carry Linux's error numbers. [Host.Run] starts a function as a
// process, which ends when the host crashes and starts again when the host restarts.
//
// [New] makes the same network on the wall clock, for demonstrations and benchmarks; [Loopback]
// gives its hosts the loopback interface of the operating system.
//
// # Time
//
// A test runs in a bubble of [testing/synctest], whose clock starts at midnight UTC on 1 January
// 2000. Virtual time stands still while any goroutine runs, and jumps to the next timer or packet
// as soon as all goroutines are durably blocked. Computation therefore takes no virtual time, unless
// the program says how much ([Host.Work]); only timers and the network do, and an assertion may compare [Network.Elapsed] with an exact value. Whoever is woken
// at an instant at which others are as well is woken a nanosecond after the one before, so that chains of packets over links without delay end some nanoseconds late: give links a delay.
//
// A goroutine that waits for a [sync.Mutex] is not durably blocked. If its holder waits for the
// network, a bubble's clock would stop; a watchdog on the wall clock notices and moves it, at about
// a millisecond of real time for each step. What stops the clock for good fails the test with the
// goroutines responsible: a channel made outside the bubble, a loop that redials without ever
// sleeping, I/O on the operating system's own network. No test hangs silently: [Limit] bounds
// its virtual time, and go test's -timeout the real time.
//
// # Determinism
//
// Everything that the network decides is a function of the seed ([Seed], SQUALL_SEED), the
// configuration and what each connection sends: every loss, every delay, every sequence number and
// ephemeral port. The same seed gives the same trace at any GOMAXPROCS and under the race
// detector. crypto/rand is seeded as well, so that TLS replays, except in parallel tests;
// [Network.Rand] gives the program random numbers that follow from the seed.
//
// What goroutines of the program do among themselves at one instant is the runtime's choice: the
// case that a select takes, the order of a map, which of two goroutines writes first. If that
// reaches the network, two runs of one seed differ. SQUALL_CHECK=1 finds such tests by running
// each one twice, [MayDiffer] exempts one, and docs/replay.md in the repository lists causes and
// remedies.
//
// # Faults
//
// A [Fault] is a value, made by a function such as [Down] or [Crash], that [Network.Inject] has begin and
// end:
//
//	n.Inject(time.Second, time.Minute, sim.Down(link))
//
// Targeted faults meet some packets of a link, which [Packets] describes, or cut its streams by the byte:
//
//	sim.Drop(link, sim.Packets{From: server, Kind: sim.Data, Nth: 3})     the third segment of the answers is lost
//	sim.Delay(link, sim.Packets{Kind: sim.FIN}, 5*time.Second)            a slow close
//	sim.Reset(link, sim.Packets{Kind: sim.SYN, Connections: 2})           the first two attempts are refused
//	sim.Drop(link, sim.Packets{Connections: 2})                           the first two hang
//	sim.CloseAfter(link, 1000, sim.Packets{From: server})                 EOF after 1000 bytes of a connection's answers
//
// There are also [Duplicate], [Corrupt], [StallAfter] and [ResetAfter]. Faults of names are [FailNames], [SilenceNames], [DelayNames],
// [TruncateNames] and [MisleadNames], those of clocks [StepClock] and [DriftClock], those of a host's limits [Restrict], and those of middleboxes
// [ForgetConnections], [Rebind], [Reboot], [DrainBackend] and [FailBackend]. [Flap] has any fault come and go, [Swizzle] several in drawn orders, and
// [CrossTraffic] has others use the same links. The Fired method of a fault says what it met, MustFire makes it a failure if that is nothing, and [Network.Schedule] lists what
// is to come. Most faults are methods too, for use at once or, with [Network.After], at a later instant:
//
//   - a link: [Link.Down], [Link.DownFrom], [Link.Unplug], [Link.Up]; [Link.Reject] and
//     [Link.RejectWith] answer with ICMP; [Link.Hold] and [Link.Release] delay packets without
//     losing them; [Link.Set] and [Link.SetAsym] change the impairments of either direction;
//   - groups of hosts: [Network.Partition], [Network.PartitionOneWay], [Network.Heal]; [PartitionBy] makes partitions of
//     other shapes ([Cuts]) and effects ([PartitionConfig]);
//   - a host: [Host.Crash] (the processes), [Host.PowerOff] (the operating system too),
//     [Host.Restart], [Host.Pause] and [Host.Resume]; [Host.AddAddr] and [Host.RemoveAddr] change its
//     addresses; [Host.SetLimits] leaves it few descriptors, ports or processors; [Host.Wipe] empties its disk
//     ([Host.Dir]); [Host.Access] is its access link;
//   - a router: [Router.BlockICMP] makes a path MTU black hole; [Router.NAT], [Router.Firewall] and [Router.Balancer] make a
//     middlebox of it, which forgets connections that are silent, all at once (Forget), or with its address (Rebind);
//   - HTTP: [Network.FaultyHTTP] has requests delayed, refused, aborted or answered by half, and [Host.Proxy] stands
//     between client and server, gives up and collects;
//   - a clock: [Clock.Step] and [Clock.Drift], for programs that read [Host.Now];
//   - names: [Host.ServeNames] runs a name server, whose records change ([NameServer.Set]) and whose answers
//     fail, do not come, come late or truncated; [Host.SetResolver] has a host ask it.
//
// At one instant the program's timers come first, then changes made with After and Inject, then packets.
// The report of a failed test lists the faults and impairments that met nothing, with the reason; with
// [Strict] they fail the test. Those that a method begins, such as [NAT.Forget], [Clock.Step] and [NameServer.Fail], are
// among them, as are timeouts of a middlebox that are set and that no connection met, and [Stats] has a row for each. What only bounds a link (Queue, Limit
// and MTU of netem.Config) is no fault. Of a record that nobody asked for after [NameServer.Set] had changed it the report says nothing: check the answer.
//
// # Failures
//
// A test that fails reports the last packets as a chart, the seed, the command that repeats it,
// and whether a second run had the same trace. [Network.Trace] has every packet,
// [Network.Stats] the counters of all links and hosts, [Host.Netstat] the sockets of one host.
//
//	SQUALL_SEED=7 go test ./...      run with seed 7
//	SQUALL_SEEDS=1000 go test ./...  run with seeds 1 to 1000, each as a subtest
//	SQUALL_CHECK=1 go test ./...     run twice and compare the traces
//	SQUALL_CHECK=schedules           in exact mode: the second time with goroutines in another order
//
// The documentation of [Test] describes these variables in full. [Try] runs a function in a
// bubble and returns its failure, for searches. Misuse of this package panics with a
// message that begins with "sim: " and names the field, its value and what is allowed.
//
// # Limits
//
//   - Unix sockets, raw sockets and SyscallConn are missing; asking for one is an error.
//   - The TCP is a model of Linux's, measured against a real kernel, but not Linux itself.
//     Its timers fire at the exact instant, those of a kernel up to an eighth late.
//   - Payloads are altered by [netem.Damage] only: otherwise a corrupted packet is one that its receiver's checksum rejects, or that of a middlebox before.
//   - [Host.Pause] cuts a host's goroutines off from the network; it does not stop them.
//   - A name server ([Host.ServeNames]) has no DNSSEC and forwards nothing.
//   - A package that keeps channels or timers in package-level variables cannot be used in two
//     bubbles.
package sim
