package sim

import (
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Discovery of the path's MTU (RFC 1191, RFC 8201), as Linux does it by default. A host sends packets as
// large as its own link takes, with the bit that forbids fragmentation. It does so for TCP and also for UDP
// (package net leaves IP_MTU_DISCOVER at IP_PMTUDISC_WANT). A router whose next link takes less drops the
// packet and tells the host, which remembers that for the destination. Over IPv6 a message of less than
// 1280 bytes is not believed (__ip6_rt_update_pmtu).

// A pathMTU is what a host has learned of the route to a destination (struct fib_nh_exception).
type pathMTU struct {
	via     *pipe // link by which it leaves; nothing is known about other routes
	mtu     int
	locked  bool  // too small to believe: packets may be fragmented
	expires int64 // instant
}

const (
	learnedFor = int64(600e9) // net.ipv4.route.mtu_expires
	leastMTU   = 552          // net.ipv4.route.min_pmtu
)

// known reports whether something is known about the route that packets take now.
func (p *path) known(now int64) bool {
	l := &p.learned
	return l.via != nil && now < l.expires && l.via == p.pipes()[0] && l.mtu <= l.via.mtu
}

// mtu returns the size of the largest packet that passes the whole route, as far as the sending host knows
// (ipv4_mtu).
func (p *path) mtu(now int64) int {
	if p.learned.via != nil && p.known(now) {
		return p.learned.mtu
	}
	return p.pipes()[0].mtu
}

// mayCut reports whether packets are sent without the bit that forbids fragmentation (ip_dont_fragment).
func (p *path) mayCut(now int64) bool { return p.learned.locked && p.known(now) }

// learn records that packets of more than mtu bytes do not pass (__ip_rt_update_pmtu).
func (p *path) learn(now int64, mtu int) {
	old := p.mtu(now)
	if mtu > old || p.mayCut(now) || p.six && mtu < leastMTU6 {
		return
	}
	locked := mtu < leastMTU
	if locked {
		mtu = min(old, leastMTU)
	}
	l := &p.learned
	if p.known(now) && l.mtu == mtu && !locked && now < l.expires-learnedFor/2 {
		return
	}
	*l = pathMTU{via: p.pipes()[0], mtu: mtu, locked: locked, expires: now + learnedFor}
}

// forgetPaths makes a host that loses its memory forget what it has learned.
func (h *Host) forgetPaths() {
	for hosts, p := range h.n.wires.paths {
		if hosts.from == &h.node {
			p.learned = pathMTU{}
		}
	}
}

// tooBig drops a packet that must not be fragmented and is too large for the next link: p, or its host's own
// if p is nil. The sender is notified (ip_forward).
func (n *Network) tooBig(now int64, pkt *packet, p *pipe, mtu int) {
	const why = "mtu"
	if p != nil && !p.from.mayTell(now, pkt) {
		n.drop(now, pkt, p, why)
		return
	}
	n.recordDrop(now, pkt, p, why)
	n.unreachable(now, pkt, icmpTooBig, mtu)
}

// tooBig handles a message that a packet of h was too big for a link of that MTU.
func (h *Host) tooBig(now int64, m *packet) {
	way, mtu := h.pathTo(m.src.Addr()), int(m.icmp.mtu)
	if way == nil {
		return // no host has that address any more
	}
	switch m.icmp.about {
	case protoTCP:
		c := h.table.conns.get(ends{local: m.dst, remote: m.src})
		if c == nil || !c.tcp().Sent(m.seg) || !c.tcp().Outstanding(m.seg.Seq) {
			return
		}
		way.learn(now, mtu)
		c.tcp().TooBig(tcp.Time(now), m.seg.Seq, way.mtu(now))
		c.settle()
	case protoUDP:
		if u := h.socket(m.dst, m.src); u != nil {
			way.learn(now, mtu)
			if u.remote == m.src && u.discover != MTUDiscoverDont {
				u.err = syscall.EMSGSIZE
				u.in.q.notify(h.n, h)
			}
		}
	}
}

// BlockICMP stops r from sending and forwarding ICMP messages until [Router.AllowICMP], as many firewalls do.
// Senders do not learn of packets that [Link.Reject] or a small MTU stops there. A link of r whose MTU is
// smaller than that of the sender's own link is then a black hole for large packets (RFC 2923 section 2.1):
// connections are established and small requests answered, but full segments are retransmitted until TCP
// gives up.
func (r *Router) BlockICMP() {
	f := r.blocking()
	r.n.do(func() { f.beginNow() })
}

// AllowICMP undoes [Router.BlockICMP].
func (r *Router) AllowICMP() {
	r.n.do(func() {
		r.icmpBlocked.clear()
		r.n.note(&r.node, nil, "ICMP allowed")
	})
}
