package sim

import (
	"reflect"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// A trouble is what active faults do to a pipe. A pipe without any has none.
type trouble struct {
	cuts     []cut   // faults that silence it or send packets back; the last of them decides
	holding  ongoing // faults that make packets wait
	impaired []worse // faults that change its configuration; the last of them decides
	filters  []*filter
}

// A cut is a fault that lets no packet pass.
type cut struct {
	fault   *Fault
	rejects bool     // packets are sent back
	code    ICMPCode // with this code
}

// A worse is a pipe's configuration by a fault.
type worse struct {
	fault *Fault
	cfg   netem.Config
	every bool // it affects every packet
	cuts  bool // its MTU differs from the link's
}

// rejects returns the cut that sends packets back now, or nil.
func (t *trouble) rejects() *cut {
	if t == nil || len(t.cuts) == 0 || !t.cuts[len(t.cuts)-1].rejects {
		return nil
	}
	return &t.cuts[len(t.cuts)-1]
}

// holds returns the faults for which packets wait.
func (t *trouble) holds() ongoing {
	if t == nil {
		return nil
	}
	return t.holding
}

// disturb changes the faults of p.
func (p *pipe) disturb(change func(t *trouble)) {
	if p.trouble == nil {
		p.trouble = new(trouble)
	}
	change(p.trouble)
	if t := p.trouble; len(t.cuts)+len(t.holding)+len(t.impaired)+len(t.filters) == 0 {
		p.trouble = nil
	}
	p.n.invalidate()
}

// mayAnswer reports whether p may answer a packet at once.
func (p *pipe) mayAnswer() bool {
	return p.trouble != nil && (p.trouble.rejects() != nil || len(p.trouble.filters) > 0)
}

// troubled handles a packet about to enter a pipe with a fault, and reports whether it enters.
func (n *Network) troubled(now int64, pkt *packet, p *pipe) bool {
	t := p.trouble
	switch {
	case t.holding != nil:
		t.holding.met(now, pkt)
		n.record(now, Held, pkt, "")
		p.held = append(p.held, pkt)
		return false
	case t.rejects() != nil && (pkt.proto == protoARP || pkt.proto == protoNDP):
		return true // neighbours answer
	case len(t.cuts) > 0:
		for _, c := range t.cuts {
			c.fault.met(now, pkt)
		}
		if c := t.rejects(); c != nil {
			n.sendBack(now, pkt, p, c.code, c.why())
		} else {
			n.drop(now, pkt, p, t.cuts[len(t.cuts)-1].fault.what)
		}
		return false
	}
	return true
}

// why is the reason that the trace gives for a packet that is sent back.
func (c *cut) why() string {
	if c.code == ICMPHostUnreachable {
		return "link rejects"
	}
	return "link rejects: " + c.code.String()
}

// affected counts a packet of a pipe for the fault that makes its configuration worse, if that affected the
// packet.
func (t *trouble) affected(now int64, pkt *packet, v *netem.Verdict) {
	if len(t.impaired) == 0 {
		return
	}
	last := &t.impaired[len(t.impaired)-1]
	cut := pkt.frag.whole != nil && last.cuts
	if !last.every && !cut && !v.Dropped() && len(v.Copies) == 0 && !v.Reordered && !v.Corrupt && !v.Marked {
		return
	}
	for i := range t.impaired {
		if w := &t.impaired[i]; w == last || reflect.DeepEqual(w.cfg, last.cfg) {
			w.fault.met(now, pkt)
		}
	}
}

// came returns how many packets have arrived at the pipe, even if it dropped or held them.
func (p *pipe) came() int64 {
	s := &p.stats
	return s.Sent + s.Dropped - s.Lost - s.QueueFull - s.TooLarge - s.OverLimit - s.CutOff + int64(len(p.held))
}

// uncut ends a fault's cut of p.
func (p *pipe) uncut(f *Fault) {
	p.disturb(func(t *trouble) {
		t.cuts = slices.DeleteFunc(t.cuts, func(c cut) bool { return c.fault == f })
	})
}

// mend lets packets pass p again. A fault that is on no other pipe is over.
func (p *pipe) mend() {
	if p.trouble == nil {
		return
	}
	cuts := p.trouble.cuts
	p.disturb(func(t *trouble) { t.cuts = nil })
	for _, c := range cuts {
		if !slices.ContainsFunc(c.fault.pipes, func(q *pipe) bool { return q.trouble.cutBy(c.fault) }) {
			c.fault.over()
		}
	}
}

// cutBy reports whether a fault lets no packet pass.
func (t *trouble) cutBy(f *Fault) bool {
	return t != nil && slices.ContainsFunc(t.cuts, func(c cut) bool { return c.fault == f })
}
