package sim

import (
	"cmp"
	"net/netip"
	"slices"
)

// Resolution of neighbours on an Ethernet: ARP (RFC 826) and, for IPv6, neighbour discovery (NDP, RFC 4861).
// Both use Linux's states and times for a neighbour (RFC 4861 section 7.3.2, net/core/neighbour.c).

const (
	retransTime     = int64(1e9)  // net.ipv4.neigh.*.retrans_time_ms
	delayFirstProbe = int64(5e9)  // delay_first_probe_time
	baseReachable   = int64(30e9) // base_reachable_time_ms
	redrawReachable = int64(300e9)
	unicastProbes   = 3                  // ucast_solicit
	multicastProbes = 3                  // mcast_solicit
	unresolvedBytes = 212992             // of memory, unres_qlen_bytes
	arpSize         = 28                 // bytes of such a packet
	ndpSize         = ip6Header + 24 + 8 // the same, with a link-layer address
)

// reachability is what a node believes of a neighbour: NUD_... in Linux.
type reachability uint8

const (
	unknown    reachability = iota // not asked for yet
	incomplete                     // asked for; packets wait
	reachable                      // it answered recently
	stale                          // it may have gone
	delayed                        // a packet was sent to it, without a sign yet that it arrived
	probed                         // asked again, while packets are still sent to it
	failed                         // it did not answer
)

// The two kinds of an ARP packet, and of an NDP packet, in place of TCP's flags.
const (
	arpRequest = iota
	arpReply
)

var (
	arpKinds = [...]string{"request", "reply"}
	ndpKinds = [...]string{"solicitation", "advertisement"}
)

// A neighbour is what the node at the beginning of a pipe knows about the node at its end (struct neighbour).
type neighbour struct {
	pipe      *pipe
	proto     protocol   // with which it asks: ARP or NDP
	six       *neighbour // on an ARP neighbour: the NDP one
	arp       flow       // flow of the node's own messages
	state     reachability
	asked     int   // number of requests
	confirmed int64 // instant of the last sign that it can be reached
	at        int64 // instant of the next change, if nothing happens; or never
	timer     plan  // for it
	waiting   []*packet
	memory    int // of those
}

// ARP makes the link an Ethernet with a switch in the middle: before one end sends to the other, it asks by
// ARP (RFC 826) whether the other is there. Without ARP a link is a point-to-point line: packets to a silent
// host vanish, and the sender finds out by its own timeouts.
//
// The times are Linux's. An end that gets no answer asks three times, a second apart. Packets wait meanwhile,
// up to 212992 bytes of memory. Then they are dropped, and their sender gets "host unreachable". So an
// attempt to connect to a host that is off fails after 3 s with EHOSTUNREACH. The same happens behind a
// router whose last link is an Ethernet, unless the router has [Router.BlockICMP]. An established connection
// keeps retransmitting and reports that error when it gives up; a UDP socket learns nothing (see [ICMPCode]).
//
// An answer is valid for 15 to 45 s, drawn anew every five minutes. The next packet after that is still sent.
// If TCP does not see it acknowledged within 5 s, the end asks the neighbour again, three times. So a
// connection notices the loss of a host's power after about a minute.
//
// Whatever stops packets on the link also stops ARP: Down, DownFrom, Hold, loss. Reject does not stop it, nor
// does a partition between hosts, nor a host that crashed or is paused. With [Link.Unplug] both ends forget
// each other at once.
//
// For IPv6, neighbour discovery (NDP, RFC 4861) does the same with the same states and times, separately for
// each family. Both protocols ask for the host, not for one of its addresses.
//
// There is one difference from Linux. Linux's TCP knows when a segment of an open connection waits on its own
// host for an answer, and sends no tail loss probe meanwhile; here TCP takes the segment for sent. With a
// small [TCPConfig.Retries2] such a connection ends up to one retransmission later than on Linux.
func (l *Link) ARP() {
	l.must("ARP")
	l.n.do(func() {
		l.ab.resolve()
		l.ba.resolve()
		l.n.invalidate()
	})
}

// ARP makes all links Ethernets, see [Link.ARP], and also the path between two hosts that no link joins: they
// are on one local network. Do not use it for links that stand for a part of the Internet.
func ARP() Option {
	return func(o *options) { o.arp = true }
}

