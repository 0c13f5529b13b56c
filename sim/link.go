package sim

import (
	"cmp"
	"fmt"
	"time"

	"github.com/squall-sim/squall/netem"
)

// A Link joins two hosts or routers, with a configuration for each direction. Its methods may be called while
// packets travel. They take effect at once, on all packets sent from then on, including those of open
// connections. Packets in flight arrive. At one instant, changes made by [Network.After] come before packets.
type Link struct {
	n      *Network
	a, b   *node
	ab, ba *pipe
}

// A pipe is one direction between two neighbours.
type pipe struct {
	n         *Network
	from, to  *node
	em        *netem.Pipe
	draws     netem.Stream // a function of the seed and the names of the two ends; streams of its flows derive from it
	mtu       int          // the largest packet that it takes, in bytes
	damage    netem.Damage // of corrupt packets
	byFlow    bool         // its queue distinguishes flows
	floor     int64        // no packet takes less time than this
	lossMarks bool         // packets are marked instead of lost
	reverse   *pipe

	neighbour *neighbour // what is known about the other end; nil without ARP

	trouble *trouble      // nil if no fault is active there
	own     *netem.Config // configuration without faults; nil if that is the current one
	held    []*packet     // packets that wait at the entry
	waiting *room         // packets in the queue, if it decides late
	last    *packet       // the last train in line; see line

	stats LinkStats
	proof proof
}

// must panics if l is not a link; it names the method.
func (l *Link) must(method string) {
	if l == nil || l.n == nil {
		panic("sim: Link." + method + ": the link is nil, or was not made by Network.Link")
	}
}

// mustBeValid panics unless the configurations of both directions are valid.
func mustBeValid(where string, there, back netem.Config) {
	for _, cfg := range []netem.Config{there, back} {
		if err := cfg.Validate(); err != nil {
			panic(fmt.Sprintf("sim: %s: %v", where, err))
		}
	}
}

func newPipe(n *Network, from, to *node, cfg netem.Config) *pipe {
	p := &pipe{
		n: n, from: from, to: to, em: new(netem.Pipe),
		draws: netem.NewStream(n.seed, "link", from.name, to.name),
		proof: proof{since: time.Duration(n.now())},
	}
	if err := p.em.Set(cfg); err != nil {
		panic("sim: unchecked configuration: " + err.Error())
	}
	p.configured(cfg)
	return p
}

// newPipes makes both directions.
func newPipes(n *Network, a, b *node, aToB, bToA netem.Config) (ab, ba *pipe) {
	ab, ba = newPipe(n, a, b, aToB), newPipe(n, b, a, bToA)
	ab.reverse, ba.reverse = ba, ab
	n.wires.pipes = append(n.wires.pipes, ab, ba)
	return ab, ba
}

// lookahead returns how long the program cannot observe that a packet enters.
func (p *pipe) lookahead() int64 {
	switch {
	case p.trouble != nil && p.mayAnswer():
		return 0
	case p.neighbour != nil:
		return min(p.floor, retransTime)
	}
	return p.floor
}

func (p *pipe) String() string { return p.from.name + " > " + p.to.name }

func mtuOf(cfg netem.Config) int {
	return cmp.Or(cfg.MTU, 1500) // netem's default
}

// Link joins a and b by a link whose two directions are alike and independent. Packets between two hosts take
// the shortest route over links and routers. Two hosts that no links join have the default path
// ([DefaultLink]) between them.
//
// Link panics if a or b is nil or belongs to another network, if they are the same or already joined by a
// link, or if cfg is not valid.
func (n *Network) Link(a, b Node, cfg netem.Config) *Link {
	return n.LinkAsym(a, b, cfg, cfg)
}

// LinkAsym is [Network.Link] with a configuration for each direction.
func (n *Network) LinkAsym(a, b Node, aToB, bToA netem.Config) *Link {
	n.mustSimulate("Link")
	x, y := n.nodeOf("Link", a), n.nodeOf("Link", b)
	if x == y {
		panic(fmt.Sprintf("sim: Link: %q cannot be linked to itself", x.name))
	}
	mustBeValid("link "+x.name+" - "+y.name, aToB, bToA)
	l := &Link{n: n, a: x, b: y}
	n.do(func() {
		if n.wires.linked[nodes{x, y}] != nil {
			panic(fmt.Sprintf("sim: Link: %q and %q are linked already; Link.Set changes a link", x.name, y.name))
		}
		l.join(newPipes(n, x, y, aToB, bToA))
		if n.conf.arp {
			l.ab.resolve()
			l.ba.resolve()
		}
		n.wires.link(l.ab, l.ba)
		n.wires.links = append(n.wires.links, madeLink{l, n.moment()})
		n.wires.version++
		n.invalidate()
	})
	return l
}

// join completes a link that the program does not know yet.
//
//go:norace
func (l *Link) join(ab, ba *pipe) { l.ab, l.ba = ab, ba }

