package patterntest

import (
	"sync"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Transit is the one-way delay between the server and each client.
const Transit = 40 * time.Millisecond

// A Stage is the environment of a contract: a server and clients on a network, each a process on
// its own host, and the faults that can happen to them. It knows nothing of what they send each
// other and is therefore the same for both contracts: [World] is the stage of [Delivery] with a
// record of events, [CallWorld] the stage of [Call] with a record of calls. The stage itself
// judges only behaviour: processes must stop when they are asked to, and be gentle with the
// network.
//
// Only the story's goroutine may call its methods.
type Stage struct {
	// Net is the network. Server is the host that the system's server runs on.
	Net    *sim.Network
	Server *sim.Host

	onLoopback bool
	link       netem.Config // of clients that are made from now on
	peers      []*Peer
	idle       []span                                // the time in which idle clients are to send little
	spread     time.Duration                         // since when clients are to come back apart; 0: they need not
	together   time.Duration                         // since when they may be at one again; 0: they may not
	servers    []*Replica                            // that on Server is the first
	counts     []census                              // of goroutines and connections
	outages    []span                                // in which no client can reach the server
	busy       func(p *Peer, from time.Duration) int // for how many calls a client may open connections within a second; nil: it has none

	mu    sync.Mutex
	stuck findings // who did not stop when asked to
	moves []move

	dialling  sync.Mutex
	dialled   map[string][]time.Duration // see dials
	dialledBy int                        // as of so many events of the trace
}

type span struct{ from, to time.Duration }

// start creates the host of the server and runs the server there. serve is called again after
// each stop.
func (s *Stage) start(n *sim.Network, onLoopback bool, serve serveFunc) {
	s.Net, s.onLoopback, s.link = n, onLoopback, netem.Config{Delay: Transit}
	s.Server = s.serve("server", serve).Host
}

// population returns how many clients there are.
func (s *Stage) population() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}

// runsSince returns when the current run of the server began, or -1 if it does
// not run.
func (s *Stage) runsSince() time.Duration { return s.servers[0].runsSince() }

// startsUntil returns how often the server has started by a time.
func (s *Stage) startsUntil(at time.Duration) int { return s.servers[0].startsUntil(at) }

// Redeploy is [Replica.Redeploy] for the first server.
func (s *Stage) Redeploy() { s.servers[0].Redeploy() }

// overstayed records that a process did not stop in time.
func (s *Stage) overstayed(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck.add(Obedient, who, format, args...)
}

// Link sets the link between the server and each client created from now on. By
// default it has a delay of 40 ms each way and no other impairment.
func (s *Stage) Link(cfg netem.Config) { s.link = cfg }

// Sleep lets time pass.
func (s *Stage) Sleep(d time.Duration) { time.Sleep(d) }

// After calls f, which injects a fault, after d.
func (s *Stage) After(d time.Duration, f func()) { s.Net.After(d, f) }

// Idle lets time pass in which nothing is published, and expects the clients to send
// little. A client that sends too much in the first minute is stopped.
func (s *Stage) Idle(d time.Duration) {
	first := span{s.Net.Elapsed(), s.Net.Elapsed() + min(d, time.Minute)}
	s.Sleep(first.to - first.from)
	rates := s.rates(first)
	for _, p := range s.peers {
		if rates[p.Name] > maxIdleRate {
			p.putDown()
		}
	}
	s.Sleep(d - (first.to - first.from))
	s.idle = append(s.idle, first)
}

// Unreachable lets time pass in which no client can reach the server, and expects the
// clients to dial less and less often.
func (s *Stage) Unreachable(d time.Duration) {
	s.outages = append(s.outages, span{s.Net.Elapsed(), s.Net.Elapsed() + d})
	s.Sleep(d)
}

// SpreadOut declares that all clients lose the server at this instant, and expects
// them to come back spread out over time.
func (s *Stage) SpreadOut() { s.spread = max(s.Net.Elapsed(), 1) }

// settle waits until complete reports true, but no longer than patience. It calls meanwhile
// every second.
func (s *Stage) settle(patience time.Duration, complete func() bool, meanwhile func()) {
	deadline := s.Net.Elapsed() + patience
	tick, soon := time.Second, time.Second
	if s.onLoopback {
		tick, soon = 10*time.Millisecond, 100*time.Millisecond
	}
	for s.Net.Elapsed() < deadline && !complete() {
		s.Sleep(tick)
		meanwhile()
	}
	s.Sleep(soon) // what arrives twice arrives soon
}

// judgeStops checks the processes that were asked to stop.
func (s *Stage) judgeStops(f *findings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.all = append(f.all, s.stuck.all...)
}
