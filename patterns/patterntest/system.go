// Package patterntest tests implementations of the communication patterns against the failures that
// hurt in production, on a simulated network. You describe your implementation with a few
// functions; it can come from this project or any other. There are two contracts, [Delivery] and
// [Call], which share one mechanism. Names that begin with Call belong to the second contract, as
// do [Service], [App], [Caller], [Question] and the types they use.
//
// [Delivery] is the contract of the patterns that bring events from a server to clients: push, long
// polling, streaming, publish/subscribe. It runs a table of stories. Each story breaks the network
// or a host in one way and then checks, from outside, what every client got:
//
//	func TestMyServer(t *testing.T) {
//		patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
//			s := newMyServer()
//			return patterntest.System{
//				Serve:   func(ctx context.Context, h *sim.Host, folder string) error { ... },
//				Publish: func(data string) error { return s.Publish(data) },
//				Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error { ... },
//			}
//		})
//	}
//
// The package example (example_test.go) is a complete server and client that satisfy the contract,
// with the lines that describe them. Each [Promise] names one rule that an implementation must
// keep.
//
// # What a system offers
//
// The three functions are enough. A client that acknowledges events must do so only after
// [Receiver].Event has returned. If the server can then send an event again, set [System].Repeats.
// The suite stops a server or client by cancelling the context of its function while the network
// works: every system is tested with clients that leave and return and with servers that are
// redeployed.
//
// A system declares what else it offers, and the suite then checks that too:
//
//   - Durable: events survive a restart of the server.
//   - PublishFor: events expire.
//   - Account: the server accounts for events that it did not deliver.
//   - PublishTo: an event can be for one client only.
//   - PublishKey: events have keys. With KeysOnly, only events with the same key are ordered. With Conflates, only the
//     newest event of a key must arrive.
//   - Fences: of two clients with one name, only the later one gets events.
//   - Work: workers share events, acknowledge them one by one, and get an event again if they failed to handle it.
//   - Publishers: publishers on their own hosts retry, and each event is stored once.
//
// # Storms
//
// After the table, Delivery runs storms: randomly drawn schedules of faults. It runs them with
// clients and, if the system has Work, with workers. SQUALL_SEEDS sets their seeds. A failing storm
// is shrunk and printed as Go code. [Storm] returns the storm of a seed.
//
// A story of your own, or a shrunk storm, is a function of about ten lines that takes a [World].
// [Judge] plays it and returns the promises it broke:
//
//	sim.Test(t, func(t *testing.T, n *sim.Network) {
//		for _, breach := range patterntest.Judge(n, newSystem(n), t.TempDir(), patterntest.Story{
//			Name: "a crash at once", Reason: "it lost the first event", Play: func(w *patterntest.World) { ... },
//		}) {
//			t.Error(breach)
//		}
//	}, sim.Seed(2))
//
// [Loopback] runs part of the contract over the operating system's own TCP.
//
// # Calls
//
// [Call] is the contract of the patterns in which a question gets an answer: request-response,
// queues with workers and polling, multiplexed streams, services behind a proxy. Two functions
// describe a [Service]. Serve runs a server, which passes each request to an [App] that the
// contract provides. Client returns a function that asks:
//
//	func TestMyService(t *testing.T) {
//		patterntest.Call(t, func(n *sim.Network) patterntest.Service {
//			return patterntest.Service{
//				Serve:  func(ctx context.Context, h *sim.Host, app *patterntest.App) error { ... app.Do(r.Context(), data) ... },
//				Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask { ... },
//				Keys:   &patterntest.Keys{},
//			}
//		})
//	}
//
// A call ends in one of three ways: it is done; it was not executed and never will be
// ([ErrNotExecuted]); or its outcome is unknown. Outside the service, the App counts the executions
// that began and those that took effect. The contract compares these counts with what each caller
// was told.
//
// A service declares what else it offers, and the contract then checks that too:
//
//   - Keys: the server recognises a repeated call by its key.
//   - Cancels: work stops when its caller gives up.
//   - Deadlines: the caller's deadline reaches the server.
//   - Drains: a stopping server finishes the calls that it has begun.
//   - Durable: the server executes a call that it has taken even if it crashes in between.
//   - Retries: clients retry within a budget, and when the server says so.
//   - State: calls read and change objects, which are linearizable.
//   - Streams: answers are streams.
//   - Replicas: there are several servers, and one of them can fail.
//
// [CallStories] returns its stories. [CallStorm] returns a storm of calls, with the same faults as
// other storms. A story of your own is a function that takes a [CallWorld], and [JudgeCall] plays
// it. [CallLoopback] runs part of the contract over the operating system's own TCP:
//
//	func(w *patterntest.CallWorld) {
//		c := w.Caller("phone")
//		c.Ask(patterntest.Question{})
//		c.Link.DownFrom(w.Server) // the answer is lost
//		c.Ask(patterntest.Question{Timeout: 5 * time.Second})
//		c.Link.Up()
//	}
//
// # What it does not find
//
// The contract of delivery sees input, output and packets, but not intent:
//
//   - After a restart of the server it accepts one notification of a gap from each client, whatever the reason.
//     [System].Durable rules that out. [World.Check] catches events that were lost before the restart.
//   - It cannot tell whether an event was repeated because an acknowledgement was lost or for no reason, unless the
//     network was good all the time, or for long enough ([World.Acknowledged]).
//   - It can only count events that have the same text.
//   - It does not look at topics or snapshots.
//   - It learns only from [System].Held what the server holds for slow clients. In the memory of the process it cannot
//     tell a queue from a log that shares its bytes, or from the buffers of the simulated sockets.
//
// The contract of calls cannot see why an outcome is unknown: a client that reports every failed
// call as unknown keeps the contract. An effect takes no time, so no crash can fall between the
// effect and what the server stores at the same instant.
package patterntest

