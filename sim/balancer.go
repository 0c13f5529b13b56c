package sim

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A BalancerConfig says what a load balancer does. Its Tracking may be that of a product, such as
// [AWSNetworkLB].
type BalancerConfig struct {
	Tracking

	// Port is the TCP port on which the balancer and its backends accept connections, from 1 to 65535.
	Port int

	// Hash makes a client's address and port choose the backend (rendezvous hashing), so that the remaining
	// backends keep their clients when one goes. By default each connection goes to the next backend in turn.
	Hash bool

	// Check is how the balancer finds out which backends live. The zero value does not check: a dead backend
	// keeps its share.
	Check HealthCheck
}

// A HealthCheck connects to each backend at regular times, and resets the connection when it is accepted.
type HealthCheck struct {
	Every   time.Duration // from one check to the next; zero: no checks
	Timeout time.Duration // how long a check waits for an answer before it fails; default Every, which is also the most
	Down    int           // checks in a row that must fail before a backend gets no more connections; default 2
	Up      int           // checks in a row that must succeed before it gets some again; default 2
}

// A Balancer is a load balancer at layer 4: a router that sends connections for its own address to backends.
// [Router.Balancer] makes one.
type Balancer struct {
	tracker
	conf     BalancerConfig
	backends []*backend // in the order given
	draws    netem.Stream
	turns    int
}

// A backend is a host to which a balancer sends connections.
type backend struct {
	host     *Host
	down     bool    // according to its checks
	drains   ongoing // while one of these lasts, it gets no connections
	failures ongoing // nor while one of these lasts
	streak   int     // checks in a row that contradict down
	probe    *probe
	conns    map[*tracked]bool
	deadline *timer // of its drain
}

// A probe is a health check in progress.
type probe struct {
	from, to netip.AddrPort
	out      *flow
	timer    *timer // for its end, or for the next one
	began    int64
	waits    bool // it has no answer yet
}

// probePorts are the ports from which checks are sent: below those of connections.
const probePorts = 512

// Balancer makes r a load balancer for the given hosts. TCP connections to its address ([Router.Addr], which
// its name resolves to) and port go to one of them. The backend sees r's address and the client's port, or
// another port if that one is taken. When the balancer finds a backend dead, it forgets the backend's
// connections, and later segments of theirs are strays. If no backend is left, it answers new connections
// with RST. Balancer panics if cfg is not valid, if there are no backends, or if r is already a middlebox.
func (r *Router) Balancer(cfg BalancerConfig, backends ...*Host) *Balancer {
	r.must("Balancer")
	cfg.Tracking.mustBeValid("Balancer", r)
	cfg.Check.Timeout = cmp.Or(cfg.Check.Timeout, cfg.Check.Every)
	cfg.Check.Down, cfg.Check.Up = cmp.Or(cfg.Check.Down, 2), cmp.Or(cfg.Check.Up, 2)
	switch c := cfg.Check; {
	case cfg.Port < 1 || cfg.Port > 1<<16-1:
		panic(fmt.Sprintf("sim: router %s: Balancer: Port is %d: it must be from 1 to 65535", r.name, cfg.Port))
	case c.Every < 0:
		panic(fmt.Sprintf("sim: router %s: Balancer: Check.Every is %v: it must not be negative", r.name, c.Every))
	case c.Timeout < 0 || c.Timeout > c.Every:
		panic(fmt.Sprintf("sim: router %s: Balancer: Check.Timeout is %v: it must be from 0 to Every, %v", r.name, c.Timeout, c.Every))
	case c.Down < 0 || c.Up < 0:
		panic(fmt.Sprintf("sim: router %s: Balancer: Check.Down is %d and Check.Up is %d: they must not be negative", r.name, c.Down, c.Up))
	case len(backends) == 0:
		panic(fmt.Sprintf("sim: router %s: Balancer: name its backends", r.name))
	}
	b := &Balancer{tracker: newTracker(r, cfg.Tracking), conf: cfg, draws: netem.NewStream(r.n.seed, "balancer", r.name)}
	for _, h := range backends {
		r.n.nodeOf("Balancer", h)
		if slices.ContainsFunc(b.backends, func(e *backend) bool { return e.host == h }) {
			panic(fmt.Sprintf("sim: router %s: Balancer: host %q is named twice", r.name, h.name))
		}
		b.backends = append(b.backends, &backend{host: h, conns: map[*tracked]bool{}})
	}
	r.n.do(func() {
		b.install(b)
		for i, e := range b.backends {
			e.deadline = r.n.newTimer(func(int64) { b.end(e) })
			if cfg.Check.Every == 0 {
				continue
			}
			e.probe = &probe{from: netip.AddrPortFrom(r.addr, uint16(probePorts+i)), to: netip.AddrPortFrom(e.host.addr, uint16(cfg.Port))}
			e.probe.timer = r.n.newTimer(func(now int64) { b.check(now, e) })
			e.probe.timer.set(after(r.n.now(), int64(cfg.Check.Every)))
		}
	})
	return b
}

// Drain gives h no new connections, and forgets those that it has after the given time: the "connection
// draining" or "deregistration delay" of cloud providers. It panics if h is not a backend or the time is
// negative.
func (b *Balancer) Drain(h *Host, d time.Duration) {
	f := b.draining("Drain", h, d)
	b.r.n.do(f.beginNow)
}