// Unplug is [Link.Down] with both cables pulled out: the two ends lose the carrier. On a link with [Link.ARP]
// each end forgets the other at once. It then reports "host unreachable" 3 s after the next packet, rather
// than when its ARP entry has become stale. Packets that wait for an ARP answer are dropped. (Linux may
// notice up to a second late, if the carrier changed within the last second.) On other links Unplug is the
// same as Down: Linux keeps the routes of an interface that has lost its carrier. (It removes those of an
// interface that is set down: see [PartitionBy].) [Link.Up] undoes Unplug.
func (l *Link) Unplug() {
	l.must("Unplug")
	l.instead(l.unplugged())
}

// resolve makes the pipe's beginning ask for its end.
func (p *pipe) resolve() {
	if p.neighbour == nil {
		p.neighbour = newNeighbour(p, protoARP)
		p.neighbour.six = newNeighbour(p, protoNDP)
	}
}

func newNeighbour(p *pipe, proto protocol) *neighbour {
	b := &neighbour{pipe: p, proto: proto, at: never, timer: plan(never)}
	b.arp.path = &path{
		n: p.n, to: p.to, route: []*pipe{p},
		numbers: [2]int32{p.from.number, p.to.number}, hash: p.from.hash ^ p.to.hash<<1,
	}
	if b.arp.path.header = ipHeader; proto == protoNDP {
		b.arp.path.six, b.arp.path.header = true, ip6Header
	}
	return b
}

// neighbourOf returns what is known about the other end for packets of a family; nil without ARP.
func (p *pipe) neighbourOf(six bool) *neighbour {
	if six && p.neighbour != nil {
		return p.neighbour.six
	}
	return p.neighbour
}

// name is the protocol's name in the trace.
func (b *neighbour) name() string {
	if b.proto == protoNDP {
		return "NDP"
	}
	return "ARP"
}

// passes reports whether a packet can enter the pipe now. If not, it waits, or is gone.
func (b *neighbour) passes(now int64, pkt *packet) bool {
	p := b.pipe
	if b.state == reachable || pkt.proto == b.proto || p.trouble.rejects() != nil && p.trouble.holds() == nil {
		return true
	}
	switch b.state {
	case stale:
		b.become(delayed, now+delayFirstProbe)
		return true
	case delayed, probed:
		return true
	case unknown, failed:
		b.become(incomplete, now+retransTime)
		b.asked = unicastProbes
		b.wait(now, pkt)
		b.ask(now)
	default:
		b.wait(now, pkt)
	}
	return false
}

// connected reports whether packets can pass without a check of each.
func (b *neighbour) connected() bool { return b == nil || b.state == reachable }

// become enters a state that lasts until an instant, if nothing happens.
func (b *neighbour) become(s reachability, until int64) {
	b.state, b.at = s, until
	b.pipe.n.queue.schedule(b, classTimer, b.id())
}

// id distinguishes the timers of neighbours from each other and from those of sockets.
func (b *neighbour) id() uint64 {
	id := 1<<61 | uint64(b.pipe.from.number)<<30 | uint64(b.pipe.to.number)
	if b.proto == protoNDP {
		id |= 1 << 60
	}
	return id
}

// wait makes a packet wait for the answer (__neigh_event_send).
func (b *neighbour) wait(now int64, pkt *packet) {
	n := b.pipe.n
	if pkt.hop == 0 && pkt.proto == protoTCP && pkt.seg != nil {
		for _, w := range b.waiting {
			// TCP retransmits nothing that has not left its host (skb_still_in_host_queue).
			if w.flow == pkt.flow && w.seg != nil && w.seg.Seq == pkt.seg.Seq {
				n.drop(now, pkt, b.pipe, "waits for "+b.name()+" already")
				return
			}
		}
	}
	size := truesize(pkt.size, pkt.way.header)
	for len(b.waiting) > 0 && b.memory+size > unresolvedBytes {
		n.drop(now, b.take(), b.pipe, "too much waits for "+b.name())
	}
	n.record(now, Held, pkt, "waits for "+b.name())
	b.waiting = append(b.waiting, pkt)
	b.memory += size
}

// take removes the first packet that waits.
func (b *neighbour) take() *packet {
	pkt := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	b.memory -= truesize(pkt.size, pkt.way.header)
	return pkt
}

// ask sends a request.
func (b *neighbour) ask(now int64) {
	b.asked++
	b.say(now, arpRequest)
}

