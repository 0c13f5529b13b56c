package sim

import (
	"fmt"
	"net/netip"

	"github.com/squall-sim/squall/netem"
)

// A NATConfig is what a NAT does. Its zero value is Linux's masquerading.
type NATConfig struct {
	Tracking

	// Ports is how many ports it has for connections to one remote address and port: those from 1024
	// on. When all are taken, the packet that would begin one more is dropped. Default 64512, at most that.
	Ports int
}

// A NAT is a router that lets the hosts behind it use its own address (RFC 3022: NAPT). It is made by [Router.NAT].
type NAT struct {
	tracker
	conf   NATConfig
	inside map[*node]bool
	draws  netem.Stream
	moved  bool // by Rebind: the ports are others as well
}

// NAT makes r translate the addresses of the given hosts, or routers that are NATs themselves: to all others they have the address of r.
// Each of their connections, of TCP or UDP, gets a port: its own number if that is free, else a random one
// (as Linux's MASQUERADE: nf_nat_l4proto_unique_tuple). What comes for a port of no connection is a stray, and
// what is sent to one of the hosts by its own address does not arrive, since that is private. It panics if no host is given, if
// cfg is not valid, or if r has another box.
//
// IPv6 passes as it is.
//
// r has an address of its own (see [Router.Addr]); what it sends in the name of its hosts begins there in the trace.
func (r *Router) NAT(cfg NATConfig, behind ...Node) *NAT {
	r.must("NAT")
	cfg.Tracking.mustBeValid("NAT", r)
	if cfg.Ports < 0 || cfg.Ports > mostPorts {
		panic(fmt.Sprintf("sim: router %s: NAT: Ports is %d: it must be from 1 to %d, or 0 for all", r.name, cfg.Ports, mostPorts))
	}
	if cfg.Ports == 0 {
		cfg.Ports = mostPorts
	}
	if len(behind) == 0 {
		panic(fmt.Sprintf("sim: router %s: NAT: name the hosts behind it", r.name))
	}
	t := &NAT{tracker: newTracker(r, cfg.Tracking), conf: cfg, inside: r.set("NAT", behind), draws: netem.NewStream(r.n.seed, "nat", r.name)}
	r.n.do(func() { r.n.install(r, t) })
	return t
}

// must panics if r is no router, in the name of a method.
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

// Addr returns the address of a router with a box: of its first one 198.18.0.1, and so on (RFC 2544). It is not valid
// if r only forwards.
func (r *Router) Addr() netip.Addr {
	r.must("Addr")
	return get(r.n, func() netip.Addr { return r.addr })
}

// Rebind gives the NAT another address, and forgets its connections, as when a phone changes from one network to another: what the hosts
// send by connections that are open comes from an address and port that the other side has never seen, which TCP there
// answers by RST, and what is sent to the old address is lost. A client of a protocol that does not
// rely on addresses goes on.
func (t *NAT) Rebind() {
	t.r.n.do(func() {
		t.forgetAll("has another address")
		t.r.n.readdress(t.r)
		t.moved = true
	})
}

// at says who has an address.
func (k *tracker) at(addr netip.AddrPort) *node { return k.r.n.names.byAddr[addr.Addr()] }

func (t *NAT) forward(now int64, pkt *packet) {
	if pkt.way.six {
		t.r.n.transmit(pkt, now)
		return
	}
	if c, opener := t.lookup(pkt); c != nil {
		t.pass(now, pkt, c, opener)
		return
	}
	from, to := t.at(pkt.src), t.at(pkt.dst)
	switch {
	case pkt.proto == protoICMP && to != &t.r.node:
		t.r.n.transmit(pkt, now)
	case to == &t.r.node && pkt.dst.Addr() != t.r.addr:
		t.r.n.drop(now, pkt, nil, "nobody has the address any more")
	case to == &t.r.node && t.inside[from] && pkt.proto == protoTCP && pkt.seg != nil:
		t.r.reset(now, pkt, t.r.flowTo(protoTCP, pkt.dst, pkt.src), "nobody listens")
	case to == &t.r.node:
		t.stray(now, pkt)
	case t.inside[from] == t.inside[to] && !t.inside[from], t.inside[from] && t.inside[to]:
		t.r.n.transmit(pkt, now)
	case t.inside[to]:
		t.r.n.drop(now, pkt, nil, "a private address")
	case !t.begins(pkt):
		t.stray(now, pkt)
	case t.crowded(now, pkt):
	default:
		want := int(pkt.src.Port())
		if t.moved {
			want = 0
		}
		port := t.port(pkt.proto, pkt.dst, want, t.conf.Ports, &t.draws)
		if port == 0 {
			t.tooMany(now, pkt, "no port is left")
			return
		}
		public := netip.AddrPortFrom(t.r.addr, port)
		t.pass(now, pkt, t.open(pkt, tuple{pkt.proto, pkt.dst, public}), true)
	}
}
