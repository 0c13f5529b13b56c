package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A partition cuts paths between hosts. What that means for a path is looked up when something is sent on it.
type partition struct {
	fault  *Fault
	number int // in the order in which they were made
	conf   PartitionConfig
	covers func(from, to *Host) bool
	held   []heldBack
	newer  map[ends]bool // TCP connections that it does not apply to, since their first SYN was sent after it began
	passed int           // packets on the paths that it covers, but to which it does not apply
}

// heldBack is a packet that a partition holds, and how it goes on.
type heldBack struct {
	pkt    *packet
	resume func(now int64, pkt *packet)
}

// Partition silences all paths between hosts of different groups, in both directions, for new and established
// connections alike, until [Network.Heal]. Hosts in no group reach all others, so a host outside the groups
// makes a partial partition, and a single group cuts nothing: [PartitionBy] with [Isolate] cuts some hosts off
// from all others. Several partitions add up. A [NAT] or [Balancer] between two hosts does not bridge a
// partition: their packets end there at the latest. Partition panics if a host is in two groups. [PartitionBy]
// makes partitions of other shapes and effects.
func (n *Network) Partition(groups ...[]*Host) {
	f := n.split(groups)
	n.do(func() { f.beginNow() })
}

// groups returns the group of each host.
func (n *Network) groups(method string, groups [][]*Host) map[*Host]int {
	of := map[*Host]int{}
	for i, g := range groups {
		for _, h := range g {
			n.nodeOf(method, h)
			if j, ok := of[h]; ok && j != i {
				panic(fmt.Sprintf("sim: %s: host %q is in groups %d and %d", method, h.name, j+1, i+1))
			}
			of[h] = i
		}
	}
	return of
}

// PartitionOneWay silences all paths from a host of from to a host of to, until [Network.Heal]. The other
// direction stays open.
func (n *Network) PartitionOneWay(from, to []*Host) {
	f := n.splitOneWay(from, to)
	n.do(func() { f.beginNow() })
}

// setOf makes a set of hosts.
func (n *Network) setOf(method string, hosts []*Host) map[*Host]bool {
	set := map[*Host]bool{}
	for _, h := range hosts {
		n.nodeOf(method, h)
		set[h] = true
	}
	return set
}

// Heal ends all partitions.
func (n *Network) Heal() {
	n.do(func() {
		all := n.wires.partitions
		n.wires.partitions = nil
		n.wires.partitionings++
		n.note(nil, nil, "partitions healed")
		for _, p := range all {
			p.fault.over()
			p.release(n)
		}
	})
}

// parting makes a fault of a partition.
func (n *Network) parting(what string, made expression, conf PartitionConfig, covers func(from, to *Host) bool) *Fault {
	n.mustSimulate("Partition")
	f := n.newFault(what, nil, nil, made)
	f.miss = conf.meant()
	p := &partition{fault: f, conf: conf, covers: covers}
	f.begin = func() {
		n.wires.partitionings++
		p.number, p.newer, p.passed = int(n.wires.partitionings), nil, 0
		n.wires.partitions = append(n.wires.partitions, p)
		n.invalidate()
		if conf.InFlight {
			n.loseInFlight(p)
		}
	}
	f.end = func() {
		n.wires.partitions = slices.DeleteFunc(n.wires.partitions, func(q *partition) bool { return q == p })
		n.wires.partitionings++
		n.invalidate()
		p.release(n)
	}
	f.nearly = func() string {
		if p.passed == 0 {
			return ""
		}
		return fmt.Sprintf("; %s passed between them that it does not cover", count.Of(p.passed, "packet", "packets"))
	}
	return f
}

// release sends on the packets that p holds, in order.
func (p *partition) release(n *Network) {
	held := p.held
	if len(held) == 0 {
		return
	}
	p.held = nil
	n.submit(operation{kind: opRelease, dest: p.fault.Name(), n: uint64(p.number), run: func(now int64) {
		for _, h := range held {
			h.resume(now, h.pkt)
		}
	}}, 0)
}

// loseHeld drops the packets that partitions hold on a host that loses its memory.
func (h *Host) loseHeld(by *Fault) {
	now := h.n.now()
	for _, p := range h.n.wires.partitions {
		p.held = slices.DeleteFunc(p.held, func(b heldBack) bool {
			if b.pkt.way.from != &h.node || b.pkt.hop == len(b.pkt.pipes) { // it waits at a middlebox
				return false
			}
			by.met(now, b.pkt)
			h.n.drop(now, b.pkt, nil, "host is off")
			return true
		})
	}
}

// cuts returns the partitions that cut p now.
func (p *path) cuts() []*partition {
	if n := p.n; p.cutting != n.wires.partitionings {
		p.cutting, p.cutBy = n.wires.partitionings, nil
		if p.from == nil || p.from == p.to || p.from.host == nil || p.to.host == nil {
			return nil
		}
		for _, c := range n.wires.partitions {
			if c.covers(p.from.host, p.to.host) {
				p.cutBy = append(p.cutBy, c)
			}
		}
	}
	return p.cutBy
}

// isFor reports whether a partition applies to a packet, of the connection with those ends, that now enters a
// path that it cuts.
func (p *partition) isFor(pkt *packet, conn ends) bool {
	s := pkt.segment()
	switch p.conf.Only {
	case NewConnections:
		return s != nil && s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN
	case OpenConnections:
		return s != nil && !p.newer[conn]
	}
	return true
}

