package sim

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/squall-sim/squall/netem"
)

// A NATConfig says what a NAT does. The zero value is Linux's masquerading.
type NATConfig struct {
	Tracking

	// Ports is how many ports the NAT has for connections to one remote address and port, from 1024 up. When
	// all are taken, it drops the packet that would begin one more connection. Default 64512, which is also
	// the most. The privileged ports come in addition and replace one another: 1 to 511 for ports below 512,
	// and 600 to 1023 for the other privileged ones.
	Ports int

	// Forwards lets others open connections to hosts behind the NAT, at its own address: static port
	// forwarding (iptables: -j DNAT).
	Forwards []Forward

	// Hairpin lets the hosts behind the NAT use Forwards too; the host that they reach sees the NAT's own
	// address. Without it, that address has no listener for them.
	Hairpin bool
}

// A Forward sends what arrives at a port of a NAT's own address to a host behind it.
type Forward struct {
	Network string // "tcp" or "udp"
	Port    int    // of the NAT, 1 to 65535
	To      Node   // a host behind the NAT
	ToPort  int    // 1 to 65535; default Port
}

// A NAT is a router that lets the hosts behind it use its own address (RFC 3022: NAPT). [Router.NAT] makes
// one.
type NAT struct {
	tracker
	conf     NATConfig
	inside   map[*node]bool
	forwards map[natPort]natTarget
	lent     map[tuple]*lentPort // by protocol and inner address
	draws    netem.Stream
	moved    bool // by Rebind: the ports change too
}

// A natPort is a port of a NAT.
type natPort struct {
	proto protocol
	port  uint16
}

// A natTarget is where a Forward leads.
type natTarget struct {
	to   *node
	port uint16
}

// A lentPort is the port that an inner address and port have instead of their own number.
type lentPort struct {
	port  uint16
	conns int
}

// NAT makes r translate the addresses of the given hosts, or of routers that are NATs themselves: all others
// see them under the address of r. Each of their TCP or UDP connections gets a port. That is the port of
// another connection from the same address and port, or its own number if that is free, or else a random one
// (as Linux's MASQUERADE: get_unique_tuple in nf_nat_core.c). IPv6 passes unchanged.
//
// A packet for a port of no connection is a stray. A packet that others send to a host's own address does not
// arrive, since that address is private. A segment from the hosts that does not fit its connection is
// dropped, as by OpenWrt's rules. Linux's masquerading alone sends it on with the private address, as
// [StrayPassed] does.
//
// r has an address of its own (see [Router.Addr]); in the trace, packets that it sends for its hosts start
// there. NAT panics if no host is given, if cfg is not valid, or if r is already a middlebox.
func (r *Router) NAT(cfg NATConfig, behind ...Node) *NAT {
	r.must("NAT")
	cfg.Tracking.mustBeValid("NAT", r)
	if cfg.Ports < 0 || cfg.Ports > highPorts.count {
		panic(fmt.Sprintf("sim: router %s: NAT: Ports is %d: it must be from 1 to %d, or 0 for all", r.name, cfg.Ports, highPorts.count))
	}
	if len(behind) == 0 {
		panic(fmt.Sprintf("sim: router %s: NAT: name the hosts behind it", r.name))
	}
	t := &NAT{tracker: newTracker(r, cfg.Tracking), conf: cfg, inside: r.set("NAT", behind), lent: map[tuple]*lentPort{},
		draws: netem.NewStream(r.n.seed, "nat", r.name)}
	t.forwards = t.checked(cfg.Forwards)
	r.n.do(func() { t.install(t) })
	return t
}

// checked returns the forwards of a configuration, validated.
func (t *NAT) checked(forwards []Forward) map[natPort]natTarget {
	all := map[natPort]natTarget{}
	for i, f := range forwards {
		refuse := func(field string, value any, allowed string) {
			panic(fmt.Sprintf("sim: router %s: NAT: Forwards[%d].%s is %v: it must be %s", t.r.name, i, field, value, allowed))
		}
		proto := protoTCP
		switch f.Network {
		case "tcp":
		case "udp":
			proto = protoUDP
		default:
			refuse("Network", fmt.Sprintf("%q", f.Network), `"tcp" or "udp"`)
		}
		switch {
		case f.Port < 1 || f.Port > 65535:
			refuse("Port", f.Port, "from 1 to 65535")
		case f.ToPort < 0 || f.ToPort > 65535:
			refuse("ToPort", f.ToPort, "from 1 to 65535, or 0 for Port")
		}
		to := t.r.n.nodeOf("NAT", f.To)
		if !t.inside[to] {
			refuse("To", fmt.Sprintf("%q", to.name), "one of the hosts behind the NAT")
		}
		at := natPort{proto, uint16(f.Port)}
		if _, taken := all[at]; taken {
			refuse("Port", f.Port, "used by no other forward of the same Network")
		}
		all[at] = natTarget{to, uint16(cmp.Or(f.ToPort, f.Port))}
	}
	return all
}

// must panics if r is not a router; it names the method.
func (r *Router) must(method string) {
	if r == nil || r.n == nil {
		panic("sim: Router." + method + ": the router is nil, or was not made by Network.Router")
	}
}

