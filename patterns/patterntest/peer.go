package patterntest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A Peer is a client on a [Stage]: a host, and the process on it.
type Peer struct {
	Name string    // also the name of its host
	Host *sim.Host // where it runs
	Link *sim.Link // to the server; nil in [Loopback]

	stage   *Stage
	owner   owner       // of its goroutines
	stopped atomic.Bool // by the contract, since it ran wild
	process process

	mu     sync.Mutex
	leftAt time.Duration   // it has stopped, as it was asked to; 0: it runs
	starts []time.Duration // when its process began to run
}

// run creates the peer's host, with a good link, and runs the client there. The caller must
// replace the link by [Stage.Link]'s once the client is connected.
func (p *Peer) run(s *Stage, name string, receive func(ctx context.Context, h *sim.Host) error) {
	p.Name, p.Host, p.stage, p.owner = name, s.Net.Host(name), s, newOwner()
	if !s.onLoopback {
		p.Link = s.Net.Link(p.Host, s.Server, netem.Config{Delay: Transit})
	}
	s.mu.Lock()
	s.peers = append(s.peers, p)
	s.mu.Unlock()
	p.Host.Run("client", func(ctx context.Context, h *sim.Host) error {
		p.owner.take()
		return p.process.run(ctx, func(ctx context.Context) error {
			p.mu.Lock()
			p.starts = append(p.starts, s.Net.Elapsed())
			p.mu.Unlock()
			return receive(ctx, h)
		})
	})
}

// Leave asks the client to stop, while its network works: the context of its process
// is done. The client must stop within 10 s. It comes back with [Peer.Return].
func (p *Peer) Leave() {
	p.stage.moved(p.Name, p.Name+" leaves")
	if !p.process.ask(stopTime) {
		at := p.stage.Net.Elapsed() - stopTime
		p.stage.overstayed(p.Name, "%s had not stopped %v after it was asked to at %v", p.Name, stopTime, at)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process.resting() != nil { // else it has returned already
		p.leftAt = p.stage.Net.Elapsed()
	}
}

// Return undoes [Peer.Leave].
func (p *Peer) Return() {
	p.stage.moved(p.Name, p.Name+" returns")
	p.mu.Lock()
	p.leftAt = 0
	p.mu.Unlock()
	p.process.again()
}

// beganAnew reports whether the client started, or opened a connection, within a time.
func (p *Peer) beganAnew(from, to time.Duration) bool {
	p.mu.Lock()
	starts := slices.Clone(p.starts)
	p.mu.Unlock()
	return slices.ContainsFunc(append(starts, p.stage.dials()[p.Name]...), func(at time.Duration) bool { return at > from && at <= to })
}

// left returns when the client stopped after it was asked to; 0: it runs.
func (p *Peer) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leftAt
}

// putDown stops a client that runs wild, so that the story ends.
func (p *Peer) putDown() {
	p.stopped.Store(true)
	p.Host.Crash()
}

// StartRejected restarts the client over a link that rejects all packets until
// [sim.Link.Up] is called. A client that then dials in a hot loop is stopped.
func (s *Stage) StartRejected(p *Peer) {
	p.Link.Reject()
	s.startAnew(p)
}

// startAnew restarts a client that cannot reach anybody. A client that then dials in a hot loop is
// stopped.
func (s *Stage) startAnew(p *Peer) {
	p.Host.Restart()
	// A dial over such a link fails in no time: a client that repeats it at once would do so forever.
	s.After(10*time.Microsecond, func() {
		if most, _ := Peak(s.dials()[p.Name], time.Second); most > maxAttempts {
			p.putDown()
		}
	})
}
