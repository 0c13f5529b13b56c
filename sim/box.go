package sim

import (
	"fmt"
	"net/netip"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A box is what makes a router a middlebox: it can rewrite packets, drop them, answer them, and send packets
// of its own. A router with a box has an address, so that packets can be sent to it.
type box interface {
	// forward takes a packet that has arrived at the router, for a host or for the router's own address. It
	// drops the packet, or sends it on: by transmit unchanged (unless it is for the router), or by node.send.
	forward(now int64, pkt *packet)
}

// addrOfRouter returns the address of the number-th router with a box, from 1. It is from the block for tests
// of network devices (RFC 2544), so that no host has it.
func addrOfRouter(number int) netip.Addr {
	if number > 1<<17-2 {
		panic("sim: more than 131070 routers with a box on one network")
	}
	return netip.AddrFrom4([4]byte{198, 18 + byte(number>>16), byte(number >> 8), byte(number)})
}

// install gives a router its box, and an address.
func (n *Network) install(r *Router, b box) {
	if r.box != nil {
		panic(fmt.Sprintf("sim: router %q is a middlebox already; use a router for each", r.name))
	}
	r.box = b
	n.readdress(r)
}

// readdress gives a router with a box the next address. Packets for its old address still arrive at it.
func (n *Network) readdress(r *Router) {
	n.names.boxes++
	r.addr = addrOfRouter(n.names.boxes)
	n.names.byAddr[r.addr] = &r.node
	n.invalidate()
}

// flowTo returns a flow for packets that a router sends to an address: nil if no host has it. The caller
// keeps the flow, since the draws of its packets go on from one to the next.
func (d *node) flowTo(proto protocol, from, to netip.AddrPort) *flow {
	dest := d.n.names.byAddr[to.Addr()]
	if dest == nil || dest == d {
		return nil
	}
	return &flow{path: d.n.path(d, dest, to.Addr()), id: flowID(proto, from.Port(), to.Port())}
}

// send sends a packet on from a router, as part of the given flow, by its route.
func (d *node) send(now int64, pkt *packet, f *flow) {
	if pkt.flow != f {
		f.log = pkt.flow.log
	}
	pkt.flow, pkt.way, pkt.pipes, pkt.hop = f, f.path, f.path.pipes(), 0
	if pkt.joined() {
		for _, piece := range d.n.apart(pkt) {
			d.n.record(now, Sent, piece, "")
			d.n.transmit(piece, now)
		}
		return
	}
	d.n.record(now, Sent, pkt, "")
	d.n.transmit(pkt, now)
}

// reject drops a packet at a router, records why, and tells its sender by ICMP.
func (d *node) reject(now int64, pkt *packet, code ICMPCode, why string) {
	d.n.recordDrop(now, pkt, nil, why)
	if pkt.proto == protoICMP || pkt.frag.offset > 0 || !d.mayTell(now, pkt) || !d.affords(now, pkt) {
		d.n.pool.free(pkt)
		return
	}
	d.n.unreachable(now, pkt, code, 0)
}

// reset drops a segment at a router, records why, and answers it with RST as its receiver would, on a flow to
// its sender.
func (d *node) reset(now int64, pkt *packet, back *flow, why string) {
	n, s := d.n, d.n.pool.segments.get()
	n.recordDrop(now, pkt, nil, why)
	if !tcp.ResetFor(pkt.seg, s) {
		n.pool.segments.put(s)
		n.pool.free(pkt)
		return
	}
	r := n.pool.packet(back, protoTCP, pkt.dst, pkt.src)
	r.seg, r.size = s, s.Size()
	n.pool.free(pkt)
	d.send(now, r, back)
}

// parted drops or holds a packet that is going to be rewritten, if a partition lies between the hosts of its
// connection: after the rewriting its addresses no longer show them. ICMP messages of routers are the
// routers' own.
func (k *tracker) parted(now int64, pkt *packet, c *tracked, opener bool, goOn func(now int64, pkt *packet)) bool {
	n := k.r.n
	if pkt.way.from.host == nil && pkt.proto == protoICMP {
		return false
	}
	conn := c.ask.ends()
	if opener && pkt.proto == protoTCP {
		n.renamed(conn, c.answer.ends())
	}
	from, ok := n.farEnd(c.ask)
	to, known := n.farEnd(c.answer)
	if !ok || !known {
		return false
	}
	if !opener {
		from, to = to, from
	}
	cuts := n.path(n.names.byAddr[from], n.names.byAddr[to], to).cuts()
	if len(cuts) == 0 {
		return false
	}
	ahead, rewritten := pkt.pipes[pkt.hop:], c.there
	if !opener {
		rewritten = c.back
	}
	if rewritten != nil {
		ahead = rewritten.path.pipes()
	}
	return n.cutOff(now, pkt, ahead, cuts, conn, goOn)
}

// farEnd returns the address of the host from which packets with a tuple come, behind any number of boxes. It
// is not ok if one of the boxes does not know the connection (yet), or if nobody has the address.
func (n *Network) farEnd(t tuple) (addr netip.Addr, ok bool) {
	for range len(n.names.routers) + 1 {
		d := n.names.byAddr[t.from.Addr()]
		if d == nil || d.box == nil {
			return t.from.Addr(), d != nil
		}
		b, remembers := d.box.(interface{ memory() *tracker })
		if !remembers {
			return addr, false
		}
		c := b.memory().known[t.reversed()]
		switch {
		case c == nil:
			return addr, false
		case c.ask == t.reversed(): // from which its answers come
			t = c.answer
		default:
			t = c.ask
		}
	}
	return addr, false
}
