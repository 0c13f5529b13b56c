package sim

import (
	"fmt"
	"strings"
)

// A partition silences the paths from the hosts of one map to those of the other that have
// another number there. What that means for a path is looked up when something is sent on it.
type partition struct {
	fault    *Fault
	from, to map[*Host]int
}

// Partition silences all paths between hosts of different groups, in both directions, for new
// and established connections alike, until [Network.Heal]. Hosts in no group reach all others,
// so a host outside the groups makes a partial partition. Several partitions add up. A [NAT] or [Balancer] between two
// hosts does not join them: their packets end there, if not before. It panics if a host stands in two groups.
func (n *Network) Partition(groups ...[]*Host) {
	f := n.split(groups)
	n.do(func() { f.beginNow() })
}

// groups says in which group each host stands.
func (n *Network) groups(method string, groups [][]*Host) map[*Host]int {
	of := map[*Host]int{}
	for i, g := range groups {
		for _, h := range g {
			n.nodeOf(method, h)
			if j, ok := of[h]; ok && j != i {
				panic(fmt.Sprintf("sim: %s: host %q stands in groups %d and %d", method, h.name, j+1, i+1))
			}
			of[h] = i
		}
	}
	return of
}

// PartitionOneWay silences all paths that lead from a host of from to a host of to,
// until [Network.Heal]; the other direction stays open.
func (n *Network) PartitionOneWay(from, to []*Host) {
	f := n.splitOneWay(from, to)
	n.do(func() { f.beginNow() })
}

// oneWay numbers the hosts of from and those of to.
func (n *Network) oneWay(from, to []*Host) (leaving, entering map[*Host]int) {
	numbered := func(hosts []*Host, number int) map[*Host]int {
		m := map[*Host]int{}
		for _, h := range hosts {
			n.nodeOf("PartitionOneWay", h)
			m[h] = number
		}
		return m
	}
	return numbered(from, 0), numbered(to, 1)
}

// Heal ends all partitions.
func (n *Network) Heal() {
	n.do(func() {
		for _, p := range n.wires.partitions {
			p.fault.over()
		}
		n.wires.partitions = nil
		n.wires.partitionings++
		n.note(nil, nil, "partitions healed")
	})
}

// cuts are the partitions that silence p now.
func (p *path) cuts() ongoing {
	if n := p.from.n; p.cutting != n.wires.partitionings {
		p.cutting, p.cutBy = n.wires.partitionings, nil
		for _, c := range n.wires.partitions {
			i, leaves := c.from[p.from.host]
			j, enters := c.to[p.to.host]
			if leaves && enters && i != j && p.from != p.to {
				p.cutBy = append(p.cutBy, c.fault)
			}
		}
	}
	return p.cutBy
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
