package sim

import (
	"fmt"
	"net/netip"
)

// A Masquerade is the smallest box that rewrites in both directions: TCP and UDP from any host leave by its
// own address and a port from 50000, and what is for none of its ports is refused.
type Masquerade struct {
	n     *Network
	r     *Router
	by    map[masqueraded]*masqueraded // what leaves: proto, inner and outer
	ports map[masqueraded]*masqueraded // what comes back: proto and public
	idle  int64                        // after which a mapping is forgotten
	gone  []netip.AddrPort             // whose mappings were
}

type masqueraded struct {
	proto                protocol
	inner, outer, public netip.AddrPort
	there, back          *flow
	timer                *timer
}

// NewMasquerade makes r one that forgets after the given nanoseconds.
func NewMasquerade(r *Router, idle int64) *Masquerade {
	m := &Masquerade{n: r.n, r: r, by: map[masqueraded]*masqueraded{}, ports: map[masqueraded]*masqueraded{}, idle: idle}
	r.n.do(func() { r.n.install(r, m) })
	return m
}

// Address is that of a router with a box.
func (r *Router) Address() netip.Addr { return get(r.n, func() netip.Addr { return r.addr }) }

// Gone lists whose mappings were forgotten.
func (m *Masquerade) Gone() string { return text(m.n, func() string { return fmt.Sprint(m.gone) }) }

func (m *Masquerade) forward(now int64, pkt *packet) {
	switch {
	case pkt.proto == protoICMP && pkt.dst.Addr() == m.r.addr:
		if s := m.ports[masqueraded{proto: pkt.icmp.about, public: pkt.dst}]; s != nil {
			pkt.dst = s.inner
			m.r.send(now, pkt, s.back)
			return
		}
		m.n.drop(now, pkt, nil, "no mapping")
	case pkt.proto == protoICMP:
		m.n.transmit(pkt, now)
	case pkt.dst.Addr() == m.r.addr:
		s := m.ports[masqueraded{proto: pkt.proto, public: pkt.dst}]
		switch {
		case s != nil:
			pkt.dst = s.inner
			s.timer.set(now + m.idle)
			m.r.send(now, pkt, s.back)
		case pkt.proto == protoTCP:
			m.r.reset(now, pkt, m.r.flowTo(protoTCP, pkt.dst, pkt.src), "no mapping")
		default:
			m.r.reject(now, pkt, ICMPPortUnreachable, "no mapping")
		}
	default:
		key := masqueraded{proto: pkt.proto, inner: pkt.src, outer: pkt.dst}
		s := m.by[key]
		if s == nil {
			s = new(key)
			s.public = netip.AddrPortFrom(m.r.addr, uint16(50000+len(m.by)))
			s.there, s.back = m.r.flowTo(pkt.proto, s.public, s.outer), m.r.flowTo(pkt.proto, s.outer, s.inner)
			s.timer = m.n.newTimer(func(int64) {
				m.gone = append(m.gone, s.inner)
				delete(m.by, key)
				delete(m.ports, masqueraded{proto: s.proto, public: s.public})
			})
			m.by[key], m.ports[masqueraded{proto: s.proto, public: s.public}] = s, s
		}
		pkt.src = s.public
		s.timer.set(now + m.idle)
		m.r.send(now, pkt, s.there)
	}
}
