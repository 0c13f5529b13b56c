package sim

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// An ICMPCode says why a packet was sent back by ICMP: the code of a destination unreachable message (RFC
// 792, RFC 1812 section 5.2.7.1), or for messages of other types 256 times the type. The unreachable codes
// are those that a Linux firewall can give as its reason (REJECT --reject-with).
//
// A program sees the error that Linux makes of the code (icmp_err_convert):
//
//   - Every code ends an attempt to connect by TCP.
//   - None ends an established connection, which keeps retransmitting and reports the error when it gives up.
//     The first two codes undo one doubling of the retransmission timeout (RFC 6069).
//   - A listener forgets an attempt whose SYN-ACK meets one of the first two codes, time exceeded or a
//     parameter problem. On any other code it sends the SYN-ACK again.
//   - The next call on a connected UDP socket returns the error, except where another route could help: net
//     and host unreachable, source route failed, the two for a type of service, and time exceeded.
//   - An unconnected UDP socket learns nothing, since package net does not set IP_RECVERR.
//
// As on Linux, hosts and middleboxes send a limited number of messages about themselves. A UDP socket hears
// of a port without a socket six times at once, and then once a second (net.ipv4.icmp_ratelimit), or over
// IPv6 once in 100 ms. The limit is for all that one address sends to that host; the rest goes unanswered. A
// link that rejects answers each packet, which no Linux does for long.
//
// Over IPv6 the message is the ICMPv6 message (RFC 4443) into which Linux's firewall (nft's "reject with
// icmpx") or RFC 7915 section 4.2 translates the code. Here too a UDP socket does not hear of codes for which
// another route could help (no route, address unreachable, time exceeded). A listener forgets an attempt only
// on the other codes.
type ICMPCode uint16

const (
	ICMPNetUnreachable      ICMPCode = 0  // ENETUNREACH; over IPv6 no route, the same
	ICMPHostUnreachable     ICMPCode = 1  // EHOSTUNREACH; over IPv6 address unreachable, the same
	ICMPProtocolUnreachable ICMPCode = 2  // ENOPROTOOPT; over IPv6 unrecognized next header, EPROTO
	ICMPPortUnreachable     ICMPCode = 3  // ECONNREFUSED, over IPv6 too
	ICMPSourceRouteFailed   ICMPCode = 5  // EOPNOTSUPP; over IPv6 no route
	ICMPNetUnknown          ICMPCode = 6  // ENETUNREACH; over IPv6 no route
	ICMPHostUnknown         ICMPCode = 7  // EHOSTDOWN; over IPv6 no route
	ICMPHostIsolated        ICMPCode = 8  // ENONET; over IPv6 no route
	ICMPNetProhibited       ICMPCode = 9  // ENETUNREACH; over IPv6 prohibited, EACCES
	ICMPHostProhibited      ICMPCode = 10 // EHOSTUNREACH; over IPv6 prohibited
	ICMPNetUnreachableTOS   ICMPCode = 11 // ENETUNREACH; over IPv6 no route
	ICMPHostUnreachableTOS  ICMPCode = 12 // EHOSTUNREACH; over IPv6 no route
	ICMPAdminProhibited     ICMPCode = 13 // EHOSTUNREACH: a firewall's filter; over IPv6 prohibited
	ICMPPrecedenceViolation ICMPCode = 14 // EHOSTUNREACH; over IPv6 prohibited
	ICMPPrecedenceCutoff    ICMPCode = 15 // EHOSTUNREACH; over IPv6 prohibited

	ICMPTimeExceeded     ICMPCode = 11 << 8 // EHOSTUNREACH, over IPv6 too: the packet went round in a routing loop
	ICMPParameterProblem ICMPCode = 12 << 8 // EPROTO, over IPv6 too: a router could not make sense of the header

	icmpTooBig     ICMPCode = 4         // fragmentation needed: see pathMTU
	icmpIncomplete ICMPCode = 11<<8 + 1 // fragments are missing: the receiver sees time exceeded too
)

