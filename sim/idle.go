package sim

import (
	"time"
)

// A program that waits for months, for a certificate to expire or because it hangs, may keep connections open
// meanwhile, and their keep-alive goes on. The program cannot observe that as long as the probes are
// answered. So the engine defers it (see lookahead), and never carries it out if no later call asks for it. A
// test that hangs then reaches the limit of virtual time at once, and one that sleeps wakes as it should.

// idleAfter is how long the program must do nothing on the network before the engine looks for idleness. By
// default a connection first probes after 15 s (Go's keep-alive).
const idleAfter = int64(10 * time.Second)

// idleLooks is how many events the engine looks at, at most, for each that it carried out. So the cost of
// looking stays small compared with that of the events, however many connections there are.
const idleLooks = 16

// goIdle reports whether nothing but keep-alive is left, and records until when that is certain. What is due
// now is then deferred.
func (n *Network) goIdle(now int64) bool {
	n.lookahead.idleTill = 0
	if !n.lookahead.on || now-n.clock.active < idleAfter || !n.calls.pending.empty() || n.calls.firstWake < len(n.calls.wakes) ||
		n.lookahead.played*idleLooks < len(n.queue.events) {
		return false
	}
	n.lookahead.played = 0
	n.queue.settle()
	till := never
	for i := range n.queue.events {
		e := &n.queue.events[i]
		at := e.when
		switch class := e.ord & classMask; class {
		case classPacket, classChange:
		case classTimer:
			if c, ok := e.what.(*TCPConn); ok {
				at = c.aliveTill()
				break
			}
			at = e.timed().next(class)
		default:
			at = e.timed().next(class)
		}
		if till = min(till, at); till <= now {
			return false
		}
	}
	n.lookahead.idleTill = till
	return true
}

// aliveTill returns the instant before which the program cannot observe what c's timers do.
func (c *TCPConn) aliveTill() int64 {
	at := c.next(classTimer)
	fails, every, ok := c.keepsAlive()
	p := c.flow.peer
	if at == never || !ok || p == nil || p.gone || p.host.off != nil || p.flow.peer != c || !p.answers(c) {
		return at
	}
	if _, _, ok := p.keepsAlive(); !ok {
		return at
	}
	there, sure := c.flow.path.surely()
	back, sureBack := p.flow.path.surely()
	if sure && sureBack && there+back < int64(every) {
		return never
	}
	return int64(fails)
}

// surely reports whether a connection's keep-alive packets arrive for certain, and how long they take.
func (p *path) surely() (time int64, ok bool) {
	longest := p.header + 60 // the longest header of TCP
	if len(p.cuts()) > 0 || p.lost() || p.to.box != nil {
		return 0, false
	}
	for _, d := range p.pipes() {
		cfg := d.em.Config()
		most, known := d.em.Ceiling()
		if d.neighbour != nil || d.trouble != nil || d.from.box != nil || d.mtu < longest || cfg.Loss != nil || cfg.Corrupt > 0 || !known || d.em.Waits() {
			return 0, false
		}
		time += int64(most)
	}
	return time, true
}
