package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/squall-sim/squall/internal/count"
)

// Cuts are the paths that a partition cuts ([PartitionBy]). [Groups], [Halves], [Bridge], [MajoritiesRing]
// and [Isolate] make the usual ones. To cut one pair of hosts, in one direction or both, write them down:
//
//	sim.Cuts{{From: []*sim.Host{a}, To: []*sim.Host{b}}}
//
// The order of the hosts says which host goes into which part. [Network.Shuffled] draws an order.
type Cuts []Cut

// A Cut is all paths from a host of From to a host of To. Nil means all hosts, including hosts made later.
// The path from a host to itself is never cut.
type Cut struct{ From, To []*Host }

// Groups separates hosts of different groups, in both directions. Hosts in no group reach all others. So
// Groups(a, b), with more hosts on the network, makes a partial partition; if every host is in a group, the
// partition is complete. It panics if a host is in two groups.
func Groups(groups ...[]*Host) Cuts {
	in := map[*Host]int{}
	for i, g := range groups {
		for _, h := range g {
			h.must("Groups")
			if j, ok := in[h]; ok && j != i {
				panic(fmt.Sprintf("sim: Groups: host %q is in groups %d and %d", h.name, j+1, i+1))
			}
			in[h] = i
		}
	}
	var all Cuts
	for i, g := range groups {
		others := slices.Concat(slices.Concat(groups[:i]...), slices.Concat(groups[i+1:]...))
		if len(g) > 0 && len(others) > 0 {
			all = append(all, Cut{slices.Clone(g), others})
		}
	}
	return all
}

// Isolate separates each of the hosts from all others, including hosts made later. It takes at least one
// host.
func Isolate(hosts ...*Host) Cuts {
	needs("Isolate", hosts, 1)
	return Cuts{{From: slices.Clone(hosts)}, {To: slices.Clone(hosts)}}
}

// Halves separates the first half of the hosts, the minority, from the second, the majority. If the number of
// hosts is odd, the second half has one more. It takes at least two hosts.
func Halves(hosts ...*Host) Cuts {
	needs("Halves", hosts, 2)
	return Groups(hosts[:len(hosts)/2], hosts[len(hosts)/2:])
}

// Bridge separates two halves of the hosts from each other, except for the host in the middle, which reaches
// both. If the number of hosts is even, the second half has one more. It takes at least three hosts.
func Bridge(hosts ...*Host) Cuts {
	needs("Bridge", hosts, 3)
	middle := (len(hosts) - 1) / 2
	return Groups(hosts[:middle], hosts[middle+1:])
}

// MajoritiesRing makes every host reach a majority, no two of them the same one. The hosts form a ring, and
// each reaches itself and as many neighbours on each side as a majority takes. Of five hosts each reaches one
// on each side: it agrees with its neighbours, and no host sees all. (Jepsen's majorities ring.) It takes at
// least four hosts, since of three each would reach all.
func MajoritiesRing(hosts ...*Host) Cuts {
	needs("MajoritiesRing", hosts, 4)
	var all Cuts
	count := len(hosts)
	side := (count/2 + 1) / 2 // a majority is count/2+1 hosts, including the host itself
	for i, h := range hosts {
		var far []*Host
		for d := side + 1; d < count-side; d++ {
			far = append(far, hosts[(i+d)%count])
		}
		if len(far) > 0 {
			all = append(all, Cut{[]*Host{h}, far})
		}
	}
	return all
}

// needs panics unless a shape has enough hosts, each once.
func needs(shape string, hosts []*Host, least int) {
	seen := map[*Host]bool{}
	for _, h := range hosts {
		h.must(shape)
		if seen[h] {
			panic(fmt.Sprintf("sim: %s: host %q is named twice", shape, h.name))
		}
		seen[h] = true
	}
	if len(hosts) < least {
		panic(fmt.Sprintf("sim: %s: %s: at least %d are needed", shape, count.Of(len(hosts), "host", "hosts"), least))
	}
}

// Shuffled returns the hosts in an order drawn from [Network.Rand] of that name: Halves(n.Shuffled("halves",
// hosts...)...) is a random half.
func (n *Network) Shuffled(name string, hosts ...*Host) []*Host {
	drawn := slices.Clone(hosts)
	n.Rand(name).Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	return drawn
}

// A Scope says which packets a partition applies to.
type Scope uint8

const (
	AllPackets      Scope = iota // packets of any protocol
	NewConnections               // attempts to connect by TCP in the direction that is cut; open connections go on
	OpenConnections              // TCP connections that were open, or whose first SYN was sent, when the partition began; new ones succeed
)

var scopeCodes = [...]string{"sim.AllPackets", "sim.NewConnections", "sim.OpenConnections"}

// A PartitionConfig says what a partition does to packets on the paths that it cuts. With the zero value
// packets vanish at their sender from the instant at which the partition begins, and packets then in flight
// arrive, as with [Network.Partition].
type PartitionConfig struct {
	// Rejects answers senders at once with an ICMP message of the given Code: see [Link.RejectWith].
	Rejects bool
	Code    ICMPCode // for Rejects; default ICMPNetUnreachable

	// Holds makes packets wait at their senders, without limit. When the partition is over they continue, in
	// order. A host that loses power loses its waiting packets; a host that crashes keeps them in its
	// operating system.
	Holds bool

	// Only restricts the partition to new TCP connections, or to open ones. Datagrams then pass.
	Only Scope

	// InFlight makes the partition, when it begins, lose packets in flight on the paths that it cuts, even
	// with Rejects. Packets that a NAT or Balancer has sent on under its own address arrive. Excludes Holds,
	// and NewConnections in Only.
	InFlight bool
}