// An icmpMeaning is the name of a code, and what Linux makes of it.
type icmpMeaning struct {
	name  string
	errno syscall.Errno
	tcp   tcp.Code
	hard  bool // a connected UDP socket hears of it (icmp_err_convert, icmpv6_err_convert: fatal)
	how   tcp.Reaction
}

// rerouted means that TCP takes a message for a sign of a changed route; lost means that it is useless to
// send a SYN-ACK again (tcp_v4_err, tcp_v6_err).
var (
	rerouted = tcp.Reaction{Reverts: true, Forgets: true}
	lost     = tcp.Reaction{Forgets: true}
	ignored  = tcp.Reaction{}
)

var icmpMeanings = map[ICMPCode]icmpMeaning{
	ICMPNetUnreachable:      {"network unreachable", syscall.ENETUNREACH, tcp.NetUnreachable, false, rerouted},
	ICMPHostUnreachable:     {"host unreachable", syscall.EHOSTUNREACH, tcp.HostUnreachable, false, rerouted},
	ICMPProtocolUnreachable: {"protocol unreachable", syscall.ENOPROTOOPT, tcp.NoProtocol, true, ignored},
	ICMPPortUnreachable:     {"port unreachable", syscall.ECONNREFUSED, tcp.Refused, true, ignored},
	ICMPSourceRouteFailed:   {"source route failed", syscall.EOPNOTSUPP, tcp.NotSupported, false, ignored},
	ICMPNetUnknown:          {"network unknown", syscall.ENETUNREACH, tcp.NetUnreachable, true, ignored},
	ICMPHostUnknown:         {"host unknown", syscall.EHOSTDOWN, tcp.HostDown, true, ignored},
	ICMPHostIsolated:        {"source host isolated", errNoNet, tcp.NoNetwork, true, ignored},
	ICMPNetProhibited:       {"network prohibited", syscall.ENETUNREACH, tcp.NetUnreachable, true, ignored},
	ICMPHostProhibited:      {"host prohibited", syscall.EHOSTUNREACH, tcp.HostUnreachable, true, ignored},
	ICMPNetUnreachableTOS:   {"network unreachable for type of service", syscall.ENETUNREACH, tcp.NetUnreachable, false, ignored},
	ICMPHostUnreachableTOS:  {"host unreachable for type of service", syscall.EHOSTUNREACH, tcp.HostUnreachable, false, ignored},
	ICMPAdminProhibited:     {"administratively prohibited", syscall.EHOSTUNREACH, tcp.HostUnreachable, true, ignored},
	ICMPPrecedenceViolation: {"precedence violation", syscall.EHOSTUNREACH, tcp.HostUnreachable, true, ignored},
	ICMPPrecedenceCutoff:    {"precedence cutoff", syscall.EHOSTUNREACH, tcp.HostUnreachable, true, ignored},
	ICMPTimeExceeded:        {"time exceeded", syscall.EHOSTUNREACH, tcp.HostUnreachable, false, lost},
	ICMPParameterProblem:    {"parameter problem", syscall.EPROTO, tcp.ProtocolError, true, lost},
}

// icmp6Meanings are the same codes over IPv6 (RFC 4443), and what Linux makes of them (icmpv6_err_convert,
// tcp_v6_err). Linux's firewall translates the four codes that both have (nft's "reject with icmpx"), and RFC
// 7915 section 4.2 the others.
var icmp6Meanings = map[ICMPCode]icmpMeaning{
	ICMPNetUnreachable:      noRoute6,
	ICMPHostUnreachable:     {"address unreachable", syscall.EHOSTUNREACH, tcp.HostUnreachable, false, ignored},
	ICMPProtocolUnreachable: {"unrecognized next header", syscall.EPROTO, tcp.ProtocolError, true, lost},
	ICMPPortUnreachable:     {"port unreachable", syscall.ECONNREFUSED, tcp.Refused, true, lost},
	ICMPSourceRouteFailed:   noRoute6,
	ICMPNetUnknown:          noRoute6,
	ICMPHostUnknown:         noRoute6,
	ICMPHostIsolated:        noRoute6,
	ICMPNetProhibited:       prohibited6,
	ICMPHostProhibited:      prohibited6,
	ICMPNetUnreachableTOS:   noRoute6,
	ICMPHostUnreachableTOS:  noRoute6,
	ICMPAdminProhibited:     prohibited6,
	ICMPPrecedenceViolation: prohibited6,
	ICMPPrecedenceCutoff:    prohibited6,
	ICMPTimeExceeded:        {"time exceeded", syscall.EHOSTUNREACH, tcp.HostUnreachable, false, ignored},
	ICMPParameterProblem:    {"parameter problem", syscall.EPROTO, tcp.ProtocolError, true, lost},
}

