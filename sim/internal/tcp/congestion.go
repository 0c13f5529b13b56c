package tcp

import "math"

// infinite is the slow start threshold before any loss.
const infinite = math.MaxInt32

// A congestion holds the congestion window and how much of it is used.
type congestion struct {
	stamp    Time   // when the window was last validated or changed
	usageSeq uint64 // value of nxt when maxOut was measured

	cwnd, ssthresh uint32 // segments
	count          uint32 // segments acknowledged since the last increase
	used           uint32 // most segments in flight while the application was the limit
	maxOut         uint32 // most segments in flight in this window
	limited        bool   // the window, not the application, was the limit
	state          caState
}

// A caState is Linux's tcp_ca_state.
type caState uint8

const (
	caOpen     caState = iota
	caDisorder         // duplicate acknowledgements, no loss yet
	caCWR              // reducing the window without retransmitting
	caRecovery         // fast recovery
	caLoss             // after a timeout
)

func (s caState) String() string {
	return [...]string{"Open", "Disorder", "CWR", "Recovery", "Loss"}[s]
}

func (g *congestion) slowStart() bool { return g.cwnd < g.ssthresh }

// reducing reports whether PRR governs the window.
func (g *congestion) reducing() bool { return g.state == caCWR || g.state == caRecovery }

// isLimited reports whether the window may grow (tcp_is_cwnd_limited, RFC 7661).
func (g *congestion) isLimited() bool {
	return g.limited || g.slowStart() && g.cwnd < 2*g.maxOut
}

// currentSSThresh returns the value to which a pause may raise the threshold (tcp_current_ssthresh).
func (g *congestion) currentSSThresh() uint32 {
	if g.reducing() {
		return g.ssthresh
	}
	return max(g.ssthresh, g.cwnd/2+g.cwnd/4)
}

// growSlowStart raises the window for acked segments in slow start. It returns how many of them it did not use.
func (g *congestion) growSlowStart(acked uint32) uint32 {
	cwnd := min(g.cwnd+acked, g.ssthresh)
	acked -= cwnd - g.cwnd
	g.cwnd = cwnd
	return acked
}

// growLinear raises the window by one segment for every w segments acknowledged.
func (g *congestion) growLinear(w, acked uint32) {
	if g.count >= w {
		g.count = 0
		g.cwnd++
	}
	g.count += acked
	if g.count >= w {
		g.cwnd += g.count / w
		g.count %= w
	}
}

// ssthreshOnLoss returns the slow start threshold after the network lost a segment.
func (c *Conn) ssthreshOnLoss() uint32 {
	if c.cfg.ctrl == reno {
		return max(c.cc.cwnd/2, 2)
	}
	return c.cubic().reduce(c.cc.cwnd)
}

// avoid raises the window after acked segments were acknowledged (cong_avoid).
func (c *Conn) avoid(acked uint32) {
	g := &c.cc
	if g.isLimited() {
		if g.slowStart() {
			acked = g.growSlowStart(acked)
		}
		if acked > 0 {
			w := g.cwnd
			if c.cfg.ctrl == cubic {
				w = c.cubic().update(c.now, g.cwnd, acked)
			}
			g.growLinear(w, acked)
		}
	}
	g.stamp = c.now
}

// controlOnAck adapts the window at the end of an acknowledgement
// (tcp_cong_control).
func (c *Conn) controlOnAck(delivered, lost uint32, flag ackResult) {
	g := &c.cc
	switch {
	case g.reducing():
		c.reduceCwnd(int(delivered), lost > 0, flag&unaAdvanced != 0)
	case flag&dataAcked != 0 || int(c.rec.reordering) > c.cfg.Reordering && flag&(acked|dataSacked) != 0:
		c.avoid(delivered)
	}
}

// startReduction begins a reduction of the window (tcp_init_cwnd_reduction).
func (c *Conn) startReduction() {
	g := &c.cc
	c.rec.highSeq = c.nxt
	c.rec.tlpHigh = 0
	g.count = 0
	ep := c.episode()
	ep.priorCwnd = g.cwnd
	ep.prrDelivered, ep.prrOut = 0, 0
	g.ssthresh = c.ssthreshOnLoss()
	c.queueCWR()
}

// reduceCwnd spreads the reduction over one round trip (tcp_cwnd_reduction).
func (c *Conn) reduceCwnd(delivered int, newlyLost, advanced bool) {
	g, ep := &c.cc, c.episode()
	if delivered <= 0 || ep.priorCwnd == 0 {
		return
	}
	inFlight := c.inFlight()
	room := int(g.ssthresh) - inFlight
	ep.prrDelivered += uint32(delivered)
	var send int
	if room < 0 {
		n := uint64(g.ssthresh)*uint64(ep.prrDelivered) + uint64(ep.priorCwnd) - 1
		send = int(n/uint64(ep.priorCwnd)) - int(ep.prrOut)
	} else {
		send = max(int(ep.prrDelivered)-int(ep.prrOut), delivered)
		if advanced && !newlyLost {
			send++
		}
		send = min(room, send)
	}
	if ep.prrOut == 0 {
		send = max(send, 1)
	} else {
		send = max(send, 0)
	}
	g.cwnd = uint32(max(inFlight+send, 1))
}

// endReduction sets the window to the threshold unless the reduction was undone.
func (c *Conn) endReduction() {
	g := &c.cc
	if g.ssthresh < infinite && (g.state == caCWR || c.rec.undoMarked) {
		g.cwnd = g.ssthresh
		g.stamp = c.now
	}
}

// validateCwnd records how much of the window was used (tcp_cwnd_validate). A window that the application does not fill decays (RFC 2861).
func (c *Conn) validateCwnd(limited bool) {
	g := &c.cc
	out := uint32(c.tx.packets())
	if c.una >= g.usageSeq || limited || !g.limited && out > g.maxOut {
		g.limited = limited
		g.maxOut = out
		g.usageSeq = c.nxt
	}
	if g.isLimited() {
		g.used = 0
		g.stamp = c.now
		return
	}
	g.used = max(g.used, out)
	if c.cfg.NoSlowStartAfterIdle || c.now-g.stamp < c.rtt.rto {
		return
	}
	if g.state == caOpen && c.flag&blocked == 0 {
		used := max(g.used, uint32(c.cfg.InitialCwnd))
		if used < g.cwnd {
			g.ssthresh = g.currentSSThresh()
			g.cwnd = (g.cwnd + used) / 2
		}
		g.used = 0
	}
	g.stamp = c.now
}

// restartAfterIdle shrinks the window after a pause in sending (tcp_slow_start_after_idle_check).
func (c *Conn) restartAfterIdle() {
	idle := c.now - c.lastSent
	if c.cfg.NoSlowStartAfterIdle || !c.tx.empty() || idle <= c.rtt.rto {
		return
	}
	g := &c.cc
	if c.cub != nil && c.cfg.ctrl == cubic {
		c.cub.shift(c.now, c.lastSent)
	}
	g.ssthresh = g.currentSSThresh()
	floor := min(uint32(c.cfg.InitialCwnd), g.cwnd)
	for idle -= c.rtt.rto; idle > 0 && g.cwnd > floor; idle -= c.rtt.rto {
		g.cwnd /= 2
	}
	g.cwnd = max(g.cwnd, floor)
	g.stamp = c.now
	g.used = 0
}
