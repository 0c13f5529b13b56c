package sim

// A Firewall is a router that passes only connections that it knows. [Router.Firewall] makes one.
type Firewall struct {
	tracker
	openers map[*node]bool // nil: all
}

// Firewall makes r a stateful firewall: it follows the connections that pass it and drops packets that belong
// to none. Only the given nodes may open connections, or all nodes if none is given. Firewall panics if cfg
// is not valid, or if r is already a middlebox.
func (r *Router) Firewall(cfg Tracking, openers ...Node) *Firewall {
	r.must("Firewall")
	cfg.mustBeValid("Firewall", r)
	w := &Firewall{tracker: newTracker(r, cfg), openers: r.set("Firewall", openers)}
	r.n.do(func() { w.install(w) })
	return w
}

func (w *Firewall) forward(now int64, pkt *packet) {
	if !w.sound(now, pkt) {
		return
	}
	c, opener := w.lookup(pkt)
	switch {
	case c != nil:
		w.pass(now, pkt, c, opener)
	case len(w.openers) > 0 && !w.openers[w.at(pkt.src)], !w.begins(pkt), w.at(pkt.dst) == &w.r.node:
		w.stray(now, pkt, noConnection)
	case w.crowded(now, pkt):
	default:
		w.pass(now, pkt, w.open(pkt, tupleOf(pkt).reversed()), true)
	}
}
