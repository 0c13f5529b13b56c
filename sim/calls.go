package sim

import "cmp"

// A callQueue is what the program asked of the network and the engine has not taken yet, and what
// it is to be woken for.
type callQueue struct {
	pending   pendingOps
	stepping  bool   // a step is requested
	wakes     []wake // in order; those before firstWake have been taken
	firstWake int
	waiters   []*waiter // of no blocked call, for reuse
	made      uint64    // calls
	sampled   int64     // instant of the last one whose number is a multiple of sampleEvery
}

// sampleEvery is after how many calls the instant is noted at which the program is: it may make many
// for which the engine has nothing to do.
const sampleEvery = 1 << 12

// count counts a call.
//
//go:norace
func (q *callQueue) count(c *clock) {
	if q.made++; q.made%sampleEvery == 0 {
		q.sampled = c.now()
	}
}

// A wake is one thing that the program is to be woken for.
type wake struct {
	host *Host
	q    *waitq        // a blocked call,
	done chan struct{} // or a channel to close
}

// A change of the network is a function of the program's, called in its turn.
type change struct {
	by    moment // when it was asked for
	f     func()
	fault *Fault // that begins or ends by it, or nil
	ends  bool

	hidden bool // it is no plan of the program's
}

// pendingOps is what the program asked for at one instant and the engine has not
// taken yet.
type pendingOps struct {
	conns []*TCPConn // connections with something to do, each once
	other []operation
	at    int64 // the instant

	// The earliest instant at which the program can observe an effect; and the same should a
	// writer block meanwhile, which is no later. Both are never if nothing is pending.
	until, untilBlocked int64
}

// nothingPending is pendingOps without any.
var nothingPending = pendingOps{until: never, untilBlocked: never}

func (p *pendingOps) empty() bool { return len(p.conns) == 0 && len(p.other) == 0 }

// begin comes before something is added.
func (p *pendingOps) begin(n *Network) {
	if p.empty() {
		p.at, p.until, p.untilBlocked = n.now(), never, never
	}
}

// A horizon is for how long from now, in nanoseconds, the program cannot observe an effect of something:
// as things are, and should a writer block meanwhile, which is no longer.
type horizon struct{ free, blocked int64 }

// An operation is something a program asked of the network that is not yet tied
// to a connection. Its key orders the operations of one instant.
type operation struct {
	host *Host
	kind opKind
	dest string // for a dial: where to
	n    uint64 // among those alike, which one

	letter *letter         // to be sent,
	run    func(now int64) // or what to do
}

func (o *operation) perform(now int64) {
	if o.letter != nil {
		o.letter.send(now)
		return
	}
	o.run(now)
}

type opKind uint8

const (
	opRelease opKind = iota // has no host
	opDial
	opDatagram
)

func compareOps(a, b operation) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	if a.host != b.host {
		return cmp.Compare(a.host.name, b.host.name)
	}
	return cmp.Or(cmp.Compare(a.dest, b.dest), cmp.Compare(a.n, b.n))
}
