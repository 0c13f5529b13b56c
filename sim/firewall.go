package sim

// A Firewall is a router that lets pass only the connections that it knows. It is made by [Router.Firewall].
type Firewall struct {
	tracker
	openers map[*node]bool // nil: all
}

// Firewall makes r follow the connections that pass it, and drop what belongs to none: a stateful firewall. Only the
// given nodes may open connections, or all if none is given. It panics if cfg is not valid, or if r has another box.
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