// begins exempts a connection whose first SYN is sent now from partitions that are for open connections. That
// holds on any path: the answer may arrive on one that is cut. A retransmitted SYN says nothing new.
func (n *Network) begins(pkt *packet, conn ends) {
	if s := pkt.segment(); s == nil || s.Flags&(tcp.SYN|tcp.ACK) != tcp.SYN || s.Kind != tcp.Original {
		return
	}
	for _, p := range n.wires.partitions {
		if p.conf.Only == OpenConnections {
			p.spare(conn)
		}
	}
}

// renamed makes those partitions also exempt a connection by the addresses that a middlebox gives it.
func (n *Network) renamed(conn, as ends) {
	for _, p := range n.wires.partitions {
		if p.newer[conn] {
			p.spare(as)
		}
	}
}

// spare exempts a connection from a partition.
func (p *partition) spare(conn ends) {
	if p.newer == nil {
		p.newer = map[ends]bool{}
	}
	p.newer[conn] = true
}

// endsOf returns the ends of a connection, in an order that both directions share.
func endsOf(pkt *packet) ends { return tupleOf(pkt).ends() }

func (t tuple) ends() ends {
	if t.to.Compare(t.from) < 0 {
		return ends{t.to, t.from}
	}
	return ends{t.from, t.to}
}

// cutOff handles a packet on a path that some partitions cut, and reports whether that has ended or stopped
// it. resume sends the packet on; ahead is the route that it would have taken. Of several partitions one that
// loses packets decides, then one that rejects them.
func (n *Network) cutOff(now int64, pkt *packet, ahead []*pipe, cuts []*partition, conn ends, resume func(now int64, pkt *packet)) bool {
	var by *partition
	for _, p := range cuts {
		if !p.isFor(pkt, conn) {
			p.passed++
			continue
		}
		p.fault.met(now, pkt)
		if by == nil || p.conf.rank() < by.conf.rank() {
			by = p
		}
	}
	if by == nil {
		return false
	}
	wanted(ahead)
	switch {
	case by.conf.Holds:
		n.record(now, Held, pkt, "")
		by.held = append(by.held, heldBack{pkt, resume})
	case by.conf.Rejects && pkt.hop == len(pkt.pipes): // it is at a middlebox, which would have sent it on
		pkt.way.to.reject(now, pkt, by.conf.Code, by.conf.why())
	case by.conf.Rejects:
		n.sendBack(now, pkt, pkt.pipes[pkt.hop], by.conf.Code, by.conf.why())
	default:
		n.drop(now, pkt, nil, "partition")
	}
	return true
}

// wanted records that a packet would have taken these pipes, but a partition took it: the links are not
// without traffic.
func wanted(ahead []*pipe) {
	for _, p := range ahead {
		p.proof.wanted = true
	}
}

// refusedBy returns what a sender's routing table says about a path that partitions cut: whether they decide,
// and the error, or 0.
func (p *path) refusedBy() (decided bool, errno syscall.Errno) {
	var by *partition
	for _, c := range p.cuts() {
		if c.conf.Only == AllPackets && (by == nil || c.conf.rank() < by.conf.rank()) {
			by = c
		}
	}
	switch {
	case by == nil:
		return false, 0
	case !by.conf.Rejects || by.conf.Code > ICMPHostUnreachable:
		return true, 0
	}
	by.fault.hit(p.n.now())
	wanted(p.pipes())
	return true, by.conf.Code.meaning(p).errno
}

// mayReject reports whether a partition may answer packets sent on p.
func (p *path) mayReject() bool {
	return len(p.n.wires.partitions) > 0 && slices.ContainsFunc(p.cuts(), func(c *partition) bool { return c.conf.Rejects })
}

// loseInFlight drops all packets in flight on a path that a partition cuts.
func (n *Network) loseInFlight(p *partition) {
	now := max(n.now(), n.clock.at)
	on := func(pkt *packet) bool {
		from, to := pkt.way.from, pkt.way.to
		return from != nil && from != to && from.host != nil && to.host != nil && p.covers(from.host, to.host) && p.isFor(pkt, endsOf(pkt))
	}
	lost := n.queue.take(&n.pool, on)
	slices.SortStableFunc(lost, func(a, b waiting) int { return cmp.Or(cmp.Compare(a.when, b.when), cmp.Compare(a.ord, b.ord)) })
	for _, w := range lost {
		p.fault.met(now, w.pkt)
		wanted(w.pkt.pipes)
		if w.pkt.hop < len(w.pkt.pipes) {
			s := &w.pkt.pipes[w.pkt.hop].stats
			s.Dropped++
			s.CutOff++
		}
		n.drop(now, w.pkt, nil, "partition, in flight")
	}
	for _, d := range n.wires.pipes {
		d.held = slices.DeleteFunc(d.held, func(pkt *packet) bool {
			if !on(pkt) {
				return false
			}
			p.fault.met(now, pkt)
			wanted(pkt.pipes)
			d.stats.Dropped++
			n.drop(now, pkt, nil, "partition, in flight")
			return true
		})
		if d.waiting != nil {
			d.waiting.doom(func(pkt *packet) bool {
				if !on(pkt) {
					return false
				}
				p.fault.met(now, pkt)
				wanted(pkt.pipes)
				return true
			})
		}
	}
}

func groupNames(groups ...[]*Host) string {
	var s strings.Builder
	for i, g := range groups {
		if i > 0 {
			s.WriteString(" | ")
		}
		for j, h := range g {
			if j > 0 {
				s.WriteByte(' ')
			}
			s.WriteString(h.name)
		}
	}
	return s.String()
}
