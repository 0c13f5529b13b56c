package tcp

// A Reaction is what TCP does about an ICMP message beyond taking over its error.
type Reaction struct {
	Reverts bool // it takes back a doubling of the timeout (RFC 6069)
	Forgets bool // it ends a handshake of the other side's making (tcp_req_err)
}

// Unreachable tells c of an ICMP message that the segment of c with sequence number seq did not arrive, and what
// that means. It ends an attempt to connect; later it is only the error that a timeout will report (tcp_v4_err).
func (c *Conn) Unreachable(now Time, seq uint64, code Code, r Reaction) {
	c.now = now
	switch {
	case c.state == StateClosed || c.state == TimeWait:
	case seq < c.una || seq > c.nxt:
	case c.state == SynReceived && c.flag&passive != 0:
		if r.Forgets {
			c.die(OK) // the program has let go of it
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

// TakeProgress says whether, since it was asked last, the peer has acknowledged something of
// what was outstanding, so that the way to it is good (sk_dst_confirm).
func (c *Conn) TakeProgress() bool {
	took := c.flag&progress != 0
	c.flag &^= progress
	return took
}
