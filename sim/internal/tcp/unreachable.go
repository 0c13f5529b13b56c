package tcp

// A Reaction describes how TCP reacts to an ICMP message, apart from recording its error.
type Reaction struct {
	Reverts bool // it undoes one doubling of the timeout (RFC 6069)
	Forgets bool // it ends a handshake that the other side began (tcp_req_err)
}

// Unreachable tells c about an ICMP message: c's segment with sequence number seq did not arrive, for the reason code. The message ends an
// attempt to connect. Later, c only records the error, which a timeout will report (tcp_v4_err).
func (c *Conn) Unreachable(now Time, seq uint64, code Code, r Reaction) {
	c.now = now
	switch {
	case c.state == StateClosed || c.state == TimeWait:
	case seq < c.una || seq > c.nxt:
	case c.state == SynReceived && c.flag&passive != 0:
		if r.Forgets {
			c.die(OK) // the program has no part in it any more
		}
	case c.state == SynSent || c.state == SynReceived:
		c.die(code)
	default:
		c.softErr = code
		if r.Reverts {
			c.revertBackoff(seq)
		}
	}
}

// TakeProgress reports whether the peer has acknowledged outstanding data since the last call, so that the way to it is known to work
// (sk_dst_confirm).
func (c *Conn) TakeProgress() bool {
	took := c.flag&progress != 0
	c.flag &^= progress
	return took
}
