package sim

import (
	"fmt"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// on makes a fault of some directions of a link.
func (l *Link) on(what string, made expression, pipes ...*pipe) *Fault {
	f := l.n.newFault(what, l.a, l.b, made)
	f.miss, f.pipes = "packet", pipes
	return f
}

// do begins a fault at once.
func (l *Link) do(f *Fault) { l.n.do(func() { f.beginNow() }) }

// Down is [Link.Down] as a fault: the link is silent in both directions.
func Down(l *Link) *Fault {
	l.must("Down")
	return l.silent().enlisted()
}

func (l *Link) silent() *Fault {
	return l.cutBy(l.on("link down", expression{"Down", []any{l}}, l.ab, l.ba), cut{})
}

// DownFrom is [Link.DownFrom] as a fault: the direction that leads away from h is silent.
func DownFrom(l *Link, h Node) *Fault {
	l.must("DownFrom")
	return l.silentFrom(h).enlisted()
}

func (l *Link) silentFrom(h Node) *Fault {
	p, name := l.from("DownFrom", h), h.base().name
	return l.cutBy(l.on("link down from "+name, expression{"DownFrom", []any{l, h}}, p), cut{})
}

// from returns the direction of the link that leads away from h.
func (l *Link) from(method string, h Node) *pipe {
	from := l.n.nodeOf(method, h)
	switch from {
	case l.a:
		return l.ab
	case l.b:
		return l.ba
	}
	panic(fmt.Sprintf("sim: link %v: %s(%q): it must be one of the link's two ends", l, method, from.name))
}

// Unplug is [Link.Unplug] as a fault: both cables are pulled out.
func Unplug(l *Link) *Fault {
	l.must("Unplug")
	return l.unplugged().enlisted()
}

func (l *Link) unplugged() *Fault {
	f := l.cutBy(l.on("cable unplugged", expression{"Unplug", []any{l}}, l.ab, l.ba), cut{})
	down := f.begin
	f.begin = func() {
		down()
		for _, p := range f.pipes {
			if p.neighbour != nil {
				p.neighbour.forget(f, f.what)
				p.neighbour.six.forget(f, f.what)
			}
		}
	}
	return f
}

// Reject is [Link.RejectWith] as a fault: the link answers every packet with an ICMP message.
func Reject(l *Link, code ICMPCode) *Fault {
	l.must("Reject")
	return l.rejecting("Reject", code).enlisted()
}

func (l *Link) rejecting(method string, code ICMPCode) *Fault {
	if _, ok := icmpMeanings[code]; !ok {
		panic(fmt.Sprintf("sim: link %v: %s(%d): it must be one of the codes of ICMPCode", l, method, uint16(code)))
	}
	c := cut{rejects: true, code: code}
	return l.cutBy(l.on(c.why(), expression{"Reject", []any{l, code}}, l.ab, l.ba), c)
}

// cutBy makes a fault let no packet pass.
func (l *Link) cutBy(f *Fault, c cut) *Fault {
	c.fault = f
	f.begin = func() {
		for _, p := range f.pipes {
			p.disturb(func(t *trouble) { t.cuts = append(t.cuts, c) })
		}
	}
	f.end = func() {
		for _, p := range f.pipes {
			p.uncut(f)
		}
	}
	return f
}

// instead begins a fault at once and ends those that cut its directions.
func (l *Link) instead(f *Fault) {
	l.n.do(func() {
		for _, p := range f.pipes {
			p.mend()
		}
		f.beginNow()
	})
}

// Hold is [Link.Hold] as a fault: packets wait at the entry of the link until the fault is over.
func Hold(l *Link) *Fault {
	l.must("Hold")
	return l.holding().enlisted()
}

func (l *Link) holding() *Fault {
	f := l.on("link holds", expression{"Hold", []any{l}}, l.ab, l.ba)
	f.begin = func() {
		for _, p := range f.pipes {
			p.disturb(func(t *trouble) { t.holding.add(f) })
		}
	}
	f.end = func() {
		for _, p := range f.pipes {
			p.disturb(func(t *trouble) { t.holding.remove(f) })
			p.release()
		}
	}
	return f
}

// release sends the packets that wait at the entry of a pipe, if nothing holds them any more.
func (p *pipe) release() {
	held := p.held
	if len(held) == 0 || p.trouble.holds() != nil {
		return
	}
	p.held = nil
	n := p.n
	n.submit(operation{kind: opRelease, dest: p.String(), run: func(now int64) {
		for _, pkt := range held {
			n.transmit(pkt, now)
		}
	}}, 0)
}

// Impair gives both directions of a link another configuration for a while. When the fault is over, the link
// has the configuration of [Network.Link] or [Link.Set] again. If several such faults overlap, the last one
// decides; those with the same configuration count what it meets too. Set ends them all. Impair panics if cfg
// is not valid.
//
// If cfg has another Delay, Jitter, Rate, Framing, Shaper or Slots than the link has without such a fault,
// the fault meets every packet. Otherwise it meets packets that are lost, dropped, duplicated, reordered,
// corrupted or marked and, with another MTU, fragments.
func Impair(l *Link, cfg netem.Config) *Fault {
	l.must("Impair")
	mustBeValid("link "+l.String()+": Impair", cfg, cfg)
	f := l.on("link impaired", expression{"Impair", []any{l, cfg}}, l.ab, l.ba)
	f.miss = "packet that it affected"
	f.begin = func() {
		for _, p := range f.pipes {
			own := p.given()
			p.own = &own
			p.set(cfg)
			p.disturb(func(t *trouble) {
				t.impaired = append(t.impaired, worse{f, cfg, eachPacketDiffers(own, cfg), mtuOf(own) != mtuOf(cfg)})
			})
		}
	}
	f.end = func() {
		for _, p := range f.pipes {
			p.disturb(func(t *trouble) {
				t.impaired = slices.DeleteFunc(t.impaired, func(w worse) bool { return w.fault == f })
			})
			p.set(p.configuration())
			if p.trouble == nil || len(p.trouble.impaired) == 0 {
				p.own = nil
			}
		}
	}
	return f.enlisted()
}

// configuration returns the configuration that p must have: that of the last fault, or its own.
func (p *pipe) configuration() netem.Config {
	if t := p.trouble; t != nil && len(t.impaired) > 0 {
		return t.impaired[len(t.impaired)-1].cfg
	}
	return p.given()
}

// given returns the configuration that the program has given p.
func (p *pipe) given() netem.Config {
	if p.own != nil {
		return *p.own
	}
	return p.em.Config()
}

// Crash is [Host.Crash] as a fault: the host's processes die. When it is over, the host restarts, unless
// another fault keeps it down.
func Crash(h *Host) *Fault {
	h.must("Crash")
	return h.crashing().enlisted()
}

func (h *Host) crashing() *Fault {
	f := h.n.newFault("crash", &h.node, nil, expression{"Crash", []any{h}})
	f.miss, f.afterwards = "process, socket or connection", h.closeAbandoned
	f.begin = func() {
		h.downs.add(f)
		if !h.dead {
			h.kill(f, true)
		}
	}
	f.end = func() { h.mended(f) }
	return f
}

// PowerOff is [Host.PowerOff] as a fault. When it is over, the host restarts, unless another fault keeps it
// down.
func PowerOff(h *Host) *Fault {
	h.must("PowerOff")
	h.n.mustSimulate("PowerOff")
	return h.darkening().enlisted()
}

func (h *Host) darkening() *Fault {
	f := h.n.newFault("power off", &h.node, nil, expression{"PowerOff", []any{h}})
	f.miss = "packet, process, socket or connection"
	f.begin = func() {
		h.downs.add(f)
		h.off.add(f)
		h.forgetPaths()
		h.told = nil
		h.forgetNeighbours(f)
		h.loseHeld(f)
		if h.fragments != nil {
			h.fragments.lose()
		}
		h.kill(f, false)
	}
	f.end = func() { h.mended(f) }
	return f
}

// mended restarts a host that no fault keeps down any more.
func (h *Host) mended(f *Fault) {
	h.downs.remove(f)
	h.off.remove(f)
	if h.downs == nil {
		h.boot()
	}
}

// Pause is [Host.Pause] as a fault: the host's processes are frozen. A host that is down has no processes,
// and a crash ends those it has; in either case the fault is over.
func Pause(h *Host) *Fault {
	h.must("Pause")
	h.n.mustSimulate("Pause")
	return h.freezing().enlisted()
}

func (h *Host) freezing() *Fault {
	f := h.n.newFault("pause", &h.node, nil, expression{"Pause", []any{h}})
	f.miss = "call of its processes, nor anything that they waited for"
	f.begin = func() {
		if h.dead { // a host that is down has no processes; those of a restart are not frozen
			f.over()
			return
		}
		h.cpu.count(h.n.now())
		h.pause.faults.add(f)
		f.hits(len(h.cpu.jobs))
	}
	f.end = func() {
		h.cpu.count(h.n.now())
		h.pause.faults.remove(f)
		if h.pause.faults == nil {
			h.resume()
		}
	}
	return f
}

// Partition is [Network.Partition] as a fault: hosts of different groups cannot reach each other.
func Partition(n *Network, groups ...[]*Host) *Fault {
	if n == nil {
		panic("sim: Partition: the network is nil")
	}
	return n.split(groups).enlisted()
}

func (n *Network) split(groups [][]*Host) *Fault {
	args := []any{n}
	for _, g := range groups {
		args = append(args, slices.Clone(g))
	}
	of := n.groups("Partition", groups)
	return n.parting("partition "+groupNames(groups...), expression{"Partition", args}, PartitionConfig{}, func(from, to *Host) bool {
		i, leaves := of[from]
		j, enters := of[to]
		return leaves && enters && i != j
	})
}

// PartitionOneWay is [Network.PartitionOneWay] as a fault.
func PartitionOneWay(n *Network, from, to []*Host) *Fault {
	if n == nil {
		panic("sim: PartitionOneWay: the network is nil")
	}
	return n.splitOneWay(from, to).enlisted()
}

func (n *Network) splitOneWay(from, to []*Host) *Fault {
	leaving, entering := n.setOf("PartitionOneWay", from), n.setOf("PartitionOneWay", to)
	made := expression{"PartitionOneWay", []any{n, slices.Clone(from), slices.Clone(to)}}
	return n.parting("partition one way "+groupNames(from, to), made, PartitionConfig{}, func(from, to *Host) bool {
		return leaving[from] && entering[to]
	})
}

// BlockICMP is [Router.BlockICMP] as a fault: the router sends and forwards no ICMP messages.
func BlockICMP(r *Router) *Fault {
	if r == nil {
		panic("sim: BlockICMP: the router is nil")
	}
	return r.blocking().enlisted()
}

func (r *Router) blocking() *Fault {
	f := r.n.newFault("ICMP blocked", &r.node, nil, expression{"BlockICMP", []any{r}})
	f.miss = "ICMP message"
	f.begin = func() { r.icmpBlocked.add(f) }
	f.end = func() { r.icmpBlocked.remove(f) }
	return f
}
