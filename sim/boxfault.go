package sim

import (
	"fmt"
	"slices"
	"time"
)

// ForgetConnections is the Forget of a [NAT], [Firewall] or [Balancer] as a fault: r loses all its
// connections without a word when the fault begins. It meets each connection that has not ended on both
// sides. The end of the fault changes nothing. ForgetConnections panics if r is none of the three.
func ForgetConnections(r *Router) *Fault {
	return memoryOf(r, "ForgetConnections").losing().enlisted()
}

func (k *tracker) losing() *Fault {
	f := k.r.n.newFault("forgets its connections", &k.r.node, nil, expression{"ForgetConnections", []any{k.r}})
	k.forgetting(f)
	return f
}

// forgetting completes a fault whose beginning makes a box forget its connections.
func (k *tracker) forgetting(f *Fault) {
	f.miss = "connection"
	begin := f.begin
	f.begin = func() {
		f.hits(k.alive())
		k.forgetAll()
		if begin != nil {
			begin()
		}
	}
}

// memoryOf returns what a router remembers of connections. It panics if the router remembers nothing.
func memoryOf(r *Router, function string) *tracker {
	r.must(function)
	type rememberer interface{ memory() *tracker }
	b, ok := r.boxNow().(rememberer)
	if !ok {
		panic(fmt.Sprintf("sim: %s: router %q must be a NAT, Firewall or Balancer", function, r.name))
	}
	return b.memory()
}

func (k *tracker) memory() *tracker { return k }

func (r *Router) boxNow() box { return get(r.n, func() box { return r.box }) }

// Rebind is [NAT.Rebind] as a fault: the NAT on r gets another address, and forgets its connections, when the
// fault begins. The end of the fault changes nothing. Rebind panics if r is not a NAT.
func Rebind(r *Router) *Fault {
	r.must("Rebind")
	t, ok := r.boxNow().(*NAT)
	if !ok {
		panic(fmt.Sprintf("sim: Rebind: router %q must be a NAT", r.name))
	}
	return t.rebinding().enlisted()
}

func (t *NAT) rebinding() *Fault {
	f := t.r.n.newFault("has another address", &t.r.node, nil, expression{"Rebind", []any{t.r}})
	f.begin = func() {
		t.r.n.readdress(t.r)
		t.moved = true
	}
	t.forgetting(f)
	return f
}

// Reboot makes a fault that turns a router off: everything that reaches it is lost, and a [NAT], [Firewall]
// or [Balancer] forgets what it knew. Links made while the router is off still work, and so do links that
// [Link.Up] restores.
func Reboot(r *Router) *Fault {
	r.must("Reboot")
	f := r.n.newFault("router off", &r.node, nil, expression{"Reboot", []any{r}})
	f.miss = "packet"
	f.begin = func() {
		f.pipes, r.told = nil, nil
		for _, p := range r.links {
			f.pipes = append(f.pipes, p, p.reverse)
		}
		for _, p := range f.pipes {
			p.disturb(func(t *trouble) { t.cuts = append(t.cuts, cut{fault: f}) })
		}
		if b, ok := r.box.(interface{ memory() *tracker }); ok {
			f.hits(b.memory().alive())
			b.memory().forgetAll()
			b.memory().fragments.lose()
		}
	}
	f.end = func() {
		for _, p := range f.pipes {
			p.uncut(f)
		}
	}
	return f.enlisted()
}

// DrainBackend is [Balancer.Drain] as a fault: h gets no new connections from the balancer on r, which
// forgets those that h has after the given time. When the fault is over, h gets connections again. It meets
// each connection that the balancer gives to another backend, or forgets. DrainBackend panics if r is not a
// balancer, if h is not one of its backends, or if the time is negative.
func DrainBackend(r *Router, h *Host, within time.Duration) *Fault {
	return balancerOf(r, "DrainBackend").draining("DrainBackend", h, within).enlisted()
}

func balancerOf(r *Router, function string) *Balancer {
	r.must(function)
	b, ok := r.boxNow().(*Balancer)
	if !ok {
		panic(fmt.Sprintf("sim: %s: router %q must be a Balancer", function, r.name))
	}
	return b
}

func (b *Balancer) draining(function string, h *Host, within time.Duration) *Fault {
	if within < 0 {
		panic(fmt.Sprintf("sim: router %s: %s(%v): it must not be negative", b.r.name, function, within))
	}
	e := b.backendOf(function, h)
	f := b.r.n.newFault("drained", &b.r.node, &h.node, expression{"DrainBackend", []any{b.r, h, within}})
	f.miss = "connection"
	f.begin = func() {
		e.drains.add(f)
		if within == 0 {
			b.end(e)
			return
		}
		e.deadline.set(after(b.r.n.now(), int64(within)))
	}
	f.end = func() {
		if e.drains.remove(f); e.drains == nil {
			e.deadline.set(never)
		}
	}
	return f
}

// FailBackend makes a fault by which the balancer on r takes its backend h for dead, even if h lives: a
// health check that is wrong. The balancer forgets the connections of h, and new ones go to other backends.
// The fault meets each of these. FailBackend panics if r is not a balancer or h is not one of its backends.
func FailBackend(r *Router, h *Host) *Fault {
	b := balancerOf(r, "FailBackend")
	e := b.backendOf("FailBackend", h)
	f := b.r.n.newFault("taken for dead", &b.r.node, &h.node, expression{"FailBackend", []any{r, h}})
	f.miss = "connection"
	f.begin = func() {
		e.failures.add(f)
		b.end(e)
	}
	f.end = func() { e.failures.remove(f) }
	return f.enlisted()
}

// backendOf returns the backend on a host. The set of backends never changes.
func (b *Balancer) backendOf(function string, h *Host) *backend {
	i := slices.IndexFunc(b.backends, func(e *backend) bool { return e.host == h })
	if i < 0 {
		panic(fmt.Sprintf("sim: router %s: %s: the host is not one of the balancer's backends", b.r.name, function))
	}
	return b.backends[i]
}
