package sim

import (
	"cmp"
	"fmt"
	"time"

	"github.com/squall-sim/squall/netem"
)

// A Link joins two hosts, with a configuration for each direction. Its methods
// change it while packets travel. They act at once: on what is sent from now on,
// also by connections that stand already. What is on its way arrives.
//
// At one instant a change made by [Network.After] comes before the packets.
type Link struct {
	n    *Network
	a, b *Host
	ab   *pipe
	ba   *pipe
}

// A pipe is one direction of the path between two hosts.
type pipe struct {
	n        *Network
	from, to *Host
	em       *netem.Pipe
	key      uint64 // of the random streams: a function of seed, hosts and direction
	misc     netem.Stream
	link     *Link // nil for the default path

	down   *fault // what is silenced
	reject *fault // what is sent back
	hold   *fault // what waits
	held   []heldPacket
	cuts   []*fault // partitions that cover this direction

	stats LinkStats
	mtu   int // the largest packet that it takes, in bytes
}

type heldPacket struct {
	pkt    *packet
	stream *netem.Stream
}

// Link joins a and b by a link whose two directions are alike and independent.
// Before, they were joined by the default path ([DefaultLink]). It panics if a or
// b is nil or of another network, if they are the same host or are joined by a
// link already, or if cfg is not valid.
func (n *Network) Link(a, b *Host, cfg netem.Config) *Link {
	return n.LinkAsym(a, b, cfg, cfg)
}

// LinkAsym is [Network.Link] with a configuration for each direction.
func (n *Network) LinkAsym(a, b *Host, aToB, bToA netem.Config) *Link {
	n.owns("Link", a, b)
	if a == b {
		panic(fmt.Sprintf("sim: Link: host %q cannot be linked to itself", a.name))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ab, ba := n.pipe(a, b), n.pipe(b, a)
	if ab.link != nil {
		panic(fmt.Sprintf("sim: Link: hosts %q and %q are linked already; Link.Set changes a link", a.name, b.name))
	}
	l := &Link{n: n, a: a, b: b, ab: ab, ba: ba}
	l.set(ab, aToB)
	l.set(ba, bToA)
	ab.link, ba.link = l, l
	n.links = append(n.links, l)
	return l
}

// owns panics unless all hosts belong to n.
func (n *Network) owns(method string, hosts ...*Host) {
	for _, h := range hosts {
		if h == nil {
			panic("sim: " + method + ": a host is nil")
		}
		if h.n != n {
			panic(fmt.Sprintf("sim: %s: host %q belongs to another network", method, h.name))
		}
	}
}

// pipe returns the direction from a to b, which is made at first use as the
// default path.
func (n *Network) pipe(a, b *Host) *pipe {
	p := n.pipes[pair{a, b}]
	if p != nil {
		return p
	}
	cfg := n.conf.defaultLink
	if a == b {
		cfg = netem.Config{MTU: loopbackMTU}
	}
	em, err := netem.NewPipe(cfg)
	if err != nil {
		panic("sim: " + err.Error()) // DefaultLink has validated it
	}
	key := mix(mix(n.seed^a.hash) + b.hash)
	p = &pipe{n: n, from: a, to: b, em: em, key: key, misc: netem.NewStream(key), mtu: mtuOf(cfg)}
	n.pipes[pair{a, b}] = p
	return p
}

func mtuOf(cfg netem.Config) int {
	return cmp.Or(cfg.MTU, 1500) // netem's default
}

// loopbackMTU is the largest IPv4 packet; Linux's lo device takes as much.
const loopbackMTU = 65535

func (l *Link) set(p *pipe, cfg netem.Config) {
	if err := p.em.Set(cfg); err != nil {
		panic(fmt.Sprintf("sim: link %s - %s: %v", l.a.name, l.b.name, err))
	}
	p.mtu = mtuOf(cfg)
}

func (l *Link) String() string { return l.a.name + " - " + l.b.name }

// Set gives both directions a new configuration. Packets on their way keep their
// times, and a queue what is in it. It panics if cfg is not valid.
func (l *Link) Set(cfg netem.Config) { l.SetAsym(cfg, cfg) }

// SetAsym is [Link.Set] with a configuration for each direction, from the first
// host of the link to the second and back.
func (l *Link) SetAsym(aToB, bToA netem.Config) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.set(l.ab, aToB)
	l.set(l.ba, bToA)
	l.n.note(l.a, l.b, "link changed")
}

// Down silences the link in both directions until [Link.Up]: packets vanish and
// nobody is told, as with a cable that is cut. Connections live on and find out by
// their own timeouts.
func (l *Link) Down() { l.down("link down", l.ab, l.ba) }

