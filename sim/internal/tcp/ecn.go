package tcp

// Explicit congestion notification (RFC 3168), as in Linux. Routers mark packets instead of dropping them. The receiver echoes a mark with
// ECE on every segment that it sends, until the sender's CWR confirms that the window is reduced.

// ecnFlags are the flags of Linux's tcp_sock.ecn_flags.
type ecnFlags uint8

const (
	ecnOK        ecnFlags = 1 << iota // both ends agreed to ECN, or our SYN asks for it
	ecnQueueCWR                       // the next new data carries CWR
	ecnDemandCWR                      // a mark arrived: send ECE until the peer has reduced its window
	ecnSeen                           // the peer's data may be marked
)

// synECN asks for ECN in a SYN, or agrees to it in a SYN-ACK. A repeated SYN does not ask, because some routers drop SYNs that ask
// (net.ipv4.tcp_ecn_fallback).
func (c *Conn) synECN(s *Segment) {
	switch {
	case c.ecn&ecnOK == 0:
	case s.Flags&ACK != 0:
		s.Flags |= ECE
	case s.Kind == Original:
		s.Flags |= ECE | CWR
	}
}

// acceptECN agrees to ECN if a SYN asks for it (tcp_ecn_create_request).
func (c *Conn) acceptECN(syn *Segment) {
	if syn.Flags&(ECE|CWR) == ECE|CWR {
		c.ecn = ecnOK
	}
}

// agreeOnECN evaluates the peer's answer to a SYN that asked (tcp_ecn_rcv_synack), or the peer's own SYN (tcp_ecn_rcv_syn).
func (c *Conn) agreeOnECN(s *Segment) {
	agreed := ECE
	if s.Flags&ACK == 0 {
		agreed |= CWR
	}
	if s.Flags&(ECE|CWR) != agreed {
		c.ecn = 0
	}
}

// sendECN allows routers to mark new data, but no retransmission (tcp_ecn_send).
func (c *Conn) sendECN(s *Segment) {
	if c.ecn&ecnOK == 0 || len(s.Payload) == 0 || s.Seq < c.nxt {
		return
	}
	s.ECT = true
	if c.ecn&ecnQueueCWR != 0 {
		c.ecn &^= ecnQueueCWR
		s.Flags |= CWR
	}
}

// queueCWR makes c tell the peer that the window is reduced (tcp_ecn_queue_cwr).
func (c *Conn) queueCWR() {
	if c.ecn&ecnOK != 0 {
		c.ecn |= ecnQueueCWR
	}
}

// enterCWR reduces the window because of a mark, once a round trip (tcp_enter_cwr).
func (c *Conn) enterCWR() {
	if c.cc.state >= caCWR {
		return
	}
	c.rec.undoMarked = false
	c.episode().priorSSThresh = 0
	c.startReduction()
	c.cc.state = caCWR
}

// acceptCWR stops the echo of a mark (tcp_ecn_accept_cwr). It acknowledges at once, because the sender's window may be so small that the
// sender waits for this acknowledgement.
func (c *Conn) acceptCWR(s *Segment) {
	if s.Flags&CWR != 0 {
		c.ecn &^= ecnDemandCWR
		c.ack |= ackNow
	}
}

// checkCE begins to echo a mark (__tcp_ecn_check_ce). If the peer has sent data that may be marked, data that may not be marked was
// probably retransmitted.
func (c *Conn) checkCE(s *Segment) {
	switch {
	case c.ecn&ecnOK == 0:
	case s.CE:
		if c.ecn&ecnDemandCWR == 0 {
			c.quickAcks(2)
			c.ecn |= ecnDemandCWR
		}
		c.ecn |= ecnSeen
	case s.ECT:
		c.ecn |= ecnSeen
	case c.ecn&ecnSeen != 0:
		c.quickAcks(2)
	}
}

// quickAcks makes c send the next n acknowledgements without delay (tcp_enter_quickack_mode).
func (c *Conn) quickAcks(n int) {
	c.enterQuickAck(n)
	c.ack &^= pingpong
	c.ato = c.cfg.DelayedAckMin
}
