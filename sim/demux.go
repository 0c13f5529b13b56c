package sim

import "github.com/squall-sim/squall/sim/internal/tcp"

// segment hands a TCP segment to its socket.
func (h *Host) segment(now int64, pkt *packet) {
	n := h.n
	opens := pkt.seg.Flags&(tcp.SYN|tcp.ACK|tcp.RST) == tcp.SYN
	c := pkt.peer()
	if c == nil {
		c = h.table.conns.get(ends{local: pkt.dst, remote: pkt.src})
		pkt.flow.peer = c
	}
	if c != nil && opens && c.tcp().State() == tcp.TimeWait {
		// A new connection may replace one that waits for stray segments (RFC 9293 section 3.10.7.4,
		// tcp_timewait_state_process).
		iss, ok := c.tcp().Reopens(pkt.seg)
		if l := h.listener(pkt.dst); ok && l != nil {
			c.forget()
			l.syn(now, pkt, iss)
			return
		}
	}
	switch {
	case c != nil && c.opening.listener != nil && c.opening.listener.full() && c.tcp().State() == tcp.SynReceived &&
		pkt.seg.Flags&(tcp.SYN|tcp.ACK|tcp.RST) == tcp.ACK:
		if h.conf.AbortOnOverflow {
			c.forget()
			h.reset(now, pkt)
			return
		}
		n.drop(now, pkt, nil, "accept queue full")
		return
	case c != nil:
		c.input(now, pkt, false)
		c.settle()
		return
	case opens:
		if pkt.src.Addr() == loopback6 && pkt.way.from != &h.node {
			n.drop(now, pkt, nil, "from [::1] of another host")
			return
		}
		if l := h.listener(pkt.dst); l != nil {
			l.syn(now, pkt, n.initialSequence(now, pkt.dst, pkt.src))
			return
		}
	}
	h.reset(now, pkt)
}

// reset answers a segment for which there is no socket.
func (h *Host) reset(now int64, pkt *packet) {
	n := h.n
	way, s := h.pathTo(pkt.src.Addr()), n.pool.segments.get()
	if way == nil || !tcp.ResetFor(pkt.seg, s) {
		n.pool.segments.put(s)
		n.pool.free(pkt)
		return
	}
	r := n.pool.packet(way.misc, protoTCP, pkt.dst, pkt.src)
	r.seg, r.size = s, s.Size()
	n.pool.free(pkt)
	n.dispatch(r, now)
}