// set is a set of nodes, which must belong to r's network and not be r.
func (r *Router) set(method string, all []Node) map[*node]bool {
	set := map[*node]bool{}
	for _, d := range all {
		b := r.n.nodeOf(method, d)
		if b == &r.node {
			panic(fmt.Sprintf("sim: router %s: %s: it cannot be one of its own hosts", r.name, method))
		}
		set[b] = true
	}
	return set
}

// Addr returns the address of a router that is a middlebox: 198.18.0.1 for the first one, and so on (RFC
// 2544). It is invalid if r only forwards.
func (r *Router) Addr() netip.Addr {
	r.must("Addr")
	return get(r.n, func() netip.Addr { return r.addr })
}

// Rebind gives the NAT another address and makes it forget its connections, as when a phone changes from one
// network to another. What the hosts send on open connections then comes from an address and port that the
// other side has never seen. TCP there answers with RST; packets sent to the old address are lost. A client
// of a protocol that does not rely on addresses goes on.
func (t *NAT) Rebind() {
	f := t.rebinding()
	t.r.n.do(f.beginNow)
}

// at returns the node that has an address.
func (k *tracker) at(addr netip.AddrPort) *node { return k.r.n.names.byAddr[addr.Addr()] }

func (t *NAT) forward(now int64, pkt *packet) {
	if pkt.way.six {
		t.r.n.transmit(pkt, now)
		return
	}
	if !t.sound(now, pkt) {
		return
	}
	if c, opener := t.lookup(pkt); c != nil {
		t.pass(now, pkt, c, opener)
		return
	}
	from, to := t.at(pkt.src), t.at(pkt.dst)
	target, forwards := t.forwards[natPort{pkt.proto, pkt.dst.Port()}]
	switch {
	case pkt.proto == protoICMP && to != &t.r.node:
		t.r.n.transmit(pkt, now)
	case to == &t.r.node && pkt.dst.Addr() != t.r.addr:
		t.r.n.drop(now, pkt, nil, t.here("nobody has the address any more"))
	case to == &t.r.node && forwards && (t.conf.Hairpin || !t.inside[from]):
		t.admit(now, pkt, target, t.inside[from])
	case to == &t.r.node && t.inside[from] && pkt.proto == protoTCP && pkt.seg != nil:
		t.r.reset(now, pkt, t.r.flowTo(protoTCP, pkt.dst, pkt.src), t.here("nobody listens"))
	case to == &t.r.node:
		t.stray(now, pkt, noConnection)
	case t.inside[from] == t.inside[to] && !t.inside[from], t.inside[from] && t.inside[to]:
		t.r.n.transmit(pkt, now)
	case t.inside[to]:
		t.r.n.drop(now, pkt, nil, t.here("a private address"))
	case !t.begins(pkt):
		t.stray(now, pkt, noConnection)
	case t.crowded(now, pkt):
	default:
		t.masquerade(now, pkt, pkt.dst)
	}
}

// admit handles a packet for a port that leads to a host behind the NAT, whether or not it comes from a host
// there.
func (t *NAT) admit(now int64, pkt *packet, target natTarget, hairpin bool) {
	to := netip.AddrPortFrom(target.to.addr, target.port)
	answer := tuple{pkt.proto, to, pkt.src}
	switch {
	case !t.begins(pkt):
		t.stray(now, pkt, noConnection)
	case t.crowded(now, pkt):
	case hairpin:
		t.masquerade(now, pkt, to)
	case t.known[answer] != nil: // by another forward to the same port
		t.tooMany(now, pkt, "no port is left")
	default:
		t.pass(now, pkt, t.open(pkt, answer), true)
	}
}

// masquerade begins a connection from a host behind the NAT.
func (t *NAT) masquerade(now int64, pkt *packet, to netip.AddrPort) {
	inner := tuple{proto: pkt.proto, from: pkt.src}
	port := t.portFor(inner, to)
	if port == 0 {
		t.tooMany(now, pkt, "no port is left")
		return
	}
	c := t.open(pkt, tuple{pkt.proto, to, netip.AddrPortFrom(t.r.addr, port)})
	if port != pkt.src.Port() {
		lent := t.lent[inner]
		if lent == nil || lent.port != port {
			lent = &lentPort{port: port}
			t.lent[inner] = lent
		}
		lent.conns++
		c.gone = func() {
			if lent.conns--; lent.conns == 0 && t.lent[inner] == lent {
				delete(t.lent, inner)
			}
		}
	}
	t.pass(now, pkt, c, true)
}

// portFor chooses the port of a new connection from an inner address; 0 if none is left.
func (t *NAT) portFor(inner tuple, to netip.AddrPort) uint16 {
	own := int(inner.from.Port())
	of, given := portsLike(own), t.conf.Ports > 0
	if given {
		of = portPool{highPorts.first, t.conf.Ports}
	}
	lent := t.lent[inner]
	switch {
	case lent != nil && t.free(inner.proto, to, int(lent.port)):
		return lent.port
	case t.moved, given && (own < of.first || own >= of.first+of.count), !t.free(inner.proto, to, own):
		return t.port(inner.proto, to, of, &t.draws)
	}
	return uint16(own)
}