// DownFrom is [Link.Down] for the direction that leads away from h, one of the two
// hosts of the link.
func (l *Link) DownFrom(h *Host) {
	switch h {
	case l.a:
		l.down("link down from "+h.name, l.ab)
	case l.b:
		l.down("link down from "+h.name, l.ba)
	default:
		name := "nil"
		if h != nil {
			name = fmt.Sprintf("%q", h.name)
		}
		panic(fmt.Sprintf("sim: link %v: DownFrom(%s): the host must be one of the link's two", l, name))
	}
}

func (l *Link) down(what string, ps ...*pipe) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	f := l.n.fault(l.a, l.b, what)
	for _, p := range ps {
		p.down, p.reject = f, nil
	}
}

// Up undoes [Link.Down], [Link.DownFrom] and [Link.Reject].
func (l *Link) Up() {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	for _, p := range []*pipe{l.ab, l.ba} {
		p.down, p.reject = nil, nil
	}
	l.n.note(l.a, l.b, "link up")
}

// Reject has the link send packets back with ICMP host unreachable, both ways,
// until [Link.Up]: an attempt to connect fails at once with EHOSTUNREACH, while
// established connections go on resending, as Linux has them do, and name it as
// their error when they give up (RFC 1122 section 4.2.3.9).
func (l *Link) Reject() {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	f := l.n.fault(l.a, l.b, "link rejects")
	for _, p := range []*pipe{l.ab, l.ba} {
		p.down, p.reject = nil, f
	}
}

// Hold makes packets wait at their entry of the link, without limit, until
// [Link.Release].
func (l *Link) Hold() {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	f := l.n.fault(l.a, l.b, "link holds")
	for _, p := range []*pipe{l.ab, l.ba} {
		p.hold = f
	}
}

// Release undoes [Link.Hold] and sends what waits, in order.
func (l *Link) Release() {
	n := l.n
	n.mu.Lock()
	defer n.mu.Unlock()
	n.note(l.a, l.b, "link released")
	for _, p := range []*pipe{l.ab, l.ba} {
		p.hold = nil
		held := p.held
		p.held = nil
		if len(held) == 0 {
			continue
		}
		n.op(operation{host: p.from, kind: opListener, dest: p.to.name, run: func(now int64) {
			for _, h := range held {
				n.transmit(p, h.pkt, h.stream, now)
			}
		}})
	}
}

// Partition silences all paths between hosts of different groups, both ways, for
// new and established connections alike, until [Network.Heal]. Hosts in no group
// reach everybody; so groups that share nothing with a host make a partial
// partition. Several partitions add up. It panics if a host stands in two groups.
func (n *Network) Partition(groups ...[]*Host) {
	of := map[*Host]int{}
	for i, g := range groups {
		n.owns("Partition", g...)
		for _, h := range g {
			if j, ok := of[h]; ok && j != i {
				panic(fmt.Sprintf("sim: Partition: host %q stands in groups %d and %d", h.name, j+1, i+1))
			}
			of[h] = i
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.fault(nil, nil, "partition "+groupNames(groups...))
	for i, g := range groups {
		for _, other := range groups[i+1:] {
			n.cut(f, g, other)
			n.cut(f, other, g)
		}
	}
}

// PartitionOneWay silences all paths that lead from a host of from to a host of to,
// until [Network.Heal]; the way back stays open.
func (n *Network) PartitionOneWay(from, to []*Host) {
	n.owns("PartitionOneWay", from...)
	n.owns("PartitionOneWay", to...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut(n.fault(nil, nil, "partition one way "+groupNames(from, to)), from, to)
}

func (n *Network) cut(f *fault, from, to []*Host) {
	for _, a := range from {
		for _, b := range to {
			if a != b {
				p := n.pipe(a, b)
				p.cuts = append(p.cuts, f)
			}
		}
	}
}

// Heal ends all partitions.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pipes {
		p.cuts = nil
	}
	n.note(nil, nil, "partitions healed")
}

func groupNames(groups ...[]*Host) string {
	s := ""
	for i, g := range groups {
		if i > 0 {
			s += " | "
		}
		for j, h := range g {
			if j > 0 {
				s += " "
			}
			s += h.name
		}
	}
	return s
}

// A fault is something that a test broke on purpose, with proof that it mattered.
type fault struct {
	at   time.Duration
	what string
	hits int // packets, connections or processes it met
}

// fault records that a test broke something. a and b may be nil.
func (n *Network) fault(a, b *Host, what string) *fault {
	f := &fault{at: time.Duration(n.now()), what: what}
	if a != nil {
		f.what = a.name + ": " + what
	}
	if b != nil {
		f.what = a.name + " - " + b.name + ": " + what
	}
	n.faults = append(n.faults, f)
	n.note(a, b, what)
	return f
}

// note records an event that is not a packet. a and b may be nil.
func (n *Network) note(a, b *Host, what string) {
	r := record{at: n.now(), kind: Noted, note: what}
	if a != nil {
		r.from = a.number
	}
	if b != nil {
		r.to = b.number
	}
	n.trace.add(r)
}