// Undrain undoes [Balancer.Drain].
func (b *Balancer) Undrain(h *Host) {
	e := b.backendOf("Undrain", h)
	b.r.n.do(func() {
		e.drains.clear()
		e.deadline.set(never)
		b.r.n.note(&b.r.node, &h.node, "no longer drained")
	})
}

// Serving returns the names of the backends that get new connections.
func (b *Balancer) Serving() []string {
	return texts(b.r.n, func() (names []string) {
		for _, e := range b.serving() {
			names = append(names, e.host.name)
		}
		return names
	})
}

func (b *Balancer) serving() (all []*backend) {
	for _, e := range b.backends {
		if !e.down && e.drains == nil && e.failures == nil {
			all = append(all, e)
		}
	}
	return all
}

// end forgets the connections of a backend.
func (b *Balancer) end(e *backend) {
	now := b.r.n.now()
	for c := range e.conns { // forget takes them out
		b.forget(c)
		b.stats.Forgotten++
		e.drains.hit(now)
		e.failures.hit(now)
	}
}

// choose returns the backend for a new connection, or nil.
func (b *Balancer) choose(client netip.AddrPort) *backend {
	all := b.serving()
	for _, e := range b.backends {
		e.drains.hit(b.r.n.now())
		e.failures.hit(b.r.n.now())
	}
	if len(all) == 0 {
		return nil
	}
	if b.conf.Hash {
		weight := func(e *backend) uint64 { return mix(hashString(client.String()) ^ e.host.hash) }
		return slices.MaxFunc(all, func(x, y *backend) int { return cmp.Compare(weight(x), weight(y)) })
	}
	b.turns++
	return all[(b.turns-1)%len(all)]
}

func (b *Balancer) forward(now int64, pkt *packet) {
	if !b.sound(now, pkt) {
		return
	}
	if c, opener := b.lookup(pkt); c != nil {
		b.pass(now, pkt, c, opener)
		return
	}
	public := netip.AddrPortFrom(b.r.addr, uint16(b.conf.Port))
	switch {
	case b.at(pkt.dst) != &b.r.node:
		b.r.n.transmit(pkt, now)
	case b.answered(now, pkt):
	case pkt.proto != protoTCP || pkt.dst != public || pkt.seg == nil || pkt.seg.Flags&(tcp.SYN|tcp.ACK) != tcp.SYN:
		b.stray(now, pkt, noConnection)
	case b.crowded(now, pkt):
	default:
		e := b.choose(pkt.src)
		if e == nil {
			b.stats.Strays++
			b.r.reset(now, pkt, b.r.flowTo(protoTCP, pkt.dst, pkt.src), b.here("no backend"))
			return
		}
		to := netip.AddrPortFrom(e.host.addr, uint16(b.conf.Port))
		port := pkt.src.Port()
		if !b.free(protoTCP, to, int(port)) {
			port = b.port(protoTCP, to, portsLike(int(port)), &b.draws)
		}
		if port == 0 {
			b.tooMany(now, pkt, "no port is left")
			return
		}
		c := b.open(pkt, tuple{protoTCP, to, netip.AddrPortFrom(b.r.addr, port)})
		e.conns[c] = true
		c.gone = func() { delete(e.conns, c) }
		b.pass(now, pkt, c, true)
	}
}

// check begins a health check, or ends one that got no answer in time.
func (b *Balancer) check(now int64, e *backend) {
	p := e.probe
	if p.waits {
		b.judge(now, e, false)
		return
	}
	if p.out == nil {
		p.out = b.r.flowTo(protoTCP, p.from, p.to)
	}
	s := b.r.n.pool.segments.get()
	s.Flags, s.ISS, s.Window, s.MSS = tcp.SYN, uint32(b.draws.Uint64()), 65535, 1460
	pkt := b.r.n.pool.packet(p.out, protoTCP, p.from, p.to)
	pkt.seg, pkt.size = s, s.Size()
	p.waits, p.began = true, now
	p.timer.set(after(now, int64(b.conf.Check.Timeout)))
	b.r.send(now, pkt, p.out)
}

// answered reports whether a packet is the answer to a health check, and then ends the check.
func (b *Balancer) answered(now int64, pkt *packet) bool {
	i := int(pkt.dst.Port()) - probePorts
	if pkt.proto != protoTCP || pkt.seg == nil || i < 0 || i >= len(b.backends) || b.backends[i].probe == nil || pkt.src != b.backends[i].probe.to {
		return false
	}
	e := b.backends[i]
	alive := pkt.seg.Flags&tcp.RST == 0
	b.r.reset(now, pkt, e.probe.out, "a health check")
	if e.probe.waits {
		b.judge(now, e, alive)
	}
	return true
}

// judge records the result of a check, and schedules the next one.
func (b *Balancer) judge(now int64, e *backend, alive bool) {
	e.probe.waits = false
	e.probe.timer.set(max(after(e.probe.began, int64(b.conf.Check.Every)), now+1))
	if alive != e.down {
		e.streak = 0
		return
	}
	e.streak++
	switch {
	case e.down && e.streak >= b.conf.Check.Up:
		e.down, e.streak = false, 0
		b.r.n.note(&b.r.node, &e.host.node, "found alive")
	case !e.down && e.streak >= b.conf.Check.Down:
		e.down, e.streak = true, 0
		b.r.n.note(&b.r.node, &e.host.node, "found dead")
		b.end(e)
	}
}