var (
	noRoute6    = icmpMeaning{"no route", syscall.ENETUNREACH, tcp.NetUnreachable, false, tcp.Reaction{Reverts: true}}
	prohibited6 = icmpMeaning{"administratively prohibited", syscall.EACCES, tcp.Prohibited, true, lost}
)

// meaning returns the meaning of a code for packets of a path.
func (c ICMPCode) meaning(p *path) icmpMeaning {
	if c == icmpIncomplete {
		c = ICMPTimeExceeded
	}
	if p.six {
		return icmp6Meanings[c]
	}
	return icmpMeanings[c]
}

// String returns the code in words.
func (c ICMPCode) String() string {
	if m, ok := icmpMeanings[c]; ok {
		return m.name
	}
	return fmt.Sprintf("ICMPCode(%d)", uint16(c))
}

// An icmpMessage is the part of a packet that only ICMP has.
type icmpMessage struct {
	code  ICMPCode
	about protocol // record of the packet that was not delivered
	mtu   uint16   // of the link for which that packet was too big
}

// icmpSize is the size of such a message: IP header, ICMP header, and the IP header and first 8 bytes of the
// packet that it is about.
const icmpSize = 20 + 8 + 20 + 8

// icmpSizeFor returns the size of a message about a packet. Over IPv6 it quotes as much of the packet as fits
// into the least MTU (RFC 4443 section 2.4).
func icmpSizeFor(pkt *packet) int {
	if pkt.way.six {
		return min(ip6Header+8+pkt.size, leastMTU6)
	}
	return icmpSize
}

// RejectWith makes the link answer every packet, in both directions, with an ICMP message of that code, until
// [Link.Up]. It panics if code is not one of the declared constants.
//
// On the host at the link's own end, net and host unreachable act as an entry of its routing table: the
// sending call itself fails with ENETUNREACH or EHOSTUNREACH over UDP, and so does a dial. Elsewhere the ICMP
// message returns to the sender as a packet.
func (l *Link) RejectWith(code ICMPCode) {
	l.must("RejectWith")
	l.instead(l.rejecting("RejectWith", code))
}

// Reject is [Link.RejectWith] host unreachable. An attempt to connect fails at once with EHOSTUNREACH.
// Established connections keep retransmitting, as on Linux, and report the error when they give up (RFC 1122
// section 4.2.3.9).
func (l *Link) Reject() {
	l.must("Reject")
	l.RejectWith(ICMPHostUnreachable)
}

// sendBack drops a packet at a pipe, records why, and tells its sender.
func (n *Network) sendBack(now int64, pkt *packet, p *pipe, code ICMPCode, why string) {
	// There is no message about ICMP messages, nor about an IPv4 fragment other than the first (RFC 1122
	// section 3.2.2).
	if pkt.proto == protoICMP || pkt.frag.offset > 0 && !pkt.way.six || !p.from.mayTell(now, pkt) {
		n.drop(now, pkt, p, why)
		return
	}
	p.stats.Dropped++
	n.record(now, Dropped, pkt, why)
	n.unreachable(now, pkt, code, 0)
}

// mayTell reports whether d sends ICMP messages about a packet: no fault stops it.
func (d *node) mayTell(now int64, pkt *packet) bool {
	if d.icmpBlocked == nil {
		return true
	}
	d.icmpBlocked.met(now, pkt)
	return false
}