// check returns an error if the configuration makes no sense.
func (c PartitionConfig) check() error {
	_, known := icmpMeanings[c.Code]
	switch {
	case c.Only > OpenConnections:
		return fmt.Errorf("Only is %d: it must be AllPackets, NewConnections or OpenConnections", c.Only)
	case c.Rejects && c.Holds:
		return fmt.Errorf("Rejects and Holds are both set: set only one")
	case c.Rejects && !known:
		return fmt.Errorf("Code is %d: it must be one of the codes of ICMPCode", c.Code)
	case !c.Rejects && c.Code != 0:
		return fmt.Errorf("Code is %d (%v): it needs Rejects", c.Code, c.Code)
	case c.InFlight && c.Holds:
		return fmt.Errorf("InFlight and Holds are both set: set only one, since held packets are not lost")
	case c.InFlight && c.Only == NewConnections:
		return fmt.Errorf("InFlight and Only: NewConnections are both set: set only one, since new connections have nothing in flight")
	}
	return nil
}

// rank orders the effects: of several partitions the one with the lowest rank decides.
func (c PartitionConfig) rank() int {
	switch {
	case c.Holds:
		return 2
	case c.Rejects:
		return 1
	}
	return 0
}

// meant describes the packets that the partition applies to, for reports.
func (c PartitionConfig) meant() string {
	switch c.Only {
	case NewConnections:
		return "attempt to connect between its groups"
	case OpenConnections:
		return "packet of an open connection between its groups"
	}
	return "packet between its groups"
}

// why is the reason that the trace gives for rejected packets.
func (c PartitionConfig) why() string { return "partition rejects: " + c.Code.String() }

// words describes what is special about the partition, for names.
func (c PartitionConfig) words() string {
	var all []string
	switch c.Only {
	case NewConnections:
		all = append(all, "new connections")
	case OpenConnections:
		all = append(all, "open connections")
	}
	switch {
	case c.Holds:
		all = append(all, "holds")
	case c.Rejects:
		all = append(all, "rejects: "+c.Code.String())
	}
	if c.InFlight {
		all = append(all, "also what is in flight")
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

// PartitionBy makes a partition of any shape, and says what happens to packets. [Network.Heal] ends it too.
// Like all partitions it covers whole paths, also over routers, and everything on them, including clients and
// name lookups. It never covers the path from a host to itself. Partitions add up. If several apply to a
// packet, one that loses it takes precedence, then one that rejects it. PartitionBy panics if cuts is empty
// or names no host, or if cfg is not valid.
//
// Two partitions together model an interface that its host sets down (ip link set down). What the host sends
// fails at once with ENETUNREACH, and nothing reaches it, while its address stays and connections live on:
//
//	sim.PartitionBy(n, sim.Cuts{{From: h}}, sim.PartitionConfig{Rejects: true, InFlight: true}) // with h of []*sim.Host
//	sim.PartitionBy(n, sim.Cuts{{To: h}}, sim.PartitionConfig{InFlight: true})
func PartitionBy(n *Network, cuts Cuts, cfg PartitionConfig) *Fault {
	if n == nil {
		panic("sim: PartitionBy: the network is nil")
	}
	if err := cfg.check(); err != nil {
		panic("sim: PartitionBy: PartitionConfig." + err.Error())
	}
	if len(cuts) == 0 {
		panic("sim: PartitionBy: cuts is empty: it must name what to cut")
	}
	type sets struct{ from, to map[*Host]bool }
	var all []sets
	var names []string
	for _, c := range cuts {
		if c.From != nil && len(c.From) == 0 || c.To != nil && len(c.To) == 0 {
			panic("sim: PartitionBy: a Cut has a list without hosts: name one, or leave it nil for all")
		}
		if c.From == nil && c.To == nil {
			panic("sim: PartitionBy: a Cut names no host: From or To must have one")
		}
		all = append(all, sets{n.setOf("PartitionBy", c.From), n.setOf("PartitionBy", c.To)})
		names = append(names, c.String())
	}
	has := func(set map[*Host]bool, h *Host) bool { return len(set) == 0 || set[h] }
	made := expression{"PartitionBy", []any{n, cloned(cuts), cfg}}
	f := n.parting("partition "+shortList(names, 6)+cfg.words(), made, cfg, func(from, to *Host) bool {
		return slices.ContainsFunc(all, func(s sets) bool { return has(s.from, from) && has(s.to, to) })
	})
	return f.enlisted()
}

// cloned returns a copy that the program cannot change.
func cloned(cuts Cuts) Cuts {
	all := slices.Clone(cuts)
	for i, c := range all {
		all[i] = Cut{slices.Clone(c.From), slices.Clone(c.To)}
	}
	return all
}

// String returns the names of the hosts: "a b > c", "a > all".
func (c Cut) String() string {
	side := func(hosts []*Host) string {
		if hosts == nil {
			return "all"
		}
		var names []string
		for _, h := range hosts {
			names = append(names, h.name)
		}
		return strings.Join(names, " ")
	}
	return side(c.From) + " > " + side(c.To)
}
