package sim

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// A Zone is a set of hosts in one place: a rack, a data centre, a region. [Network.LinkZones] sets what lies
// between two zones: every host of one has it between itself and every host of the other, as if by a link of
// their own. So a latency matrix takes one call for each pair of zones, and each pair of hosts has its own
// Rate. Where many hosts share a bottleneck, use routers.
//
// Zones take the place of [DefaultLink], for hosts that neither a link nor routers join. What [Host.Access]
// gives each host applies in addition. Network.Partition(a.Hosts(), b.Hosts()) cuts two zones. It covers the
// hosts that they have then; one that joins later is not cut off.
type Zone struct {
	n      *Network
	made   moment
	name   string
	within *Zone
	hosts  []*Host
	inside []*Zone
}

// zones are two zones, in one direction.
type zones struct{ from, to *Zone }

// Zone returns the zone of that name, made at first use, and puts the hosts into it. A host is in one zone.
// One that is put into another moves, and so do packets that it sends from then on. Zone panics if the name
// is empty, or if a host is nil or belongs to another network.
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

// must panics if z is not a zone; it names the method.
func (z *Zone) must(method string) {
	if z == nil || z.n == nil {
		panic("sim: " + method + ": the zone is nil, or was not made by Network.Zone")
	}
}

// Name returns the name.
func (z *Zone) Name() string { return z.name }

// String returns the name.
func (z *Zone) String() string { return z.name }

// Within puts the zone inside another, as a rack in a data centre. For two hosts, the linked pair of zones
// nearest to both counts, among their own zones and the ones around those: the pair with the fewest steps up
// in total, and of several the one with the fewest steps from the sender. Within returns z. It panics if
// outer is z, lies within z or belongs to another network, or if z already lies within another zone.
func (z *Zone) Within(outer *Zone) *Zone {
	z.must("Zone.Within")
	outer.must("Zone.Within")
	n := z.n
	if outer.n != n {
		panic(fmt.Sprintf("sim: zone %s: Within(%s): it belongs to another network", z.name, outer.name))
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

// Hosts returns the zone's hosts in the order in which they were put into it, then those of the zones within
// it.
func (z *Zone) Hosts() []*Host {
	z.must("Zone.Hosts")
	return ownAll(get(z.n, func() []*Host { return slices.Clone(z.all()) }), func(h *Host) *Host { return h })
}

func (z *Zone) all() []*Host {
	all := z.hosts[:len(z.hosts):len(z.hosts)]
	for _, in := range z.inside {
		all = append(all, in.all()...)
	}
	return all
}

// LinkZones sets what lies between each host of one zone and each host of the other, alike in both
// directions. If a and b are the same zone, it is for the hosts within that zone. A second call changes it at
// once, as [Link.Set] does. LinkZones panics if a zone is nil or belongs to another network, or if cfg is not
// valid.
func (n *Network) LinkZones(a, b *Zone, cfg netem.Config) { n.LinkZonesAsym(a, b, cfg, cfg) }

// LinkZonesAsym is [Network.LinkZones] with a configuration for each direction. If a and b are the same zone,
// both must be the same.
func (n *Network) LinkZonesAsym(a, b *Zone, aToB, bToA netem.Config) {
	n.mustSimulate("LinkZones")
	for _, z := range []*Zone{a, b} {
		z.must("LinkZones")
		if z.n != n {
			panic(fmt.Sprintf("sim: LinkZones: zone %q belongs to another network", z.name))
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

// rezone gives the pipes between hosts of zones their current configuration. Pipes exist where hosts have
// sent, not for all pairs.
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

// defaultFor returns the configuration between two hosts that no link joins.
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