// refusal returns the error that the sender's own routing table gives for a path, or 0.
func (p *path) refusal() syscall.Errno {
	first := p.pipes()[0]
	if p.six && first.mtu < leastMTU6 {
		return syscall.ENETUNREACH
	}
	if decided, errno := p.refusedBy(); decided {
		return errno
	}
	rejects := first.trouble.rejects()
	if rejects == nil || first.trouble.holds() != nil {
		return 0
	}
	m := rejects.code.meaning(p)
	if rejects.code > ICMPHostUnreachable {
		return 0
	}
	rejects.fault.hit(p.n.now())
	return m.errno
}

// routeTo returns the path that a host's routing table has from one address to another, and an error if a
// link refuses it.
func (h *Host) routeTo(from, to netip.Addr) (*path, syscall.Errno) {
	p := h.pathTo(to)
	switch {
	case p == nil || !from.IsValid():
		return nil, syscall.ENETUNREACH
	case h.addresses.gone && !h.owns(from):
		if from.Is4() || !h.sourceFor(to).IsValid() {
			return nil, syscall.ENETUNREACH
		}
	case from.Is4() && from.IsLoopback() && p.to != &h.node:
		return nil, syscall.EINVAL
	}
	return p, p.refusal()
}

// at returns the node that has an address, as h sees it, or nil.
func (h *Host) at(addr netip.Addr) *node {
	if addr.IsLoopback() {
		return &h.node
	}
	return h.n.names.byAddr[addr]
}

// pathTo returns the path from h to an address, or nil if no host has it.
func (h *Host) pathTo(addr netip.Addr) *path {
	to := h.at(addr)
	if to == nil {
		return nil
	}
	return h.n.path(&h.node, to, addr)
}

// unreachable tells the sender that its packet could not be delivered, unless the packet was for several
// hosts, and ends the packet. mtu is the MTU of the link for which it was too big. The message goes back by
// the packet's route.
func (n *Network) unreachable(now int64, pkt *packet, code ICMPCode, mtu int) {
	if several(pkt.dst.Addr()) { // RFC 1122 section 3.2.2
		n.pool.free(pkt)
		return
	}
	done := pkt.way
	arrived := pkt.hop == len(pkt.pipes)
	m := n.pool.packet(n.path(done.to, done.from, pkt.src.Addr()).misc, protoICMP, pkt.dst, pkt.src)
	m.icmp.code, m.icmp.about, m.size = code, pkt.proto, icmpSizeFor(pkt)
	m.icmp.mtu = uint16(mtu)
	m.pipes = pkt.wayBack()
	m.seg, pkt.seg = pkt.seg, nil
	if w := pkt.frag.whole; w != nil && w.seg != nil && m.seg == nil {
		m.seg = n.pool.segments.get()
		*m.seg = *w.seg
	}
	n.pool.free(pkt)
	if arrived { // the host itself sends this message
		again := func(now int64, m *packet) {
			n.record(now, Sent, m, "")
			n.setOut(now, m)
		}
		if cuts := m.way.cuts(); len(cuts) > 0 && n.cutOff(now, m, m.pipes, cuts, endsOf(m), again) {
			return
		}
	}
	n.record(now, Sent, m, "")
	n.setOut(now, m)
}

// icmp handles the message that a packet could not be delivered.
func (h *Host) icmp(now int64, m *packet) {
	meaning := m.icmp.code.meaning(m.way)
	switch {
	case m.icmp.code == icmpTooBig:
		h.tooBig(now, m)
	case m.icmp.about == protoTCP:
		if c := h.table.conns.get(ends{local: m.dst, remote: m.src}); c != nil && c.tcp().Sent(m.seg) {
			c.tcp().Unreachable(tcp.Time(now), m.seg.Seq, meaning.tcp, meaning.how)
			c.settle()
		}
	case m.icmp.about == protoUDP:
		if meaning.hard {
			h.refused(m, meaning.errno)
		}
	}
	h.n.pool.free(m)
}
