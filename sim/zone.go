package sim

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// A Zone is a set of hosts that lie together: a rack, a data centre, a region. What lies between two zones
// ([Network.LinkZones]) every host of the one has between it and every host of the other, as if by a link of their own: so a
// latency matrix takes a call for each pair of zones, and a Rate is each pair of hosts' own. Where many share
// a bottleneck, use routers.
//
// It is about hosts that are joined by no link and no routers, instead of [DefaultLink]; what each has by [Host.Access] comes on
// top. Network.Partition(a.Hosts(), b.Hosts()) cuts two zones, of the hosts that
// they have then: one that joins later is not cut off.
type Zone struct {
	n      *Network
	made   moment
	name   string
	within *Zone
	hosts  []*Host
	inside []*Zone
}

// zones is two of them, in one direction.
type zones struct{ from, to *Zone }

// Zone returns the zone of that name, which is made at first use, and puts the hosts into it. A host is in one zone; one that is put
// into another moves, and so do its packets that are sent from then on. It panics if the name is empty, or a host is nil or of another network.
func (n *Network) Zone(name string, hosts ...*Host) *Zone {
	n.mustSimulate("Zone")
	if name == "" {
		panic(`sim: Zone(""): the name must not be empty`)
	}
	for _, h := range hosts {
		n.nodeOf("Zone", h)
	}
	return get(n, func() *Zone {
		z := n.wires.zones[name]
		if z == nil {
			z = newZone(n, name)
			if n.wires.zones == nil {
				n.wires.zones, n.wires.between = map[string]*Zone{}, map[zones]netem.Config{}
			}
			n.wires.zones[name] = z
		}
		n.reveal(z.made)
		for _, h := range hosts {
			if h.zone != nil {
				h.zone.hosts = slices.DeleteFunc(h.zone.hosts, func(o *Host) bool { return o == h })
			}
			h.zone = z
			z.hosts = append(z.hosts, h)
		}
		if len(hosts) > 0 {
			n.rezone()
		}
		return z
	})
}

//go:norace
func newZone(n *Network, name string) *Zone { return &Zone{n: n, made: n.moment(), name: name} }

// must panics if z is no zone, in the name of a method.
func (z *Zone) must(method string) {
	if z == nil || z.n == nil {
		panic("sim: Zone." + method + ": the zone is nil, or was not made by Network.Zone")
	}
}

// Name returns the name.
func (z *Zone) Name() string { return z.name }

// String returns the name.
func (z *Zone) String() string { return z.name }

// Within has the zone lie within another, as a rack in a data centre. For two hosts that pair of zones counts, of theirs and those around
// them, that was linked and is nearest to both: least steps up together, and of those least from the sender's. It returns z. It panics if
// outer is z, lies within z, or is of another network, or z lies within another one.
func (z *Zone) Within(outer *Zone) *Zone {
	z.must("Within")
	outer.must("Within")
	n := z.n
	if outer.n != n {
		panic(fmt.Sprintf("sim: zone %s: Within(%s): it is of another network", z.name, outer.name))
	}
	refused := text(n, func() string {
		if z.within != nil && z.within != outer {
			return "it lies within " + z.within.name + " already"
		}
		for o := outer; o != nil; o = o.within {
			if o == z {
				return "that is, or lies within, the zone itself"
			}
		}
		if z.within == nil {
			z.within = outer
			outer.inside = append(outer.inside, z)
			n.rezone()
		}
		return ""
	})
	if refused != "" {
		panic(fmt.Sprintf("sim: zone %s: Within(%s): %s", z.name, outer.name, refused))
	}
	return z
}

// Hosts returns the hosts of the zone, in the order in which they were put into it, and then those of the zones within it.
func (z *Zone) Hosts() []*Host {
	z.must("Hosts")
	return ownAll(get(z.n, func() []*Host { return slices.Clone(z.all()) }), func(h *Host) *Host { return h })
}

func (z *Zone) all() []*Host {
	all := z.hosts[:len(z.hosts):len(z.hosts)]
	for _, in := range z.inside {
		all = append(all, in.all()...)
	}
	return all
}

// LinkZones says what lies between each host of one zone and each of the other, in both directions alike; a zone with itself: between
// its own hosts. A second call changes it at once, as [Link.Set] does. It panics if a zone is nil or of another network, or cfg is not valid.
func (n *Network) LinkZones(a, b *Zone, cfg netem.Config) { n.LinkZonesAsym(a, b, cfg, cfg) }

// LinkZonesAsym is [Network.LinkZones] with a configuration for each direction. Those of a zone with itself must be
// the same.
func (n *Network) LinkZonesAsym(a, b *Zone, aToB, bToA netem.Config) {
	n.mustSimulate("LinkZones")
	for _, z := range []*Zone{a, b} {
		z.must("LinkZones")
		if z.n != n {
			panic(fmt.Sprintf("sim: LinkZones: zone %q is of another network", z.name))
		}
	}
	mustBeValid("zones "+a.name+" - "+b.name, aToB, bToA)
	if a == b && !reflect.DeepEqual(aToB, bToA) {
		panic(fmt.Sprintf("sim: zones %s - %s: within a zone both directions must be the same", a.name, b.name))
	}
	n.do(func() {
		n.wires.between[zones{a, b}], n.wires.between[zones{b, a}] = aToB, bToA
		n.rezone()
	})
}

// rezone gives the pipes between hosts of zones the configuration that they now have. There are those over which hosts
// have sent, not all pairs.
func (n *Network) rezone() {
	changed := false
	for _, p := range n.wires.pipes {
		if n.wires.defaults[nodes{p.from, p.to}] != p || p.from == p.to {
			continue
		}
		if cfg := n.defaultFor(p.from, p.to); !reflect.DeepEqual(cfg, p.own) {
			p.reset(cfg)
			changed = true
		}
	}
	if changed {
		n.note(nil, nil, "zones changed")
	}
}

// defaultFor is the configuration between two hosts that no link joins.
func (n *Network) defaultFor(from, to *node) netem.Config {
	best, found := 0, false
	cfg := n.conf.defaultLink
	up := 0
	for a := from.zone; a != nil; a, up = a.within, up+1 {
		steps := up
		for b := to.zone; b != nil && (!found || steps < best); b, steps = b.within, steps+1 {
			if c, ok := n.wires.between[zones{a, b}]; ok {
				cfg, best, found = c, steps, true
			}
		}
	}
	return cfg
}
