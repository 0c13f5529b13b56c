package sim

import "cmp"

// A callQueue holds what the program has asked of the network and the engine has not taken yet, and what the
// program must be woken for.
type callQueue struct {
	pending   pendingOps
	stepping  bool   // a step is requested
	wakes     []wake // in order; the ones before firstWake are done
	firstWake int
	waiters   []*waiter // not in use by a blocked call, for reuse
	made      uint64    // number of calls
	sampled   int64     // instant of the last call whose number is a multiple of sampleEvery
}

// sampleEvery is the number of calls after which the network notes the program's current instant: the program
// may make many calls that give the engine nothing to do.
const sampleEvery = 1 << 12

// count counts a call.
//
//go:norace
func (q *callQueue) count(c *clock) {
	if q.made++; q.made%sampleEvery == 0 {
		q.sampled = c.now()
	}
}

// A wake is one thing for which the program must be woken.
type wake struct {
	host *Host
	q    *waitq        // a blocked call
	done chan struct{} // or a channel to close
}

// A change of the network is a function of the program, called when its turn comes.
type change struct {
	by    moment // when the program asked for it
	f     func()
	fault *Fault // the fault that it begins or ends, or nil
	ends  bool

	hidden bool // not a plan of the program
}

// pendingOps are what the program asked for at one instant and the engine has not taken yet.
type pendingOps struct {
	conns []*TCPConn // connections with something to do, each once
	other []operation
	at    int64 // the instant

	// The earliest instant at which the program can observe an effect, and the same in case a writer blocks
	// meanwhile, which is no later. Both are never if nothing is pending.
	until, untilBlocked int64
}

// nothingPending is an empty pendingOps.
var nothingPending = pendingOps{until: never, untilBlocked: never}

func (p *pendingOps) empty() bool { return len(p.conns) == 0 && len(p.other) == 0 }

// begin must be called before something is added, with the present instant.
func (p *pendingOps) begin(now int64) {
	if p.empty() {
		p.at, p.until, p.untilBlocked = now, never, never
	}
}

// A horizon is how long from now, in nanoseconds, the program cannot observe an effect of something: as
// things are, and in case a writer blocks meanwhile, which is no longer.
type horizon struct{ free, blocked int64 }

// An operation is something that a program asked of the network and that is not yet tied to a connection. Its
// key orders the operations of one instant.
type operation struct {
	host *Host
	kind opKind
	dest string // for a dial: the destination
	n    uint64 // number among operations with equal keys

	letter *letter         // a datagram to send
	run    func(now int64) // or a function to run
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
	opRelease opKind = iota // belongs to no host
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
