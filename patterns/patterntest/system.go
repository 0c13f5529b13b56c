// Package patterntest subjects implementations of the communication patterns to the failures
// that bite in production, on a simulated network. A few functions describe an implementation,
// from this project or any other. There are two contracts, [Delivery] and [Call], over one mechanism: names that begin with
// Call are of the second, as are [Service], [App], [Caller], [Question] and what they mention.
//
// [Delivery] is the contract of the patterns that bring events from a server to
// clients: push, long polling, streaming, publish/subscribe. It runs a table of
// stories, each of which breaks the network or a host in one way and then checks, from
// outside, what every client got:
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
// The example of the package (example_test.go) is a complete server and client that satisfy the contract, and the
// lines that describe them. Each [Promise] names one thing that an implementation must not do.
//
// # What a system offers
//
// The three functions are enough. A client that acknowledges events does so when
// [Receiver].Event has returned; if events may then come again, [System].Repeats says so. To
// stop a server or client the suite cancels the context of its function, while the network
// works: clients that leave and return and servers that are redeployed are stories for every
// system. Other things are checked of systems that declare them: that events survive a restart
// (Durable), that they expire (PublishFor), that the server accounts for those that did not
// arrive (Account), that some are for one client only (PublishTo), that they have keys (PublishKey)
// within which alone they are in order (KeysOnly) or of which the newest counts (Conflates), that of
// two clients under one name one gets them (Fences), and that workers share them, acknowledge
// one by one, and get those again that they could not handle (Work), and that publishers on hosts of their
// own have each event stored once (Publishers).
//
// # Storms
//
// After the table Delivery runs storms, randomly drawn fault schedules, of clients and, if there are
// any, of workers; SQUALL_SEEDS says how many. A storm that fails is shrunk and printed as Go code. [Storm] returns the storm of a
// seed.
//
// Your own story, or a storm that was shrunk, is a function of a [World], of about ten lines; [Judge] plays it and returns
// what was broken:
//
//	sim.Test(t, func(t *testing.T, n *sim.Network) {
//		for _, breach := range patterntest.Judge(n, newSystem(n), t.TempDir(), patterntest.Story{
//			Name: "a crash at once", Reason: "it lost the first event", Play: func(w *patterntest.World) { ... },
//		}) {
//			t.Error(breach)
//		}
//	}, sim.Seed(2))
//
// [Loopback] runs a part of the contract over the
// operating system's own TCP.
//
// # Calls
//
// [Call] is the contract of the patterns in which a question gets its answer: request-response, queues with workers and
// polling, streams of a multiplexer, services behind a proxy. Two functions describe a [Service]: Serve runs a server, which has an [App]
// of the contract's do what is asked, and Client returns how a client asks:
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
// A call ends in one of three ways: it is done; it was not executed, and will not be ([ErrNotExecuted]); or that is unknown. The application
// counts outside the service what was begun and what took effect, and the contract compares that with what each caller was told.
// Other things are checked of services that declare them: keys by which a repeated call is known (Keys), work that stops when
// its caller goes (Cancels), deadlines that go along (Deadlines), servers that finish what they have begun (Drains) or do it even after a crash (Durable),
// retries within a budget and when the server says so (Retries), and several servers of which one may fail (Replicas).
//
// Its stories are [CallStories], its storms [CallStorm], whose faults are those of other storms. Your own story is a function of a [CallWorld],
// which [JudgeCall] plays; [CallLoopback] runs a part over the operating system's own TCP:
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
// The contract of delivery sees input, output and packets, but no intent. After a restart of the server it
// believes one report of a gap from each client ([System].Durable rules that out, and
// [World.Check] what was lost before), and it cannot tell an event that came again because an
// acknowledgement was lost from one that came again for no reason, unless the network was good
// all the time, or for long ([World.Acknowledged]). It can only count events with the same
// text. It does not look at topics or snapshots. What the server holds
// for slow clients it knows only from [System].Held: in the memory of the process a queue
// cannot be told from a log that shares its bytes, nor from the buffers of the simulated
// sockets. The contract of calls does not see why an outcome is unknown: a client that says so of all that failed keeps it. An effect
// takes place in no time, so that a crash finds no crack between it and what the server stores at the same instant.
package patterntest

