package tcp

// Unreachable tells c of an ICMP destination unreachable message for the segment of c
// with sequence number seq, and what it means. It ends an attempt to connect; later it is
// only the error that a timeout will report (tcp_v4_err). routing says that the message
// is about the way to the peer, host or net unreachable: only that takes back a doubling
// of the timeout, and ends a handshake of the other side's making (tcp_req_err).
func (c *Conn) Unreachable(now Time, seq uint64, code Code, routing bool) {
	c.now = now
	switch {
	case c.state == StateClosed || c.state == TimeWait:
	case seq < c.una || seq > c.nxt:
	case c.state == SynReceived && c.flag&passive != 0:
		if routing {
			c.die(OK) // the program has let go of it
		}
	case c.state == SynSent || c.state == SynReceived:
		c.die(code)
	default:
		c.softErr = code
		if routing {
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