// say sends an ARP packet.
func (b *neighbour) say(now int64, kind uint8) {
	n := b.pipe.n
	pkt := n.pool.packet(&b.arp, b.proto, netip.AddrPort{}, netip.AddrPort{})
	pkt.pipes, pkt.arp, pkt.size, pkt.df = b.arp.path.route, kind, arpSize, true
	if b.proto == protoNDP {
		pkt.size = ndpSize
	}
	n.record(now, Sent, pkt, "")
	n.transmit(pkt, now)
}

// arpArrived handles an ARP packet that has arrived (arp_process).
func (n *Network) arpArrived(now int64, pkt *packet) {
	p, host := pkt.pipes[0], pkt.way.to.host
	p.stats.Delivered++
	switch {
	case host != nil && host.off != nil:
		host.off.met(now, pkt)
		n.drop(now, pkt, nil, "host is off")
		return
	case pkt.corrupt:
		n.drop(now, pkt, nil, badChecksum)
		return
	}
	n.record(now, Delivered, pkt, "")
	kind, b := pkt.arp, p.reverse.neighbourOf(pkt.way.six)
	n.pool.free(pkt)
	if kind == arpReply {
		if b.state != unknown {
			b.confirmed = now
			b.update(now, reachable)
		}
		return
	}
	b.update(now, stale)
	b.say(now, arpReply)
}

// update records that the neighbour has sent something (neigh_update).
func (b *neighbour) update(now int64, s reachability) {
	valid := b.state != unknown && b.state != incomplete && b.state != failed
	if valid && s == stale || b.state == s {
		return
	}
	until := never
	if s == reachable {
		until = after(now, b.lasts(now))
	}
	b.become(s, until)
	for !valid && len(b.waiting) > 0 {
		b.pipe.n.transmit(b.take(), now)
	}
}

// lasts returns how long an answer is valid at an instant (neigh_rand_reach_time).
func (b *neighbour) lasts(now int64) int64 {
	draws := b.pipe.draws.Derive(uint64(b.proto), uint64(now/redrawReachable))
	return baseReachable/2 + int64(draws.Uint64()%uint64(baseReachable))
}

// confirm is called when TCP knows that its packets arrive.
func (b *neighbour) confirm(now int64) { b.confirmed = now }

// forget makes the node know nothing about its neighbour (neigh_flush_dev), because of a fault.
func (b *neighbour) forget(by *Fault, why string) {
	n := b.pipe.n
	b.state, b.at = unknown, never
	for len(b.waiting) > 0 {
		pkt := b.take()
		by.met(n.now(), pkt)
		n.drop(n.now(), pkt, b.pipe, why)
	}
}

// plan implements timed.
func (b *neighbour) plan(uint64) *plan { return &b.timer }

// next implements timed.
func (b *neighbour) next(uint64) int64 { return b.at }

// observable implements timed.
func (b *neighbour) observable() int64 { return b.at }

// due implements timed (neigh_timer_handler).
func (b *neighbour) due(now int64, _ uint64) {
	switch b.state {
	case reachable:
		if until := after(b.confirmed, b.lasts(now)); now < until {
			b.become(reachable, until)
		} else {
			b.become(stale, never)
		}
		return
	case delayed:
		if now <= b.confirmed+delayFirstProbe {
			b.become(reachable, after(b.confirmed, b.lasts(now)))
			return
		}
		b.become(probed, now+retransTime)
		b.asked = 0
	case probed:
		if b.asked >= unicastProbes {
			b.become(failed, never)
			return
		}
		b.become(probed, now+retransTime)
	case incomplete:
		if b.asked >= unicastProbes+multicastProbes {
			b.giveUp(now)
			return
		}
		b.become(incomplete, now+retransTime)
	}
	b.ask(now)
}

// giveUp sends waiting packets back (neigh_invalidate).
func (b *neighbour) giveUp(now int64) {
	b.become(failed, never)
	for len(b.waiting) > 0 {
		p := b.pipe
		p.n.sendBack(now, b.take(), p, ICMPHostUnreachable, "no answer by "+b.name()+" from "+p.to.name)
	}
}

// forgetNeighbours makes a host that loses its memory forget its neighbours.
func (h *Host) forgetNeighbours(by *Fault) {
	var own []*pipe
	for _, p := range h.n.wires.pipes {
		if p.from == &h.node && p.neighbour != nil {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b *pipe) int { return cmp.Compare(a.to.name, b.to.name) })
	for _, p := range own {
		p.neighbour.forget(by, "host is off")
		p.neighbour.six.forget(by, "host is off")
	}
}