import (
	"context"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A System is an implementation of a pattern that delivers events, on one network. Its
// functions are called from several goroutines.
type System struct {
	// Serve runs the server on h, from which Receive finds it by the name "server",
	// until ctx is done. It runs as a process of the host: after a crash it is called
	// again, as soon as it has returned, and must start with empty memory; what it keeps
	// in folder is still there.
	Serve func(ctx context.Context, h *sim.Host, folder string) error

	// Publish hands an event to the server that runs. If it returns nil the event is accepted:
	// every client must get it, or be notified that something is missing. After an error the
	// event may come or not. A server that runs may refuse what MaxEvent says, and more than 50
	// events a second.
	Publish func(data string) error

	// Receive runs the client of that name on h until ctx is done, and reports to r what
	// it gets. It runs as a process of the host, but what it needs to resume it may keep
	// outside, by its name, as a client does that stores its position on disk. The name is that of
	// a host: up to 63 letters, digits and hyphens, in parts with dots between them.
	Receive func(ctx context.Context, h *sim.Host, name string, r Receiver) error

	// PublishFor is Publish of an event that no client may get later than ttl from now. Nil:
	// events never expire, and expiry is not checked.
	PublishFor func(data string, ttl time.Duration) error

	// Durable says that accepted events survive a restart of the server. If it is false a
	// client may be notified of a gap instead.
	Durable bool

	// Repeats says that an event may come again when the client could not tell the
	// server in time that it had it: at least once. If it is false each comes once, as it
	// does in any case while the network is good. What may not come again are the events that
	// came before the last hundred, and more than 30 s before the end of a minute in which all was well.
	Repeats bool

	// Forgets says that the server keeps only so much for clients that are away or slow,
	// and tells them of a gap beyond it. If it is false a gap needs a cause: a server that
	// began anew without the events.
	Forgets bool

	// Bound is the longest time that an event may take over a good network with 40 ms
	// each way. Zero: three transits, 120 ms. Events also come faster than one in each round trip: where one is
	// sent only when that before it was acknowledged, they queue up, and each takes longer than the last.
	Bound time.Duration

	// Recovery is the longest time that a client may take, once all faults are over, to
	// get everything. Zero: 3 min, which covers the retransmission timeouts that TCP has
	// doubled meanwhile, up to 2 min.
	Recovery time.Duration

	// PublishTimeout is the longest time that Publish may take. Zero: 5 s.
	PublishTimeout time.Duration

	// MaxEvent is how many bytes of data an event may have. What is larger Publish may refuse, as
	// it may what is empty, not UTF-8 or has control characters other than white space; but what it
	// accepts must arrive. Zero: 50,000.
	MaxEvent int

	// Held returns how many bytes the server that runs holds now for clients that are slow to
	// take them, beyond its log. Nil: unknown, and not checked.
	Held func() int

	// MaxHeld is the most that Held may return for each client that there is. Zero:
	// 1 MiB. It is two of the largest event that was published if that is more.
	MaxHeld int

	// Account returns what the server that runs says became of the events that it accepted and
	// did not deliver. Nil: not counted, and not checked.
	Account func() Account

	// What follows is a capability each, which few systems have. Nil and false: there are no stories
	// about it.

	// PublishTo is Publish of an event that only the client of that name may see. In what order a
	// client gets these and those for everybody is free.
	PublishTo func(name, data string) error

	// PublishKey is Publish of an event about something, which the key names.
	PublishKey func(key, data string) error

	// KeysOnly says that only events of one key keep their order: those of other keys may
	// overtake them, and those of Publish, which have none, each other.
	KeysOnly bool

	// Conflates says that of a key's events a client may be spared those that it has newer ones of, and a group of
	// workers those of which one of them has handled a newer one.
	Conflates bool

	// Work is about clients that work on events, acknowledge each, and may share them.
	Work *Work

	// Publishers is about publishers that reach the server over the network.
	Publishers *Publishers

	// Fences says that of several clients under one name only the one that came last gets events,
	// even if another, which has not heard of it, comes back later. The name is known to Receive, not to the host.
	Fences bool
}

// An Account says what became of accepted events that were not delivered: an event that
// three clients did not get counts three times. What is accepted for each client is
// delivered, expired, dropped or pending.
type Account struct {
	Expired int // their time was over
	Dropped int // by a policy for slow clients, which were notified
	Pending int // still to be delivered
}

// A Receiver takes note of what a client gets.
type Receiver interface {
	// Event reports an event, as Publish was given it.
	Event(data string)
	// Gap reports that the client was notified that events may be missing before the next one,
	// and why.
	Gap(why string)
}
