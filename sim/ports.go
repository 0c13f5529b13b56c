package sim

import (
	"maps"
	"net/netip"
	"slices"
)

// byPort holds a host's sockets of one kind, by port. Most hosts use only one port, for which a map would
// take five times the memory.
type byPort[S comparable] struct{ made *ports[S] } // nil before the first

type ports[S comparable] struct {
	port   uint16 // of
	there  []S    // these, if there are any
	others map[uint16][]S
}

// at returns the sockets of a port, in the order in which they were added.
func (b byPort[S]) at(port uint16) []S {
	switch p := b.made; {
	case p == nil:
		return nil
	case p.port == port && len(p.there) > 0:
		return p.there
	default:
		return p.others[port]
	}
}

func (b *byPort[S]) add(port uint16, s S) {
	if b.made == nil {
		b.made = new(ports[S])
	}
	b.set(port, append(b.at(port), s))
}

func (b *byPort[S]) remove(port uint16, s S) {
	at := b.at(port)
	if i := slices.Index(at, s); i >= 0 {
		b.set(port, slices.Delete(at, i, i+1))
	}
}

// set sets the sockets of a port.
func (b *byPort[S]) set(port uint16, sockets []S) {
	p := b.made
	_, other := p.others[port]
	switch {
	case !other && (p.port == port || len(p.there) == 0):
		p.port, p.there = port, sockets
	case len(sockets) == 0:
		delete(p.others, port)
	default:
		if p.others == nil {
			p.others = map[uint16][]S{}
		}
		p.others[port] = sockets
	}
}

func (b *byPort[S]) clear() { b.made = nil }

// all returns the sockets in the order of their ports.
func (b byPort[S]) all() (all []S) {
	p := b.made
	if p == nil {
		return nil
	}
	if len(p.others) == 0 {
		return slices.Clone(p.there)
	}
	used := slices.AppendSeq([]uint16{p.port}, maps.Keys(p.others))
	slices.Sort(used)
	for _, port := range slices.Compact(used) {
		all = append(all, b.at(port)...)
	}
	return all
}

// perTarget counts the attempts to connect to each destination. Most hosts have only one, as with byPort.
type perTarget struct{ made *targets } // nil before the first

type targets struct {
	first  netip.AddrPort
	count  uint64 // to the first
	others map[netip.AddrPort]uint64
}

// next returns how many attempts to a destination came before this one.
func (t *perTarget) next(to netip.AddrPort) (nth uint64) {
	if t.made == nil {
		t.made = &targets{first: to}
	}
	m := t.made
	if m.first == to {
		m.count++
		return m.count - 1
	}
	if m.others == nil {
		m.others = map[netip.AddrPort]uint64{}
	}
	nth = m.others[to]
	m.others[to]++
	return nth
}
