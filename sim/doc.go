// Package sim is a network in memory for Go tests: hosts, links, TCP, UDP and names inside of one
// go test process, in virtual time. An hour of outage costs a millisecond, and a failure replays
// from its seed.
//
// [Test] gives a test a [Network], in a bubble of [testing/synctest] in which time passes only
// when every goroutine is blocked. The network makes hosts at first use ([Network.Host]) and
// links between them ([Network.Link]), with an impairment such as delay or loss for each
// direction (package netem). Two hosts without a link reach each other without delay.
//
// A program under test needs to know nothing of this. It gets from a [Host] what it would take
// from package net or net/http: Dial, DialContext, Listen, ListenPacket, Resolver, HTTPClient,
// ServeHTTP, and certificates that are valid when bubbles begin, in the year 2000. [Host.Run] starts
// it as a process, which [Host.Crash] ends and [Host.Restart] starts again. Errors are those of
// Linux, with its error numbers.
//
// Then break things: [Link.Down], [Link.Reject], [Link.Hold], [Link.Set], [Network.Partition],
// [Host.PowerOff], [Host.Pause]; at a time of one's own by [Network.After]. A test that fails shows
// the last packets in a chart, the faults that met nothing, and the command that repeats it.
// [Network.Trace] has every packet, [Network.Stats] and [Host.Netstat] count.
//
// Every random draw of the network is a function of the seed ([Seed], SQUALL_SEED), so a run is the
// same on any machine; SQUALL_SEEDS=1000 runs a test with a thousand of them, [Try] searches.
// The documentation of [Test] says what else the environment can ask for, and how a test that hangs
// comes to its end.
//
// [New] makes the same network on the wall clock, for demonstrations and benchmarks.
package sim