import (
	"context"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A System is an implementation of a pattern that delivers events, on one network. Its
// functions are called from several goroutines.
type System struct {
	// Serve runs the server on h until ctx is done. Receive reaches the host by the name
	// "server". Serve runs as a process of the host: after a crash it is called again as
	// soon as it has returned. It must then start with empty memory; what it keeps in
	// folder is still there.
	Serve func(ctx context.Context, h *sim.Host, folder string) error

	// Publish hands an event to the running server. If it returns nil, the event is accepted:
	// every client must get it, or be notified that something is missing. If it returns an
	// error, the event can arrive or not. A running server can refuse the events described
	// under MaxEvent, and any beyond 50 a second.
	Publish func(data string) error

	// Receive runs the client with that name on h until ctx is done, and reports to r what it
	// gets. It runs as a process of the host and starts with empty memory. State that it needs to
	// resume can be kept elsewhere under its name, like a client that stores its position on disk.
	// The name is valid as a host name: up to 63 letters, digits and hyphens, in parts separated
	// by dots.
	Receive func(ctx context.Context, h *sim.Host, name string, r Receiver) error

	// PublishFor publishes an event that no client may get later than ttl from now. Nil:
	// events never expire, and expiry is not checked.
	PublishFor func(data string, ttl time.Duration) error

	// Durable says that accepted events survive a restart of the server. If it is false,
	// a client can be notified of a gap instead.
	Durable bool

	// Repeats says that delivery is at least once: an event can arrive again if the client could
	// not acknowledge it in time. Even then nothing is repeated while the network is good. After a
	// minute without faults, only the last hundred events and those of the last 30 s can still
	// arrive again. If it is false, each event arrives once.
	Repeats bool

	// Forgets says that the server keeps a limited number of events for clients that are
	// away or slow, and notifies them of a gap if there were more. If it is false, a gap
	// needs a cause: a server that restarted without the events.
	Forgets bool

	// Bound is the longest time that an event takes over a good network with 40 ms each way. Zero:
	// three transits, 120 ms. Stories also publish faster than one event per round trip. A system
	// that waits for each acknowledgement before it sends the next event falls further behind with
	// every event, and misses the bound.
	Bound time.Duration

	// Recovery is the longest time that a client takes to get everything after all
	// faults have ended. Zero: 3 min. That covers TCP's retransmission timeout, which
	// has doubled in the meantime, up to 2 min.
	Recovery time.Duration

	// PublishTimeout is the longest time that Publish takes. Zero: 5 s.
	PublishTimeout time.Duration

	// MaxEvent is the largest size of an event, in bytes. Publish can refuse larger events, and
	// also events that are empty, are not UTF-8, or contain control characters other than white
	// space. Any event that it accepts must arrive unchanged. Zero: 50,000.
	MaxEvent int

	// Held returns how many bytes the running server holds in addition to its log, for
	// clients that are slow to take them. Nil: unknown, and not checked.
	Held func() int

	// MaxHeld is the limit on Held, in bytes for each client. Zero: 1 MiB. The
	// limit is never less than twice the largest event published so far.
	MaxHeld int

	// Account returns the running server's account of the events that it accepted and did not
	// deliver. Nil: there is no account, and none is checked.
	Account func() Account

	// Each of the following is a capability that few systems have. Nil and false: there are no stories
	// about it.

	// PublishTo publishes an event that only the client with that name may see. Its order
	// relative to events for everybody is not checked.
	PublishTo func(name, data string) error

	// PublishKey publishes an event with a key, which names the thing that the
	// event is about.
	PublishKey func(key, data string) error

	// KeysOnly says that only events with the same key keep their order. Events with
	// different keys can overtake each other, and so can events without a key, from
	// Publish.
	KeysOnly bool

	// Conflates says that a client can miss an event of a key if it gets a newer event of that key.
	// A group of workers can miss an event if one of the workers has handled a newer one.
	Conflates bool

	// Work describes clients that work on events, acknowledge each one, and can share
	// them.
	Work *Work

	// Publishers describes publishers that reach the server over the network.
	Publishers *Publishers

	// Fences says that of several clients with one name, only the one that connected last gets
	// events, even if an earlier one that does not know of it reconnects later. Receive is given
	// this name; the hosts have other names.
	Fences bool
}

// An Account says what became of accepted events that were not delivered. An event that
// three clients did not get counts three times. For each client, every accepted event
// is delivered, expired, dropped or pending.
type Account struct {
	Expired int // their time was over
	Dropped int // by a policy for slow clients, which were notified
	Pending int // still to be delivered
}

// A Receiver records what a client gets.
type Receiver interface {
	// Event reports an event, exactly as it was given to Publish.
	Event(data string)
	// Gap reports that the client was notified that events may be missing before the next one,
	// and why.
	Gap(why string)
}
