package sim

import (
	"fmt"
	"strings"
)

// A partition silences the paths from the hosts of one map to those of the other that have
// another number there. What that means for a path is looked up when something is sent on it.
type partition struct {
	fault    *fault
	from, to map[*Host]int
}

// Partition silences all paths between hosts of different groups, in both directions, for new
// and established connections alike, until [Network.Heal]. Hosts in no group reach all others,
// so a host outside the groups makes a partial partition. Several partitions add up. It panics
// if a host stands in two groups.
func (n *Network) Partition(groups ...[]*Host) {
	of := map[*Host]int{}
	for i, g := range groups {
		for _, h := range g {
			n.nodeOf("Partition", h)
			if j, ok := of[h]; ok && j != i {
				panic(fmt.Sprintf("sim: Partition: host %q stands in groups %d and %d", h.name, j+1, i+1))
			}
			of[h] = i
		}
	}
	n.partition("partition "+groupNames(groups...), of, of)
}

// PartitionOneWay silences all paths that lead from a host of from to a host of to,
// until [Network.Heal]; the other direction stays open.
func (n *Network) PartitionOneWay(from, to []*Host) {
	numbered := func(hosts []*Host, number int) map[*Host]int {
		m := map[*Host]int{}
		for _, h := range hosts {
			n.nodeOf("PartitionOneWay", h)
			m[h] = number
		}
		return m
	}
	leaving, entering := numbered(from, 0), numbered(to, 1)
	n.partition("partition one way "+groupNames(from, to), leaving, entering)
}

func (n *Network) partition(what string, from, to map[*Host]int) {
	n.mustSimulate("Partition")
	n.do(func() {
		n.wires.partitions = append(n.wires.partitions, partition{n.fault(nil, nil, what), from, to})
		n.wires.partitionings++
	})
}

// Heal ends all partitions.
func (n *Network) Heal() {
	n.do(func() {
		n.wires.partitions = nil
		n.wires.partitionings++
		n.note(nil, nil, "partitions healed")
	})
}

// cuts are the partitions that silence p now.
func (p *path) cuts() []*fault {
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