// set changes the configuration, which must be valid, and the times of waiting packets.
func (p *pipe) set(cfg netem.Config) {
	now, before := max(p.n.now(), p.n.clock.at), p.aspects()
	if p.waiting != nil {
		p.leave(now)
	}
	moves, err := p.em.Change(cfg, time.Duration(now))
	if err != nil {
		panic("sim: unchecked configuration: " + err.Error())
	}
	p.configured(cfg)
	p.reconfigured(before, time.Duration(now))
	p.n.move(now, p, moves)
	if p.waiting != nil {
		p.leave(now)
		p.n.wakeAt(atOnce)
	}
}

// reset is set by the test itself, which ends the faults that make the configuration worse.
func (p *pipe) reset(cfg netem.Config) {
	p.own = nil
	if p.trouble != nil {
		p.disturb(func(t *trouble) {
			for _, w := range t.impaired {
				w.fault.over()
			}
			t.impaired = nil
		})
	}
	p.set(cfg)
}

func (p *pipe) configured(cfg netem.Config) {
	p.mtu, p.damage = mtuOf(cfg), cfg.Damage
	_, p.byFlow = cfg.Queue.(netem.FQCoDel)
	p.lossMarks = cfg.ECN
	p.floor = int64(p.em.Floor())
}

// String returns the names of both ends.
func (l *Link) String() string { return l.a.name + " - " + l.b.name }

// Set gives both directions a new configuration. Packets whose last bit is sent keep their times. Packets
// that wait in a queue for the Rate stay there, in order, even if the new Queue is shorter. They leave it at
// the new Rate, including the rest of the packet being sent, and take the new Delay and Jitter. Their losses,
// duplicates and the like were decided when they entered the queue and do not change. Set panics if cfg is
// not valid.
func (l *Link) Set(cfg netem.Config) {
	l.must("Set")
	l.SetAsym(cfg, cfg)
}

// linkChanged is the trace's text for a new configuration.
const linkChanged = "link changed"

// SetAsym is [Link.Set] with a configuration for each direction: from the first end of the link to the
// second, and back.
func (l *Link) SetAsym(aToB, bToA netem.Config) {
	l.must("SetAsym")
	mustBeValid("link "+l.String(), aToB, bToA)
	l.n.do(func() {
		l.ab.reset(aToB)
		l.ba.reset(bToA)
		l.n.note(l.a, l.b, linkChanged)
	})
}

// Down silences the link in both directions until [Link.Up]: packets vanish without a message, as when a
// cable is cut far away. Connections live on and find out by their own timeouts. With [Link.ARP] the link's
// ends find out when the other does not answer.
func (l *Link) Down() {
	l.must("Down")
	l.instead(l.silent())
}

// DownFrom is [Link.Down] for the direction that leads away from h, one of the two ends of the link.
func (l *Link) DownFrom(h Node) {
	l.must("DownFrom")
	l.instead(l.silentFrom(h))
}

// Up undoes [Link.Down], [Link.DownFrom], [Link.Unplug], [Link.Reject] and [Link.RejectWith].
func (l *Link) Up() {
	l.must("Up")
	l.n.do(func() {
		for _, p := range []*pipe{l.ab, l.ba} {
			p.mend()
		}
		l.n.note(l.a, l.b, "link up")
	})
}

// Hold makes packets wait at the entry of the link, without limit, until [Link.Release].
func (l *Link) Hold() {
	l.must("Hold")
	l.do(l.holding())
}

// Release undoes [Link.Hold] and sends the waiting packets, in order.
func (l *Link) Release() {
	l.must("Release")
	n := l.n
	n.do(func() {
		n.note(l.a, l.b, "link released")
		for _, p := range []*pipe{l.ab, l.ba} {
			if p.trouble.holds() != nil {
				p.disturb(func(t *trouble) { t.holding.clear() })
			}
			p.release()
		}
	})
}

// Access gives h an access link, such as a phone's radio or a server's network card. All that h sends to
// other hosts passes it first (up), before the links between the hosts, and all that h receives passes it
// last (down). A second call changes it, as [Link.Set] does. Access panics if a configuration is not valid.
func (h *Host) Access(up, down netem.Config) {
	h.must("Access")
	h.n.mustSimulate("Access")
	mustBeValid(fmt.Sprintf("host %s: Access", h.name), up, down)
	n := h.n
	n.do(func() {
		if h.access.up != nil {
			h.access.up.reset(up)
			h.access.down.reset(down)
			n.invalidate()
			return
		}
		h.access.up, h.access.down = newPipes(n, &h.node, &node{n: n, name: "(access of " + h.name + ")", hash: mix(h.hash)}, up, down)
		n.wires.version++
		n.invalidate()
	})
}

// note records an event that is not a packet. a and b may be nil.
func (n *Network) note(a, b *node, what string) {
	r := record{at: n.now(), kind: Noted}
	if a != nil {
		r.from = a.number
	}
	if b != nil {
		r.to = b.number
	}
	n.log.trace.add(r, what)
	n.invalidate()
}
